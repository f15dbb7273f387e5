//! What is wrong with a definition, and where.

use std::fmt;

/// How many mistakes are told at once.
pub const MAX_PROBLEMS: usize = 100;
/// Longer words are no misspelt names.
const WORD_BYTES: usize = 64;
/// Among more names than this none is suggested.
const NAMES: usize = 1000;

/// One mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the field, e.g. `spec.stages[2].dependsOn[0]`.
    pub path: String,
    /// What is wrong and what to do, in one sentence.
    pub message: String,
}

impl Problem {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Problems as one text of bounded length.
pub fn summary(problems: &[Problem]) -> String {
    const SHOWN: usize = 10;
    let mut text = problems
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    if problems.len() > SHOWN {
        text.push_str(&format!("; and {} more", problems.len() - SHOWN));
    }
    crate::text::cut(&text, 4096)
}

/// ` (did you mean `…`?)` when one of the names is close enough, else nothing.
pub fn suggestion<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    if word.len() > WORD_BYTES {
        return String::new();
    }
    names
        .into_iter()
        .take(NAMES)
        .filter(|name| name.len() <= WORD_BYTES && name.len().abs_diff(word.len()) <= allowed(word, name))
        .map(|name| (distance(word, name), name))
        .filter(|(distance, name)| *distance <= allowed(word, name))
        .min()
        .map_or_else(String::new, |(_, name)| format!(", did you mean `{name}`?"))
}

/// How far two names may be from each other to be taken for the same.
fn allowed(word: &str, name: &str) -> usize {
    1 + name.len().min(word.len()) / 4
}

/// Edit distance over bytes; names are short.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_suggested_and_far_ones_are_not() {
        assert_eq!(suggestion("biuld", ["build", "test"]), ", did you mean `build`?");
        assert_eq!(suggestion("deploy", ["build", "test"]), "");
    }
}
