//! Mistakes as compilers print them.

use crate::{
    lint::Findings,
    output::{Style, Tone},
};

/// `file:line:column: message`, one a line; then what was checked.
pub fn findings(file: &str, found: &Findings, style: Style) -> String {
    let mut text = String::new();
    let mistakes = found.mistakes.iter().map(|one| (Tone::Bad, "✖", one));
    let advice = found.advice.iter().map(|one| (Tone::Warn, "⚠", one));
    for (tone, sign, mistake) in mistakes.chain(advice) {
        let place = format!("{file}:{}:{}:", mistake.place.line, mistake.place.column);
        text.push_str(&format!(
            "{} {} {}\n",
            style.paint(Tone::Strong, &place),
            style.paint(tone, sign),
            mistake.message
        ));
    }
    if found.mistakes.is_empty() && found.checked.is_empty() {
        text.push_str(&format!("{file}: nothing of dcanary.dev\n"));
    } else if found.mistakes.is_empty() {
        text.push_str(&format!(
            "{file}: {} {}\n",
            style.paint(Tone::Good, "✔"),
            found.checked.join(", ")
        ));
    }
    text
}
