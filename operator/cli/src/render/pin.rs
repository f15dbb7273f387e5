//! What a trust file pins, with fingerprints that people can compare by voice.

use dcanary_types::value::sha256;
use dcanary_verifier::{Level, TrustFile};

/// The first 16 bytes of a SHA-256, in groups of four hex digits.
pub fn fingerprint(bytes: &[u8]) -> String {
    let hex = hex::encode(&sha256(bytes)[..16]);
    let groups: Vec<&str> = (0..hex.len())
        .step_by(4)
        .map(|start| &hex[start..start + 4])
        .collect();
    groups.join(" ")
}

/// What is said where there is no trust file: by which root key the ledger is believed. Pure.
pub fn unpinned(root_key: &[u8]) -> String {
    format!(
        "no trust file: ledger and root key (fingerprint {}) are what the cluster names",
        fingerprint(root_key)
    )
}

/// The pins, one a line.
pub fn pins(trust: &TrustFile) -> String {
    let level = Level::of(trust);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<13} {value}\n"));
    let network = if trust.root_key.is_mainnet() {
        "the Internet Computer's mainnet"
    } else {
        "an embedded or private network"
    };
    line("network", network);
    line(
        "root key",
        &format!("fingerprint {}", fingerprint(&trust.root_key.to_der())),
    );
    line("ledger", &trust.ledger.to_text());
    line("project", trust.project.as_deref().unwrap_or("any"));
    if trust.module_hashes.is_empty() {
        line("module", "any: its code is not checked");
    }
    for hash in &trust.module_hashes {
        line("module", &hex::encode(hash));
    }
    match &trust.controllers {
        None => line("controllers", "any: not checked"),
        Some(controllers) if controllers.is_empty() => line("controllers", "nobody"),
        Some(controllers) => {
            for controller in controllers {
                line("controller", &controller.to_text());
            }
        }
    }
    match &trust.domains {
        None => line("writers", "any with a role: not checked"),
        Some(domains) => {
            for domain in domains {
                // a pin made from a policy has the domain as its owner too
                let owner = if domain.owner == domain.domain {
                    String::new()
                } else {
                    format!(" ({})", domain.owner)
                };
                line(
                    "writer",
                    &format!("{} of {}{owner}", domain.principal, domain.domain),
                );
            }
        }
    }
    line("level", &format!("{level:?}: {}", level.meaning()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_trust_file_the_fingerprint_of_the_root_key_is_told() {
        let said = unpinned(&[1]);
        assert!(said.contains(&fingerprint(&[1])), "{said}");
        assert_ne!(said, unpinned(&[2]));
    }

    #[test]
    fn a_fingerprint_is_short_and_in_groups() {
        assert_eq!(fingerprint(b""), "e3b0 c442 98fc 1c14 9afb f4c8 996f b924");
    }
}
