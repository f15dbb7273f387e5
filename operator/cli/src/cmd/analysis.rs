//! `analysis replay FILE`

use std::{
    fs::File,
    io::{Read, stdin},
    path::Path,
};

use dcanary_rollout::analysis::{Replayed, replay};
use serde_json::Value;

use crate::{
    args::{AnalysisCommand, Format, Global},
    exit::{Exit, Failure},
    output::{Style, machine, print},
    render,
};

/// Largest file that is read.
const BYTES: u64 = 16 << 20;

/// Computes the verdict again; exit code 1 when it is not what the document claims.
pub fn run(global: &Global, command: &AnalysisCommand) -> Result<Exit, Failure> {
    let AnalysisCommand::Replay { file } = command;
    let format = global.form("dcanary analysis replay", &[Format::Json, Format::Yaml])?;
    let replayed = replay(&read(file)?)
        .map_err(|problem| Failure::usage(format!("cannot replay {}: {problem}", file.display())))?;
    match format {
        Some(format @ (Format::Json | Format::Yaml)) => print(&machine(&value(&replayed)?, format)?),
        _ => print(&render::analysis::replayed(&replayed, Style::detect(global))),
    }
    Ok(if replayed.agrees() {
        Exit::Succeeded
    } else {
        Exit::Failed
    })
}

fn value(replayed: &Replayed) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(replayed)
        .map_err(|problem| Failure::cannot_tell(format!("cannot print this as asked: {problem}")))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("agrees".to_owned(), replayed.agrees().into());
    }
    Ok(value)
}

fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |source: std::io::Error| Failure::usage(format!("cannot read {}: {source}", file.display()));
    let mut text = String::new();
    let read = if file == Path::new("-") {
        stdin().lock().take(BYTES + 1).read_to_string(&mut text)
    } else {
        File::open(file)
            .map_err(cannot)?
            .take(BYTES + 1)
            .read_to_string(&mut text)
    };
    read.map_err(cannot)?;
    Ok(text)
}
