//! Results that are missing: whether somebody counted on them in vain.

use dcanary_crds::{ConditionStatus, ConditionType, StageState};

use crate::{
    drive::drive,
    faults::condition,
    scenario::{Behaviour, Scenario, Stage, stage},
    world::World,
};

/// A run of `build`, which gives `version` and nothing else, and of `use`, which needs it.
fn used(build: Stage, reads: Option<&'static str>, when: Option<&str>) -> World {
    let reader = Stage {
        reads,
        when: when.map(str::to_owned),
        ..stage("use", &[0], &[Behaviour::Succeed])
    };
    drive(Scenario::of(vec![build, reader]), &[], None).world
}

fn built() -> Stage {
    stage("build", &[], &[Behaviour::Succeed])
}

#[test]
fn a_stage_that_succeeded_without_a_result_fails_what_needs_it_and_the_run() {
    for (reads, when) in [
        (Some("$(stages.build.results.verison)"), None),
        (None, Some("stages.build.results.verison == '1.2'")),
        (None, Some("stages['build'].results['verison'] != ''")),
    ] {
        let world = used(built(), reads, when);
        let stage = &world.status().stages[1];
        let told = (stage.state, stage.attempts[0].reason.as_str());
        assert_eq!(
            told,
            (StageState::Failed, "ResultMissing"),
            "{reads:?} {when:?}: {stage:?}"
        );
        assert!(
            stage.attempts[0].message.contains("verison"),
            "{:?}",
            stage.attempts[0].message
        );
        assert_eq!(
            condition(&world, ConditionType::Succeeded).0,
            ConditionStatus::False
        );
    }
}

#[test]
fn a_stage_that_was_skipped_or_failed_gives_none_and_what_needs_it_is_skipped() {
    let skipped = Stage {
        when: Some("run.name == ''".to_owned()),
        ..built()
    };
    let failed = Stage {
        optional: true,
        ..stage("build", &[], &[Behaviour::Fail])
    };
    for build in [skipped, failed] {
        for (reads, when) in [
            (Some("$(stages.build.results.version)"), None),
            (None, Some("stages.build.results.version == '1.2'")),
        ] {
            let world = used(build.clone(), reads, when);
            let stage = &world.status().stages[1];
            let told = (stage.state, stage.reason.as_str());
            assert_eq!(
                told,
                (StageState::Skipped, "Results"),
                "{reads:?} {when:?}: {stage:?}"
            );
            assert_eq!(
                condition(&world, ConditionType::Succeeded).0,
                ConditionStatus::True
            );
        }
    }
}

/// A run of `build`, `lint`, which failed and is optional, and `use`, which needs both.
fn beside_a_failure(when: &str, parallelism: Option<u32>) -> World {
    let lint = Stage {
        optional: true,
        ..stage("lint", &[], &[Behaviour::Fail])
    };
    let reader = Stage {
        when: Some(when.to_owned()),
        ..stage("use", &[0, 1], &[Behaviour::Succeed])
    };
    let scenario = Scenario {
        parallelism,
        ..Scenario::of(vec![built(), lint, reader])
    };
    drive(scenario, &[], None).world
}

#[test]
fn a_failure_beside_it_excuses_no_result_that_another_stage_left_out() {
    for (when, state, reason) in [
        (
            "stages.lint.outcome == 'failed' && stages.build.results.verison == '1'",
            StageState::Failed,
            "ResultMissing",
        ),
        (
            "stages.lint.results.version == '1' || stages.build.results.verison == '1'",
            StageState::Failed,
            "ResultMissing",
        ),
        (
            "stages.lint.results.version == '1' && stages.build.outcome == 'succeeded'",
            StageState::Skipped,
            "Results",
        ),
    ] {
        for parallelism in [None, Some(1)] {
            let world = beside_a_failure(when, parallelism);
            let stage = &world.status().stages[2];
            let last = stage
                .attempts
                .last()
                .map_or(stage.reason.as_str(), |attempt| attempt.reason.as_str());
            assert_eq!(
                (stage.state, last),
                (state, reason),
                "{when} {parallelism:?}: {stage:?}"
            );
        }
    }
}

#[test]
fn what_is_no_result_and_not_there_fails_the_stage_by_that_name() {
    let world = used(built(), None, Some("{'a': true}[run.name]"));
    let stage = &world.status().stages[1];
    assert_eq!(
        (stage.state, stage.attempts[0].reason.as_str()),
        (StageState::Failed, "ConditionFailed"),
        "{stage:?}"
    );
}

#[test]
fn a_condition_may_ask_whether_there_is_a_result() {
    for (when, state) in [
        ("has(stages.build.results.verison)", StageState::Skipped),
        ("!has(stages.build.results.verison)", StageState::Succeeded),
        ("has(stages.build.results.version)", StageState::Succeeded),
    ] {
        let world = used(built(), None, Some(when));
        assert_eq!(world.status().stages[1].state, state, "{when}");
        assert_eq!(
            condition(&world, ConditionType::Succeeded).0,
            ConditionStatus::True
        );
    }
}
