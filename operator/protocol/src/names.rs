//! Names of artifacts and results, which become parts of paths on the server.

/// Longest name of an artifact or result, in bytes.
pub const ITEM_BYTES: usize = 128;

/// Whether the server takes it as the name of an artifact or result: letters, digits, `.`, `_` and `-`, a letter or digit first.
pub fn is_item(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= ITEM_BYTES
        && name.chars().all(is_of_item)
}

/// Whether a character can be part of such a name.
pub fn is_of_item(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}
