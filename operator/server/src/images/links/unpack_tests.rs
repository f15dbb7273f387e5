#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

fn unpack(bytes: &[u8], mut left: u64) -> std::io::Result<Vec<u8>> {
    let mut stored = Stored::new(bytes, CancellationToken::new());
    let mut unpacked = Vec::new();
    Unpacked::new(&mut stored, &mut left)?.read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn gzip_and_zstd_and_nothing_are_told_by_their_first_bytes() {
    let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (one, two) = text.split_at(100_000);
    let skippable = [b"\x51\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zstd(&text)].concat();
    let parts = [gzip(one), gzip(b""), gzip(two)].concat();
    for stored in [
        &text,
        &gzip(&text),
        &parts,
        &zstd(&text),
        &[zstd(one), zstd(two)].concat(),
        &skippable,
    ] {
        assert!(unpack(stored, 2_000_000).unwrap() == text);
    }
    for short in ["", "a", "abc"] {
        assert_eq!(unpack(short.as_bytes(), 3).unwrap(), short.as_bytes());
    }
}

#[test]
fn what_unpacks_to_too_much_is_not_unpacked_to_its_end() {
    let mut small = gzip(&vec![0; 1 << 20]);
    for _ in 0..6 {
        small.extend(small.clone());
    }
    for bomb in [small, zstd(&vec![0; 64 << 20])] {
        let refused = unpack(&bomb, 1 << 20).unwrap_err();
        assert!(refused.to_string().contains("larger than this server looks at"));
    }
}

#[test]
fn a_large_window_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(WINDOW_LOG + 1).unwrap();
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    assert!(unpack(&encoder.finish().unwrap(), 1 << 30).is_err());
}

#[test]
fn what_is_cut_or_changed_is_refused() {
    let text = vec![b'a'; 100_000];
    for stored in [gzip(&text), zstd(&text)] {
        assert!(unpack(&stored[..stored.len() - 5], 1 << 30).is_err());
    }
    let digest = Digest::of(b"whole");
    let finish = |bytes: &'static [u8]| Stored::new(bytes, CancellationToken::new()).finish(&digest);
    assert!(finish(b"whole").is_ok() && finish(b"whol").is_err());
}

#[test]
fn reading_ends_when_nobody_waits() {
    let stop = CancellationToken::new();
    let mut left = u64::MAX;
    let mut stored = Stored::new(std::io::repeat(b'a'), stop.clone());
    let mut unpacked = Unpacked::new(&mut stored, &mut left).unwrap();
    assert!(unpacked.read_exact(&mut vec![0; 100_000]).is_ok());
    stop.cancel();
    assert!(unpacked.read_exact(&mut [0; 1]).is_err());
}
