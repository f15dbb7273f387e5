//! What looks like a reference, in any text: a script must have none, and nothing else one that stays as it is written.

use std::fmt;

use crate::Reference;

/// First words of references, of what people take for one, and what to write instead of it.
const WORDS: [(&str, &str); 9] = [
    ("params", "write params.NAME"),
    ("stages", "write stages.STAGE.results.NAME"),
    ("source", "write source.repo, source.ref or source.commit"),
    ("run", "write run.name, run.namespace or run.uid"),
    ("param", "write params.NAME"),
    ("stage", "write stages.STAGE.results.NAME"),
    ("results", "write stages.STAGE.results.NAME"),
    ("steps", "steps are named in `if` only"),
    (
        "trigger",
        "expressions know nothing of who or what started the run: give it as a parameter",
    ),
];
/// First words of what other tools replace in scripts. In other texts they may stand.
const OF_OTHERS: [(&str, &str); 5] = [
    ("tasks", "a result of another stage is a variable"),
    ("inputs", "a parameter is a variable"),
    (
        "outputs",
        "a result is written with echo \"NAME=VALUE\" >> \"$DCANARY_RESULTS\"",
    ),
    ("context", "what is known of the run is in variables"),
    (
        "workspaces",
        "a stage has one workspace, in which its steps begin",
    ),
];
/// Ends of names of programs, such as `$(run.sh)`, which is the shell's.
const PROGRAMS: [&str; 6] = ["sh", "bash", "py", "pl", "rb", "js"];
/// So much of what is no reference is shown.
const SHOWN: usize = 64;

/// A `$(` with one of our words and a dot behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention<'a> {
    /// Where the `$` is.
    pub at: usize,
    /// What is named, or the beginning of it.
    pub text: &'a str,
    /// Whether a `)` is behind it.
    pub closed: bool,
    /// The reference; what to write instead when it is none.
    pub reference: Result<Reference, &'static str>,
}

impl fmt::Display for Mention<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$({}{}", self.text, if self.closed { ")" } else { "" })
    }
}

/// All mentions of a text in their order.
pub fn mentions(text: &str) -> impl Iterator<Item = Mention<'_>> {
    parts(text).filter_map(|(at, inner)| mention(at, inner, &[]))
}

/// What is behind each `$(`, up to the next one: nothing is looked at twice, however many there are.
fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut starts = text.match_indices("$(").map(|(at, _)| at).peekable();
    std::iter::from_fn(move || {
        let at = starts.next()?;
        let end = starts.peek().copied().unwrap_or(text.len());
        Some((at, text.get(at + 2..end).unwrap_or_default()))
    })
}

/// The mentions in a script. A reference must not be there: a value pasted into a script would be executed. What is none a shell would take
/// for the name of a program, and another language for something of its own. After a backslash it is text for the shell as well.
pub fn mentions_in_script(script: &str) -> impl Iterator<Item = Mention<'_>> {
    let found = parts(script).filter_map(|(at, inner)| mention(at, inner, &OF_OTHERS));
    found.filter(|mention| {
        let before = script.get(..mention.at).unwrap_or_default();
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        backslashes % 2 == 0
    })
}

fn mention<'a>(at: usize, inner: &'a str, others: &[(&'static str, &'static str)]) -> Option<Mention<'a>> {
    let begun = inner.trim_start();
    let (word, rest) = begun.split_once('.')?;
    let mut words = WORDS.iter().chain(others);
    let (_, instead) = words.find(|(known, _)| *known == word)?;
    let closed = inner.split_once(')').map(|(name, _)| name.trim());
    if let Some(Some(Ok(reference))) = closed.map(Reference::parse) {
        return Some(Mention {
            at,
            text: closed.unwrap_or_default(),
            closed: true,
            reference: Ok(reference),
        });
    }
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.');
    let ending = rest.split(is_end).next().unwrap_or_default();
    if PROGRAMS.contains(&ending) {
        return None;
    }
    let shown = closed.unwrap_or(begun).lines().next().unwrap_or_default();
    let end = shown
        .char_indices()
        .nth(SHOWN)
        .map_or(shown.len(), |(end, _)| end);
    let unclosed = closed.is_none() && Reference::parse(shown.trim_end()).is_some_and(|read| read.is_ok());
    Some(Mention {
        at,
        text: shown.get(..end).unwrap_or_default().trim_end(),
        closed: closed.is_some(),
        reference: Err(if unclosed { "close it with `)`" } else { instead }),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn first(script: &str) -> Option<Mention<'_>> {
        mentions_in_script(script).next()
    }

    fn wrong(text: &str) -> String {
        let found = first(text).unwrap();
        let shown = found.to_string();
        format!("{shown}: {}", found.reference.unwrap_err())
    }

    #[test]
    fn shell_substitution_is_left_alone_and_references_in_scripts_are_found() {
        for script in [
            "echo $(id); echo $((1+1)) $(date +%s) $(git -C params.d log)",
            "$(run) $(./run.id) $(command run.id) $(params) $(source .env) $(run.sh -x) $(run.sh $(date)) $(source.py)",
            "echo \"\\$(params.v)\" $(",
        ] {
            assert_eq!(first(script), None, "{script}");
        }
        let script = "echo $(id) \"$( stages.build.results.tag )\"";
        let found = first(script).unwrap();
        assert_eq!(found.reference.unwrap().variable(), "RESULT_build_tag");
        assert_eq!(script.get(found.at..).unwrap().find('$'), Some(0));
        assert!(first("\\\\$(params.sh)").is_some());
    }

    #[test]
    fn what_begins_as_a_reference_and_is_none_is_found_with_what_to_write() {
        for (script, told) in [
            ("echo $(source.branch)", "$(source.branch): write source.repo"),
            (
                "$(stages.build.tag)",
                "$(stages.build.tag): write stages.STAGE.results.NAME",
            ),
            ("$(run.id)", "$(run.id): write run.name"),
            ("$(trigger.by)", "$(trigger.by): expressions know nothing of who"),
            ("$(param.version)", "$(param.version): write params.NAME"),
            ("$(params.a | tr a b)", "$(params.a | tr a b): write params.NAME"),
            ("$(params.a $(id)", "$(params.a: close it with `)`"),
            ("$(params.a\necho", "$(params.a: close it with `)`"),
            ("$(run.", "$(run.: write run.name"),
        ] {
            assert!(wrong(script).starts_with(told), "{script}: {}", wrong(script));
        }
        assert_eq!(
            wrong(&format!("$(run.{}", "ü".repeat(1000))).find(": "),
            Some(126)
        );
    }

    #[test]
    fn what_other_tools_replace_is_found_in_scripts_alone() {
        for word in ["tasks", "inputs", "outputs", "context", "workspaces"] {
            let text = format!("echo $({word}.a.b)");
            assert!(wrong(&text).starts_with(&format!("$({word}.a.b): ")), "{text}");
            assert_eq!(mentions(&text).count(), 0, "{text}");
        }
        assert_eq!(first("$(tasks.sh) $(tasks) $(./inputs.d)"), None);
    }

    #[test]
    fn a_script_of_openings_is_read_once() {
        let script = "$(params. ".repeat(20_000) + &"$( ".repeat(20_000);
        // to the end of the text from each of them it would be 5 GB
        let read: usize = parts(&script).map(|(_, inner)| inner.len()).sum();
        assert_eq!(read, script.len() - 40_000 * "$(".len());
        assert_eq!(mentions(&script).count(), 20_000);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_none_is_read_twice(text in "(\\$\\(|params\\.|run\\.|[ .)ü\\\\a])*") {
            let found: Vec<Mention<'_>> = mentions(&text).collect();
            let read: usize = parts(&text).map(|(_, inner)| inner.len()).sum();
            prop_assert!(read <= text.len());
            prop_assert!(found.iter().all(|one| text[one.at..].starts_with("$(")));
            let _ = mentions_in_script(&text).count();
        }

        #[test]
        fn each_reference_of_a_template_is_a_mention(text in "(\\$\\(|params\\.a|stages\\.b\\.results\\.c|[ ).])*") {
            if let Ok(template) = crate::Template::parse(&text) {
                let named: Vec<Reference> = template.references().cloned().collect();
                let found: Vec<Reference> = mentions(&text).filter_map(|one| one.reference.ok()).collect();
                prop_assert_eq!(named, found);
            }
        }
    }
}
