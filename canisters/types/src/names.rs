//! What names may look like (section 2).

use crate::limits::{MAX_LABEL_BYTES, MAX_NAME_BYTES, MAX_REASON_BYTES, MAX_RUN_BYTES, MAX_STAGE_BYTES};

/// Whether it is the name of a project or a domain: `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`.
pub fn is_name(text: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME_BYTES
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
}

/// Whether it is the UID of a run: 1 to 64 bytes of ASCII letters, digits and `-`.
pub fn is_run(text: &str) -> bool {
    (1..=MAX_RUN_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether it is the name of a stage: 1 to 253 bytes without control characters.
pub fn is_stage(text: &str) -> bool {
    (1..=MAX_STAGE_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether it is a reason: 1 to 64 bytes.
pub fn is_reason(text: &str) -> bool {
    (1..=MAX_REASON_BYTES).contains(&text.len())
}

/// Whether it is the name of a person or of a freeze window: 1 to 1,024 bytes.
pub fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&text.len())
}

/// Whether it is the verb of a decision: 1 to 64 ASCII letters.
pub fn is_word(text: &str) -> bool {
    (1..=MAX_REASON_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "0", "web-shop", &"a".repeat(63)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-", "a-", "-a", "A", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn runs_are_short_ascii() {
        assert!(is_run("5b1f0f6e-52e2-4a1c-9a37-0d6a5f8f9e11"));
        for bad in ["", "a b", "ä", "a/b", &"a".repeat(65)] {
            assert!(!is_run(bad), "{bad}");
        }
    }

    #[test]
    fn stages_are_text_without_control_characters() {
        assert!(is_stage("test (node 22, linux/arm64) ✓"));
        for bad in ["", "a\nb", "a\u{0}", "\u{9b}", &"é".repeat(127)] {
            assert!(!is_stage(bad), "{bad:?}");
        }
    }
}
