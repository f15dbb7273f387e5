use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use proptest::prelude::*;

use super::{Line, Masks};

/// Feeds pieces with a flush of complete lines after each when asked for.
fn feed(masks: &Masks, pieces: &[&[u8]], flush: bool) -> Vec<Line> {
    let mut stream = masks.stream();
    let mut lines = Vec::new();
    for piece in pieces {
        stream.feed(piece, &mut lines);
        if flush {
            stream.flush_lines(&mut lines);
        }
    }
    stream.finish(&mut lines);
    lines
}

fn joined(lines: &[Line]) -> String {
    lines
        .iter()
        .map(|line| format!("{}{}", line.text, if line.partial { "" } else { "\n" }))
        .collect()
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn masks(values: &[&str]) -> Masks {
    Masks::of(
        &values
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect::<Vec<_>>(),
    )
}

proptest! {
    #[test]
    fn a_secret_is_masked_however_the_output_is_cut(
        secret in "[a-zA-Z0-9+/=_ é%\"'-]{4,300}",
        before in "[^\\n]{0,40}", after in "[^\\n]{0,40}",
        cuts in proptest::collection::vec(0_usize..1000, 0..8),
    ) {
        prop_assume!(secret.trim().len() >= 4);
        let text = format!("{before}{secret}{after}\n");
        let lines = feed(&masks(&[&secret]), &pieces(text.as_bytes(), &cuts), false);
        prop_assert!(!joined(&lines).contains(secret.trim()), "{lines:?}");
    }

    #[test]
    fn how_the_output_is_cut_changes_nothing(
        secrets in proptest::collection::vec("[abc]{4,7}", 0..4),
        text in "[abc\\n]{0,200}",
        cuts in proptest::collection::vec(0_usize..1000, 0..8),
    ) {
        let masks = masks(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
        let whole = feed(&masks, &[text.as_bytes()], false);
        let cut = feed(&masks, &pieces(text.as_bytes(), &cuts), false);
        prop_assert_eq!(joined(&whole), joined(&cut));
    }

    #[test]
    fn what_holds_no_secret_comes_out_as_it_went_in(text in "[x-z \\n]{0,200}", cuts in proptest::collection::vec(0_usize..1000, 0..5)) {
        let lines = feed(&masks(&["abcdef"]), &pieces(text.as_bytes(), &cuts), false);
        let expected = if text.is_empty() || text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
        prop_assert_eq!(joined(&lines), expected);
    }

    #[test]
    fn a_value_without_a_secret_is_the_same_to_the_byte(text in "[x-z \\r\\n]{0,200}", long in 0_usize..3) {
        let text = format!("{}{text}", "é\r".repeat(long * 30_000));
        for masks in [masks(&["abcdef"]), masks(&[])] {
            prop_assert_eq!(masks.value(&text), text.clone());
        }
    }

    #[test]
    fn of_a_value_only_the_secret_is_changed(before in "[x-z\\r\\n]{0,20}", after in "[x-z\\r\\n]{0,20}") {
        let value = masks(&["abcdef"]).value(&format!("{before}abcdef{after}"));
        prop_assert_eq!(value, format!("{before}***{after}"));
    }

    #[test]
    fn a_secret_folded_over_lines_is_masked(secret in "[a-zA-Z0-9]{8,120}", width in 1_usize..40) {
        let folded: Vec<String> = secret.as_bytes().chunks(width).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        let text = format!("begin:\n{}\n:end\n", folded.join("\n"));
        let lines = feed(&masks(&[&secret]), &[text.as_bytes()], false);
        prop_assert!(lines[1..lines.len() - 1].iter().all(|line| line.text == "***"), "{lines:?}");
        prop_assert_eq!((&lines[0].text[..], &lines[lines.len() - 1].text[..]), ("begin:", ":end"));
    }

    #[test]
    fn base64_of_a_secret_is_masked_in_all_three_alignments(
        secret in "[ -~]{6,200}", before in "[ -~]{0,9}", after in "[ -~]{0,9}", wrap in 20_usize..80,
    ) {
        prop_assume!(secret.trim().len() >= 6);
        let plain = format!("{before}{secret}{after}");
        for encoded in [STANDARD.encode(&plain), STANDARD_NO_PAD.encode(&plain), URL_SAFE.encode(&plain)] {
            let wrapped: Vec<String> = encoded.as_bytes().chunks(wrap).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
            let out = joined(&feed(&masks(&[&secret]), &[wrapped.join("\n").as_bytes()], false)).replace('\n', "");
            // At most the characters that hold bits of neighbours, and those of neighbours and blanks around, stay.
            let blanks = secret.len() - secret.trim().len();
            let rest: usize = out.split("***").map(str::len).sum();
            prop_assert!(rest <= (before.len() + after.len() + blanks) * 4 / 3 + 8, "{encoded} → {out}");
            prop_assert!(out.contains("***"));
        }
    }

    #[test]
    fn a_complete_line_is_out_after_a_flush(text in "[a-d]{0,60}", secret in "[a-d]{4,9}") {
        let mut stream = masks(&[&secret]).stream();
        let mut lines = Vec::new();
        stream.feed(format!("{text}\n").as_bytes(), &mut lines);
        stream.flush_lines(&mut lines);
        prop_assert_eq!(lines.len(), 1);
        prop_assert!(!stream.holds_line());
        prop_assert!(!lines[0].text.contains(&secret));
    }
}

#[test]
fn a_line_without_the_beginning_of_a_secret_is_not_delayed() {
    let mut stream = masks(&["secret-value"]).stream();
    let mut lines = Vec::new();
    stream.feed(b"harmless\nand secret-value\n", &mut lines);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1].text, "and ***");
    stream.feed(b"ends in sec\n", &mut lines);
    assert_eq!(lines.len(), 2, "held back until decided");
    assert!(stream.holds_line());
    stream.feed(b"x\n", &mut lines);
    assert_eq!(lines[2].text, "ends in sec");
}

#[test]
fn the_rest_of_a_secret_is_masked_after_its_beginning_was_flushed() {
    let lines = feed(&masks(&["abcdefghijkl"]), &[b"abc\n", b"defghijkl\n"], true);
    assert_eq!(lines[1].text, "***");
    let lines = feed(&masks(&["abcdefghijkl"]), &[b"abcdefghi\n", b"x\n"], true);
    assert_eq!(lines[0].text, "***", "a long beginning is masked on suspicion");
}

#[test]
fn encoded_forms_are_masked() {
    let secret = "pässword/with \"quotes\" & <tags> it's\nsecond line\\";
    let masks = masks(&[secret]);
    let shell = secret.replace('\'', "'\\''");
    for form in [
        secret,
        "p%C3%A4ssword%2Fwith%20%22quotes%22%20%26%20%3Ctags%3E%20it%27s",
        "p%c3%a4ssword%2fwith%20%22quotes%22%20%26%20%3ctags%3e%20it's",
        "p%C3%A4ssword%2Fwith+%22quotes%22+%26+%3Ctags%3E+it%27s",
        "pässword/with \\\"quotes\\\" & <tags> it's\\nsecond line\\\\",
        "p\\u00e4ssword/with \\\"quotes\\\" & <tags> it's",
        "pässword\\/with \\\"quotes\\\" & <tags> it's",
        "pässword/with \\\"quotes\\\" \\u0026 \\u003ctags\\u003e it's",
        &hex::encode(secret),
        &hex::encode_upper("second line\\"),
        &shell,
    ] {
        let out = masks.text(&format!("<{form}>"));
        let rest = out.replace("***", "").replace('\n', "");
        assert_eq!(rest, "<>", "{form} → {out}");
    }
}

#[test]
fn short_values_and_lines_are_left_alone_and_texts_keep_their_lines() {
    assert_eq!(masks(&["abc", "on", ""]).text("abc is on\n"), "abc is on\n");
    assert_eq!(
        masks(&["first-line\nyes\n"]).text("yes first-line\r\nno"),
        "yes ***\nno"
    );
    assert_eq!(masks(&["value"]).text(""), "");
}

#[test]
fn the_largest_secret_is_masked_to_its_last_byte_and_nothing_after_it() {
    let secret: String = (0..200_000).map(|number| format!("{number:05} ")).collect();
    let masks = Masks::of(&[secret.as_bytes()[..1_000_000].to_vec()]);
    assert!(masks.known().automaton.bytes() < 64 << 20);
    let out = masks.text(&format!("<{}>", &secret[..1_000_000]));
    assert_eq!(out.replace("***", ""), "<>");
}

/// Bytes without a pattern, the same in each run.
fn noise(count: usize, alphabet: &[u8]) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]
    };
    (0..count).map(|_| next()).collect()
}

fn in_lines(bytes: &[u8], width: usize) -> Vec<u8> {
    bytes.chunks(width).collect::<Vec<_>>().join(&b'\n')
}

#[test]
fn the_memory_and_the_time_for_large_secrets_are_bounded_by_their_size() {
    const SIZE: usize = 1 << 18;
    const MOST: usize = 96;
    let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let all: Vec<u8> = (0..=255).collect();
    let text = noise(SIZE, letters);
    let cases = [
        ("one line", vec![text.clone()]),
        ("a key file", vec![in_lines(&text, 64)]),
        ("short lines", vec![in_lines(&text, 8)]),
        ("many values", text.chunks(1 << 10).map(<[u8]>::to_vec).collect()),
        ("binary", vec![noise(SIZE, &all)]),
    ];
    for (name, values) in cases {
        let begin = std::time::Instant::now();
        let masks = Masks::of(&values);
        let bytes = masks.known().automaton.bytes();
        assert!(
            bytes <= MOST * SIZE,
            "{name}: {} bytes for each byte",
            bytes / SIZE
        );
        if name != "binary" {
            let shown = String::from_utf8(values.join(&b'\n')).unwrap();
            let out = masks.text(&shown).replace("***", "").replace('\n', "");
            assert_eq!(out, "", "{name}");
        }
        assert!(begin.elapsed().as_secs() < 30, "{name}: {:?}", begin.elapsed());
    }
}

#[test]
fn base64_of_a_large_secret_is_masked_however_it_is_folded_and_what_precedes_it() {
    let value = noise(200_000, b"abcdefgh\n\xc3\xa9 +/");
    let masks = Masks::of(std::slice::from_ref(&value));
    for before in ["", "x", "xy"] {
        let plain = [before.as_bytes(), &value].concat();
        for encoded in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
            let folded = String::from_utf8(in_lines(encoded.as_bytes(), 76)).unwrap();
            let rest = masks.text(&folded).replace("***", "").replace('\n', "");
            assert!(rest.len() <= 8, "{rest}");
        }
    }
}

#[test]
fn the_smallest_secrets_are_masked_in_all_spellings_beside_a_large_one() {
    let masks = Masks::of(&[noise(100_000, b"abcdefgh"), b"pass word".to_vec()]);
    for form in ["pass%20word", &hex::encode("pass word")] {
        assert_eq!(masks.text(form), "***");
    }
}

#[test]
fn what_follows_the_beginning_of_a_secret_is_not_held_for_endless_line_breaks_and_nothing_of_it_is_shown() {
    for line_break in ["\r", "\n", "\r\n"] {
        for secret in ["abcde", "abcdefghijkl"] {
            let mut stream = masks(&[secret]).stream();
            let mut lines = Vec::new();
            let begin = std::time::Instant::now();
            stream.feed(b"x abc", &mut lines);
            let piece = line_break.repeat(100);
            for _ in 0..10_000 {
                stream.feed(piece.as_bytes(), &mut lines);
            }
            assert!(lines.len() > 10, "{}", lines.len());
            assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
            stream.feed(&secret.as_bytes()[3..], &mut lines);
            stream.feed(b" y\n", &mut lines);
            stream.finish(&mut lines);
            let out = joined(&lines).replace(['\r', '\n'], "");
            assert_eq!(out, "x ****** y", "{line_break:?}");
        }
    }
}

#[test]
fn a_value_with_very_many_line_breaks_is_the_same_to_the_byte() {
    let value = format!("abc{}x", "\r\n".repeat(5000));
    assert_eq!(masks(&["abcdefgh"]).value(&value), value);
}

#[test]
fn characters_are_not_cut_where_long_lines_are() {
    let text = format!("x{}", "é".repeat(60_000));
    for values in [&[][..], &["needle"][..]] {
        let lines = feed(&masks(values), &[text.as_bytes()], false);
        assert!(lines.len() > 1);
        assert_eq!(
            lines.iter().map(|line| line.text.as_str()).collect::<String>(),
            text
        );
    }
}
