//! The checks that an export and a run have in common, written into a report one by one.

use dcanary_types::labels::Labels;
use dcanary_types::policy::Policy;
use dcanary_types::{Value, cbor};
use ic_principal::Principal;

use crate::certificate::{Certificate, CertificateError, RootKey};
use crate::code;
use crate::head::{check_age, check_certified_data, read_labels};
use crate::report::{Check, Report};
use crate::trust::TrustFile;

/// Fills certificate, delegation, range, age and labels. Goes on after a failure, so that each check speaks for itself.
/// The labels are certified only as far as the report has it so.
pub(crate) fn head(
    report: &mut Report,
    certificate: &[u8],
    hash_tree: &[u8],
    trust: Option<&TrustFile>,
    ledger: &[u8],
    now: Option<u64>,
) -> Option<Labels> {
    let state = match Certificate::decode(certificate) {
        Ok(state) => Some(state),
        Err(error) => {
            report.fail(Check::Certificate, error.to_string());
            None
        }
    };
    if let Some(state) = &state {
        signature(report, state, trust, ledger);
        age(report, state, now);
    }
    match read_labels(hash_tree) {
        Ok((labels, digest)) => {
            if let Some(state) = &state {
                let checked = check_certified_data(state.unverified_tree(), ledger, &digest);
                let good = || format!("{} blocks", labels.size);
                report.settle(Check::Labels, checked.map(|()| good()).map_err(|e| e.to_string()));
            }
            Some(labels)
        }
        Err(error) => {
            report.fail(Check::Labels, error.to_string());
            None
        }
    }
}

fn signature(report: &mut Report, state: &Certificate, trust: Option<&TrustFile>, ledger: &[u8]) {
    let found = state.examine(trust.map(|trust| &trust.root_key), ledger);
    let direct = state.is_root_signed();
    let mut put = |check, finding: Option<Result<(), CertificateError>>, good: &str| match finding {
        Some(result) => report.settle(check, result.map(|()| good.to_owned()).map_err(|e| e.to_string())),
        None => report.unchecked(check, "there is no trusted key to check it with"),
    };
    put(Check::Certificate, found.certificate, "the signature verifies");
    put(
        Check::Delegation,
        found.delegation,
        if direct {
            "none: the root key signs itself"
        } else {
            "signed by the root key"
        },
    );
    put(
        Check::Range,
        found.range,
        if direct {
            "the root key signs for every canister"
        } else {
            "the ledger is in the subnet's ranges"
        },
    );
    if trust.is_none()
        && state
            .examine(Some(&RootKey::mainnet()), ledger)
            .into_result()
            .is_ok()
    {
        report.hint(
            "root key: the certificate verifies under the root key of the Internet Computer's mainnet"
                .to_owned(),
        );
    }
}

fn age(report: &mut Report, state: &Certificate, now: Option<u64>) {
    let time = match state.unverified_time() {
        Ok(time) => time,
        Err(error) => {
            report.fail(Check::Age, error.to_string());
            return;
        }
    };
    report.set_as_of(time);
    match now {
        None => report.not_applicable(
            Check::Age,
            "as of the certificate's time; what was revoked after that is not checked",
        ),
        Some(now) => {
            let good = "fresh; what was revoked after it is not checked".to_owned();
            report.settle(
                Check::Age,
                check_age(time, now).map(|()| good).map_err(|e| e.to_string()),
            );
        }
    }
}

/// Compares the policy document with its label and returns it if it can be read.
pub(crate) fn policy(report: &mut Report, document: &[u8], labels: Option<&Labels>) -> Option<Policy> {
    if let (Ok(value), Some(labels)) = (cbor::decode(document), labels)
        && value.hash() != labels.policy
    {
        report.fail(Check::Policy, "the policy document is not the certified one");
    }
    match Policy::decode(document) {
        Ok(policy) => Some(policy),
        Err(error) => {
            report.fail(Check::Policy, format!("the policy document: {error}"));
            None
        }
    }
}

/// Fills `code`, and for a report without trust file says what one would pin.
pub(crate) fn code_and_hints(
    report: &mut Report,
    bytes: Option<&[u8]>,
    trust: Option<&TrustFile>,
    ledger: &[u8],
    policy: Option<&Policy>,
    now: Option<u64>,
) {
    let code = code::check(report, bytes, trust, ledger, now);
    if trust.is_some() {
        return;
    }
    if let Ok(id) = Principal::try_from_slice(ledger) {
        report.hint(format!("ledger: {id}"));
    }
    if let Some(code) = code {
        report.hint(format!("module hash: {}", hex::encode(code.module_hash)));
        report.hint(format!("controllers: {}", code::list(&code.controllers)));
    }
    for role in policy.into_iter().flat_map(Policy::roles) {
        let who = Principal::try_from_slice(&role.principal)
            .map_or_else(|_| hex::encode(&role.principal), |id| id.to_text());
        let of = if role.project.is_empty() && role.domain.is_empty() {
            "the whole ledger".to_owned()
        } else {
            format!("{:?} in domain {:?}", role.project, role.domain)
        };
        report.hint(format!("{} of {of}: {who}", role.role.as_str()));
    }
}

/// Reads a value in the deterministic encoding.
pub(crate) fn value(bytes: &[u8], what: &str) -> Result<Value, String> {
    cbor::decode(bytes).map_err(|error| format!("{what}: {error}"))
}
