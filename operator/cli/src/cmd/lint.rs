//! `lint FILE…`

use std::{
    fs,
    io::{ErrorKind, Read as _, stdin},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    args::{Format, Global, LintArgs},
    exit::{Exit, Failure},
    lint::{Findings, lint, together},
    output::{Style, machine, print},
    render,
};

/// Checks the files; exit code 1 when there is a mistake (advice is none), 2 when one could not be read.
pub fn run(global: &Global, args: &LintArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary lint", &[Format::Json, Format::Yaml])?;
    let mut all = Vec::new();
    for file in &args.files {
        // a file that cannot be read hides nothing of the others
        let found = read(file).map_or_else(Findings::unreadable, |text| lint(&text));
        all.push((file.display().to_string(), found));
    }
    together(&mut all);
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => {
            let value: Vec<Value> = all
                .iter()
                .flat_map(|(file, found)| objects(file, found))
                .collect();
            print(&machine(&value, format)?);
        }
        _ => {
            let style = Style::detect(global);
            for (file, found) in &all {
                print(&render::lint::findings(file, found, style));
            }
        }
    }
    let any = |test: fn(&Findings) -> bool| all.iter().any(|(_, found)| test(found));
    Ok(if any(|found| found.unreadable) {
        Exit::Usage
    } else if any(|found| !found.mistakes.is_empty()) {
        Exit::Failed
    } else {
        Exit::Succeeded
    })
}

fn objects(file: &str, found: &Findings) -> Vec<Value> {
    let object = |severity: &str, mistake: &crate::lint::Mistake| {
        json!({
            "file": file,
            "line": mistake.place.line,
            "column": mistake.place.column,
            "severity": severity,
            "message": mistake.message,
        })
    };
    let mistakes = found.mistakes.iter().map(|one| object("error", one));
    let advice = found.advice.iter().map(|one| object("warning", one));
    mistakes.chain(advice).collect()
}

fn read(file: &Path) -> Result<String, String> {
    let cannot = |source: std::io::Error| match source.kind() {
        ErrorKind::IsADirectory => "this is a folder: name the files in it, such as folder/*.yaml".to_owned(),
        ErrorKind::InvalidData => "the file cannot be read: it is no text in UTF-8".to_owned(),
        _ => format!("the file cannot be read: {source}"),
    };
    if file == Path::new("-") {
        let mut text = String::new();
        stdin().read_to_string(&mut text).map_err(cannot)?;
        return Ok(text);
    }
    fs::read_to_string(file).map_err(cannot)
}
