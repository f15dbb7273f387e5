//! Processes that steps leave behind, signals, and PID 1.

use std::time::Duration;

use dcanary_protocol::report::{Outcome, StepOutcome};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::double::Fault;
use crate::pod::Pod;

/// The runner below `unshare`, as this namespace numbers it.
async fn runner_below(child: &tokio::process::Child) -> Pid {
    let parent = child.id().unwrap();
    let children = format!("/proc/{parent}/task/{parent}/children");
    for _ in 0..200 {
        let found = std::fs::read_to_string(&children).unwrap_or_default();
        if let Some(pid) = found.split_whitespace().next() {
            return Pid::from_raw(pid.parse().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no child of unshare");
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn processes_left_behind_are_killed_also_when_they_left_their_group() {
    let pod = Pod::new()
        .await
        .run_step(
            "sleep 300 & echo $!; setsid sleep 301 & (setsid sh -c 'echo $$; exec sleep 302' &) ; sleep 0.3",
        )
        .run_step("echo next");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0));
    let output = pod.double.output(0);
    let pids: Vec<&str> = output
        .lines()
        .filter(|line| line.parse::<u32>().is_ok())
        .collect();
    assert_eq!(pids.len(), 2, "{output}");
    assert!(pids.iter().all(|pid| !is_alive(pid)));
    assert!(output.contains("processes that the step left behind"), "{output}");
    assert_eq!(pod.double.output(1), "next\n");
}

/// A process that becomes another user's is one that the runner may not kill.
#[tokio::test]
async fn a_process_that_cannot_be_ended_ends_the_stage_by_name_and_no_step_runs_beside_it() {
    let mut pod = Pod::new()
        .await
        .run_step(
            "../root-perl -e '$< = 0; $< == 0 or die; print \"$$\\n\"; close STDOUT; close STDERR; sleep 300' & sleep 0.5; echo 'kept=1' >> \"$DCANARY_RESULTS\"",
        )
        .with(|step| step.continue_on_error = true)
        .run_step("echo never")
        .with(|step| step.condition = Some("always()".into()));
    pod.uid = Some(4711);
    let copy = pod.folder.path().join("root-perl");
    std::fs::copy("/usr/bin/perl", &copy).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    let end = pod.run().await;
    let output = pod.double.output(0);
    let left = output.lines().find_map(|line| line.parse::<i32>().ok());
    kill(Pid::from_raw(left.expect(&output)), Signal::SIGKILL).unwrap();
    assert_eq!(end.code, Some(1), "{} {output}", end.stderr);
    assert_eq!(end.report().reason, "ProcessesLeft");
    assert!(
        end.message(0)
            .starts_with("1 process that it started cannot be ended"),
        "{}",
        end.message(0)
    );
    assert_eq!(end.outcomes(), [StepOutcome::Failed, StepOutcome::Skipped]);
    assert_eq!(end.result("kept"), None);
    assert!(!output.contains("killed"), "{output}");
}

/// Each of them lives for less time than a look into `/proc` takes.
#[tokio::test]
async fn processes_that_fork_and_exit_without_rest_do_not_reach_the_next_step() {
    let hop = "perl -e 'use POSIX; close STDOUT; close STDERR; while (1) { if (fork) { POSIX::_exit(0) } open my $f, q(>), q(hopped); }' &";
    let pod = Pod::new()
        .await
        .in_pid_namespace()
        .run_step(&format!("{hop} {hop} {hop} while [ ! -e hopped ]; do :; done"))
        .run_step("rm -f hopped; sleep 0.3; if [ -e hopped ]; then echo still there; exit 1; fi");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{} {}", end.stderr, pod.double.output(1));
}

#[tokio::test]
async fn orphans_are_reaped_and_no_zombie_stays() {
    let pod = Pod::new().await.in_pid_namespace().run_step(
        "for i in 1 2 3 4 5 6 7 8; do (sh -c 'sleep 0.1' &) ; done; sleep 0.6; grep -l 'Z (zombie)' /proc/[0-9]*/status 2>/dev/null | wc -l",
    );
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{} {}", end.stderr, pod.double.output(0));
    assert_eq!(pod.double.output(0).trim(), "0");
}

#[tokio::test]
async fn sigterm_from_inside_is_ignored_and_noted() {
    // The second step forges the sender: `rt_sigqueueinfo` with si_code SI_QUEUE and si_pid 0.
    let forged = format!(
        "perl -e 'my $info = pack(\"iiii ii x104\", 15, 0, -1, 0, 0, 0); syscall({}, 1, 15, $info) == 0 or print \"refused\\n\"'",
        nix::libc::SYS_rt_sigqueueinfo
    );
    // in a step of its own: of two signals of one kind the second is lost while the first one waits
    let pod = Pod::new()
        .await
        .in_pid_namespace()
        .run_step("test $PPID = 1; kill 1; kill -INT 1; kill -9 1; sleep 0.3; echo alive")
        .run_step(&format!("{forged}; sleep 0.3; echo next"));
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{} {}", end.stderr, pod.double.output(0));
    assert_eq!(end.report().outcome, Outcome::Succeeded);
    let output = pod.double.output(0);
    assert!(output.contains("alive"), "{output}");
    assert_eq!(output.matches("ignored signal 15").count(), 1, "{output}");
    assert_eq!(output.matches("ignored signal 2 ").count(), 1, "{output}");
    let output = pod.double.output(1);
    assert!(output.contains("next"), "{output}");
    assert_eq!(output.matches("ignored signal 15").count(), 1, "{output}");
}

#[tokio::test]
async fn many_signals_from_inside_make_a_few_lines_only() {
    let pod = Pod::new()
        .await
        .in_pid_namespace()
        .run_step("while [ ! -e enough ]; do kill 1; sleep 0.01; done; echo alive")
        .run_step("echo next");
    let child = pod.start();
    pod.wait_for(0, "ignored without a note").await;
    std::fs::write(pod.workspace().join("enough"), "").unwrap();
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(0), "{} {}", end.stderr, pod.double.output(0));
    let output = format!("{}{}", pod.double.output(0), pod.double.output(1));
    assert_eq!(output.matches("ignored signal 15").count(), 20, "{output}");
    assert_eq!(output.matches("ignored without a note").count(), 1, "{output}");
}

#[tokio::test]
async fn a_cancellation_is_heard_when_the_time_is_over_and_the_server_away() {
    let mut pod = Pod::new().await.in_pid_namespace().run_step("touch ran");
    pod.plan.timeout_seconds = 1;
    pod.double.faults(|_, _| Fault::Away);
    let mut child = pod.start();
    // Five seconds, so that the time of the stage is over.
    pod.wait_for_log(&mut child, "waiting for the server").await;
    kill(runner_below(&child).await, Signal::SIGTERM).unwrap();
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(3), "{}", end.stderr);
    assert!(!pod.workspace().join("ran").exists());
}

#[tokio::test]
async fn sigterm_from_outside_is_passed_on_and_reported_as_cancelled() {
    let pod = Pod::new()
        .await
        .in_pid_namespace()
        .run_step("trap 'echo got TERM; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
        .run_step("echo never")
        .with(|step| step.condition = Some("always()".into()));
    let child = pod.start();
    pod.wait_for(0, "ready").await;
    kill(runner_below(&child).await, Signal::SIGTERM).unwrap();
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(3), "{}", end.stderr);
    assert_eq!(end.report().outcome, Outcome::Cancelled);
    assert_eq!(end.outcomes(), [StepOutcome::Killed, StepOutcome::Skipped]);
    assert!(pod.double.output(0).contains("got TERM"));
}

#[tokio::test]
async fn a_step_that_ignores_a_cancellation_is_killed_after_the_grace_time() {
    let pod = Pod::new()
        .await
        .in_pid_namespace()
        .run_step("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    let child = pod.start();
    pod.wait_for(0, "ready").await;
    kill(runner_below(&child).await, Signal::SIGTERM).unwrap();
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(3), "{}", end.stderr);
}

#[tokio::test]
async fn sigterm_counts_for_nothing_where_the_sender_can_be_seen() {
    let pod = Pod::new().await.run_step("kill $PPID; sleep 0.3; echo alive");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0));
    assert!(pod.double.output(0).contains("ignored signal 15"));
}

#[tokio::test]
async fn a_runner_that_a_step_kills_leaves_no_report() {
    // Without a PID namespace of its own the kernel does not protect it.
    let pod = Pod::new()
        .await
        .run_step("echo $PPID; kill -9 $PPID; sleep 5; echo survived");
    let end = pod.run().await;
    assert_eq!(
        end.code, None,
        "ended by a signal, so the operator counts it as lost"
    );
    assert!(end.report.is_none());
}

#[tokio::test]
async fn signals_start_unblocked_in_steps() {
    let pod = Pod::new()
        .await
        .run_step("grep SigBlk /proc/self/status; grep SigIgn /proc/self/status");
    pod.run().await;
    let output = pod.double.output(0);
    assert!(output.starts_with("SigBlk:\t0000000000000000\n"), "{output}");
    let ignored = |status: &str| {
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:\t"))
            .unwrap();
        u64::from_str_radix(mask, 16).unwrap()
    };
    // What starts the tests may ignore some (`nohup`, a shell in the background), which a container's does not; and Rust's own of SIGPIPE
    // ends with the runner.
    let before = ignored(&std::fs::read_to_string("/proc/self/status").unwrap());
    let pipe = 1 << (13 - 1);
    // glibc's own two, which its posix_spawn has ignored in whatever it starts.
    let internal = 0b11 << (32 - 1);
    assert_eq!(ignored(&output) & !(before & !pipe) & !internal, 0, "{output}");
}

#[tokio::test]
async fn the_small_commands_answer() {
    let program = env!("CARGO_BIN_EXE_dcanary-runner");
    let run = |words: &[&str]| {
        std::process::Command::new(program)
            .args(words)
            .env_clear()
            .output()
            .unwrap()
    };
    assert_eq!(run(&["probe"]).stdout, b"ok\n");
    assert!(run(&["--version"]).stdout.starts_with(b"dcanary-runner 0."));
    assert_eq!(run(&["nonsense"]).status.code(), Some(70));
    assert_eq!(run(&[]).status.code(), Some(70));
    let folder = tempfile::tempdir().unwrap();
    assert!(run(&["copy", folder.path().to_str().unwrap()]).status.success());
    let copy = std::process::Command::new(folder.path().join("dcanary-runner"))
        .arg("probe")
        .output()
        .unwrap();
    assert_eq!(copy.stdout, b"ok\n");
}
