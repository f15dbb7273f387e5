#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures::stream;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::images::documents::Documents;

const LIMITS: Limits = Limits {
    entries: 10,
    bytes: 1 << 20,
    link_bytes: 1 << 10,
};

fn reading(limits: Limits, search: Search) -> Reading {
    let room = Room::new(Documents::default().hold());
    Reading::new(limits, room, Links::default(), search)
}

fn links(number: usize) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for number in 0..number {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("link-{number}"), "usr")
            .unwrap();
    }
    tar.into_inner().unwrap()
}

async fn read(bytes: Vec<u8>, limits: Limits, named: Option<Digest>) -> Result<Reading, String> {
    let pieces = stream::iter(bytes.chunks(333).map(Bytes::copy_from_slice).collect::<Vec<_>>());
    let reading = reading(limits, Search::Nothing);
    let read = reading.layer(pieces.map(Ok).boxed(), named).await;
    read.map_err(|fault| match fault {
        Fault::Bad(bad) => bad.to_string(),
        Fault::Lost(problem) => format!("lost: {problem}"),
        Fault::Image(error) => format!("image: {error}"),
    })
}

#[tokio::test]
async fn a_layer_is_read_up_to_its_end_and_its_digest() {
    let bytes = links(7);
    let named = Digest::of(&bytes);
    let reading = read(bytes.clone(), LIMITS, Some(named)).await.unwrap();
    assert_eq!((reading.links.layers(), reading.entries), (1, 3));
    let other = read(bytes, LIMITS, Some(Digest::of(b"other")))
        .await
        .err()
        .unwrap();
    assert!(other.contains(&format!("has digest {named}")), "{other}");
}

#[tokio::test]
async fn more_entries_or_bytes_or_symlinks_than_there_may_be_are_refused() {
    let many = Limits {
        link_bytes: 1 << 20,
        ..LIMITS
    };
    let refused = read(links(11), many, None).await.err().unwrap();
    assert!(refused.contains("more entries"), "{refused}");
    let refused = read(links(10), LIMITS, None).await.err().unwrap();
    assert!(refused.contains("more symlinks"), "{refused}");
    let few = Limits {
        bytes: 2_000,
        ..LIMITS
    };
    let refused = read(links(7), few, None).await.err().unwrap();
    assert!(refused.contains("larger than this server looks at"), "{refused}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_lost_and_not_bad() {
    let pieces = [
        Ok(Bytes::from(links(3)).slice(..700)),
        Err(Problem::Refused("gone".to_owned())),
    ];
    let read = reading(LIMITS, Search::Nothing).layer(stream::iter(pieces).boxed(), None);
    let Err(Fault::Lost(Problem::Refused(why))) = read.await else {
        unreachable!("it broke");
    };
    assert_eq!(why, "gone");
}

/// Says that it was dropped.
struct Told(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_layer_that_does_not_come_or_does_not_end_is_given_up_when_nobody_waits() {
    let record = links(1)[..512].to_vec();
    for endless in [false, true] {
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let told = Told(Some(sender));
        let first = Bytes::from(record.clone());
        let pieces = stream::unfold((told, 0_u64), move |(told, number)| {
            let first = first.clone();
            async move {
                if !endless && number > 0 {
                    std::future::pending::<()>().await;
                }
                Some((Ok(first), (told, number + 1)))
            }
        });
        let without_end = Limits {
            entries: u64::MAX,
            bytes: u64::MAX,
            link_bytes: usize::MAX,
        };
        let layer = reading(without_end, Search::Nothing).layer(pieces.boxed(), None);
        let waited = tokio::time::timeout(Duration::from_millis(200), layer).await;
        assert!(waited.is_err(), "it goes on");
        let ended = tokio::time::timeout(Duration::from_secs(20), dropped).await;
        assert!(ended.is_ok(), "the thread has ended, endless: {endless}");
    }
}

#[test]
fn memory_is_taken_from_that_for_all_images() {
    let all = Documents::default();
    let mut reading = Reading::new(
        Limits::default(),
        Room::new(all.hold()),
        Links::default(),
        Search::Nothing,
    );
    reading.room.keep(8 << 20);
    let bytes = links(3);
    let mut rest = all.hold();
    rest.take(245 << 20).unwrap();
    let stored = |bytes| Stored::new(bytes, CancellationToken::new());
    let busy = reading.read(stored(bytes.as_slice()), None);
    assert!(matches!(busy, Err(Fault::Image(ImageError::Busy))));
    drop(rest);
    assert!(reading.read(stored(bytes.as_slice()), None).is_ok());
    assert_eq!(reading.room.taken, (8 << 20) + FIXED_BYTES + STEP);
    assert!(all.hold().take(256 << 20).is_err());
    reading.room.give_back();
    assert!(all.hold().take(256 << 20).is_ok(), "all of it");
}
