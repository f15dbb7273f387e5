//! The journal as a reader sees it: found through trust file and cluster, fetched, compared.

pub mod attempts;
pub mod compare;
pub mod environment;
pub mod evidence;
pub mod fork;
pub mod head;
mod images;
mod opened;
pub mod place;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use dcanary_ledger::{
    CheckpointStore, FileCheckpoints, IcLedger, IcLedgerConfig, LedgerError, MemoryCheckpoints,
    checkpoint::network_name,
};
use dcanary_verifier::{Check, HeadError, Report, Status, TrustFile};
use ic_agent::{export::Principal, identity::AnonymousIdentity};

use self::place::Anchor;
use crate::{
    cluster::{
        Cluster,
        ledger_config::{LedgerConfig, Route},
    },
    exit::Failure,
    trust_file::Folders,
};

/// Where a reader looks, and by which key it believes.
pub struct Access {
    /// The ledger.
    pub ledger: Arc<IcLedger>,
    /// What this reader remembered before it looked.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// DER-encoded root key by which it is believed.
    pub root_key: Vec<u8>,
    /// Keeps the way to the network open.
    pub route: Route,
    /// Where the evidence of a fork is kept: beside the trust file.
    pub evidence: Option<PathBuf>,
    /// The folder of the checkpoints, when they are kept.
    pub memory: Option<PathBuf>,
    /// Who says the root key.
    pub anchor: Anchor,
}

impl Access {
    /// What an error says, and what was done about it: both certificates of a fork are kept.
    pub fn told(&self, error: &LedgerError) -> String {
        match error {
            LedgerError::Forked(fork) => {
                let said = fork::told(self.evidence.as_deref(), self.ledger.id(), fork);
                match &self.memory {
                    Some(folder) => format!("{said}. {}", fork::way_on(folder)),
                    None => said,
                }
            }
            other => place::told_at(&self.route.url, other, self.anchor),
        }
    }
}

/// Anchors and address, from the trust file first and the cluster's hints where there is none.
pub struct Target {
    /// DER-encoded root key.
    pub root_key: Vec<u8>,
    /// Canister id.
    pub ledger: Principal,
    /// URL of the network.
    pub network: String,
    /// Who says the root key.
    pub anchor: Anchor,
}

/// Decides where to look: pure.
///
/// # Errors
/// When neither side names something that is needed.
pub fn target(
    trust: Option<&TrustFile>,
    hints: Option<&LedgerConfig>,
    network: Option<&str>,
) -> Result<Target, Failure> {
    let missing = |what: &str| {
        Failure::cannot_tell(format!(
            "nobody names {what}: give a kubeconfig of the cluster, or --network URL and a trust file"
        ))
    };
    Ok(Target {
        root_key: trust
            .map(|trust| trust.root_key.to_der())
            .or_else(|| hints.map(|hints| hints.root_key.clone()))
            .ok_or_else(|| missing("the root key of the network"))?,
        ledger: trust
            .map(|trust| trust.ledger)
            .or_else(|| hints.map(|hints| hints.ledger))
            .ok_or_else(|| missing("the ledger"))?,
        network: network
            .map(|network| place::url(network).to_owned())
            .or_else(|| hints.map(|hints| hints.network.clone()))
            .ok_or_else(|| missing("the network"))?,
        anchor: match trust {
            Some(_) => Anchor::Pinned,
            None => Anchor::Hinted,
        },
    })
}

/// Sets up the way to a ledger. `trust_file` is the path of the trust file that is used or written, if any.
///
/// # Errors
/// When the network cannot be reached through the cluster, or root key or URL cannot be used.
pub async fn access(
    target: &Target,
    cluster: Option<&Cluster>,
    folders: &Folders,
    trust_file: Option<&Path>,
) -> Result<Access, Failure> {
    let route = match cluster {
        Some(cluster) => cluster.route(&target.network).await?,
        None => Route::direct(target.network.clone()),
    };
    let memory = checkpoint_folder(target, folders);
    let checkpoints: Arc<dyn CheckpointStore> = match memory.clone() {
        Some(folder) => Arc::new(FileCheckpoints::new(folder)),
        None => Arc::new(MemoryCheckpoints::default()),
    };
    let mut config = IcLedgerConfig::new(
        route.url.clone(),
        target.root_key.clone(),
        target.ledger,
        Arc::new(AnonymousIdentity),
        checkpoints.clone(),
    );
    config.save_every = std::time::Duration::ZERO;
    let ledger = IcLedger::connect(config).map_err(|source| Failure::cannot_tell(source.to_string()))?;
    Ok(Access {
        ledger: Arc::new(ledger),
        checkpoints,
        root_key: target.root_key.clone(),
        route,
        evidence: folders.evidence(trust_file),
        memory,
        anchor: target.anchor,
    })
}

/// One folder for each root key: the same canister id lives on many networks.
fn checkpoint_folder(target: &Target, folders: &Folders) -> Option<PathBuf> {
    folders
        .checkpoints()
        .map(|folder| folder.join(network_name(&target.root_key)))
}

/// The check that an error of the ledger client fails; `None` when it only says that nothing could be checked.
pub fn failed_check(error: &LedgerError) -> Option<Check> {
    Some(match error {
        LedgerError::Certificate { source } => HeadError::Certificate(source.clone()).check(),
        LedgerError::Range { .. } => Check::Range,
        LedgerError::Stale { .. } => Check::Age,
        LedgerError::Labels { .. } => Check::Labels,
        LedgerError::Unproven { .. } => Check::Root,
        LedgerError::Forked(_) => Check::Consistency,
        LedgerError::OtherCode { .. } => Check::Code,
        _ => return None,
    })
}

/// Compares what the cluster names, and the project of the run that is asked for, with what is pinned: pure.
///
/// The ConfigMap's project is only the default for Pipelines that name none, so it is no part of this.
pub fn compare_names(report: &mut Report, trust: &TrustFile, hints: &LedgerConfig, project: &str) {
    let mut wrong = Vec::new();
    if hints.ledger != trust.ledger {
        wrong.push(format!(
            "the cluster names ledger {}, the trust file {}",
            hints.ledger, trust.ledger
        ));
    }
    if hints.root_key != trust.root_key.to_der() {
        wrong.push("the cluster names another root key than the trust file".to_owned());
    }
    if let Some(pinned) = trust.project.as_ref().filter(|pinned| *pinned != project) {
        wrong.push(format!(
            "the run is of project {project}, the trust file pins {pinned}; write one for the other with `dcanary trust pin --project {project} --trust FILE`"
        ));
    }
    if wrong.is_empty() {
        report.record(Check::Trust, Status::Passed, "the ids are the trust file's");
    } else {
        report.record(Check::Trust, Status::Failed, wrong.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_verifier::RootKey;

    fn trust() -> TrustFile {
        TrustFile {
            root_key: RootKey::mainnet(),
            ledger: Principal::from_slice(&[1]),
            project: Some("shop".to_owned()),
            module_hashes: vec![],
            controllers: None,
            domains: None,
        }
    }

    fn hints() -> LedgerConfig {
        LedgerConfig {
            network: "http://n".to_owned(),
            root_key: RootKey::mainnet().to_der(),
            ledger: Principal::from_slice(&[1]),
            project: "shop".to_owned(),
            domain: "east".to_owned(),
        }
    }

    fn named(hints: &LedgerConfig) -> (Status, String) {
        named_for(&trust(), hints, "shop")
    }

    fn named_for(trust: &TrustFile, hints: &LedgerConfig, project: &str) -> (Status, String) {
        let mut report = Report::new(Some(trust));
        compare_names(&mut report, trust, hints, project);
        let finding = report
            .findings()
            .iter()
            .find(|finding| finding.check == Check::Trust)
            .unwrap();
        (finding.status, finding.detail.clone())
    }

    #[test]
    fn a_swapped_config_map_fails_by_name() {
        assert_eq!(named(&hints()).0, Status::Passed);
        let (status, detail) = named(&LedgerConfig {
            ledger: Principal::from_slice(&[2]),
            ..hints()
        });
        assert_eq!(status, Status::Failed);
        assert!(detail.starts_with("the cluster names ledger"), "{detail}");
        assert_eq!(
            named(&LedgerConfig {
                root_key: vec![1],
                ..hints()
            })
            .0,
            Status::Failed
        );
    }

    #[test]
    fn the_pinned_project_is_compared_with_the_runs_and_not_with_the_clusters_default() {
        let other_default = LedgerConfig {
            project: "default".to_owned(),
            ..hints()
        };
        assert_eq!(named_for(&trust(), &other_default, "shop").0, Status::Passed);
        let (status, detail) = named_for(&trust(), &hints(), "docs");
        assert_eq!(status, Status::Failed);
        assert!(
            detail.contains("project docs")
                && detail.contains("pins shop")
                && detail.contains("--project docs"),
            "{detail}"
        );
        let any = TrustFile {
            project: None,
            ..trust()
        };
        assert_eq!(named_for(&any, &hints(), "docs").0, Status::Passed);
    }

    #[test]
    fn the_trust_file_is_asked_before_the_cluster() {
        let swapped = LedgerConfig {
            ledger: Principal::from_slice(&[2]),
            root_key: vec![1],
            ..hints()
        };
        let found = target(Some(&trust()), Some(&swapped), None).unwrap();
        assert_eq!(
            (found.ledger, found.root_key, found.anchor),
            (trust().ledger, trust().root_key.to_der(), Anchor::Pinned)
        );
        let hinted = target(None, Some(&hints()), None).unwrap();
        assert_eq!(hinted.anchor, Anchor::Hinted);
        assert_eq!(
            target(Some(&trust()), Some(&hints()), Some("http://m"))
                .unwrap()
                .network,
            "http://m"
        );
        assert!(target(Some(&trust()), None, None).is_err());
        assert!(target(None, None, Some("http://m")).is_err());
    }
}
