//! Texts with `$(…)` references.

use thiserror::Error;

use crate::{EXPRESSION_BYTES, Reference, Values};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Reference(Reference),
}

/// A text with references, parsed. Rendering replaces each reference by its value once; what a value contains is never looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A reference that cannot be.
    #[error("`$({text})`: {fix}")]
    Malformed {
        /// What was written.
        text: String,
        /// What to write.
        fix: String,
    },
    /// A reference is too long.
    #[error("an expression is longer than {EXPRESSION_BYTES} bytes")]
    TooLong,
    /// A reference without a value.
    #[error("`$({0})` has no value")]
    NoValue(Reference),
    /// With the values it would be too long.
    #[error("with its values the text is longer than {most} bytes")]
    TooLarge {
        /// How long it may be.
        most: usize,
    },
}

impl Template {
    /// Parses a text. `$(…)` that does not begin with `params.`, `stages.`, `source.` or `run.` is left as it is.
    ///
    /// # Errors
    /// When a reference of ours is malformed.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("$(") {
            let (before, from) = rest.split_at(start);
            plain.push_str(before);
            let inner = &from[2..];
            let parsed = inner.find(')').and_then(|end| {
                let name = inner[..end].trim();
                Some((end, name, Reference::parse(name)?))
            });
            match parsed {
                Some((_, name, _)) if name.len() > EXPRESSION_BYTES => return Err(TemplateError::TooLong),
                Some((end, _, Ok(reference))) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Reference(reference));
                    rest = &inner[end + 1..];
                }
                Some((_, name, Err(fix))) => {
                    return Err(TemplateError::Malformed {
                        text: name.to_owned(),
                        fix,
                    });
                }
                None => {
                    plain.push_str("$(");
                    rest = inner;
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// References in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }

    /// The text with each reference replaced by its value, at most so many bytes. A short text can name a long value thousands of times, so
    /// the sum is made before any of it is written.
    ///
    /// # Errors
    /// When a reference has no value, or the text would be longer.
    pub fn render(&self, values: &Values, most: usize) -> Result<String, TemplateError> {
        let mut parts = Vec::with_capacity(self.0.len());
        let mut length = 0_usize;
        for part in &self.0 {
            let text = match part {
                Part::Text(text) => text.as_str(),
                Part::Reference(reference) => values
                    .get(reference)
                    .ok_or_else(|| TemplateError::NoValue(reference.clone()))?,
            };
            length = length.saturating_add(text.len());
            if length > most {
                return Err(TemplateError::TooLarge { most });
            }
            parts.push(text);
        }
        Ok(parts.concat())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values
            .params
            .insert("v".into(), "\"; touch /pwned; $(id) $(params.v)".into());
        values
    }

    #[test]
    fn a_value_is_pasted_once_and_never_read_as_an_expression() {
        let rendered = Template::parse("a-$(params.v)-$( params.v )")
            .unwrap()
            .render(&values(), 100)
            .unwrap();
        let value = "\"; touch /pwned; $(id) $(params.v)";
        assert_eq!(rendered, format!("a-{value}-{value}"));
    }

    #[test]
    fn shell_substitution_is_left_alone() {
        assert_eq!(
            Template::parse("$(id) $(date +%s)")
                .unwrap()
                .render(&values(), 100)
                .unwrap(),
            "$(id) $(date +%s)"
        );
    }

    #[test]
    fn a_text_that_names_a_long_value_thousands_of_times_is_refused_without_being_written() {
        let mut values = Values::default();
        // 16 GiB in all: only what is never written can be refused here
        values.params.insert("v".into(), "x".repeat(1 << 20));
        let many = Template::parse(&"$(params.v)".repeat(1 << 14)).unwrap();
        let refused = many.render(&values, 128 << 10);
        assert_eq!(refused, Err(TemplateError::TooLarge { most: 128 << 10 }));
    }

    #[test]
    fn a_malformed_reference_says_what_to_write() {
        let error = Template::parse("$(stages.build.tag)").unwrap_err();
        assert!(error.to_string().contains("stages.STAGE.results.NAME"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = Template::parse(&text);
        }

        #[test]
        fn a_text_without_references_is_rendered_as_it_is(text in "[^$]{0,100}") {
            prop_assert_eq!(Template::parse(&text).unwrap().render(&Values::default(), 1_000).unwrap(), text);
        }

        #[test]
        fn a_text_is_rendered_exactly_when_it_is_not_too_long(times in 0_usize..20, len in 0_usize..50, most in 0_usize..1_000) {
            let mut values = Values::default();
            values.params.insert("v".into(), "x".repeat(len));
            let rendered = Template::parse(&"-$(params.v)".repeat(times)).unwrap().render(&values, most);
            let wanted = format!("-{}", "x".repeat(len)).repeat(times);
            prop_assert_eq!(rendered, if wanted.len() <= most { Ok(wanted) } else { Err(TemplateError::TooLarge { most }) });
        }
    }
}
