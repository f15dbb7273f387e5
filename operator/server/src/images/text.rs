//! Words of others in our errors.

/// Most characters of them.
const MOST: usize = 200;

/// The first line of a text, cut, without control characters.
pub fn short(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end();
    let mut characters = line.chars().filter(|character| !character.is_control());
    let mut cut: String = characters.by_ref().take(MOST).collect();
    if characters.next().is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_short_line_without_control_characters_is_quoted() {
        assert_eq!(
            short("\n a \u{1b}[31mred\u{7} line \r\nand more"),
            "a [31mred line"
        );
        assert_eq!(short(""), "");
        assert_eq!(short(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(short(&"ü".repeat(201)), format!("{}…", "ü".repeat(200)));
    }
}
