//! What the YAML library says, in words of ours: place, and what to do.

use serde_saphyr::Error;

/// What to do with a file that a program has to make YAML of.
pub const TEMPLATE: &str =
    "; this looks like a template: render it first, such as helm template . | dcanary lint -";

/// One sentence about a text that cannot be read.
pub fn told(error: &Error, text: &str, line: usize) -> String {
    let error = innermost(error);
    if let Some(line) = text
        .lines()
        .find(|line| CONFLICT.iter().any(|mark| line.starts_with(mark)))
    {
        let mark: String = line.chars().take(CONFLICT[0].len()).collect();
        return format!("`{mark}` is the mark of a conflict in Git: resolve it first");
    }
    let said = match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key
                .as_ref()
                .map_or_else(|| "a field".to_owned(), |key| format!("`{key}`"));
            return format!("{key} is given twice: keep one of them");
        }
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            return "the file is too large when its aliases (`*name`) are written out: use fewer of them"
                .to_owned();
        }
        Error::UnknownAnchor { .. } => {
            return "the alias (`*name`) has no anchor (`&name`) before it: write the value, or put it in quotes".to_owned();
        }
        other => without_place(&other.without_snippet().to_string()),
    };
    if said.contains("tabs disallowed") {
        return "a tab cannot indent YAML: use spaces".to_owned();
    }
    // in the line itself, or alone on one just before it, as the tags of a template are
    let near = text.lines().skip(line.saturating_sub(2)).take(2);
    if near.into_iter().any(|line| line.contains("{{")) {
        return format!("{said}{TEMPLATE}");
    }
    said
}

/// What other tools call fields of ours, and what to write.
const OF_OTHERS: [(&str, &str, &str); 10] = [
    ("needs", "dependsOn", "dependsOn: [STAGE]"),
    ("runAfter", "dependsOn", "dependsOn: [STAGE]"),
    ("depends", "dependsOn", "dependsOn: [STAGE]"),
    ("dependencies", "dependsOn", "dependsOn: [STAGE]"),
    ("tasks", "stages", "stages"),
    ("jobs", "stages", "stages"),
    ("script", "run", "run: COMMANDS"),
    ("command", "run", "run: COMMANDS"),
    ("when", "if", "if: CONDITION"),
    ("valueFrom", "secret", "secret: {name: SECRET, key: KEY}"),
];

/// What to write for a field of another tool, where ours can stand.
pub fn of_others(name: &str, known: &[&str]) -> Option<String> {
    let mut all = OF_OTHERS.iter();
    let (_, _, instead) = all.find(|(theirs, ours, _)| *theirs == name && known.contains(ours))?;
    Some(format!("; here it is `{instead}`"))
}

/// Marks that Git writes at the beginning of a line.
const CONFLICT: [&str; 3] = ["<<<<<<< ", ">>>>>>> ", "|||||||"];

fn innermost(error: &Error) -> &Error {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => innermost(error),
        other => other,
    }
}

/// The first line without the place, which is told before it already.
fn without_place(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default();
    let line = line
        .split(" at line ")
        .next()
        .unwrap_or(line)
        .trim_end_matches(':');
    if line.is_empty() {
        "this is no YAML".to_owned()
    } else {
        line.replace('`', "'").trim().to_owned()
    }
}
