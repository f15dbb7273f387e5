//! The key with which a program signs its calls: Ed25519, PKCS#8 PEM, readable by its owner only. And keys of people, as their
//! tools export them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use candid::Principal;
use ic_agent::{
    Identity,
    identity::{BasicIdentity, Prime256v1Identity, Secp256k1Identity},
};
use rand::TryRngCore as _;
use thiserror::Error;

/// Why a key could not be made or read.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A key is already there; it is never overwritten.
    #[error("{0} exists already; a key is never overwritten")]
    Exists(PathBuf),
    /// Its folder is not there: more likely a slip than something to be made.
    #[error("cannot write the key {}: there is no folder {}; make it first, or name another file", path.display(), folder.display())]
    NoFolder {
        /// File.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// The file could not be written.
    #[error("cannot write the key {path}: {source}")]
    Write {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the key {path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others can read the file.
    #[error("the key {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed {
        /// File.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is no Ed25519 key.
    #[error("{place} is not an Ed25519 private key in PKCS#8 PEM form: {reason}")]
    Malformed {
        /// Where it came from.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A person's key that cannot be used.
    #[error(
        "{place} is no key to sign with: {reason}; give an Ed25519, secp256k1 or prime256v1 key in PEM form, as `icp identity export NAME` and `dfx identity export NAME` print it"
    )]
    Person {
        /// Where it came from.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A key by which nobody can be named.
    #[error("this key has no principal to sign as: {reason}")]
    Nameless {
        /// What is wrong.
        reason: String,
    },
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

/// PKCS#8 version 1 of an Ed25519 key (RFC 8410): everything before the 32 bytes of the seed.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A fresh Ed25519 key as PKCS#8 PEM.
///
/// # Errors
/// When the system gives no randomness.
pub fn generate() -> Result<String, KeyError> {
    let mut seed = [0u8; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut seed)
        .map_err(|_| KeyError::Random)?;
    let mut der = PKCS8_PREFIX.to_vec();
    der.extend_from_slice(&seed);
    Ok(format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der)
    ))
}

/// Makes a new key in `path` with mode 0600 and answers its principal.
///
/// # Errors
/// When the file exists or cannot be written, or its folder is not there.
pub fn create(path: &Path) -> Result<Principal, KeyError> {
    let pem = generate()?;
    let write = |source| KeyError::Write {
        path: path.to_owned(),
        source,
    };
    // the folder of a plain name is the present one
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        return Err(KeyError::NoFolder {
            path: path.to_owned(),
            folder: folder.to_owned(),
        });
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| {
            if source.kind() == std::io::ErrorKind::AlreadyExists {
                KeyError::Exists(path.to_owned())
            } else {
                write(source)
            }
        })?;
    file.write_all(pem.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(write)?;
    principal_of(&parse(&pem, &path.display().to_string())?)
}

/// Reads a key file; refuses one that others can read.
///
/// # Errors
/// When the file cannot be read, is open to others, or holds no Ed25519 key.
pub fn load(path: &Path) -> Result<BasicIdentity, KeyError> {
    parse(&read(path)?, &path.display().to_string())
}

/// Reads a person's key: Ed25519, secp256k1 or prime256v1; refuses one that others can read.
///
/// # Errors
/// When the file cannot be read, is open to others, or holds no such key in the clear.
pub fn load_person(path: &Path) -> Result<Arc<dyn Identity>, KeyError> {
    let place = path.display().to_string();
    match read(path) {
        Ok(pem) => parse_person(&pem, &place),
        // not even text; what the system says of it is for programmers
        Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::InvalidData => {
            parse_person("", &place)
        }
        Err(other) => Err(other),
    }
}

fn parse_person(pem: &str, place: &str) -> Result<Arc<dyn Identity>, KeyError> {
    let unusable = |reason: &str| KeyError::Person {
        place: place.to_owned(),
        reason: reason.to_owned(),
    };
    if pem.contains("ENCRYPTED") {
        return Err(unusable("it is encrypted"));
    }
    if !pem.contains("PRIVATE KEY-----") {
        return Err(unusable("it holds no private key in PEM form"));
    }
    if let Ok(key) = BasicIdentity::from_pem(pem) {
        return Ok(Arc::new(key));
    }
    if let Ok(key) = Secp256k1Identity::from_pem(pem) {
        return Ok(Arc::new(key));
    }
    match Prime256v1Identity::from_pem(pem) {
        Ok(key) => Ok(Arc::new(key)),
        Err(_) => Err(unusable("it holds a key of another kind, or a damaged one")),
    }
}

/// The text of a key file that nobody else can read.
fn read(path: &Path) -> Result<String, KeyError> {
    let read = |source| KeyError::Read {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    fs::read_to_string(path).map_err(read)
}

/// Reads the key, or makes it when there is none: what a program does at its first start.
///
/// # Errors
/// As [`create`] and [`load`].
pub fn load_or_create(path: &Path) -> Result<BasicIdentity, KeyError> {
    match create(path) {
        Ok(_) | Err(KeyError::Exists(_)) => load(path),
        Err(error) => Err(error),
    }
}

/// Reads a key from PEM text, for instance out of a Secret. `place` names it in errors.
///
/// # Errors
/// When the text holds no Ed25519 key.
pub fn parse(pem: &str, place: &str) -> Result<BasicIdentity, KeyError> {
    BasicIdentity::from_pem(pem).map_err(|source| KeyError::Malformed {
        place: place.to_owned(),
        reason: source.to_string(),
    })
}

/// The principal that a canister sees as the caller.
///
/// # Errors
/// Never for an Ed25519 key; other identities may have none.
pub fn principal_of(identity: &dyn Identity) -> Result<Principal, KeyError> {
    identity.sender().map_err(|reason| KeyError::Nameless { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_new_key_is_readable_by_its_owner_only_and_loads_again() {
        let folder = scratch();
        let path = folder.path().join("operator.pem");
        let made = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(principal_of(&load(&path).unwrap()).unwrap(), made);
    }

    #[test]
    fn no_folder_is_made_for_a_key_and_the_one_that_is_missing_is_named() {
        let folder = scratch();
        let missing = folder.path().join("deep");
        let error = create(&missing.join("operator.pem")).unwrap_err().to_string();
        let named = format!("there is no folder {}; make it first", missing.display());
        assert!(error.contains(&named) && !missing.exists(), "{error}");
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = scratch();
        let path = folder.path().join("k.pem");
        create(&path).unwrap();
        assert!(matches!(create(&path), Err(KeyError::Exists(_))));
        let before = fs::read(&path).unwrap();
        load_or_create(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_command_that_fixes_it() {
        let folder = scratch();
        let path = folder.path().join("k.pem");
        create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode: 0o644, .. }));
        assert!(error.to_string().contains("chmod 600"));
    }

    fn pem(label: &str, head: &[u8], tail: &[u8]) -> String {
        let der = [head, [7; 32].as_slice(), tail].concat();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            BASE64_STANDARD.encode(der)
        )
    }

    /// SEC1 (RFC 5915) with its parameters before it, as old tools write it.
    fn secp256k1_sec1() -> String {
        let head = [0x30, 0x2e, 0x02, 0x01, 0x01, 0x04, 0x20];
        let curve = [0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
        let parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQACg==\n-----END EC PARAMETERS-----\n";
        parameters.to_owned() + &pem("EC PRIVATE KEY", &head, &curve)
    }

    /// PKCS#8 (RFC 5208) of an elliptic-curve key.
    fn pkcs8(curve: &[u8]) -> String {
        let public_key = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let algorithm = [public_key.as_slice(), curve].concat();
        let key = [0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20];
        let length = |bytes: usize| u8::try_from(bytes).unwrap();
        let head = [
            &[
                0x30,
                length(3 + 2 + algorithm.len() + key.len() + 32),
                0x02,
                0x01,
                0x00,
            ],
            [0x30, length(algorithm.len())].as_slice(),
            algorithm.as_slice(),
            key.as_slice(),
        ]
        .concat();
        pem("PRIVATE KEY", &head, &[])
    }

    #[test]
    fn keys_of_people_are_read_as_their_tools_export_them() {
        let sender = |pem: &str| parse_person(pem, "k.pem").unwrap().sender().unwrap();
        let ed25519 = generate().unwrap();
        assert_eq!(
            sender(&ed25519),
            principal_of(&parse(&ed25519, "x").unwrap()).unwrap()
        );
        let secp256k1 = pkcs8(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]);
        let prime256v1 = pkcs8(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
        assert_eq!(
            sender(&secp256k1_sec1()),
            sender(&secp256k1),
            "one key in two forms"
        );
        assert_ne!(sender(&prime256v1), sender(&secp256k1));
    }

    #[test]
    fn a_persons_key_that_cannot_be_used_is_named_with_the_way_to_get_one() {
        for (pem, said) in [
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "encrypted",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
                "damaged",
            ),
            ("hello", "no private key"),
        ] {
            let error = parse_person(pem, "me.pem").err().unwrap().to_string();
            assert!(
                error.starts_with("me.pem is no key")
                    && error.contains(said)
                    && error.contains("icp identity export"),
                "{error}"
            );
        }
    }

    #[test]
    fn each_error_of_a_persons_file_names_the_file_and_the_cause_once() {
        let folder = scratch();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("bytes.pem"), [0xff, 0xfe]).unwrap();
        fs::write(path("text.pem"), "hello").unwrap();
        for name in ["bytes.pem", "text.pem"] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        for (name, cause) in [
            ("bytes.pem", "no private key in PEM form"),
            ("text.pem", "no private key in PEM form"),
            ("missing.pem", "No such file"),
        ] {
            let told = load_person(&path(name)).err().unwrap().to_string();
            for once in [name, cause] {
                assert_eq!(told.matches(once).count(), 1, "{once} in {told}");
            }
        }
    }

    #[test]
    fn text_that_is_no_key_is_named_with_its_place() {
        let error = parse("hello", "Secret dcanary-system/dcanary-key").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("Secret dcanary-system/dcanary-key is not an Ed25519")
        );
    }
}
