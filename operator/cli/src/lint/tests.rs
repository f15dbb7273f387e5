use super::*;
use crate::{output::Style, render};

fn shown(text: &str) -> String {
    render::lint::findings("pipeline.yaml", &lint(text), Style::PLAIN)
}

const GOOD: &str = "apiVersion: dcanary.dev/v1alpha1
kind: Pipeline
metadata:
  name: web
spec:
  stages:
  - name: build
    image: busybox
    steps:
    - run: make
  - name: test
    dependsOn: [build]
    image: busybox
    steps:
    - run: make test
";

#[test]
fn a_good_file_has_no_mistakes() {
    assert_eq!(
        lint(GOOD),
        Findings {
            checked: vec!["Pipeline web".to_owned()],
            mistakes: vec![]
        }
    );
}

#[test]
fn unknown_fields_are_refused_with_place_and_suggestion() {
    let text = GOOD
        .replace("dependsOn", "dependOn")
        .replace("spec:\n", "spec:\n  stagse: []\n");
    insta::assert_snapshot!("unknown_fields", shown(&text));
}

#[test]
fn a_cycle_and_a_missing_stage_are_found_at_their_place() {
    let cycle = GOOD.replace("  - name: build\n", "  - name: build\n    dependsOn: [test]\n");
    insta::assert_snapshot!("cycle", shown(&cycle));
    insta::assert_snapshot!("missing_stage", shown(&GOOD.replace("[build]", "[biuld]")));
}

#[test]
fn wrong_types_and_missing_fields_are_named() {
    let text = GOOD.replace("image: busybox\n    steps:\n    - run: make\n", "image: 7\n");
    insta::assert_snapshot!("wrong_types", shown(&text));
}

#[test]
fn what_is_no_yaml_has_a_place() {
    let findings = lint("a: [1, 2\nb: 3\n");
    assert_eq!(findings.mistakes.len(), 1);
    assert!(findings.mistakes[0].place.line >= 1);
}

#[test]
fn other_kinds_are_left_alone_and_misspelt_ones_are_not() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\n";
    assert_eq!(lint(&format!("{secret}{GOOD}")).mistakes, []);
    let findings = lint(&GOOD.replace("kind: Pipeline", "kind: Pipelin"));
    assert!(
        findings.mistakes[0].message.contains("did you mean `Pipeline`?"),
        "{findings:?}"
    );
    assert_eq!(findings.mistakes[0].place, Place { line: 2, column: 7 });
    assert!(
        lint(secret).mistakes[0]
            .message
            .contains("no object of dcanary.dev")
    );
}

#[test]
fn the_second_document_keeps_its_lines() {
    let text = format!("{GOOD}---\n{}", GOOD.replace("image: busybox", "imgae: busybox"));
    let lines: Vec<u64> = lint(&text)
        .mistakes
        .iter()
        .map(|mistake| mistake.place.line)
        .collect();
    assert!(lines.iter().all(|line| *line > 16), "{lines:?}");
}
