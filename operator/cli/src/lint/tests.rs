use super::*;
use crate::{output::Style, render};

fn shown(text: &str) -> String {
    render::lint::findings("pipeline.yaml", &lint(text), Style::PLAIN)
}

pub(super) const GOOD: &str = "apiVersion: dcanary.dev/v1alpha1
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
    let found = lint(GOOD);
    assert_eq!(
        (found.checked, found.mistakes),
        (vec!["Pipeline web".to_owned()], vec![])
    );
}

#[test]
fn advice_has_its_place_and_is_no_mistake() {
    let text = GOOD.replace("make test", "make test-$(source.branch)");
    let found = lint(&text);
    assert_eq!(found.mistakes, []);
    let places: Vec<u64> = found.advice.iter().map(|one| one.place.line).collect();
    assert_eq!(places, [15], "{:?}", found.advice);
    let shown = shown(&text);
    assert!(
        shown.starts_with("pipeline.yaml:15:")
            && shown.contains(" ⚠ ")
            && shown.ends_with("✔ Pipeline web\n"),
        "{shown}"
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
fn fields_of_other_tools_are_told_with_what_to_write() {
    for (ours, theirs, told) in [
        (
            "dependsOn",
            "needs",
            "unknown field `needs` in `spec.stages[1]`; here it is `dependsOn: [STAGE]`",
        ),
        ("dependsOn", "runAfter", "here it is `dependsOn: [STAGE]`"),
        (
            "stages:",
            "tasks:",
            "unknown field `tasks` in `spec`; here it is `stages`",
        ),
        (
            "- run: make test",
            "- script: make test",
            "here it is `run: COMMANDS`",
        ),
        (
            "- run: make test",
            "- when: success()",
            "here it is `if: CONDITION`",
        ),
    ] {
        let text = GOOD.replace(ours, theirs);
        let shown = shown(&text);
        assert!(text != GOOD && shown.contains(told), "{shown}");
    }
}

#[test]
fn a_cycle_and_a_missing_stage_are_found_at_their_place() {
    let cycle = GOOD.replace("  - name: build\n", "  - name: build\n    dependsOn: [test]\n");
    insta::assert_snapshot!("cycle", shown(&cycle));
    insta::assert_snapshot!("missing_stage", shown(&GOOD.replace("[build]", "[biuld]")));
}

#[test]
fn wrong_types_and_missing_fields_are_named() {
    let text = GOOD
        .replace("image: busybox\n    steps:\n    - run: make\n", "image: 7\n")
        .replace("- name: build\n    image", "- image");
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
fn files_without_any_object_of_ours_are_mistakes_unless_they_are_checked_with_one_that_has() {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: deployer}\n";
    let mistakes = |texts: &[&str]| {
        let mut files: Vec<_> = texts.iter().map(|text| (String::new(), lint(text))).collect();
        together(&mut files);
        files.iter().map(|(_, found)| found.mistakes.len()).sum::<usize>()
    };
    assert_eq!(mistakes(&[account]), 1);
    assert_eq!(mistakes(&[account, GOOD]), 0);
    assert_eq!(
        mistakes(&["stages: []", GOOD]),
        1,
        "no object of Kubernetes at all"
    );
    let shown = render::lint::findings("deployer.yaml", &Findings::default(), Style::PLAIN);
    assert_eq!(shown, "deployer.yaml: nothing of dcanary.dev\n");
}

#[test]
fn every_kind_that_is_defined_is_known() {
    let defined = dcanary_crds::generate::files().unwrap();
    assert_eq!(defined.len(), KINDS.len());
    for (file, text) in defined {
        let kind = KINDS
            .into_iter()
            .find(|kind| text.contains(&format!("\n    kind: {kind}\n")))
            .unwrap_or_else(|| panic!("{file} is of no known kind"));
        let found = lint(&format!(
            "apiVersion: dcanary.dev/v1alpha1\nkind: {kind}\nextra: 1\n"
        ));
        let said: Vec<_> = found.mistakes.iter().map(|mistake| &mistake.message).collect();
        assert!(
            said.iter().any(|said| said.contains("unknown field `extra`"))
                && !said.iter().any(|said| said.contains("no kind")),
            "{kind}: {said:?}"
        );
    }
}

#[test]
fn every_file_of_the_examples_is_clean() {
    let folders = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for folder in std::fs::read_dir(folders).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let files = entries.map(|file| file.unwrap().path());
        let mut all: Vec<(String, Findings)> = files
            .filter(|file| file.extension().is_some_and(|kind| kind == "yaml"))
            .map(|file| {
                let text = std::fs::read_to_string(&file).unwrap();
                let text = if file.ends_with("releases.yaml") {
                    pinned(&text)
                } else {
                    text
                };
                (file.display().to_string(), lint(&text))
            })
            .collect();
        together(&mut all);
        for (file, found) in &all {
            assert_eq!(found.mistakes, [], "{file}");
        }
        seen += all.len();
    }
    assert!(seen > 15, "{seen} files only");
}

/// Images by digest, as `scripts/pin.sh` writes them.
fn pinned(text: &str) -> String {
    let line = |line: &str| match line.split_once(": registry.local:5000/") {
        Some((name, _)) => format!("{name}: registry.local:5000/app@sha256:{}\n", "0".repeat(64)),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

const ENVIRONMENT: &str = "apiVersion: dcanary.dev/v1alpha1
kind: Environment
metadata:
  name: production
spec:
  workload:
    ref: {name: web}
  strategy:
    canary:
      steps:
      - weight: 20
      - weight: 50
  traffic:
    ports:
    - {name: http, port: 80}
";

#[test]
fn an_environment_is_judged_as_the_operator_does_with_the_place() {
    assert_eq!(lint(ENVIRONMENT).mistakes, []);
    for (text, line, said) in [
        (
            ENVIRONMENT.replace("weight: 50", "weight: 10"),
            12,
            "spec.strategy.canary.steps[1].weight is 10, less than 20",
        ),
        (
            format!(
                "{}    rolling: {{}}\n",
                &ENVIRONMENT[..ENVIRONMENT.find("    canary").unwrap()]
            ),
            7,
            "give strategy.canary or strategy.blueGreen",
        ),
        (
            ENVIRONMENT.replace("- weight: 50", "- wieght: 50"),
            12,
            "did you mean `weight`?",
        ),
    ] {
        let found = lint(&text).mistakes;
        assert!(
            found
                .iter()
                .any(|one| one.place.line == line && one.message.contains(said)),
            "no `{said}` in line {line}: {found:#?}\n{text}"
        );
    }
}

#[test]
fn a_profile_that_an_executor_of_a_namespace_cannot_have_is_told() {
    let executor = |kind: &str, profile: &str| {
        lint(&format!("apiVersion: dcanary.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{image: i, profile: {profile}}}\n")).mistakes
    };
    let found = executor("Executor", "baseline");
    assert!(
        found.len() == 1 && found[0].message.contains("ClusterExecutor"),
        "{found:?}"
    );
    assert_eq!(executor("Executor", "restricted"), []);
    assert_eq!(executor("ClusterExecutor", "baseline"), []);
}

const RUN: &str = "apiVersion: dcanary.dev/v1alpha1
kind: PipelineRun
metadata:
  name: web-1
spec:
  pipelineRef: {name: web}
  params:
  - {name: who, value: you}
";

#[test]
fn runs_are_checked_too_with_place_and_suggestion() {
    let found = lint(RUN);
    assert_eq!(
        (found.checked, found.mistakes),
        (vec!["PipelineRun web-1".to_owned()], vec![])
    );
    let inline = format!(
        "{}  pipelineSpec:\n    stages:\n    - name: a\n      image: busybox\n      dependsOn: [b]\n      steps:\n      - runs: make\n",
        RUN.replace("  pipelineRef: {name: web}\n", "")
    );
    let cases = [
        (
            RUN.replace("pipelineRef", "pipelinRef"),
            6,
            "did you mean `pipelineRef`?",
        ),
        (RUN.replace("  params", "  parms"), 7, "did you mean `params`?"),
        (
            RUN.replace("value: you", "vaule: you"),
            8,
            "did you mean `value`?",
        ),
        (
            RUN.replace("{name: web}", "{name: web, namespace: x}"),
            6,
            "unknown field `namespace`",
        ),
        (
            RUN.replace("  pipelineRef: {name: web}\n", ""),
            6,
            "exactly one of pipelineRef and pipelineSpec",
        ),
        (inline.clone(), 14, "did you mean `run`?"),
        (inline.replace("runs", "run"), 12, "`b`"),
    ];
    for (text, line, said) in cases {
        let found = lint(&text).mistakes;
        assert!(
            found
                .iter()
                .any(|one| one.place.line == line && one.message.contains(said)),
            "no `{said}` in line {line}: {found:#?}\n{text}"
        );
    }
}

#[test]
fn a_token_in_the_source_of_a_run_is_found_at_its_place_and_not_repeated() {
    let source = "  source: {repo: 'https://s3cr3t@git.example.com/web.git'}\n  params:";
    let found = lint(&RUN.replace("  params:", source)).mistakes;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].place.line, 7);
    let message = &found[0].message;
    assert!(
        message.contains("`credentials`") && !message.contains("s3cr3t"),
        "{message}"
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

#[test]
fn a_deployment_of_nothing_and_one_with_steps_are_found_at_their_place() {
    let deploys = format!("{GOOD}  - name: staging\n    dependsOn: [test]\n    environment: staging\n");
    let found = lint(&deploys);
    assert_eq!(found.mistakes.len(), 1, "{found:?}");
    let mistake = &found.mistakes[0];
    assert!(
        mistake
            .message
            .contains("no stage before this one builds an image"),
        "{}",
        mistake.message
    );
    assert_eq!(mistake.place.line, 18);
    let both = GOOD.replace(
        "    image: busybox\n    steps:\n    - run: make test",
        "    image: busybox\n    environment: staging\n    steps:\n    - run: make test",
    );
    assert!(
        lint(&both)
            .mistakes
            .iter()
            .any(|mistake| mistake.message.contains("move `steps`")),
        "{both}"
    );
}
