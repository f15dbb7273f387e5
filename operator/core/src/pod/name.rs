//! Names that are the same every time: a second creation meets the first Pod instead of making another.

use dcanary_types::value::sha256;

/// Longest label value and Pod name (which becomes the hostname).
const LONGEST: usize = 63;

/// Name of the Pod of an attempt, at most 63 characters. The hash is over the run's UID, so that a run of the same name that was
/// deleted and created again never meets the Pods of the old one.
pub fn pod_name(run: &str, uid: &str, stage: &str, attempt: i32) -> String {
    let hash = hex::encode(sha256(format!("{uid}\n{stage}\n{attempt}").as_bytes()));
    let short = |text: &str, max: usize| {
        let clean: String = text
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .take(max)
            .collect();
        clean.trim_matches('-').to_owned()
    };
    let parts = [
        short(run, 26),
        short(stage, 20),
        attempt.to_string(),
        hash[..10].to_owned(),
    ];
    let name = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    // names of Pods may begin with a digit, as hostnames may
    name.chars().take(LONGEST).collect()
}

/// The text as a label value: as it is when it fits, else its beginning and a hash.
pub fn label(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    if text.len() <= LONGEST
        && text.chars().all(allowed)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
    {
        return text.to_owned();
    }
    let hash = hex::encode(sha256(text.as_bytes()));
    let start: String = text.chars().filter(|c| allowed(*c)).take(50).collect();
    format!("{}.{}", start.trim_start_matches(['-', '_', '.']), &hash[..10])
        .trim_start_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ_by_run_stage_and_attempt() {
        let long = "a".repeat(253);
        let name = pod_name(&long, "uid", &"b".repeat(63), 11);
        assert!(name.len() <= 63, "{name}");
        assert_ne!(name, pod_name(&long, "other", &"b".repeat(63), 11));
        assert_ne!(name, pod_name(&long, "uid", &"b".repeat(63), 1));
        assert_eq!(
            pod_name("web.1", "uid", "unit-test", 1),
            pod_name("web.1", "uid", "unit-test", 1)
        );
        assert!(pod_name("web.1", "uid", "unit-test", 1).starts_with("web-1-unit-test-1-"));
    }

    #[test]
    fn labels_are_kept_or_shortened_into_valid_ones() {
        assert_eq!(label("web-1"), "web-1");
        let long = label(&"x.".repeat(100));
        assert!(
            long.len() <= 63
                && long
                    .chars()
                    .next_back()
                    .is_some_and(|c| c.is_ascii_alphanumeric()),
            "{long}"
        );
    }
}
