//! The result of a verification.

use dcanary_verifier::{Report, Status};
use serde_json::{Value, json};

use crate::output::{Style, Tone, age::instant};

/// What a person reads.
///
/// `incomplete` says why not everything could be checked.
pub fn report(report: &Report, subject: &str, incomplete: Option<&str>, style: Style) -> String {
    let mut text = format!("{}\n", style.paint(Tone::Strong, subject));
    for finding in report.findings() {
        let (icon, tone) = match finding.status {
            Status::Passed => ("✔", Tone::Good),
            Status::Failed => ("✖", Tone::Bad),
            Status::Unchecked => ("◌", Tone::Faint),
        };
        let line = format!("  {} {:<12} {}", style.paint(tone, icon), finding.check.as_str(), finding.detail);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if let Some(time) = report.as_of() {
        text.push_str(&format!("As of {}. Revocation after that time: not checked.\n", instant(time)));
    }
    if let Some(level) = report.level() {
        text.push_str(&format!("Level {level:?}: {}.\n", level.meaning()));
    }
    if !report.to_pin().is_empty() {
        text.push_str("Nothing is pinned: this says only that the parts fit together, not whose ledger it is.\n");
        text.push_str("Compare with what its owner tells you on another way, then run `dcanary trust pin`:\n");
        for line in report.to_pin() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&verdict(report, incomplete, style));
    text
}

fn verdict(report: &Report, incomplete: Option<&str>, style: Style) -> String {
    let failed: Vec<&str> = report.failed().map(|finding| finding.check.as_str()).collect();
    let (tone, said) = match (report.exit_code(), incomplete) {
        (1, _) => (Tone::Bad, format!("FALSE: {}", failed.join(", "))),
        (_, Some(why)) => (Tone::Warn, format!("NOT VERIFIED: {why}")),
        (0, None) => (Tone::Good, "VERIFIED against the trust file".to_owned()),
        (_, None) => (Tone::Warn, "NOT VERIFIED: no trust file".to_owned()),
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
        "levelMeaning": report.level().map(|level| level.meaning()),
        "asOf": report.as_of().map(instant),
        "revocationAfterThat": "not checked",
        "checks": checks,
        "toPin": report.to_pin(),
    })
}
