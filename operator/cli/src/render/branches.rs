//! Lines that hang on each other.

/// A line and what hangs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// The line; without an end.
    pub line: String,
    /// What hangs on it.
    pub below: Vec<Branch>,
}

impl Branch {
    /// A line on which nothing hangs.
    pub fn leaf(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            below: Vec::new(),
        }
    }
}

/// All branches, each line with its end.
pub fn drawn(branches: &[Branch]) -> String {
    let mut text = String::new();
    draw(branches, "", &mut text);
    text
}

fn draw(branches: &[Branch], under: &str, text: &mut String) {
    let last = branches.len().saturating_sub(1);
    for (i, branch) in branches.iter().enumerate() {
        let (sign, room) = if i == last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        text.push_str(format!("{under}{sign}{}", branch.line).trim_end());
        text.push('\n');
        draw(&branch.below, &format!("{under}{room}"), text);
    }
}

/// A text of somebody else in one harmless line.
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// What is there of these, with a sign between.
pub fn joined<'a>(parts: impl IntoIterator<Item = &'a str>, between: &str) -> String {
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_on_the_last_line_has_no_line_beside_it() {
        let tree = [
            Branch {
                line: "a".to_owned(),
                below: vec![Branch::leaf("b")],
            },
            Branch {
                line: "c".to_owned(),
                below: vec![Branch::leaf("d"), Branch::leaf("")],
            },
        ];
        assert_eq!(drawn(&tree), "├─ a\n│  └─ b\n└─ c\n   ├─ d\n   └─\n");
    }

    #[test]
    fn texts_of_others_stay_one_line_without_escapes() {
        assert_eq!(harmless("a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(joined(["", "a", "", "b"], ": "), "a: b");
    }
}
