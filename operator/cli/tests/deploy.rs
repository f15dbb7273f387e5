//! `ledger deploy` and `ledger upgrade` as a person types them, against a node that stands for a network of others.
//!
//! The node and the ledger's wasm are those that `scripts/build.sh` makes: the node beside this program, the wasm in `DCANARY_CANISTERS`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A node that runs until it is dropped.
struct Node {
    child: Child,
    url: String,
    root_key: String,
}

impl Node {
    fn start(folder: &Path) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_dcanary")).with_file_name("dcanary-node");
        let ready = folder.join("ready.json");
        let mut child = Command::new(&program)
            .args(["--ephemeral", "--listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|source| panic!("{}: {source}; scripts/build.sh makes it", program.display()));
        let since = Instant::now();
        let told: Value = loop {
            if let Some(told) = fs::read(&ready)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
            {
                break told;
            }
            assert!(
                child.try_wait().unwrap().is_none() && since.elapsed() < Duration::from_secs(60),
                "it does not start"
            );
            sleep(Duration::from_millis(10));
        };
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self {
            child,
            url: text("url"),
            root_key: text("root_key"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A person with a key, at a network.
struct Person {
    folder: tempfile::TempDir,
    node: Node,
}

impl Person {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path());
        let person = Self { folder, node };
        let made = person.dcanary(&["ledger", "init-key", "me.pem"]);
        assert_eq!(made.status.code(), Some(0), "{}", said(&made));
        person
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `dcanary` where nobody sits at a terminal.
    fn dcanary(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dcanary"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        if let Some(canisters) = std::env::var_os("DCANARY_CANISTERS") {
            command.env("DCANARY_CANISTERS", canisters);
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The principal of a new key that is an operator's.
    fn operator(&self) -> String {
        let made = self.dcanary(&["ledger", "init-key", "operator.pem"]);
        let text = String::from_utf8(made.stdout).unwrap();
        text.split_whitespace().last().unwrap().to_owned()
    }

    /// Runs `dcanary ledger VERB` at the network, with its root key as its owner tells it.
    fn ledger(&self, verb: &str, more: &[&str]) -> Output {
        self.believing(&self.node.root_key, verb, more)
    }

    /// The same by another root key.
    fn believing(&self, root_key: &str, verb: &str, more: &[&str]) -> Output {
        let mut arguments = vec![
            "ledger",
            verb,
            "--network",
            &self.node.url,
            "--root-key",
            root_key,
            "--identity",
            "me.pem",
        ];
        arguments.extend(more);
        self.dcanary(&arguments)
    }

    /// The same as [`Person::ledger`], which has to succeed, and what it prints as JSON.
    fn done(&self, verb: &str, more: &[&str]) -> Value {
        let mut arguments = more.to_vec();
        arguments.extend(["--yes", "-o", "json"]);
        let done = self.ledger(verb, &arguments);
        assert_eq!(done.status.code(), Some(0), "{verb} {more:?}: {}", said(&done));
        serde_json::from_slice(&done.stdout).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The shipped wasm with one more custom section: the same ledger under another hash.
fn another(wasm: &[u8]) -> Vec<u8> {
    let name = b"version";
    let mut module = wasm.to_vec();
    module.extend([
        0,
        u8::try_from(name.len() + 2).unwrap(),
        u8::try_from(name.len()).unwrap(),
    ]);
    module.extend(name);
    module.push(b'2');
    module
}

#[test]
fn a_person_deploys_a_ledger_repeats_it_in_vain_and_upgrades_it() {
    let person = Person::new();
    let operator = person.operator();
    let made = person.done(
        "deploy",
        &[
            "--create",
            "--operator",
            &operator,
            "--project",
            "shop",
            "--domain",
            "east",
        ],
    );
    let ledger = made["ledger"].as_str().unwrap();
    let external = &made["values"]["ledger"]["external"];
    assert_eq!(external["canister"], made["ledger"]);
    assert_eq!(external["rootKey"].as_str(), Some(person.node.root_key.as_str()));
    assert_eq!(external["url"].as_str(), Some(person.node.url.as_str()));
    assert_eq!(
        made["controllers"], made["owners"],
        "both are the person: {made:#}"
    );
    assert!(!made["controllers"].to_string().contains(&operator), "{made:#}");
    assert!(
        made["done"].as_array().is_some_and(|done| !done.is_empty()),
        "{made:#}"
    );

    // once more, as after an interruption: there is nothing left to do
    let again = person.done(
        "deploy",
        &[
            "--canister",
            ledger,
            "--operator",
            &operator,
            "--project",
            "shop",
            "--domain",
            "east",
        ],
    );
    assert_eq!(again["done"].as_array().map(Vec::len), Some(0), "{again:#}");
    assert_eq!(
        (&again["blocks"], &again["module"]),
        (&made["blocks"], &made["module"])
    );

    let canisters =
        std::env::var_os("DCANARY_CANISTERS").map_or_else(|| PathBuf::from("/canisters"), PathBuf::from);
    let wasm = fs::read(canisters.join("orchestrator.wasm")).expect("scripts/build.sh makes it");
    fs::write(person.path("next.wasm"), another(&wasm)).unwrap();
    let next = person.done("upgrade", &["--canister", ledger, "--wasm", "next.wasm"]);
    assert_ne!(next["module"], made["module"]);
    assert_eq!(next["owners"], made["owners"]);
    let same = person.ledger("upgrade", &["--canister", ledger, "--wasm", "next.wasm"]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert!(
        said(&same).contains("it runs this module already"),
        "{}",
        said(&same)
    );
}

#[test]
fn what_a_ledger_holds_is_exported_and_verified_by_what_was_pinned_without_any_cluster() {
    let person = Person::new();
    let operator = person.operator();
    let grant = ["--operator", &operator, "--project", "shop", "--domain", "east"];
    let made = person.done("deploy", &[["--create"].as_slice(), &grant].concat());
    let (url, ledger) = (person.node.url.as_str(), made["ledger"].as_str().unwrap());
    let root_key = person.node.root_key.as_str();
    let pin = |file: &str, root_key: &str| {
        let at = ["trust", "pin", "--network", url, "--ledger", ledger];
        let rest = [
            "--root-key",
            root_key,
            "--project",
            "shop",
            "--trust",
            file,
            "--yes",
        ];
        person.dcanary(&[at.as_slice(), &rest].concat())
    };
    // the key of another network: nothing that this one says is believed, and no file is written
    let other = pin("other.json", "mainnet");
    assert!(!other.status.success(), "{}", said(&other));
    assert!(!person.path("other.json").exists(), "{}", said(&other));
    let pinned = pin("trust.json", root_key);
    assert_eq!(pinned.status.code(), Some(0), "{}", said(&pinned));

    let from = ["--network", url, "--trust", "trust.json", "-o", "journal.cbor"];
    let export = person.dcanary(&[["ledger", "export"].as_slice(), &from].concat());
    assert_eq!(export.status.code(), Some(0), "{}", said(&export));
    let verify = |file: &str| {
        let checked = person.dcanary(&["verify", "export", file, "--trust", "trust.json"]);
        let told = format!("{}{}", String::from_utf8_lossy(&checked.stdout), said(&checked));
        (checked.status.code(), told)
    };
    let (code, told) = verify("journal.cbor");
    assert!(code == Some(0) && told.contains("Level L0"), "{code:?} {told}");

    // each byte of it counts, wherever it stands
    let whole = fs::read(person.path("journal.cbor")).unwrap();
    for place in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(person.path("changed.cbor"), changed).unwrap();
        let (code, told) = verify("changed.cbor");
        assert_eq!(code, Some(1), "byte {place} of {}: {told}", whole.len());
    }
}

#[test]
fn nothing_is_made_or_paid_for_before_somebody_agreed() {
    let person = Person::new();
    let unasked = person.ledger("deploy", &["--create"]);
    assert_eq!(unasked.status.code(), Some(2), "{}", said(&unasked));
    let told = said(&unasked);
    assert!(
        told.contains("there is nobody to ask; give --yes to deploy") && !told.contains("made canister"),
        "{told}"
    );
    // what the network says of itself is for somebody to look at
    let unseen = person.believing("fetch", "deploy", &["--create", "--yes"]);
    assert_eq!(unseen.status.code(), Some(2), "{}", said(&unseen));
    // another network's root key: nothing of it is believed
    let other = person.believing("mainnet", "deploy", &["--create", "--yes"]);
    assert!(
        matches!(other.status.code(), Some(1 | 5)),
        "{:?} {}",
        other.status.code(),
        said(&other)
    );
    assert!(!said(&other).contains("made canister"), "{}", said(&other));
    // none of these made a canister: the first that is made is the first of the network
    let made = person.done("deploy", &["--create"]);
    let first = Person::new().done("deploy", &["--create"]);
    assert_eq!(made["ledger"], first["ledger"]);
}
