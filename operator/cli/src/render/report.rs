//! The result of a verification.

use dcanary_verifier::{Finding, Level, Report, Status};
use serde_json::{Value, json};

use crate::output::{Style, Tone, age::instant};

/// What a person reads.
///
/// `incomplete` says why not everything could be checked.
pub fn report(report: &Report, subject: &str, incomplete: Option<&str>, style: Style) -> String {
    with_disputes(report, subject, incomplete, &[], style)
}

/// The same about a run with disputed attempts: what was verified is that they are disputed.
pub fn with_disputes(
    report: &Report,
    subject: &str,
    incomplete: Option<&str>,
    disputes: &[String],
    style: Style,
) -> String {
    let mut text = format!("{}\n", style.paint(Tone::Strong, subject));
    for finding in report.findings() {
        let (icon, tone) = match finding.status {
            Status::Passed => ("✔", Tone::Good),
            Status::Failed => ("✖", Tone::Bad),
            Status::Unchecked => ("◌", Tone::Warn),
            Status::NotApplicable => ("–", Tone::Faint),
        };
        let line = format!(
            "  {} {:<12} {}",
            style.paint(tone, icon),
            finding.check.as_str(),
            finding.detail
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for dispute in disputes {
        let icon = style.paint(Tone::Warn, "!");
        text.push_str(&format!("  {icon} {:<12} {dispute}\n", "disputed"));
    }
    if let Some(time) = report.as_of() {
        text.push_str(&format!(
            "As of {}. Revocation after that time: not checked.\n",
            instant(time)
        ));
    }
    if let Some(level) = report.level() {
        text.push_str(&format!("Level {level:?}: {}.\n", level.meaning()));
    }
    if !report.to_pin().is_empty() {
        text.push_str(
            "Nothing is pinned: this says only that the parts fit together, not whose ledger it is.\n",
        );
        text.push_str(
            "Compare with what its owner tells you on another way, then run `dcanary trust pin`:\n",
        );
        for line in report.to_pin() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&verdict(report, incomplete, style));
    text
}

fn verdict(report: &Report, incomplete: Option<&str>, style: Style) -> String {
    let names = |findings: Vec<&Finding>| -> String {
        let names: Vec<&str> = findings.iter().map(|finding| finding.check.as_str()).collect();
        names.join(", ")
    };
    let (tone, said) = match (report.exit_code(), incomplete) {
        (1, _) => (Tone::Bad, format!("FALSE: {}", names(report.failed().collect()))),
        (_, Some(why)) => (Tone::Warn, format!("NOT VERIFIED: {why}")),
        (0, None) => (Tone::Good, "VERIFIED against the trust file".to_owned()),
        (_, None) if report.level().is_none() => (Tone::Warn, "NOT VERIFIED: no trust file".to_owned()),
        (_, None) => (
            Tone::Warn,
            format!(
                "NOT VERIFIED: could not be checked: {}",
                names(report.open().collect())
            ),
        ),
    };
    format!("{}\n", style.paint(tone, &said))
}

/// What a program reads.
pub fn machine(report: &Report, subject: &str) -> Value {
    let checks: Vec<Value> = report
        .findings()
        .iter()
        .map(|finding| {
            json!({
                "check": finding.check.as_str(),
                "status": finding.status.as_str(),
                "detail": finding.detail,
            })
        })
        .collect();
    json!({
        "subject": subject,
        "verified": report.exit_code() == 0,
        "exitCode": report.exit_code(),
        "level": report.level().map(|level| format!("{level:?}")),
        "levelMeaning": report.level().map(Level::meaning),
        "asOf": report.as_of().map(instant),
        "revocationAfterThat": "not checked",
        "checks": checks,
        "toPin": report.to_pin(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dcanary_verifier::{Check, RootKey, TrustFile};

    fn trust() -> TrustFile {
        TrustFile {
            root_key: RootKey::mainnet(),
            ledger: ic_agent::export::Principal::from_slice(&[1]),
            project: None,
            module_hashes: vec![],
            controllers: None,
            domains: None,
        }
    }

    fn all(status: Status, trust: Option<&TrustFile>) -> Report {
        let mut report = Report::new(trust);
        for check in Check::ALL {
            report.record(check, status, "as it should be");
        }
        report
    }

    #[test]
    fn what_was_verified_is_told_with_its_level() {
        let text = super::report(
            &all(Status::Passed, Some(&trust())),
            "Run web-1",
            None,
            Style::PLAIN,
        );
        insta::assert_snapshot!("verify_good", text);
    }

    #[test]
    fn what_is_false_is_named_in_the_last_line() {
        let mut found = all(Status::Passed, Some(&trust()));
        found.record(
            Check::Code,
            Status::Failed,
            "0102 is not among the accepted modules",
        );
        found.record(
            Check::Cluster,
            Status::Unchecked,
            "2 records are not in the ledger yet",
        );
        insta::assert_snapshot!(
            "verify_false",
            super::report(&found, "Run web-1", None, Style::PLAIN)
        );
    }

    #[test]
    fn without_trust_file_it_says_what_to_pin() {
        let text = super::report(&all(Status::Unchecked, None), "Export x.cbor", None, Style::PLAIN);
        insta::assert_snapshot!("verify_unpinned", text);
    }

    #[test]
    fn what_could_not_be_checked_is_named_and_never_called_verified() {
        let mut found = all(Status::Passed, Some(&trust()));
        found.record(Check::Age, Status::NotApplicable, "offline");
        assert!(
            super::report(&found, "Run x", None, Style::PLAIN).ends_with("VERIFIED against the trust file\n")
        );
        found.record(Check::Policy, Status::Unchecked, "its writer holds no role now");
        let text = super::report(&found, "Run x", None, Style::PLAIN);
        assert!(
            text.ends_with("NOT VERIFIED: could not be checked: policy\n") && text.contains("– age"),
            "{text}"
        );
        let value = machine(&found, "Run x");
        assert_eq!(
            (value["verified"].as_bool(), value["exitCode"].as_u64()),
            (Some(false), Some(2))
        );
    }

    #[test]
    fn what_is_incomplete_is_never_called_verified() {
        let found = all(Status::Passed, Some(&trust()));
        let text = super::report(&found, "Run x", Some("run u is not in the ledger"), Style::PLAIN);
        assert!(
            text.ends_with("NOT VERIFIED: run u is not in the ledger\n"),
            "{text}"
        );
    }

    #[test]
    fn a_disputed_attempt_is_a_line_of_its_own() {
        let found = all(Status::Passed, Some(&trust()));
        let dispute = "stage build, attempt 1: SecondTrade; no gate opens on it".to_owned();
        let text = with_disputes(&found, "Run x", None, &[dispute], Style::PLAIN);
        assert!(
            text.contains("\n  ! disputed     stage build, attempt 1: SecondTrade; no gate opens on it\n"),
            "{text}"
        );
    }

    #[test]
    fn programs_get_each_check_by_name() {
        let value = machine(&all(Status::Passed, Some(&trust())), "Run x");
        assert_eq!(value["checks"].as_array().map(Vec::len), Some(Check::ALL.len()));
        assert_eq!(
            (value["verified"].as_bool(), value["level"].as_str()),
            (Some(true), Some("L2"))
        );
    }
}
