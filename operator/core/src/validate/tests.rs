#![allow(clippy::unwrap_used)]

use dcanary_crds::PipelineDefinition;

use super::{definition, review};
use crate::{Limits, problem::Problem};

pub(super) fn problems(yaml: &str) -> Vec<String> {
    let parsed: PipelineDefinition = serde_saphyr::from_str(yaml).unwrap();
    said(definition(&parsed, "spec", &Limits::default()))
}

fn advice(yaml: &str) -> Vec<String> {
    let parsed: PipelineDefinition = serde_saphyr::from_str(yaml).unwrap();
    said(review(&parsed, "spec", &Limits::default()).advice)
}

fn said(problems: Vec<Problem>) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

fn is_among(found: &[String], path: &str, words: &str) {
    assert!(
        found
            .iter()
            .any(|one| one.starts_with(&format!("{path}: ")) && one.contains(words)),
        "expected {path} … {words}\nin {found:#?}"
    );
}

pub(super) fn has(yaml: &str, path: &str, words: &str) {
    is_among(&problems(yaml), path, words);
}

pub(super) fn has_none(yaml: &str) {
    assert_eq!(problems(yaml), Vec::<String>::new(), "{yaml}");
}

/// It is told to who asks for advice, and nothing is refused for it.
pub(super) fn advised(yaml: &str, path: &str, words: &str) {
    has_none(yaml);
    is_among(&advice(yaml), path, words);
}

pub(super) fn not_advised(yaml: &str) {
    has_none(yaml);
    assert_eq!(advice(yaml), Vec::<String>::new(), "{yaml}");
}

pub(super) const DIAMOND: &str = r#"
params: [{name: version, default: "1"}, {name: deploy}]
source: {repo: "https://git.example.com/web.git"}
stages:
  - name: build
    image: busybox
    steps:
      - checkout: {}
      - run: |
          make "$PARAM_version" $(id -u)
      - artifact: {paths: [out/web.tar]}
  - name: unit-test
    image: busybox
    dependsOn: [build]
    when: params.deploy == "yes" && stages.build.results.ok == "1"
    env: [{name: TAG, value: "$(params.version)-$(stages.build.results.digest)"}]
    steps: [{run: "true"}, {run: "true", if: 'always() && steps["run-1"] != ""'}]
  - name: package
    image: busybox
    dependsOn: [unit-test]
    when: stages["unit-test"].outcome == "succeeded"
    steps: [{downloadArtifact: {name: web.tar}}, {image: {push: "r.example.com/web:$(source.commit)"}}]
finally:
  - {name: notify, image: busybox, when: 'stages["unit-test"].outcome != ""', steps: [{run: "true"}]}
"#;

#[test]
fn a_good_definition_has_no_problem() {
    assert_eq!(problems(DIAMOND), Vec::<String>::new());
}

#[test]
fn a_cycle_is_named_stage_by_stage() {
    let yaml = "stages:
  - {name: a, image: i, dependsOn: [b], steps: [{run: x}]}
  - {name: b, image: i, dependsOn: [c], steps: [{run: x}]}
  - {name: c, image: i, dependsOn: [a], steps: [{run: x}]}";
    has(yaml, "spec.stages[0].dependsOn", "a → b → c → a");
    let own = "stages: [{name: a, image: i, dependsOn: [a], steps: [{run: x}]}]";
    has(own, "spec.stages[0].dependsOn", "a → a");
}

#[test]
fn names_are_checked_and_suggested() {
    has(
        &DIAMOND.replace("dependsOn: [build]", "dependsOn: [biuld]"),
        "spec.stages[1].dependsOn[0]",
        "did you mean `build`?",
    );
    has(
        &DIAMOND.replace("name: package", "name: build"),
        "spec.stages[2].name",
        "already defined at spec.stages[0]",
    );
    has(
        &DIAMOND.replace("dependsOn: [unit-test]", "dependsOn: [notify]"),
        "spec.stages[2].dependsOn[0]",
        "`finally` stage",
    );
    has(
        &DIAMOND.replace("name: notify,", "name: notify, dependsOn: [build],"),
        "spec.finally[0].dependsOn",
        "remove it",
    );
    has(
        &DIAMOND.replace("name: package", "name: Package_1"),
        "spec.stages[2].name",
        "is no stage name",
    );
}

#[test]
fn expressions_name_only_what_is_there_and_upstream() {
    has(
        &DIAMOND.replace("$(params.version)", "$(params.versoin)"),
        "spec.stages[1].env[0].value",
        "did you mean `version`?",
    );
    has(
        &DIAMOND.replace("$(stages.build.results.digest)", "$(stages.build.digest)"),
        "spec.stages[1].env[0].value",
        "stages.STAGE.results.NAME",
    );
    has(
        &DIAMOND.replace("$(stages.build.results.digest)", "$(stages.package.results.x)"),
        "spec.stages[1].env[0].value",
        "add it to `dependsOn`",
    );
    has(
        &DIAMOND.replace("params.deploy ==", "params.deploy = ="),
        "spec.stages[1].when",
        "line 1, column",
    );
    has(
        &DIAMOND.replace("params.deploy ==", "parms.deploy =="),
        "spec.stages[1].when",
        "did you mean `params`?",
    );
    has(
        &DIAMOND.replace(
            "stages[\"unit-test\"].outcome == ",
            "stages.unit-test.outcome == ",
        ),
        "spec.stages[2].when",
        "stages[\"unit-test\"]",
    );
    has(
        &DIAMOND.replace("{name: web.tar}", "{name: web.tgz}"),
        "spec.stages[2].steps[0].downloadArtifact.name",
        "web.tgz",
    );
}

#[test]
fn a_reference_in_a_script_is_refused_with_the_fix_and_shell_substitution_is_not() {
    let yaml = DIAMOND.replace("\"$PARAM_version\"", "$(params.version)");
    has(
        &yaml,
        "spec.stages[0].steps[1].run",
        "line 1, column 6: `$(params.version)` is not replaced in scripts",
    );
    has(&yaml, "spec.stages[0].steps[1].run", "\"$PARAM_version\"");
    let result = DIAMOND.replace("$(id -u)", "$(stages.build.results.x)");
    has(&result, "spec.stages[0].steps[1].run", "\"$RESULT_build_x\"");
}

#[test]
fn limits_have_their_field_in_the_message() {
    has("stages: []", "spec.stages", "there is no stage");
    let many: String = (0..257)
        .map(|i| format!("\n  - {{name: s{i}, image: i, steps: [{{run: x}}]}}"))
        .collect();
    has(&format!("stages:{many}"), "spec.stages", "at most 256");
    let wide: String = (0..250)
        .map(|i| {
            let needs: Vec<String> = (0..i).map(|j| format!("s{j}")).collect();
            format!(
                "\n  - {{name: s{i}, image: i, dependsOn: [{}], steps: [{{run: x}}]}}",
                needs.join(", ")
            )
        })
        .collect();
    has(&format!("stages:{wide}"), "spec.stages", "in the journal");
    let script = "x".repeat(256 * 1024 + 1);
    has(
        &format!("stages: [{{name: a, image: i, steps: [{{run: {script}}}]}}]"),
        "spec.stages[0].steps[0].run",
        "256 KiB",
    );
    let steps = "{run: x},".repeat(51);
    has(
        &format!("stages: [{{name: a, image: i, steps: [{steps}]}}]"),
        "spec.stages[0].steps",
        "1 to 50",
    );
    has(
        "stages: [{name: a, image: i, retries: {count: 11}, steps: [{run: x}]}]",
        "spec.stages[0].retries.count",
        "0 to 10",
    );
    has(
        "stages: [{name: a, image: i, timeout: 0s, steps: [{run: x}]}]",
        "spec.stages[0].timeout",
        "longer than 0s",
    );
    has(
        "stages: [{name: a, steps: [{run: x}]}]",
        "spec.stages[0]",
        "give `image` or `executor`",
    );
    has(
        "stages: [{name: a, image: i, steps: [{name: only}]}]",
        "spec.stages[0].steps[0]",
        "exactly one of",
    );
    has(
        "stages: [{name: a, image: i, resources: {limits: {memory: 1 GB}}, steps: [{run: x}]}]",
        "spec.stages[0].resources.limits.memory",
        "no quantity",
    );
    has(
        "stages: [{name: a, image: i, env: [{name: PARAM_x, value: y}], steps: [{run: x}]}]",
        "spec.stages[0].env[0].name",
        "set by DCanary",
    );
}

#[test]
fn a_token_in_the_address_of_a_repository_is_refused_without_being_repeated() {
    let token = "https://s3cr3t@git.example.com/web.git";
    let source = DIAMOND.replace("https://git.example.com/web.git", token);
    has(&source, "spec.source.repo", "`credentials`, the name of a Secret");
    let step = DIAMOND.replace("checkout: {}", &format!("checkout: {{repo: '{token}'}}"));
    has(&step, "spec.stages[0].steps[0].checkout.repo", "`credentials`");
    for yaml in [source, step] {
        assert!(!problems(&yaml).join("\n").contains("s3cr3t"));
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let yaml = "stages:
  - {name: a, image: i, dependsOn: [x, y], when: '(', steps: [{run: 'echo $(params.z)'}, {}]}";
    assert_eq!(problems(yaml).len(), 5, "{:#?}", problems(yaml));
}

const TWO: &str = "stages:
  - {name: a, image: i, steps: [{run: x}]}
  - {name: a-b, image: i, steps: [{run: x}]}
  - {name: read, image: i, dependsOn: [a, a-b], env: [ENV], steps: [{run: 'SCRIPT'}]}";

#[test]
fn a_variable_that_may_be_two_results_is_refused_with_both_places() {
    let script = TWO.replace("ENV", "").replace("SCRIPT", "echo \"$RESULT_a_b_c\"");
    has(
        &script,
        "spec.stages[2].steps[0].run",
        "result `b_c` of stage `a` (spec.stages[0]) or result `c` of stage `a-b` (spec.stages[1])",
    );
    let env = TWO.replace("SCRIPT", "x").replace(
        "ENV",
        "{name: X, value: $(stages.a.results.b_c)}, {name: Y, value: $(stages.a-b.results.c)}",
    );
    has(
        &env,
        "spec.stages[2].env[1].value",
        "`$(stages.a-b.results.c)` and `$(stages.a.results.b_c)` at spec.stages[2].env[0].value have the same variable RESULT_a_b_c",
    );
    // whatever can be one result only is left alone, and so is what only looks like a variable of ours
    for script in [
        "echo $RESULT_a_c",
        "echo $RESULT_a_b",
        "echo $MY_RESULT_a_b_c",
        "echo $RESULT_other_b_c",
    ] {
        let good = TWO.replace("ENV", "").replace("SCRIPT", script);
        assert_eq!(problems(&good), Vec::<String>::new(), "{script}");
    }
    let one = TWO.replace("SCRIPT", "x").replace(
        "ENV",
        "{name: X, value: $(stages.a.results.b_c)}, {name: Y, value: $(stages.a.results.b_c)}",
    );
    assert_eq!(problems(&one), Vec::<String>::new());
}

#[test]
fn however_much_is_wrong_a_hundred_mistakes_are_told() {
    // each name is as long as it may be and nearly another one: comparing all of them with all would take hours
    let name = |i: usize| format!("{}{i:04}", "n".repeat(59));
    let needs: Vec<String> = (0..256).map(|i| format!("{}{i:04}", "m".repeat(59))).collect();
    let mut parsed: PipelineDefinition =
        serde_saphyr::from_str("stages: [{name: a, image: i, steps: [{run: x}]}]").unwrap();
    let stage = parsed.stages[0].clone();
    parsed.stages = (0..1000)
        .map(|i| dcanary_crds::Stage {
            name: name(i),
            depends_on: needs.clone(),
            ..stage.clone()
        })
        .collect();
    assert_eq!(definition(&parsed, "spec", &Limits::CEILINGS).len(), 100);
}

#[test]
fn nothing_is_suggested_for_a_word_that_is_no_name() {
    let long = "x".repeat(1 << 20);
    assert_eq!(
        crate::problem::suggestion(&long, [format!("{long}y").as_str()]),
        ""
    );
    let short = "x".repeat(64);
    let near = format!("{}y", &short[1..]);
    assert!(crate::problem::suggestion(&short, [near.as_str()]).contains(&near));
}

const DEPLOYED: &str = r#"
stages:
  - {name: build, image: i, steps: [{image: {name: web, push: "r.example.com/web:1"}}]}
  - {name: staging, dependsOn: [build], environment: staging}
  - {name: check, dependsOn: [staging], image: i, steps: [{run: 'echo "$RESULT_staging_release"'}]}
  - {name: production, dependsOn: [check], environment: production, when: 'source.ref == "main"', timeout: 72h}
"#;

#[test]
fn a_stage_with_an_environment_needs_no_steps_and_no_image() {
    assert_eq!(problems(DEPLOYED), Vec::<String>::new());
}

#[test]
fn a_stage_with_an_environment_and_steps_says_where_they_go() {
    let yaml = DEPLOYED.replace(
        "environment: staging",
        "environment: staging, image: i, steps: [{run: x}]",
    );
    has(
        &yaml,
        "spec.stages[1].environment",
        "move `steps` into a stage of their own",
    );
}

#[test]
fn what_only_pods_have_is_refused_beside_an_environment() {
    for (name, value) in [
        ("image", "i"),
        ("executor", "e"),
        ("env", "[{name: A, value: b}]"),
        ("resources", "{}"),
        ("pendingTimeout", "1m"),
    ] {
        let yaml = DEPLOYED.replace(
            "environment: staging",
            &format!("environment: staging, {name}: {value}"),
        );
        has(
            &yaml,
            &format!("spec.stages[1].{name}"),
            &format!("remove `{name}`"),
        );
    }
}

#[test]
fn a_deployment_without_an_image_before_it_or_with_two_of_one_name_is_a_mistake() {
    has(
        &DEPLOYED.replace("staging, dependsOn: [build]", "staging"),
        "spec.stages[1].environment",
        "no stage before this one builds an image",
    );
    let twice = DEPLOYED.replace(
        "  - {name: staging, dependsOn: [build]",
        "  - {name: other, image: i, steps: [{image: {push: 'r.example.com/web:2'}}]}\n  - {name: staging, dependsOn: [build, other]",
    );
    has(
        &twice,
        "spec.stages[2].environment",
        "stages `build` and `other` both build an image `web`",
    );
    let last = format!("{DEPLOYED}finally: [{{name: last, environment: production}}]");
    has(&last, "spec.finally[0].environment", "deploy in one of `stages`");
}
