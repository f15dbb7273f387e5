//! What was probably meant by a text that is no CEL.

/// Advice about code that the parser refused; `None` when nothing is known better than what the parser says. What is in quotes is not
/// the author's syntax, and no part of it.
pub(crate) fn on(code: &[(usize, char)]) -> Option<&'static str> {
    let plain: String = code.iter().map(|(_, character)| character).collect();
    if plain.contains("$(") || plain.contains("${") {
        return Some("a condition names values as they are, without `$( )`, such as params.env == \"prod\"");
    }
    if single_equals(&plain) {
        return Some("values are compared with two equals signs: write `==`");
    }
    if plain.contains("=~") {
        return Some("a pattern is compared with `matches`: write params.NAME.matches(\"^v[0-9]\")");
    }
    let words = [
        (" and ", "write `&&` instead of `and`"),
        (" or ", "write `||` instead of `or`"),
        ("not ", "write `!` instead of `not`"),
    ];
    let has = |word: &str| {
        plain.contains(word) && (!word.starts_with("not") || plain.trim_start().starts_with(word))
    };
    words
        .into_iter()
        .find(|(word, _)| has(word))
        .map(|(_, advice)| advice)
}

fn single_equals(plain: &str) -> bool {
    let bytes = plain.as_bytes();
    (0..bytes.len()).any(|at| {
        let near = |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
        let (before, after) = (near(at.checked_sub(1)), near(at.checked_add(1)));
        // `=~` is no comparison of two values
        bytes[at] == b'=' && !matches!(after, b'=' | b'~') && !matches!(before, b'=' | b'!' | b'<' | b'>')
    }) || plain.contains("===")
}

#[cfg(test)]
mod tests {
    use crate::{Condition, ConditionError};

    fn said(source: &str) -> String {
        match Condition::parse(source) {
            Err(ConditionError::Syntax { message, .. }) => message,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_people_write_by_habit_is_answered_with_what_to_write() {
        for (source, advice) in [
            ("$(params.env) == 'prod'", "without `$( )`"),
            ("${params.env} == 'prod'", "without `$( )`"),
            ("params.env = 'prod'", "two equals signs"),
            ("params.env === 'prod'", "two equals signs"),
            ("params.env =~ 'v.*'", "`matches`"),
            ("success() and params.env == 'prod'", "`&&`"),
            ("success() or params.env == 'prod'", "`||`"),
            ("not success()", "`!`"),
        ] {
            assert!(said(source).contains(advice), "{source}: {}", said(source));
        }
    }

    #[test]
    fn what_is_in_quotes_is_nobodys_habit() {
        for source in ["params.a == '$(x) = 1 and 2' &&", "params.a == \"a\\\"=\" ||"] {
            let said = said(source);
            assert!(
                ["$( )", "equals", "instead of"]
                    .iter()
                    .all(|advice| !said.contains(advice)),
                "{source}: {said}"
            );
        }
    }
}
