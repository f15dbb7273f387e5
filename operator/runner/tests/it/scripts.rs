//! `run` steps: order, outcome, environment, time.

use std::time::{Duration, Instant};

use dcanary_protocol::frame::{Frame, Stream};
use dcanary_protocol::plan::Action;
use dcanary_protocol::report::{Outcome, StepOutcome};

use crate::pod::{Pod, script, variable};

#[tokio::test]
async fn a_stage_that_succeeds_reports_its_steps_and_exits_with_0() {
    let pod = Pod::new()
        .await
        .run_step("echo one; echo two >&2")
        .run_step("echo three");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(end.report().outcome, Outcome::Succeeded);
    assert_eq!(end.outcomes(), [StepOutcome::Succeeded, StepOutcome::Succeeded]);
    assert_eq!(pod.double.output_of(0, Some(Stream::Stdout)), "one\n");
    assert_eq!(pod.double.output_of(0, Some(Stream::Stderr)), "two\n");
    assert_eq!(pod.double.output(1), "three\n");
    assert!(
        end.stdout.contains("one\n") && end.stdout.contains("three\n"),
        "{}",
        end.stdout
    );
    let kinds: Vec<&str> = pod
        .double
        .seen()
        .frames
        .iter()
        .map(|frame| match frame {
            Frame::StepStarted { .. } => "started",
            Frame::StepFinished { .. } => "finished",
            _ => "log",
        })
        .collect();
    assert_eq!(
        kinds,
        ["started", "log", "log", "finished", "started", "log", "finished"]
    );
}

#[tokio::test]
async fn a_failed_step_ends_the_stage_though_a_later_step_exits_with_0() {
    let pod = Pod::new()
        .await
        .run_step("exit 3")
        .run_step("echo never")
        .run_step("echo cleaning; exit 0")
        .with(|step| step.condition = Some("always()".into()));
    let end = pod.run().await;
    assert_eq!(end.code, Some(1));
    assert_eq!(end.report().outcome, Outcome::Failed);
    assert_eq!(end.report().reason, "StepFailed");
    assert_eq!(
        end.outcomes(),
        [StepOutcome::Failed, StepOutcome::Skipped, StepOutcome::Succeeded]
    );
    assert_eq!(end.report().steps[0].exit_code, Some(3));
    assert_eq!(pod.double.output(2), "cleaning\n");
}

#[tokio::test]
async fn a_failure_with_continue_on_error_fails_nothing() {
    let pod = Pod::new()
        .await
        .run_step("exit 3")
        .with(|step| step.continue_on_error = true)
        .run_step("true");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0));
    assert_eq!(end.outcomes(), [StepOutcome::Failed, StepOutcome::Succeeded]);
}

#[tokio::test]
async fn values_with_quotes_semicolons_and_newlines_execute_nothing() {
    let value = "a\"b'c; touch pwned\n$(touch pwned) `touch pwned` ${IFS} %s \\";
    let mut pod = Pod::new()
        .await
        .run_step("printf '%s' \"$PARAM_x\"; echo \"x<<E\n$PARAM_x\nE\" >> \"$DCANARY_RESULTS\"");
    pod.plan.env.push(variable("PARAM_x", value));
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report());
    assert_eq!(pod.double.output(0).trim_end(), value);
    assert!(!pod.workspace().join("pwned").exists());
    assert_eq!(end.result("x"), Some(value));
}

#[tokio::test]
async fn steps_see_neither_plan_nor_token_path() {
    let pod = Pod::new()
        .await
        .run_step("env; echo \"home $HOME\"; test -d \"$HOME\"");
    pod.run().await;
    let output = pod.double.output(0);
    assert!(
        !output.contains("DCANARY_PLAN_") && !output.contains("DCANARY_TOKEN_FILE"),
        "{output}"
    );
    assert!(output.contains(".dcanary/home"), "{output}");
}

#[tokio::test]
async fn a_step_variable_wins_over_the_stage_and_the_container() {
    let mut pod = Pod::new()
        .await
        .run_step("echo $A $B $C")
        .with(|step| step.env = vec![variable("C", "step")]);
    pod.variables = ["A", "B", "C"]
        .map(|name| (name.to_owned(), "container".to_owned()))
        .to_vec();
    pod.plan.env = vec![variable("B", "stage"), variable("C", "stage")];
    pod.run().await;
    assert_eq!(pod.double.output(0), "container stage step\n");
}

#[tokio::test]
async fn the_shell_can_be_chosen_and_a_missing_one_is_named() {
    let shell = |words: &[&str]| Action::Run {
        script: "print(40 + 2)".into(),
        shell: words.iter().map(|&word| word.to_owned()).collect(),
    };
    let pod = Pod::new()
        .await
        .step(shell(&["perl", "-ne", "print eval"]))
        .step(shell(&["/bin/nothing"]));
    let end = pod.run().await;
    assert_eq!(pod.double.output(0), "421\n");
    assert_eq!(
        end.message(1),
        "the shell `/bin/nothing` does not exist in this image"
    );
}

#[tokio::test]
async fn a_working_directory_must_exist_inside_the_workspace() {
    let pod = Pod::new()
        .await
        .run_step("mkdir -p a/b; ln -s /etc out")
        .run_step("pwd")
        .with(|step| step.working_dir = Some("a/b".into()))
        .run_step("pwd")
        .with(|step| {
            step.working_dir = Some("out".into());
            step.continue_on_error = true;
        })
        .run_step("pwd")
        .with(|step| step.working_dir = Some("absent".into()));
    let end = pod.run().await;
    assert!(pod.double.output(1).ends_with("workspace/a/b\n"));
    assert!(
        end.message(2).contains("`out` leads out of the workspace"),
        "{}",
        end.message(2)
    );
    assert!(
        end.message(3).contains("`absent` cannot be used"),
        "{}",
        end.message(3)
    );
}

#[tokio::test]
async fn a_step_that_ignores_sigterm_is_killed_after_the_grace_time() {
    let pod = Pod::new()
        .await
        .run_step("trap '' TERM; echo ready; while :; do sleep 0.1; done")
        .with(|step| step.timeout_seconds = 1)
        .run_step("echo cleaning")
        .with(|step| step.condition = Some("always()".into()));
    let begin = Instant::now();
    let end = pod.run().await;
    assert!(begin.elapsed() > Duration::from_secs(2) && begin.elapsed() < Duration::from_secs(8));
    assert_eq!(end.code, Some(1));
    assert_eq!(end.report().reason, "StepTimedOut");
    assert_eq!(end.outcomes(), [StepOutcome::TimedOut, StepOutcome::Succeeded]);
}

#[tokio::test]
async fn a_step_may_clean_up_within_the_grace_time() {
    let pod = Pod::new()
        .await
        .run_step("trap 'sleep 0.3; echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
        .with(|step| step.timeout_seconds = 1);
    let end = pod.run().await;
    assert!(
        pod.double.output(0).ends_with("cleaned\n"),
        "{}",
        pod.double.output(0)
    );
    assert_eq!(
        end.outcomes(),
        [StepOutcome::TimedOut],
        "exit 0 after the time is over is no success"
    );
}

#[tokio::test]
async fn a_stage_whose_time_is_over_ends_with_exit_code_4_and_skips_the_rest() {
    let mut pod = Pod::new()
        .await
        .run_step("sleep 60")
        .run_step("echo never")
        .with(|step| step.condition = Some("always()".into()));
    pod.plan.timeout_seconds = 1;
    let end = pod.run().await;
    assert_eq!(end.code, Some(4));
    assert_eq!(end.report().outcome, Outcome::TimedOut);
    assert_eq!(end.report().reason, "StageTimedOut");
    assert_eq!(end.outcomes(), [StepOutcome::TimedOut, StepOutcome::Skipped]);
}

#[tokio::test]
async fn a_step_that_a_signal_ends_is_reported_as_killed() {
    let pod = Pod::new().await.run_step("kill -SEGV $$");
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Killed]);
    assert_eq!(end.report().reason, "StepKilled");
    assert!(end.message(0).contains("SIGSEGV"), "{}", end.message(0));
}

#[tokio::test]
async fn a_condition_that_is_not_understood_fails_its_step_by_name() {
    let pod = Pod::new()
        .await
        .step(script("true"))
        .with(|step| step.condition = Some("nonsense(".into()));
    let end = pod.run().await;
    assert_eq!(end.report().reason, "ConditionInvalid");
    assert!(
        end.report().message.contains("step-0") && end.report().message.contains("if"),
        "{:?}",
        end.report()
    );
}

#[tokio::test]
async fn conditions_see_the_plan_and_the_outcomes_of_earlier_steps() {
    use StepOutcome::{Failed, Skipped, Succeeded};
    let condition = |text: &str| Some(text.to_owned());
    let mut pod = Pod::new()
        .await
        .run_step("exit 1")
        .with(|step| step.continue_on_error = true)
        .run_step("true")
        .with(|step| {
            step.condition = condition("steps['step-0'].outcome == 'failed' && params.deploy == 'yes'");
        })
        .run_step("true")
        .with(|step| step.condition = condition("params.deploy == 'no'"))
        .run_step("exit 2")
        .run_step("true")
        .with(|step| step.condition = condition("failure()"))
        .run_step("true")
        .with(|step| step.condition = condition("params.deploy == 'yes'"));
    pod.plan
        .variables
        .insert("params".into(), serde_json::json!({"deploy": "yes"}));
    let end = pod.run().await;
    assert_eq!(
        end.outcomes(),
        [Failed, Succeeded, Skipped, Failed, Succeeded, Skipped]
    );
}
