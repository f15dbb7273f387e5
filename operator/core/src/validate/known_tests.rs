//! Of mistakes that would show only in a Pod, and of references that cannot be.

use super::tests::{advised, has, has_none, not_advised};

fn steps(steps: &str) -> String {
    format!("stages: [{{name: a, image: i, steps: [{steps}]}}]")
}

fn script(line: &str) -> String {
    steps(&format!("{{run: '{line}'}}"))
}

#[test]
fn what_begins_as_a_reference_in_a_script_and_is_none_is_told_and_refuses_nothing() {
    let place = "spec.stages[0].steps[0].run";
    for (line, told) in [
        (
            "echo $(source.branch)",
            "line 1, column 6: `$(source.branch)` is no reference",
        ),
        ("echo $(source.branch)", "\"$DCANARY_REF\""),
        (
            "$(stages.build.tag)",
            "write stages.STAGE.results.NAME, in a script \"$RESULT_STAGE_NAME\"",
        ),
        ("$(run.id)", "\"$DCANARY_RUN_UID\""),
        (
            "$(trigger.by)",
            "give it as a parameter; a program that is really called so is `$(command NAME)`",
        ),
        ("$(params.a", "`$(params.a` is no reference"),
        (
            "$(tasks.a.results.b)",
            "a result of another stage is a variable, in a script \"$RESULT_STAGE_NAME\"",
        ),
        ("$(workspaces.src.path)", "a stage has one workspace"),
        (
            "echo ${{ inputs.x }}",
            "line 1, column 6: `${{` is not replaced in scripts",
        ),
    ] {
        advised(&script(line), place, told);
    }
    not_advised(&script(
        "echo $(date) $(git -C a log) $(run.sh) $(command run.id)",
    ));
    // one that is a reference is a mistake, also behind one that is none
    let both = script("make $(source.objs) $(params.a)");
    has(&both, place, "line 1, column 21: `$(params.a)` is not replaced");
    for other in [
        "{shell: [python3], run: \"print('$(run.args)')\"}",
        "{run: \"cat > Makefile <<'EOF'\\n$(source.objs)\\nEOF\"}",
    ] {
        has_none(&steps(other));
    }
}

#[test]
fn what_is_no_reference_is_refused_where_references_are_replaced() {
    let env = |value: &str| steps(&format!("{{run: x, env: [{{name: A, value: '{value}'}}]}}"));
    let place = "spec.stages[0].steps[0].env[0].value";
    has(
        &env("x-$(run.name"),
        place,
        "`$(run.name` is no reference: close it with `)`",
    );
    has(&env("$(trigger.by)"), place, "give it as a parameter");
    has_none(&env("$(run.name) $(date) $$(x"));
}

#[test]
fn conditions_and_defaults_have_no_references_in_their_texts() {
    let yaml = "params: [{name: a, default: x}, {name: b, default: DEFAULT}]
stages:
  - {name: a, image: i, when: 'WHEN', steps: [{run: x, if: 'IF'}]}";
    let with = |default: &str, when: &str, condition: &str| {
        yaml.replace("DEFAULT", default)
            .replace("WHEN", when)
            .replace("IF", condition)
    };
    let (good, text) = ("params.a == \"x\"", "\"$(params.a)\" == \"x\"");
    has_none(&with("$(id)", good, good));
    has(
        &with("$(params.a)", good, good),
        "spec.params[1].default",
        "not replaced here",
    );
    has(
        &with("x", text, good),
        "spec.stages[0].when",
        "write params.a without quotes",
    );
    has(
        &with("x", good, text),
        "spec.stages[0].steps[0].if",
        "write params.a without quotes",
    );
}

#[test]
fn paths_stay_in_the_workspace_and_out_of_the_runners_folder() {
    for (step, field, told) in [
        (
            "{artifact: {paths: [a, ../x]}}",
            "artifact.paths[1]",
            "leads out of the workspace",
        ),
        (
            "{artifact: {paths: [/etc/passwd]}}",
            "artifact.paths[0]",
            "leads out of the workspace",
        ),
        ("{artifact: {paths: ['a[b']}}", "artifact.paths[0]", "is no glob"),
        (
            "{run: x, workingDir: /etc}",
            "workingDir",
            "leads out of the workspace",
        ),
        (
            "{run: x, workingDir: ../a}",
            "workingDir",
            "leads out of the workspace",
        ),
        (
            "{checkout: {path: ../up}}",
            "checkout.path",
            "leads out of the workspace",
        ),
        (
            "{checkout: {path: ./.dcanary/home}}",
            "checkout.path",
            "folder of the runner",
        ),
        (
            "{downloadArtifact: {name: a, path: ../x}}",
            "downloadArtifact.path",
            "leads out of the workspace",
        ),
        (
            "{image: {push: r/x, files: [{from: ../etc, to: /x}]}}",
            "image.files[0].from",
            "leads out of the workspace",
        ),
        (
            "{image: {push: r/x, files: [{from: etc, to: /a/../x}]}}",
            "image.files[0].to",
            "no place in an image",
        ),
    ] {
        has(&steps(step), &format!("spec.stages[0].steps[0].{field}"), told);
    }
    has_none(&steps(
        "{checkout: {path: /workspace/src}}, {run: x, workingDir: src}, {artifact: {paths: [., 'b/**/[a-z]*']}},
         {image: {push: r/x, files: [{from: ., to: /}]}}",
    ));
}

#[test]
fn two_checkouts_into_one_directory_are_a_mistake_when_both_are_sure() {
    let place = "spec.stages[0].steps[1].checkout.path";
    has(
        &steps("{checkout: {}}, {checkout: {path: ./}}"),
        place,
        "steps[0]",
    );
    has(
        &steps("{checkout: {path: a}}, {checkout: {path: /workspace/a}}"),
        place,
        "another `path`",
    );
    for good in [
        "{checkout: {}}, {checkout: {path: lib}}",
        "{checkout: {}}, {run: rm -rf .git}, {checkout: {}}",
        "{checkout: {}}, {checkout: {}, if: failure()}",
        "{checkout: {}, continueOnError: true}, {checkout: {}}",
    ] {
        has_none(&steps(good));
    }
}

#[test]
fn what_is_checked_out_can_be_fetched() {
    let place = "spec.stages[0].steps[0].checkout";
    for (field, value, told) in [
        ("repo", "file:///x", "local repositories are not fetched"),
        ("repo", "http://h:99999/x", "ports end at 65535"),
        ("repo", "ftp://h/x", "only https, http, ssh and git"),
        ("ref", "a:b", "no branch, tag or id"),
        ("ref", "main~1", "no branch, tag or id"),
        ("credentials", "A B", "no name of a Secret"),
    ] {
        let yaml = steps(&format!("{{checkout: {{{field}: '{value}'}}}}"));
        has(&yaml, &format!("{place}.{field}"), told);
    }
    has_none(&steps(
        "{checkout: {repo: 'file://$(run.name)', ref: 'a:$(run.name)'}}",
    ));
    let source = |source: &str| format!("source: {{{source}}}\n{}", steps("{run: x}"));
    has(&source("repo: /srv/a"), "spec.source.repo", "local repositories");
    has(
        &source("repo: 'git@h:a', ref: main^"),
        "spec.source.ref",
        "no branch, tag or id",
    );
}

#[test]
fn an_image_is_one_that_a_registry_can_have() {
    let stage = |image: &str| format!("stages: [{{name: a, image: '{image}', steps: [{{run: x}}]}}]");
    has(
        &stage("r/x:1 y"),
        "spec.stages[0].image",
        "invalid reference format",
    );
    has(
        &stage("r.example/X:1"),
        "spec.stages[0].image",
        "must be lowercase",
    );
    let digest = format!("r.example:5000/a/b:1@sha256:{}", "a".repeat(64));
    has_none(&stage(&digest));
    has_none(&stage("busybox"));
    let push = |push: &str| steps(&format!("{{image: {{push: '{push}'}}}}"));
    let place = "spec.stages[0].steps[0].image.push";
    has(&push("nope:1"), place, "names no registry");
    has(&push("r.example/Nope:1"), place, "must be lowercase");
    has(&push(&digest), place, "not to a digest");
    has_none(&push("r.example/nope:$(run.name)"));
    let base = steps("{image: {push: r/x, base: 'a b'}}");
    has(&base, "spec.stages[0].steps[0].image.base", "is no image");
}

#[test]
fn names_and_labels_are_those_of_the_api_server() {
    let stage = |more: &str| format!("stages: [{{name: a, image: i, {more}, steps: [{{run: x}}]}}]");
    for (more, field, told) in [
        (
            "podTemplate: {labels: {'a b': x}}",
            "podTemplate.labels.a b",
            "no name of a label",
        ),
        (
            "podTemplate: {labels: {a: x y}}",
            "podTemplate.labels.a",
            "no value of a label",
        ),
        (
            "podTemplate: {nodeSelector: {A_/b: x}}",
            "podTemplate.nodeSelector.A_/b",
            "no name of a label",
        ),
        (
            "podTemplate: {annotations: {a/b/c: x}}",
            "podTemplate.annotations.a/b/c",
            "no name of a label",
        ),
        ("secrets: [{name: A B}]", "secrets[0].name", "no name of a Secret"),
        (
            "env: [{name: A, secret: {name: A_B, key: k}}]",
            "env[0].secret.name",
            "no name of a Secret",
        ),
        (
            "env: [{name: A, secret: {name: a, key: k/l}}]",
            "env[0].secret.key",
            "no key of a Secret",
        ),
        (
            "env: [{name: A, value: \"a\\0b\"}]",
            "env[0].value",
            "NUL character",
        ),
        (
            "resources: {requests: {cpu: '2'}, limits: {cpu: '1'}}",
            "resources.requests.cpu",
            "more than the limit `1`",
        ),
        (
            "resources: {requests: {memory: 1Gi}, limits: {memory: 1000M}}",
            "resources.requests.memory",
            "more than",
        ),
    ] {
        has(&stage(more), &format!("spec.stages[0].{field}"), told);
    }
    has_none(&stage(
        "podTemplate: {labels: {example.com/a_b.c: 1.x_y, e: ''}, annotations: {a.b/c: 'any text: it is', Company.com/Owner: x}, nodeSelector: {pool: builds}},
         secrets: [{name: a.b-1}], resources: {requests: {cpu: 100m, memory: 1024Mi}, limits: {cpu: '0.1', memory: 1Gi}}",
    ));
    let pull = format!("imagePullSecrets: [A B]\n{}", steps("{run: x}"));
    has(&pull, "spec.imagePullSecrets[0]", "no name of a Secret");
}

#[test]
fn an_image_may_lie_at_an_ipv6_address_where_the_kubelet_pulls_it() {
    has_none("stages: [{name: a, image: '[fd00::1]:5000/team/builder:1', steps: [{run: x}]}]");
    let base = "{image: {push: r.example.com/a/b, base: '[fd00::1]:5000/team/builder:1', files: [{from: a, to: /a}]}}";
    has(&steps(base), "spec.stages[0].steps[0].image.base", "is no image");
}

#[test]
fn a_result_that_is_not_there_yet_is_told_where_a_script_reads_it() {
    let with = |script: &str| {
        format!(
            "stages:
- {{name: a, image: i, steps: [{{run: x}}]}}
- {{name: unit-test, image: i, steps: [{{run: x}}]}}
- {{name: b, image: i, dependsOn: [a], steps: [{{run: '{script}'}}]}}"
        )
    };
    let place = "spec.stages[2].steps[0].run";
    advised(
        &with("echo \"$RESULT_unit_test_x\""),
        place,
        "stage `unit-test` is not upstream of this one",
    );
    advised(&with("echo ${RESULT_b_x}"), place, "after it has ended");
    not_advised(&with("echo $RESULT_a_x $RESULT_q_x $RESULT_a"));
    not_advised(&with("RESULT_b_x=1; echo $RESULT_b_x"));
}
