//! Texts of bounded length.

/// The text, cut at a character so that it has at most `max` bytes. Control characters become spaces: nobody reads them, and in JSON
/// each would take six bytes.
pub fn cut(text: &str, max: usize) -> String {
    let plain = |c: char| c == '\n' || !c.is_control();
    if !text.chars().all(plain) {
        let clean: String = text.chars().map(|c| if plain(c) { c } else { ' ' }).collect();
        return cut(&clean, max);
    }
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The text as a CamelCase reason of 1 to 64 ASCII letters and digits.
pub fn reason(text: &str, otherwise: &str) -> String {
    let clean: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(64)
        .collect();
    if clean.is_empty() || !clean.starts_with(|c: char| c.is_ascii_alphabetic()) {
        otherwise.to_owned()
    } else {
        clean
    }
}
