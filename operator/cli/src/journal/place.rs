//! Where a ledger is, in the words of people: what `--network` means, and what is said when nobody names a ledger.

use std::path::{Path, PathBuf};

use dcanary_ledger::LedgerError;
use ic_agent::export::Principal;
use thiserror::Error;

use crate::{args::PinArgs, exit::Failure};

/// What `--network ic` means.
pub const MAINNET_URL: &str = "https://icp-api.io";

/// The URL that `--network` names: pure.
pub fn url(network: &str) -> &str {
    if network == "ic" {
        MAINNET_URL
    } else {
        network.trim_end_matches('/')
    }
}

/// Why it is not known which ledger is meant: neither the command line nor a trust file says it, and no cluster does. What a person can do
/// comes first, and why the cluster says nothing last: who has no cluster need not look for one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unnamed {
    /// Nothing is pinned.
    #[error(
        "no trust file {} says which ledger is meant. Without a cluster, pin it with `dcanary trust pin --network {} --ledger ID --project NAME`{}; \
         or reach the cluster that has it, {CLUSTER}. From a cluster nothing is known: {cause}",
        path.display(), network.as_deref().unwrap_or("URL"), and_then(network.as_deref())
    )]
    Unpinned {
        /// Where a pin would be.
        path: PathBuf,
        /// URL of the network, if it was named.
        network: Option<String>,
        /// Why the cluster says nothing.
        cause: Failure,
    },
    /// A ledger is pinned, and its network is not named.
    #[error(
        "ledger {ledger} is pinned in {}, which does not say where its network is: name it with --network URL; \
         or reach the cluster that has it, {CLUSTER}. From a cluster nothing is known: {cause}",
        path.display()
    )]
    NoNetwork {
        /// The ledger.
        ledger: Principal,
        /// The trust file.
        path: PathBuf,
        /// Why the cluster says nothing.
        cause: Failure,
    },
    /// Something that is to be pinned is not named.
    #[error(
        "what is to be pinned is not named: give {missing}; or reach the cluster that names it, {CLUSTER}. From a cluster nothing is known: {cause}"
    )]
    ToPin {
        /// Flags that name it.
        missing: String,
        /// Why the cluster says nothing.
        cause: Failure,
    },
}

/// How a cluster is named.
const CLUSTER: &str = "with --kubeconfig FILE or --context NAME";

fn and_then(network: Option<&str>) -> &'static str {
    match network {
        Some(_) => "",
        None => " and repeat this with --network URL",
    }
}

impl Unnamed {
    /// Of a command that reads a ledger: pure.
    pub fn to_read(
        pinned: Option<(&Path, Principal)>,
        usual: &Path,
        network: Option<&str>,
        cause: Failure,
    ) -> Self {
        match pinned {
            Some((path, ledger)) => Self::NoNetwork {
                ledger,
                path: path.to_owned(),
                cause,
            },
            None => Self::Unpinned {
                path: usual.to_owned(),
                network: network.map(str::to_owned),
                cause,
            },
        }
    }

    /// Of `trust pin`: pure.
    pub fn to_pin(args: &PinArgs, cause: Failure) -> Self {
        let flags = [
            ("--network URL", args.network.is_none()),
            ("--ledger ID", args.ledger.is_none()),
            ("--project NAME", args.project.is_none()),
        ];
        let missing: Vec<&str> = flags.iter().filter(|flag| flag.1).map(|flag| flag.0).collect();
        let missing = match missing.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        };
        Self::ToPin { missing, cause }
    }
}

impl From<Unnamed> for Failure {
    fn from(unnamed: Unnamed) -> Self {
        let message = unnamed.to_string();
        match unnamed {
            Unnamed::Unpinned { cause, .. }
            | Unnamed::NoNetwork { cause, .. }
            | Unnamed::ToPin { cause, .. } => Self { message, ..cause },
        }
    }
}

/// Who says by which root key a network is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The command line, or the network itself where a command asks it.
    Named,
    /// The trust file.
    Pinned,
    /// The cluster.
    Hinted,
}

impl Anchor {
    /// What to check when a network's certificate is not signed by that key: pure.
    fn check(self) -> &'static str {
        match self {
            Self::Named => {
                "check whether it is the network whose root key was given (--root-key); its owner tells the fingerprint"
            }
            Self::Pinned => {
                "check whether it is the network that the trust file pins; one that was set up anew has another root key: where its owner tells the fingerprint of that, `dcanary trust pin --replace` pins it"
            }
            Self::Hinted => {
                "check whether it is the network whose root key the cluster names; its owner tells the fingerprint"
            }
        }
    }
}

/// What an error of the ledger's client says, with the URL that was asked where it does not name it, and with what to check: pure.
pub fn told_at(url: &str, error: &LedgerError, anchor: Anchor) -> String {
    match error {
        LedgerError::Certificate { .. } => format!("{error}. {url} was asked: {}", anchor.check()),
        LedgerError::Range { .. } => {
            format!("{error}. {url} was asked: check whether the ledger is on this network")
        }
        LedgerError::Stale { .. }
        | LedgerError::Rejected { .. }
        | LedgerError::Decode { .. }
        | LedgerError::Labels { .. }
        | LedgerError::Unproven { .. }
        | LedgerError::Version { .. } => format!("{error} ({url} was asked)"),
        // they name the URL, or are of this machine
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use dcanary_verifier::certificate::CertificateError;

    use super::*;
    use crate::exit::Exit;

    fn cause() -> Failure {
        Failure::cannot_tell("no usable kubeconfig: there is none")
    }

    fn pin(network: Option<&str>, ledger: Option<&str>, project: Option<&str>) -> PinArgs {
        PinArgs {
            network: network.map(str::to_owned),
            ledger: ledger.map(str::to_owned),
            root_key: None,
            project: project.map(str::to_owned),
            trust: None,
            yes: false,
            replace: false,
        }
    }

    #[test]
    fn ic_is_the_mainnet_and_everything_else_a_url() {
        assert_eq!(url("ic"), MAINNET_URL);
        assert_eq!(url("http://n:1/"), "http://n:1");
    }

    #[test]
    fn what_can_be_done_comes_before_why_the_cluster_says_nothing() {
        let (usual, ledger) = (Path::new("/home/ada/trust.json"), Principal::from_slice(&[1]));
        let read = |pinned, network| Unnamed::to_read(pinned, usual, network, cause());
        for (unnamed, said) in [
            (
                read(None, None),
                "pin it with `dcanary trust pin --network URL --ledger ID --project NAME` and repeat this with --network URL",
            ),
            (
                read(None, Some("http://n")),
                "pin it with `dcanary trust pin --network http://n --ledger ID --project NAME`;",
            ),
            (read(Some((usual, ledger)), None), "name it with --network URL"),
            (
                Unnamed::to_pin(&pin(None, None, None), cause()),
                "give --network URL, --ledger ID and --project NAME",
            ),
            (
                Unnamed::to_pin(&pin(Some("http://n"), Some("id"), None), cause()),
                "give --project NAME;",
            ),
        ] {
            let failure = Failure::from(unnamed);
            assert_eq!(failure.exit, Exit::CannotTell);
            let (before, after) = failure.message.split_once(said).unwrap_or_default();
            assert!(!before.contains("kubeconfig"), "{said}: {failure}");
            assert!(
                after.contains("--kubeconfig FILE")
                    && after.ends_with(": no usable kubeconfig: there is none"),
                "{said}: {failure}"
            );
        }
    }

    #[test]
    fn an_error_of_a_network_names_its_url_once_and_what_to_check() {
        let root = LedgerError::Certificate {
            source: CertificateError::Signature("root"),
        };
        let range = LedgerError::Range {
            ledger: Principal::from_slice(&[1]),
        };
        let unreachable = LedgerError::Unreachable {
            reason: "http://n: the connection was refused; check host and port".to_owned(),
        };
        for error in [root, range, unreachable] {
            for anchor in [Anchor::Named, Anchor::Pinned, Anchor::Hinted] {
                let told = told_at("http://n", &error, anchor);
                assert_eq!(told.matches("http://n").count(), 1, "{told}");
                assert!(told.contains("check"), "{told}");
            }
        }
    }

    #[test]
    fn a_certificate_by_another_key_names_the_flag_only_where_there_is_one_and_else_how_to_pin_anew() {
        let error = LedgerError::Certificate {
            source: CertificateError::Signature("root"),
        };
        let told = |anchor| told_at("http://n", &error, anchor);
        assert!(told(Anchor::Named).contains("--root-key"));
        for anchor in [Anchor::Pinned, Anchor::Hinted] {
            assert!(!told(anchor).contains("--root-key"), "{anchor:?}");
        }
        let pinned = told(Anchor::Pinned);
        assert!(pinned.contains("`dcanary trust pin --replace`"), "{pinned}");
    }
}
