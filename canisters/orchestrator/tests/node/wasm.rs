//! The wasm under test.

use std::{fs::File, path::PathBuf, process::Command, sync::OnceLock};

/// `orchestrator.wasm` of the folder `$DCANARY_CANISTERS`, or built now. Other test programs may want to build it at
/// the same time, so a file is locked meanwhile.
pub fn wasm() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| {
        let folder = std::env::var_os("DCANARY_CANISTERS").map_or_else(build, PathBuf::from);
        std::fs::read(folder.join("orchestrator.wasm")).unwrap()
    })
}

fn build() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("canisters");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../build.sh");
    let status = Command::new(script).arg(&folder).status().unwrap();
    assert!(status.success(), "{script} failed");
    folder
}
