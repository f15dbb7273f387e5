//! Results that hold the value of a Secret. They fail their step: a result is shown in the status of the run, so the value must not stay
//! in it, and one that went on with `***` in its place would name another image or release than the step meant.

use crate::mask::Masks;
use crate::results::StepResult;

/// Reason of a stage that fails for one.
pub(crate) const REASON: &str = "ResultHoldsSecret";
/// How many results a message names.
const NAMED: usize = 3;

/// The results of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sifted {
    /// Without anything secret, in their order.
    pub(crate) kept: Vec<StepResult>,
    /// What was not kept, if anything was not.
    pub(crate) refused: Option<Refused>,
}

/// Results that are not kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Names that hold nothing secret themselves.
    names: Vec<String>,
    /// Names that do, alone or together with what follows them; no message tells them.
    untold: Vec<String>,
    /// Where the first of the values is from.
    origin: Option<String>,
}

/// Takes out what holds a value that output is masked for, in any spelling that is masked.
pub(crate) fn sift(masks: &Masks, results: Vec<StepResult>) -> Sifted {
    let mut kept = Vec::with_capacity(results.len());
    let mut refused: Option<Refused> = None;
    for result in results {
        let found = search(masks, &result);
        let Some(holder) = found.holder else {
            kept.push(result);
            continue;
        };
        let refused = refused.get_or_insert_with(|| Refused {
            names: Vec::new(),
            untold: Vec::new(),
            origin: masks.origin(&holder),
        });
        if found.in_name {
            refused.untold.push(result.name);
        } else {
            refused.names.push(result.name);
        }
    }
    Sifted { kept, refused }
}

/// What is secret in one result.
struct Found {
    /// The first text with something secret in it.
    holder: Option<String>,
    /// It takes up some of the name.
    in_name: bool,
}

/// Looks at the name alone, and at name and value as they were written: a secret that is itself `key=value` is in neither of the two.
fn search(masks: &Masks, StepResult { name, value, word }: &StepResult) -> Found {
    let here = word
        .as_ref()
        .map(|word| (format!("{name}<<"), format!("{name}<<{word}\n{value}\n{word}")));
    let texts = [
        (name.clone(), name.clone()),
        (format!("{name}="), format!("{name}={value}")),
    ];
    let mut found = Found {
        holder: None,
        in_name: false,
    };
    for (begin, text) in texts.into_iter().chain(here) {
        let masked = masks.value(&text);
        found.in_name |= !masked.starts_with(&begin);
        if masked != text {
            found.holder.get_or_insert(text);
        }
    }
    found
}

impl Refused {
    /// Names of everything that is not kept. Not for people: some hold what is secret.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.names.iter().chain(&self.untold)
    }

    /// What happened and what to do, without a value.
    pub(crate) fn message(&self) -> String {
        let named: Vec<String> = self
            .names
            .iter()
            .take(NAMED)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = self.names.len().saturating_sub(NAMED);
        let what = match (named.as_slice(), more, self.untold.len()) {
            ([], ..) => "the name of a result, alone or together with its value, holds".to_owned(),
            ([name], _, 0) => format!("result {name} holds"),
            (names, 0, 0) => format!("results {} hold", names.join(", ")),
            (names, more, untold) => {
                format!("results {} and {} more hold", names.join(", "), more + untold)
            }
        };
        let origin = self
            .origin
            .as_ref()
            .map_or_else(String::new, |origin| format!(" ({origin})"));
        format!(
            "{what} the value of a Secret{origin}, and results are shown in the status of the run. If that value is not secret, give this stage only the keys that it needs, each by `env` with `secret`, instead of the whole Secret by `secrets`"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(secrets: &[&str], results: &[(&str, &str)]) -> Sifted {
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|value| value.as_bytes().to_vec()).collect();
        let results = results.iter().map(|(name, value)| StepResult {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            word: None,
        });
        sift(&Masks::of(&secrets), results.collect())
    }

    fn kept(sifted: &Sifted) -> Vec<&str> {
        sifted.kept.iter().map(|result| result.name.as_str()).collect()
    }

    #[test]
    fn a_result_with_a_secret_in_it_is_refused_by_name_and_the_others_are_kept_as_they_are() {
        let sifted = sifted(
            &["prod"],
            &[("tag", "web-prod-17"), ("digest", "sha256:00"), ("pro", "pro")],
        );
        assert_eq!(kept(&sifted), ["digest", "pro"]);
        let refused = sifted.refused.unwrap();
        assert_eq!(refused.names, ["tag"]);
        assert!(
            refused
                .message()
                .starts_with("result `tag` holds the value of a Secret")
        );
        assert!(!refused.message().contains("prod"), "{}", refused.message());
    }

    #[test]
    fn a_value_that_is_too_short_to_be_masked_refuses_nothing() {
        let sifted = sifted(&["pro", ""], &[("tag", "web-prod-17")]);
        assert_eq!((kept(&sifted), sifted.refused.is_none()), (vec!["tag"], true));
    }

    #[test]
    fn a_name_with_a_secret_in_it_is_not_told() {
        let sifted = sifted(&["hunter2"], &[("a-hunter2", "1"), ("b", "2")]);
        assert_eq!(kept(&sifted), ["b"]);
        let message = sifted.refused.unwrap().message();
        assert!(message.starts_with("the name of a result, "), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_secret_of_the_form_key_is_value_is_found_over_name_and_value_and_its_key_is_not_told() {
        for secret in ["pass=two-lines-long", "user=me\npass=two-lines-long\n"] {
            let sifted = sifted(&[secret], &[("pass", "two-lines-long"), ("b", "two")]);
            assert_eq!(kept(&sifted), ["b"]);
            let refused = sifted.refused.unwrap();
            assert_eq!(refused.all().collect::<Vec<_>>(), ["pass"]);
            let message = refused.message();
            assert!(message.starts_with("the name of a result, "), "{message}");
            assert!(!message.contains("`pass`"), "{message}");
        }
    }

    #[test]
    fn a_name_that_is_part_of_one_secret_is_not_told_when_its_value_is_another_one() {
        let sifted = sifted(
            &["two-lines-long", "pass=two-lines-long"],
            &[("pass", "two-lines-long")],
        );
        let message = sifted.refused.unwrap().message();
        assert!(message.starts_with("the name of a result, "), "{message}");
    }

    #[test]
    fn a_secret_that_is_a_result_of_several_lines_is_found_as_it_was_written() {
        let written = |word: &str, value: &str| StepResult {
            name: "k".to_owned(),
            value: value.to_owned(),
            word: Some(word.to_owned()),
        };
        // No line of a value is long enough to be masked by itself.
        let masks = Masks::of(&[b"k<<E\nab\ncd\nE\n".to_vec(), b"k=x\nyz".to_vec()]);
        for result in [written("E", "ab\ncd"), written("WORD", "x\nyz")] {
            let refused = sift(&masks, vec![result]).refused.unwrap();
            assert_eq!(refused.untold, ["k"]);
        }
        assert_eq!(sift(&masks, vec![written("WORD", "ab\ncd")]).refused, None);
    }

    #[test]
    fn of_many_results_some_are_named_and_the_others_counted() {
        let message = |results: &[(&str, &str)]| sifted(&["hunter2"], results).refused.unwrap().message();
        let s = "hunter2";
        assert!(message(&[("a", s), ("b", s)]).starts_with("results `a`, `b` hold "));
        let many = message(&[("a", s), ("b", s), ("c", s), ("d", s), ("x-hunter2", "")]);
        assert!(
            many.starts_with("results `a`, `b`, `c` and 2 more hold "),
            "{many}"
        );
    }
}
