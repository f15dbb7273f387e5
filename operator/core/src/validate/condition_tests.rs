//! Conditions, variables of scripts, and names: what is refused before a run begins.

use super::tests::{DIAMOND, advised, has, has_none, not_advised};

#[test]
fn a_condition_that_can_never_be_as_it_is_meant_is_refused_with_what_to_write() {
    let when = |text: &str| {
        DIAMOND.replace(
            "when: stages[\"unit-test\"].outcome == \"succeeded\"",
            &format!("when: '{text}'"),
        )
    };
    let place = "spec.stages[2].when";
    has(&when("params.deploy"), place, "write `params.deploy == \"true\"`");
    has(&when("size(params.deploy)"), place, "this gives a number");
    has(
        &when("stages[\"unit-test\"].outcome == \"success\""),
        place,
        "`success` is no outcome; there are succeeded, failed, skipped, cancelled",
    );
    has(&when("failed()"), place, "there is no function `failed`");
    has(
        &when("steps.x.outcome == \"failed\""),
        place,
        "there is no variable `steps`",
    );
}

#[test]
fn a_condition_of_a_step_names_earlier_steps_of_its_stage() {
    let yaml = |text: &str| {
        format!(
            "stages: [{{name: a, image: i, steps: [{{name: push-it, run: x}}, {{run: y, if: '{text}'}}]}}]"
        )
    };
    has_none(&yaml("steps[\"push-it\"].outcome == \"timedOut\""));
    let place = "spec.stages[0].steps[1].if";
    has(
        &yaml("steps.push-it.outcome == \"failed\""),
        place,
        "write steps[\"push-it\"]",
    );
    has(
        &yaml("steps[\"pushit\"].outcome == \"failed\""),
        place,
        "did you mean `push-it`?",
    );
    has(
        &yaml("steps[\"run-2\"].outcome == \"failed\""),
        place,
        "no step before this one is named `run-2`; before it there are `",
    );
    has(
        &yaml("steps[\"push-it\"].outcome == \"cancelled\""),
        place,
        "timedOut",
    );
    has(
        &yaml("step.x == \"\""),
        place,
        "source, run, steps, did you mean `steps`?",
    );
}

#[test]
fn a_misspelt_variable_of_a_parameter_is_told_where_it_can_be_nothing_else() {
    let yaml = |script: &str| {
        let step = serde_json::json!([{"run": script}]);
        format!("params: [{{name: who}}]\nstages: [{{name: a, image: i, steps: {step}}}]")
    };
    let place = "spec.stages[0].steps[0].run";
    for bad in [
        "echo $PARAM_whom",
        "echo \"${PARAM_whom}\"",
        "x=1; echo $PARAM_whom # who",
    ] {
        advised(
            &yaml(bad),
            place,
            "`$PARAM_whom`, which is not set, did you mean `PARAM_who`?",
        );
    }
    for good in [
        "echo $PARAM_who ${PARAM_who}",
        "echo $PARAM_nowhere_near",
        "echo ${PARAM_whom:-nobody}",
        "PARAM_whom=x; echo $PARAM_whom",
        "for PARAM_whom in a b; do echo $PARAM_whom; done",
        "read -r PARAM_whom; echo $PARAM_whom",
        "[ -n \"${PARAM_whom:-}\" ] && echo $PARAM_whom",
        ": \"${PARAM_whom:=x}\"; echo $PARAM_whom",
        "# echo $PARAM_whom",
        "echo '$PARAM_whom'",
        "echo $$PARAM_whom \\$PARAM_whom",
        "MY_PARAM_whom=1; echo $MY_PARAM_whom",
    ] {
        not_advised(&yaml(good));
    }
}

#[test]
fn names_that_the_server_would_refuse_are_refused() {
    let yaml = |step: &str| format!("stages: [{{name: a, image: i, steps: [{step}]}}]");
    has(
        &yaml("{artifact: {paths: [x], name: \"a b\"}}"),
        "spec.stages[0].steps[0].artifact.name",
        "`a b` is no name",
    );
    has(
        &yaml("{image: {push: r.example.com/a, name: a/b}}"),
        "spec.stages[0].steps[0].image.name",
        "`a/b` is no name",
    );
    // what is found under a pattern has a name that other stages can write
    let globbed = "stages: [{name: a, image: i, steps: [{artifact: {paths: [\"dist/*.tar\"]}}]}, {name: b, image: i, dependsOn: [a], steps: [{downloadArtifact: {name: x.tar}}]}]";
    has_none(globbed);
    has(
        &globbed.replace("x.tar", "\"*.tar\""),
        "spec.stages[1].steps[0].downloadArtifact.name",
        "stores an artifact",
    );
    has(
        &globbed
            .replace("name: x.tar", "name: dist.tr")
            .replace("dist/*.tar", "dist.tar"),
        "spec.stages[1].steps[0].downloadArtifact.name",
        "did you mean `dist.tar`?",
    );
}

#[test]
fn a_name_that_begins_as_a_longer_one_is_looked_at_where_a_variable_ends_it() {
    let yaml = "stages: [{name: build, image: i, steps: [{run: x}]}, {name: build-source, image: i, steps: [{run: x}]}, {name: use, image: i, steps: [{run: x}], when: 'stages.build.results.x == \"1\" && source.ref == \"main\"'}]";
    has(
        yaml,
        "spec.stages[2].when",
        "stage `build` is not upstream of this one",
    );
}

#[test]
fn an_image_whose_repository_ends_in_an_expression_needs_a_name() {
    let yaml = |more: &str| {
        format!(
            "params: [{{name: img}}]\nstages: [{{name: a, image: i, steps: [{{image: {{push: \"r.example.com/x/$(params.img):1\"{more}}}}}]}}]"
        )
    };
    has(&yaml(""), "spec.stages[0].steps[0].image.push", "give `name`");
    has_none(&yaml(", name: app"));
}
