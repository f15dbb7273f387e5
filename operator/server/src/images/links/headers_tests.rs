#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn raw(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut header = header(EntryType::new(kind), content.len() as u64);
    header.set_path(name).unwrap();
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..10)
        .map(|digits| digits + rest.len())
        .find(|n| n.to_string().len() + rest.len() == *n);
    format!("{}{rest}", length.unwrap()).into_bytes()
}

fn all(bytes: &[u8]) -> Result<Vec<String>, Bad> {
    let mut headers = Headers::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = headers.entry()? {
        found.push(match entry.kind {
            Kind::Directory => format!("{} directory", entry.place),
            Kind::Link(target) => format!("{} -> {}", entry.place, shown(&target)),
            Kind::Same(target) => format!("{} = {}", entry.place, shown(&target)),
            Kind::Other => entry.place.to_string(),
        });
    }
    Ok(found)
}

#[test]
fn entries_with_long_names_and_contents_are_read_as_they_were_written() {
    let long = ["long"; 60].join("/");
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header(EntryType::Directory, 0), "usr/", std::io::empty())
        .unwrap();
    tar.append_data(
        &mut header(EntryType::Regular, 700),
        format!("{long}/file"),
        [7; 700].as_slice(),
    )
    .unwrap();
    tar.append_link(&mut header(EntryType::Symlink, 0), format!("{long}/link"), &long)
        .unwrap();
    tar.append_link(&mut header(EntryType::Link, 0), "same", "usr/x")
        .unwrap();
    tar.append_data(&mut header(EntryType::Fifo, 0), "fifo", std::io::empty())
        .unwrap();
    let expected = [
        "/usr directory".to_owned(),
        format!("/{long}/file"),
        format!("/{long}/link -> {}…", &long[..200]),
        "/same = usr/x".to_owned(),
        "/fifo".to_owned(),
    ];
    assert_eq!(all(&tar.into_inner().unwrap()).unwrap(), expected);
}

#[test]
fn attributes_name_an_entry_and_its_size() {
    let mut tar = raw(
        "x",
        b'x',
        &[pax("path", "usr/bin"), pax("linkpath", "../ü")].concat(),
    );
    tar.extend(raw("short", b'2', b""));
    tar.extend(raw("global", b'g', &pax("path", "of all")));
    // Its header has no room for its size.
    tar.extend(raw("x", b'x', &pax("size", "3")));
    tar.extend(raw("large", b'0', b""));
    tar.extend([1; BLOCK]);
    tar.extend(raw(
        "x",
        b'x',
        &[pax("GNU.sparse.name", "holes"), pax("path", "other")].concat(),
    ));
    tar.extend(raw("short", b'0', b""));
    tar.extend(raw("folder/", b'0', b""));
    tar.extend(raw("volume", b'V', b""));
    let expected = ["/usr/bin -> ../ü", "/large", "/holes", "/folder directory"];
    assert_eq!(all(&tar).unwrap(), expected);
    tar.extend([0; 2 * BLOCK]);
    tar.extend(b"what follows the end is nobody's");
    assert_eq!(all(&tar).unwrap(), expected);
}

#[test]
fn the_map_of_a_sparse_file_is_passed_over() {
    let mut header = header(EntryType::GNUSparse, 0);
    header.set_path("holes").unwrap();
    header.as_gnu_mut().unwrap().set_is_extended(true);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    let mut more = [3; BLOCK];
    more[504] = 1;
    tar.extend(more);
    more[504] = 0;
    tar.extend(more);
    tar.extend(raw("after", b'0', b""));
    assert_eq!(all(&tar).unwrap(), ["/holes", "/after"]);
}

#[test]
fn a_record_that_says_it_is_huge_is_not_read() {
    for kind in [b'x', b'L', b'K'] {
        let huge = header(EntryType::new(kind), 1 << 30);
        let endless = huge.as_bytes().chain(std::io::repeat(b'a'));
        let refused = Headers::new(endless).entry().unwrap_err();
        assert!(refused.0.contains("more than 1048576 bytes"), "{refused}");
    }
}

#[test]
fn what_is_no_tar_or_ends_in_the_middle_is_refused() {
    let good = raw("a", b'0', &[1; 700]);
    for cut in [1, 100, 511, 513, 1_000, 1_400] {
        assert_eq!(all(&good[..cut]), bad("it ends in the middle"), "{cut}");
    }
    let mut changed = good.clone();
    changed[0] ^= 1;
    assert_eq!(all(&changed), bad("not a tar"));
    let gap = [vec![0; BLOCK], good].concat();
    assert!(all(&gap).unwrap_err().0.contains("after its end"));
    assert!(all(&raw("x", b'x', b"99 path=a\n")).is_err());
    assert!(all(&raw("x", b'x', &pax("size", "-1"))).is_err());
    assert_eq!(all(b""), Ok(Vec::new()));
}

/// Never more of its input than this.
struct Counted<'a>(&'a [u8], u64);

impl Read for Counted<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(to)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// Random blocks with right checksums.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"012345S7xgLKV\0".to_vec());
    let size = prop_oneof![0_u64..2_000, any::<u64>()];
    let content = prop::collection::vec(any::<u8>(), 0..1_600);
    let one = (kind, size, content, any::<bool>()).prop_map(|(kind, size, content, right)| {
        let mut header = header(
            EntryType::new(kind),
            if right { content.len() as u64 } else { size },
        );
        header.as_old_mut().name[..3].copy_from_slice(b"a/b");
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    });
    prop::collection::vec(one, 0..6).prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn random_bytes_end_with_an_answer(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..2_000), blocks()]) {
        let mut headers = Headers::new(Counted(&bytes, 0));
        let mut entries = 0;
        while let Ok(Some(entry)) = headers.entry() {
            entries += 1;
            prop_assert!(entry.place.bytes() <= 4_096);
        }
        prop_assert!(entries * BLOCK <= bytes.len());
        prop_assert!(headers.input.1 <= bytes.len() as u64);
    }
}
