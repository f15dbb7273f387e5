//! Why there is no final report, where `kubectl describe` and the operator find it.
//!
//! Steps have the runner's user, and the kubelet makes the file writable for everybody: what is in it when the container ends is shown to
//! whoever may read Pods. So it is emptied whenever a step has ended, and holds the runner's word or nothing at every exit of the runner.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use dcanary_protocol::limits::TERMINATION_BYTES;
use nix::fcntl::OFlag;

use crate::text::cut;

/// The file of the kubelet, and the variable by which tests name another one.
const FILE: &str = "/dev/termination-log";
/// Not handed to steps.
pub(crate) const VARIABLE: &str = "DCANARY_TERMINATION_LOG";

/// Opened before the first step, which could take the right to write away; closed in what steps run.
static HELD: OnceLock<Option<File>> = OnceLock::new();

/// Leaves one line, as well as possible: outside of a Pod there is no such file. The text holds no secrets and no output of steps.
pub(crate) fn leave(text: &str) {
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    put(cut(&line, TERMINATION_BYTES).as_bytes());
}

/// Takes away what anybody wrote.
pub(crate) fn clear() {
    put(b"");
}

fn put(bytes: &[u8]) {
    if let Some(mut file) = HELD.get_or_init(open).as_ref() {
        let _ = file.set_len(0);
        let _ = file.seek(SeekFrom::Start(0));
        let _ = file.write_all(bytes);
    }
}

fn open() -> Option<File> {
    let path = std::env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(FILE), PathBuf::from);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(path)
        .ok()
}
