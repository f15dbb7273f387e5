//! The spellings of a secret that tools print.
//!
//! A masker takes some 20 bytes for each byte of a pattern, and all spellings of a value are up to 40 times its size, once for the whole and
//! once for its lines. So only the smallest values get all of them. Of the others only the spellings are searched for in which large values
//! are printed at all, and of these a short beginning of each piece, after which the rest of the piece is masked unseen.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::automaton::Builder;

/// Shorter values are part of ordinary words and cannot be kept secret by masking.
const SHORTEST: usize = 4;
/// Longer patterns are cut, which bounds what a masker holds back; a secret printed as a whole is still masked as a whole.
const LONGEST: usize = 128;
/// Values get all spellings as long as they have no more bytes than this together.
const ALL_SPELLINGS_BYTES: usize = 32 << 10;
/// What is searched for of each piece of a value beyond that.
const BEGINNING: usize = 16;

/// Adds the spellings of all values. Small ones come first: they are passwords and keys, and people print them in many ways.
pub(super) fn add_all(mut values: Vec<&[u8]>, builder: &mut Builder) {
    values.sort_unstable_by_key(|value| (value.len(), *value));
    values.dedup();
    let mut left = ALL_SPELLINGS_BYTES;
    for value in values {
        if let Some(rest) = left.checked_sub(value.len()) {
            left = rest;
            add(value, builder);
        } else {
            add_large(value, builder);
        }
    }
}

/// Adds a value as a whole and its lines, plain and in base64.
fn add_large(value: &[u8], builder: &mut Builder) {
    for line in value.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.len() >= SHORTEST {
            beginnings(line, builder);
            for alphabet in [STANDARD, URL_SAFE] {
                beginnings(alphabet.encode(line).as_bytes(), builder);
            }
        }
    }
    beginnings(value, builder);
    for alphabet in [STANDARD, URL_SAFE] {
        beginnings(alphabet.encode(value).as_bytes(), builder);
        for shift in 1..3 {
            beginnings(&base64_inside(value, shift, &alphabet), builder);
        }
    }
}

/// Adds all spellings of one value.
fn add(value: &[u8], builder: &mut Builder) {
    let trimmed = value.trim_ascii();
    let mut texts: Vec<&[u8]> = vec![value, trimmed];
    texts.extend(value.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii));
    texts.sort_unstable();
    texts.dedup();
    for text in texts {
        if text.len() < SHORTEST {
            continue;
        }
        pattern(text, builder);
        for alphabet in [STANDARD, URL_SAFE] {
            pattern(alphabet.encode(text).as_bytes(), builder);
            for shift in 0..3 {
                pattern(&base64_inside(text, shift, &alphabet), builder);
            }
        }
        for upper in [true, false] {
            pattern(&percent(text, b"-_.~", upper), builder);
            pattern(&percent(text, b"-_.!~*'()", upper), builder);
            pattern(&form_encoded(text, upper), builder);
        }
        let hexadecimal = hex::encode(text);
        pattern(hexadecimal.as_bytes(), builder);
        pattern(hexadecimal.to_uppercase().as_bytes(), builder);
        json(&String::from_utf8_lossy(text), builder);
        // What `set -x` of a shell prints.
        pattern(&replace(text, b'\'', b"'\\''"), builder);
        pattern(&replace(text, b'\'', b"'\"'\"'"), builder);
    }
}

/// Adds a pattern without its line breaks, which the search skips in the output as well.
fn pattern(text: &[u8], builder: &mut Builder) {
    pieces(text, |piece| builder.add(piece));
}

/// Adds the beginning of each piece of a pattern.
fn beginnings(text: &[u8], builder: &mut Builder) {
    pieces(text, |piece| {
        let (begin, rest) = piece.split_at(piece.len().min(BEGINNING));
        // A piece is never as long as this.
        builder.add_beginning(begin, u16::try_from(rest.len()).unwrap_or(u16::MAX));
    });
}

fn pieces(text: &[u8], mut add: impl FnMut(&[u8])) {
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .collect();
    if text.len() < SHORTEST {
        return;
    }
    let mut rest = text.as_slice();
    while rest.len() > LONGEST {
        let (piece, after) = rest.split_at(LONGEST / 2);
        add(piece);
        rest = after;
    }
    add(rest);
}

/// The characters of an encoding that hold nothing but this text when `shift` bytes come before it.
fn base64_inside(text: &[u8], shift: usize, alphabet: &impl Engine) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(text);
    let encoded = alphabet.encode(&shifted).into_bytes();
    let first = (shift * 8).div_ceil(6);
    let last = shifted.len() * 8 / 6;
    encoded.get(first..last).unwrap_or_default().to_vec()
}

fn percent(text: &[u8], kept: &[u8], upper: bool) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(byte);
        } else {
            let code = if upper {
                format!("%{byte:02X}")
            } else {
                format!("%{byte:02x}")
            };
            encoded.extend_from_slice(code.as_bytes());
        }
    }
    encoded
}

/// `application/x-www-form-urlencoded`: a space is a plus.
fn form_encoded(text: &[u8], upper: bool) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for (number, part) in text.split(|&byte| byte == b' ').enumerate() {
        if number > 0 {
            encoded.push(b'+');
        }
        encoded.extend(percent(part, b"-_.*", upper));
    }
    encoded
}

fn json(text: &str, builder: &mut Builder) {
    let Ok(quoted) = serde_json::to_string(text) else {
        return;
    };
    let plain = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(&quoted);
    pattern(plain.as_bytes(), builder);
    pattern(plain.replace('/', "\\/").as_bytes(), builder);
    let mut ascii = String::with_capacity(plain.len());
    let mut html = String::with_capacity(plain.len());
    for character in plain.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
        if matches!(character, '<' | '>' | '&') {
            let _ = write!(html, "\\u{:04x}", u32::from(character));
        } else {
            html.push(character);
        }
    }
    pattern(ascii.as_bytes(), builder);
    pattern(html.as_bytes(), builder);
}

fn replace(text: &[u8], from: u8, to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    for &byte in text {
        if byte == from {
            replaced.extend_from_slice(to);
        } else {
            replaced.push(byte);
        }
    }
    replaced
}
