//! The printed table, and the same table in a document between two markers.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::machine::Setting;

/// Where a table stands in a document.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    name: &'static str,
    command: &'static str,
}

impl Block {
    /// The table of runs.
    pub const RUNS: Self = Self {
        name: "bench",
        command: "make bench",
    };

    /// The table of deliveries.
    pub const DELIVERY: Self = Self {
        name: "bench-delivery",
        command: "make bench-delivery",
    };

    /// The table of the node.
    pub const NODE: Self = Self {
        name: "bench-node",
        command: "make bench-node",
    };

    /// Line before it.
    fn begin(self) -> String {
        format!(
            "<!-- {}:begin (written by `{}`, do not edit) -->",
            self.name, self.command
        )
    }

    /// Line after it.
    fn end(self) -> String {
        format!("<!-- {}:end -->", self.name)
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure, with its unit.
    pub figure: String,
    /// What it is made of.
    pub detail: String,
    /// What it should be, where something is aimed at.
    pub aim: String,
    /// Whether it is; `None` where that was not measured or nothing is aimed at.
    pub met: Option<bool>,
}

impl Row {
    /// A figure that could not be had, and why.
    pub fn missing(what: &str, why: &str, aim: &str) -> Self {
        Self {
            what: what.to_owned(),
            figure: "not measured".to_owned(),
            detail: why.to_owned(),
            aim: aim.to_owned(),
            met: None,
        }
    }

    /// The same when something went wrong before all was measured: it is not said to be met then.
    pub fn cut_short(mut self, problem: Option<&str>) -> Self {
        if let Some(problem) = problem {
            self.detail.push_str(&format!("; cut short: {problem}"));
            self.met = self.met.filter(|met| !met);
        }
        self
    }
}

/// A count as people read it: `20,500`.
pub fn grouped(count: u32) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Date, machine and commit, then the table, in Markdown.
pub fn markdown(setting: &Setting, rows: &[Row]) -> String {
    let Setting {
        date,
        machine,
        load,
        commit,
    } = setting;
    let mut lines = vec![
        format!("{date}, commit {commit}, {machine}; load at the start {load}."),
        String::new(),
        "| what | now | of that | aim | met |".to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
    ];
    for row in rows {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "–",
        };
        let cells = [&row.what, &row.figure, &row.detail, &row.aim].map(|cell| clean(cell));
        lines.push(format!("| {} | {met} |", cells.join(" | ")));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Puts a text between the markers of its block in a document; everything else stays as it is.
///
/// # Errors
/// When the document cannot be read or written, or the markers are not there in order.
pub fn write(document: &Path, block: Block, text: &str) -> Result<()> {
    let old = fs::read_to_string(document).with_context(|| format!("read {}", document.display()))?;
    let new = replaced(&old, block, text).with_context(|| document.display().to_string())?;
    fs::write(document, new).with_context(|| format!("write {}", document.display()))
}

fn replaced(old: &str, block: Block, text: &str) -> Result<String> {
    let (begin, end) = (block.begin(), block.end());
    let found = old
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = found else {
        bail!("the markers `{begin}` and `{end}` are not there");
    };
    Ok(format!("{before}{begin}\n{}\n{end}{after}", text.trim()))
}

fn clean(cell: &str) -> String {
    cell.replace('|', "/").replace('\n', " ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dcanary_harness::cluster::repository;

    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let (begin, end) = (Block::RUNS.begin(), Block::RUNS.end());
        let replaced = |old: &str, text| replaced(old, Block::RUNS, text);
        let old = format!("# Title\n{begin}\nold\n{end}\nrest\n");
        let new = replaced(&old, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n{begin}\nnew\n{end}\nrest\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert!(replaced("# Title\n", "new").is_err());
        assert!(replaced(&format!("{end}{begin}"), "new").is_err());
    }

    #[test]
    fn the_document_has_a_place_for_each_table() {
        let document = fs::read_to_string(repository().join("docs/performance.md")).unwrap();
        for block in [Block::RUNS, Block::DELIVERY, Block::NODE] {
            let new = replaced(&document, block, "the new table").unwrap();
            assert!(new.contains("the new table"));
        }
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (20_500, "20,500"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(count), text);
        }
    }

    #[test]
    fn a_row_that_was_cut_short_says_why_and_is_met_no_more() {
        let row = |met| Row {
            met,
            ..Row::missing("a", "b", "c")
        };
        assert_eq!(row(Some(true)).cut_short(None), row(Some(true)));
        let cut = row(Some(true)).cut_short(Some("why"));
        assert_eq!((cut.detail.as_str(), cut.met), ("b; cut short: why", None));
        assert_eq!(row(Some(false)).cut_short(Some("why")).met, Some(false));
    }

    #[test]
    fn a_table_has_its_setting_and_a_line_for_each_row() {
        let setting = Setting {
            date: "2026-01-02 03:04 UTC".into(),
            machine: "2 cores".into(),
            load: "0 0 0".into(),
            commit: "abc".into(),
        };
        let text = markdown(&setting, &[Row::missing("a|b", "why\nnot", "≤ 1")]);
        assert!(text.starts_with("2026-01-02 03:04 UTC, commit abc, 2 cores"));
        assert!(text.ends_with("| a/b | not measured | why not | ≤ 1 | – |\n"));
    }
}
