//! Why there is no final report, where `kubectl describe` and the operator find it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use dcanary_protocol::limits::TERMINATION_BYTES;
use nix::fcntl::OFlag;

use crate::text::cut;

/// The file of the kubelet, and the variable by which tests name another one.
const FILE: &str = "/dev/termination-log";
/// Not handed to steps.
pub(crate) const VARIABLE: &str = "DCANARY_TERMINATION_LOG";

/// Leaves one line, as well as possible: outside of a Pod there is no such file. The text holds no secrets and no output of steps.
pub(crate) fn leave(text: &str) {
    let path = std::env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from(FILE), PathBuf::from);
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(flags.bits())
        .open(path);
    if let Ok(mut file) = file {
        let _ = file.write_all(cut(&line, TERMINATION_BYTES).as_bytes());
    }
}
