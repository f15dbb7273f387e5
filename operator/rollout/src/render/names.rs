//! Names that are the same every time: a second write meets the first object instead of making another.

use dcanary_core::definition;
use dcanary_crds::Environment;
use dcanary_types::value::sha256;

use super::metadata;

/// Digits of the identity in a name.
const DIGITS: usize = 10;
/// Longest name of a release's workload: with the ten characters that a Deployment adds it is still a label value and a hostname.
const LONGEST: usize = 52;
/// Longest name of an object.
const LONGEST_OBJECT: usize = 253;
/// Digits of the hash in a name that was cut.
const CUT_DIGITS: usize = 6;
/// What follows the name of an Environment in the name of a record. No copy of a ConfigMap ends like this.
const RECORD: &str = "-template";

/// The first digits of an identity, as in names.
pub(super) fn digits(identity: &str) -> &str {
    let hex = identity.strip_prefix("sha256:").unwrap_or(identity);
    hex.get(..DIGITS).unwrap_or(hex)
}

/// Name of the workload of a release: `<environment>-<first ten digits of its identity>`.
pub fn release_name(env: &Environment, identity: &str) -> String {
    format!("{}-{}", short(env), digits(identity))
}

/// Name of a release's copy of a ConfigMap: `<environment>-<first ten digits of its identity>.<name>`. Releases of two Environments may have one
/// identity, and each Environment has copies of its own; no name of a release has a dot, so no two pairs make one name.
pub fn copy_name(env: &Environment, config_map: &str, identity: &str) -> String {
    let release = release_name(env, identity);
    format!("{release}.{}", cut(config_map, LONGEST_OBJECT - LONGEST - 1))
}

/// Name that copies had before, which Environments of one namespace may have in common: `<name>-<first ten digits of its identity>`.
pub(super) fn old_copy_name(config_map: &str, identity: &str) -> String {
    format!(
        "{}-{}",
        cut(config_map, LONGEST_OBJECT - DIGITS - 1),
        digits(identity)
    )
}

/// Name of the ConfigMap with the template of a release that is updated in place. Not that of a copy: an Environment and a ConfigMap may
/// have the same name.
pub fn record_name(env: &Environment, identity: &str) -> String {
    let longest = LONGEST_OBJECT - DIGITS - 1 - RECORD.len();
    format!(
        "{}-{}{RECORD}",
        cut(metadata::name(env), longest),
        digits(identity)
    )
}

/// The Environment's name as the beginning of longer names: no dots, at most 41 characters. Where it had to be changed, a hash keeps it
/// apart from others.
pub(super) fn short(env: &Environment) -> String {
    let name = metadata::name(env);
    let longest = LONGEST - DIGITS - 1;
    if name.contains('.') {
        let plain = name.replace('.', "-");
        hashed(&plain, name, longest)
    } else {
        cut(name, longest)
    }
}

fn cut(name: &str, longest: usize) -> String {
    if name.len() <= longest {
        name.to_owned()
    } else {
        hashed(name, name, longest)
    }
}

fn hashed(text: &str, of: &str, longest: usize) -> String {
    let hash = definition::text(&sha256(of.as_bytes()));
    let hash: String = hash
        .trim_start_matches("sha256:")
        .chars()
        .take(CUT_DIGITS)
        .collect();
    let start: String = text.chars().take(longest - CUT_DIGITS - 1).collect();
    format!("{}-{hash}", start.trim_end_matches(['-', '.']))
}
