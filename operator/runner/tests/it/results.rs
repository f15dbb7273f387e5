//! Results of steps and of earlier stages.

use dcanary_protocol::frame::Frame;
use dcanary_protocol::limits;
use dcanary_protocol::report::{Outcome, StepOutcome};

use crate::double::digest;
use crate::pod::Pod;

#[tokio::test]
async fn small_results_are_inline_and_large_ones_by_digest() {
    let pod = Pod::new().await.run_step(
        "echo small=yes >> $DCANARY_RESULTS\n{ printf large=; head -c 5000 /dev/zero | tr '\\0' x; echo; } >> $DCANARY_RESULTS",
    );
    let end = pod.run().await;
    assert_eq!(end.code, Some(0));
    let large = "x".repeat(5000);
    let results = &end.report().results;
    assert_eq!(end.result("small"), Some("yes"));
    let reported = results.iter().find(|result| result.name == "large").unwrap();
    assert_eq!((reported.value.as_deref(), reported.size), (None, 5000));
    assert_eq!(reported.digest, digest(large.as_bytes()));
    let sent = Frame::Result {
        name: "large".into(),
        value: large,
    };
    assert!(pod.double.seen().frames.contains(&sent));
}

#[tokio::test]
async fn the_largest_result_travels_even_when_json_makes_it_larger_than_a_request() {
    let pod = Pod::new()
        .await
        .run_step("{ printf big=; head -c 1048576 /dev/zero | tr '\\0' '\\1'; echo; } >> $DCANARY_RESULTS");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(end.report().results[0].size, 1 << 20);
}

#[tokio::test]
async fn a_value_is_kept_to_the_byte_with_its_carriage_returns() {
    let pod = Pod::new()
        .await
        .run_step("printf 'one=x\\r\\nmore<<E\\n\\ra\\r\\n\\r\\nb\\r\\nE\\n' >> $DCANARY_RESULTS");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(end.result("one"), Some("x\r"));
    assert_eq!(end.result("more"), Some("\ra\r\n\r\nb\r"));
    let results = &end.report().results;
    let one = results.iter().find(|result| result.name == "one").unwrap();
    assert_eq!((&one.digest, one.size), (&digest(b"x\r"), 2));
}

#[tokio::test]
async fn an_invalid_line_fails_the_step_and_is_named() {
    let pod = Pod::new()
        .await
        .run_step("echo ok=1 >> $DCANARY_RESULTS; echo 'no separator' >> $DCANARY_RESULTS");
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Failed]);
    assert_eq!(end.report().reason, "ResultsInvalid");
    assert!(end.message(0).contains("line 2"), "{}", end.message(0));
}

#[tokio::test]
async fn a_result_above_the_limit_of_the_plan_fails_the_step() {
    let mut pod = Pod::new()
        .await
        .run_step("echo name=123456789 >> $DCANARY_RESULTS");
    pod.plan.limits.result_bytes = 8;
    let end = pod.run().await;
    assert!(
        end.message(0)
            .contains("line 1 of the results file has 9 bytes; the limit is 8"),
        "{}",
        end.message(0)
    );
}

#[tokio::test]
async fn results_of_a_failed_step_are_kept() {
    let pod = Pod::new()
        .await
        .run_step("echo tests=17 >> $DCANARY_RESULTS; exit 1");
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Failed]);
    assert_eq!(end.result("tests"), Some("17"));
}

#[tokio::test]
async fn a_results_file_replaced_by_a_link_fails_the_step_and_leaks_nothing() {
    let pod = Pod::new()
        .await
        .run_step("rm $DCANARY_RESULTS; ln -s /etc/passwd $DCANARY_RESULTS");
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Failed]);
    assert!(end.report().results.is_empty());
}

#[tokio::test]
async fn large_results_of_earlier_stages_are_files() {
    let pod = Pod::new()
        .await
        .input("compile", "notes", b"line 1\nline 2")
        .run_step("cat $DCANARY_INPUTS/compile/notes");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.output(0), "line 1\nline 2\n");
}

#[tokio::test]
async fn an_input_with_another_digest_fails_the_stage_before_its_first_step() {
    let pod = Pod::new()
        .await
        .input("compile", "notes", b"right")
        .run_step("echo never");
    let name = pod.plan.inputs[0].digest.clone();
    pod.double.seen().blobs.insert(name, b"wrong".to_vec());
    let end = pod.run().await;
    assert_eq!(end.code, Some(1));
    assert_eq!(end.report().reason, "InputFailed");
    assert_eq!(end.outcomes(), [StepOutcome::Skipped]);
}

#[tokio::test]
async fn a_variable_that_no_process_can_have_fails_the_stage_by_name_before_its_first_step() {
    let mut pod = Pod::new().await.run_step("echo never");
    pod.plan.env.push(crate::pod::variable("NOTE", "a\0b"));
    let end = pod.run().await;
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert_eq!(end.report().reason, "VariableInvalid");
    assert!(
        end.report().message.contains("`NOTE`"),
        "{}",
        end.report().message
    );
    assert_eq!(end.outcomes(), [StepOutcome::Skipped]);
}

#[tokio::test]
async fn a_result_that_the_server_does_not_take_fails_its_step_by_name_and_not_the_report() {
    let pod = Pod::new()
        .await
        .run_step(
            "echo before; echo small=12345 >> $DCANARY_RESULTS; echo large=1234567890 >> $DCANARY_RESULTS",
        )
        .run_step("while [ ! -e go ]; do sleep 0.02; done; echo went on")
        .run_step("touch never")
        .run_step("echo cleaned up")
        .with(|step| step.condition = Some("always()".into()));
    pod.double.seen().result_bytes = Some(10);
    let child = pod.start();
    pod.wait_for(0, "does not take").await;
    std::fs::write(pod.workspace().join("go"), "").unwrap();
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    let report = end.report();
    assert_eq!(
        (report.outcome, report.reason.as_str()),
        (Outcome::Failed, "LimitExceeded")
    );
    assert_eq!(
        report.message,
        "step step-0: the server does not take the result `large`: the sum of the results of a run is limited to 10 (--max-run-result-bytes)"
    );
    let expected = [
        StepOutcome::Failed,
        StepOutcome::Succeeded,
        StepOutcome::Skipped,
        StepOutcome::Succeeded,
    ];
    assert_eq!(end.outcomes(), expected);
    assert!(end.message(0).contains("`large`"), "{}", end.message(0));
    let names: Vec<&str> = report.results.iter().map(|result| result.name.as_str()).collect();
    assert_eq!(names, ["small"]);
    assert!(pod.double.output(0).starts_with("before\n"));
    assert_eq!(pod.double.output(1), "went on\n");
    assert_eq!(pod.double.output(3), "cleaned up\n");
}

#[tokio::test]
async fn a_limit_that_is_learned_after_the_last_step_fails_the_stage_as_well() {
    let pod = Pod::new()
        .await
        .run_step("for i in 1 2 3 4 5 6 7 8; do echo r$i=12345 >> $DCANARY_RESULTS; done");
    pod.double.seen().result_bytes = Some(20);
    let end = pod.run().await;
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert_eq!(end.report().reason, "LimitExceeded");
    assert_eq!(end.report().results.len(), 4);
    assert_eq!(end.outcomes(), [StepOutcome::Failed]);
}

#[tokio::test]
async fn more_steps_than_the_server_takes_fail_the_stage_by_name() {
    let pod = Pod::new()
        .await
        .run_step("echo one")
        .run_step("echo two")
        .run_step("echo three");
    pod.double.seen().steps = Some(1);
    let end = pod.run().await;
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert_eq!(end.report().reason, "LimitExceeded");
    assert!(
        end.report().message.contains("--max-steps"),
        "{}",
        end.report().message
    );
}

#[tokio::test]
async fn a_report_holds_few_values_however_many_and_however_odd_the_results_are() {
    let most = limits::RESULTS;
    let pod = Pod::new()
        .await
        .run_step(&format!(
            "for i in $(seq {most}); do echo \"r$i<<E\"; yes '' | head -n 4097; echo E; done >> $DCANARY_RESULTS"
        ))
        .run_step("echo one_more=1 >> $DCANARY_RESULTS");
    let end = pod.run().await;
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    let report = end.report();
    assert_eq!(end.outcomes(), [StepOutcome::Succeeded, StepOutcome::Failed]);
    assert_eq!(end.message(1), "more than 256 results in this stage");
    assert!(report.results.iter().all(|result| result.size == 4096));
    assert_eq!(report.results.len(), most);
    let inline: u64 = report
        .results
        .iter()
        .filter(|result| result.value.is_some())
        .map(|result| result.size)
        .sum();
    assert_eq!(inline, limits::RESULTS_INLINE_BYTES);
}
