//! The numbered stream under faults of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::double::Fault;
use crate::pod::Pod;

fn counted(lines: usize) -> String {
    (1..=lines).map(|number| format!("line {number}\n")).collect()
}

const COUNT: &str = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done";

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_answers_are_lost_and_the_store_is_full() {
    let pod = Pod::new()
        .await
        .run_step(&COUNT.replace("echo", "[ $((i % 500)) -ne 0 ] || sleep 0.12; echo"));
    pod.double.faults(|kind, count| match (kind, count % 4) {
        ("frames" | "final", 0) => Fault::LoseAnswer,
        ("frames" | "final", 1) => Fault::Full,
        ("frames" | "final", 2) => Fault::Away,
        _ => Fault::None,
    });
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.output(0), counted(3000));
}

#[tokio::test]
async fn steps_go_on_while_the_server_is_away_and_everything_arrives_afterwards() {
    let pod = Pod::new()
        .await
        .run_step("echo first; sleep 0.3")
        .run_step(COUNT)
        .run_step("touch done");
    let away = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&away);
    pod.double.faults(move |_, _| {
        if flag.load(Ordering::SeqCst) {
            Fault::Away
        } else {
            Fault::None
        }
    });
    let child = pod.start();
    pod.wait_for(0, "first").await;
    away.store(true, Ordering::SeqCst);
    let done = pod.workspace().join("done");
    for _ in 0..200 {
        if done.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(done.exists(), "steps went on");
    assert_eq!(pod.double.output(1), "");
    away.store(false, Ordering::SeqCst);
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.output(1), counted(3000));
}

#[tokio::test]
async fn a_full_spool_makes_steps_wait_and_loses_nothing() {
    let mut pod = Pod::new().await.run_step(&format!("{COUNT}; touch done"));
    pod.plan.limits.spool_bytes = 20_000;
    let away = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&away);
    pod.double.faults(move |kind, _| {
        if kind == "frames" && flag.load(Ordering::SeqCst) {
            Fault::Full
        } else {
            Fault::None
        }
    });
    // More than pipe and spool hold together.
    pod.plan.steps[0].action = crate::pod::script(&format!(
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; echo {} >&2; done; touch done",
        "x".repeat(200)
    ));
    let child = pod.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!pod.workspace().join("done").exists(), "the step waits");
    away.store(false, Ordering::SeqCst);
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(
        pod.double
            .output_of(0, Some(dcanary_protocol::frame::Stream::Stdout)),
        counted(3000)
    );
}

#[tokio::test]
async fn a_step_that_deletes_the_spool_folder_loses_nothing() {
    let pod = Pod::new()
        .await
        .run_step(&format!("rm -rf .dcanary; {COUNT}"))
        .run_step("echo still here");
    let end = pod.run().await;
    assert_eq!(pod.double.output(0), counted(3000));
    assert_eq!(pod.double.output(1), "still here\n");
    assert_eq!(end.report().steps[1].exit_code, Some(0));
}

#[tokio::test]
async fn a_very_long_line_comes_in_parts_and_no_request_is_too_large() {
    let pod = Pod::new().await.run_step(
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; head -c 100000 /dev/urandom; echo; echo end",
    );
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let output = pod.double.output(0);
    assert!(output.starts_with(&"x".repeat(3_000_000)) && output.ends_with("\nend\n"));
    assert!(pod.double.seen().largest_request <= dcanary_protocol::FRAMES_BYTES);
    let parts = pod.double.seen().frames.len();
    assert!(parts > 3_000_000 / 65_536);
}

#[tokio::test]
async fn lines_arrive_soon_and_carry_their_time() {
    let pod = Pod::new().await.run_step("echo soon; sleep 30");
    let begin = std::time::Instant::now();
    let child = pod.start();
    pod.wait_for(0, "soon").await;
    assert!(begin.elapsed() < Duration::from_secs(3));
    let times: Vec<String> = pod
        .double
        .seen()
        .frames
        .iter()
        .filter_map(|frame| match frame {
            dcanary_protocol::frame::Frame::Log { time, .. } => Some(time.clone()),
            _ => None,
        })
        .collect();
    assert!(times[0].ends_with('Z') && times[0].contains('.'), "{times:?}");
    drop(child);
}

#[tokio::test]
async fn a_server_that_lost_acknowledged_frames_is_told_and_the_runner_ends_with_70() {
    let pod = Pod::new().await.run_step("echo one; sleep 1; echo two; sleep 30");
    let child = pod.start();
    pod.wait_for(0, "one").await;
    pod.double.seen().frames.truncate(1);
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(70));
    assert!(end.stderr.contains("lost frames"), "{}", end.stderr);
}

#[tokio::test]
async fn a_wait_of_more_than_five_seconds_is_named_with_its_reason_in_both_logs() {
    let waiting = async |kind: &'static str, fault: Fault, expected: &str| {
        let pod = Pod::new()
            .await
            .run_step("echo content > file")
            .step(dcanary_protocol::plan::Action::Artifact {
                artifact: "file".into(),
                paths: vec!["file".into()],
                raw: false,
            })
            .run_step("while [ ! -e go ]; do sleep 0.05; done");
        let go = pod.workspace().join("go");
        if kind == "final" {
            std::fs::create_dir_all(pod.workspace()).unwrap();
            std::fs::write(&go, "").unwrap();
        }
        let broken = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&broken);
        pod.double.faults(move |of, _| {
            if of == kind && flag.load(Ordering::SeqCst) {
                fault
            } else {
                Fault::None
            }
        });
        let begin = std::time::Instant::now();
        let mut child = pod.start();
        let line = pod.wait_for_log(&mut child, "waiting for the server").await;
        assert!(begin.elapsed() >= Duration::from_secs(5), "{kind}");
        assert_eq!(
            line,
            format!("dcanary: waiting for the server: {expected}"),
            "{kind}"
        );
        std::fs::write(&go, "").unwrap();
        broken.store(false, Ordering::SeqCst);
        let end = pod.end(child).await;
        assert_eq!(end.code, Some(0), "{kind}: {}", end.stderr);
        let output: String = (0..3).map(|step| pod.double.output(step)).collect();
        // Nothing is added to the stream after its end.
        let times = usize::from(kind != "final");
        assert_eq!(output.matches(&line).count(), times, "{kind}: {output}");
    };
    tokio::join!(
        waiting("session", Fault::Away, "unreachable"),
        waiting("frames", Fault::Full, "store-full (said the double)"),
        waiting("upload", Fault::Full, "store-full (said the double)"),
        waiting(
            "final",
            Fault::Refuse(503, "stopping"),
            "stopping (said the double)"
        ),
    );
}

#[tokio::test]
async fn output_waits_in_memory_when_the_workspace_is_full() {
    let pod = Pod::new()
        .await
        .in_workspace_of("96k")
        .run_step(&format!(
            "head -c 1000000 /dev/zero > filler || true; df . | tail -1; {COUNT}; echo filled"
        ))
        .run_step("echo next");
    let away = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&away);
    pod.double.faults(move |kind, _| {
        if kind == "frames" && flag.load(Ordering::SeqCst) {
            Fault::Full
        } else {
            Fault::None
        }
    });
    let mut child = pod.start();
    pod.wait_for_log(&mut child, "filled").await;
    away.store(false, Ordering::SeqCst);
    let end = pod.end(child).await;
    let output = pod.double.output(0);
    assert!(output.contains("100%"), "the workspace was full: {output}");
    assert!(output.contains(&counted(3000)), "{output}");
    assert!(end.report.is_some(), "{}", end.stderr);
}
