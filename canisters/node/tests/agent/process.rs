//! The real program on a data folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A program that was started.
pub struct Program {
    child: Child,
    said: PathBuf,
    pub url: String,
    pub root_key: Vec<u8>,
}

impl Program {
    /// Starts it and waits until it serves.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, |_| {})
    }

    /// The same with other arguments or environment.
    pub fn start_with(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut program = Self::spawn(folder, change);
        let ready = folder.join("ready.json");
        let deadline = Instant::now() + Duration::from_mins(1);
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            assert!(Instant::now() < deadline, "the program does not become ready");
            std::thread::sleep(Duration::from_millis(5));
        };
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["url"].as_str().unwrap().clone_into(&mut program.url);
        program.root_key = hex::decode(json["root_key"].as_str().unwrap()).unwrap();
        program
    }

    /// Starts it. What it says is in the file `stderr`.
    pub fn spawn(folder: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let _ = std::fs::remove_file(folder.join("ready.json"));
        Self::spawn_saying(folder, "stderr", change)
    }

    /// Starts it once more on the same folder, with what one that runs or was killed has left there. What it says is in the file `again`.
    pub fn spawn_again(folder: &Path) -> Self {
        Self::spawn_saying(folder, "again", |_| {})
    }

    fn spawn_saying(folder: &Path, said: &str, change: impl FnOnce(&mut Command)) -> Self {
        let ready = folder.join("ready.json");
        let said = folder.join(said);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dcanary-node"));
        command
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stderr(File::create(&said).unwrap());
        change(&mut command);
        Self {
            child: command.spawn().unwrap(),
            said,
            url: String::new(),
            root_key: Vec::new(),
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; it must end well.
    pub fn terminate(self) {
        let killed = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        let (status, said) = self.ended();
        assert!(status.success(), "{said}");
    }

    /// Waits until it has ended by itself; how it did, and what it said.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, std::fs::read_to_string(&self.said).unwrap())
    }
}
