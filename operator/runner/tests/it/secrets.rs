//! Secrets in output, results and messages.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dcanary_protocol::plan::Mask;
use dcanary_protocol::report::StepOutcome;

use crate::pod::Pod;

const SECRET: &str = "hunter2-c0rrect-horse/battery";

#[tokio::test]
async fn secrets_are_in_no_output_no_result_and_not_in_the_container_log() {
    let pod = Pod::new().await.secret("PASSWORD", SECRET).run_step(
        "echo \"with $PASSWORD inside\"\nprintf '%s' \"$PASSWORD\" | base64\nprintf 'xy%s' \"$PASSWORD\" | base64 -w 7\necho \"pw=$PASSWORD\" >> $DCANARY_RESULTS\necho \"broken $PASSWORD\" >> $DCANARY_RESULTS",
    );
    let end = pod.run().await;
    let output = pod.double.output(0);
    assert!(output.starts_with("with *** inside\n***\n"), "{output}");
    assert_eq!(end.report().reason, "ResultsInvalid");
    let everything = format!("{output}{}{}{:?}", end.stdout, end.stderr, end.report());
    for shape in [
        SECRET,
        &STANDARD.encode(SECRET)[..20],
        &STANDARD.encode(format!("xy{SECRET}"))[4..20],
    ] {
        assert!(!everything.contains(shape), "{shape} in {everything}");
    }
}

#[tokio::test]
async fn a_secret_printed_in_pieces_over_time_and_lines_is_masked() {
    let pod = Pod::new()
        .await
        .secret("PASSWORD", "abcdefghij")
        .run_step("printf abc; sleep 0.4; printf defg; sleep 0.4; echo hij\nprintf 'abcde\\nfghij\\n'");
    pod.run().await;
    assert_eq!(pod.double.output(0), "***\n***\n***\n");
}

#[tokio::test]
async fn a_line_that_ends_like_a_secret_begins_is_not_held_for_ever() {
    let pod = Pod::new()
        .await
        .secret("PASSWORD", "abcdefghij")
        .run_step("echo letters abc; sleep 20");
    let child = pod.start();
    let begin = std::time::Instant::now();
    pod.wait_for(0, "letters abc").await;
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    drop(child);
}

#[tokio::test]
async fn files_of_secrets_and_each_line_of_them_are_masked() {
    let mut pod = Pod::new()
        .await
        .run_step("cat $SECRETS/key; sed -n 2p $SECRETS/key; cat $SECRETS/short");
    let secrets = pod.folder.path().join("secrets/deploy");
    let data = secrets.join("..data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(
        data.join("key"),
        "-----BEGIN KEY-----\nMIIEpAIBAAKC\nxyz\n-----END KEY-----\n",
    )
    .unwrap();
    std::fs::write(data.join("short"), "ab\n").unwrap();
    for name in ["key", "short"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), secrets.join(name)).unwrap();
    }
    let path = secrets.to_str().unwrap().to_owned();
    pod.variables.push(("SECRETS".into(), path.clone()));
    pod.plan.masks.push(Mask::Dir { path });
    pod.run().await;
    assert_eq!(pod.double.output(0), "***\n***\n***\n***\n***\nab\n");
}

#[tokio::test]
async fn the_token_of_the_pod_is_masked() {
    let mut pod = Pod::new().await.run_step("cat $TOKEN_COPY");
    pod.variables.push((
        "TOKEN_COPY".into(),
        pod.folder.path().join("token").to_str().unwrap().into(),
    ));
    pod.run().await;
    assert_eq!(pod.double.output(0), "***\n");
}

#[tokio::test]
async fn a_secret_directory_that_cannot_be_read_starts_no_step() {
    let mut pod = Pod::new().await.run_step("echo never");
    pod.plan.masks.push(Mask::Dir {
        path: "/nowhere/secrets".into(),
    });
    let end = pod.run().await;
    assert_eq!(end.code, Some(70));
    assert!(end.stderr.contains("/nowhere/secrets"), "{}", end.stderr);
}

#[tokio::test]
async fn a_mask_that_names_a_file_masks_that_file_and_one_that_is_not_there_masks_nothing() {
    let mut pod = Pod::new().await.run_step("cat $LOGIN/token; cat $LOGIN/username");
    let folder = pod.folder.path().join("git.example.com");
    std::fs::create_dir_all(folder.join("..data")).unwrap();
    for (name, value) in [("token", "s3cr3t-t0ken\n"), ("username", "robot-account\n")] {
        std::fs::write(folder.join("..data").join(name), value).unwrap();
        std::os::unix::fs::symlink(format!("..data/{name}"), folder.join(name)).unwrap();
    }
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    pod.variables.push(("LOGIN".into(), path("")));
    for name in ["token", "password", "ssh-privatekey"] {
        pod.plan.masks.push(Mask::Dir { path: path(name) });
    }
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.output(0), "***\nrobot-account\n");
}

#[tokio::test]
async fn what_a_secret_holds_after_a_change_is_masked_in_the_steps_that_follow_and_what_it_held_before_too() {
    // a step that changes the file stands for the kubelet
    let mut pod = Pod::new()
        .await
        .run_step("printf 'second-s3cret' > $SECRETS/new && mv -T $SECRETS/new $SECRETS/key")
        .run_step(
            "cat $SECRETS/key; echo; echo first-s3cret; echo \"key=$(cat $SECRETS/key)\" >> $DCANARY_RESULTS",
        );
    let secrets = pod.folder.path().join("secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("key"), "first-s3cret").unwrap();
    let path = secrets.to_str().unwrap().to_owned();
    pod.variables.push(("SECRETS".into(), path.clone()));
    pod.plan.masks.push(Mask::Dir { path });
    let end = pod.run().await;
    assert_eq!(end.report().reason, "ResultHoldsSecret");
    assert_eq!(pod.double.output(1), "***\n***\n");
    let everything = format!("{}{:?}", end.stdout, end.report());
    assert!(!everything.contains("second-s3cret"), "{everything}");
}

#[tokio::test]
async fn a_line_of_a_secret_that_reads_as_a_result_is_neither_kept_nor_told_nor_stands_an_earlier_value_for_it()
 {
    let mut pod = Pod::new()
        .await
        .run_step("echo pass=1 >> $DCANARY_RESULTS")
        .run_step("cat $SECRETS/config >> $DCANARY_RESULTS")
        .with(|step| step.continue_on_error = true);
    let secrets = pod.folder.path().join("secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("config"), "pass=two-lines-long\n").unwrap();
    let path = secrets.to_str().unwrap().to_owned();
    pod.variables.push(("SECRETS".into(), path.clone()));
    pod.plan.masks.push(Mask::Dir { path });
    let end = pod.run().await;
    assert_eq!(end.outcomes(), [StepOutcome::Succeeded, StepOutcome::Failed]);
    assert!(end.report().results.is_empty(), "{:?}", end.report().results);
    let message = end.message(1);
    assert!(
        message.starts_with("the name of a result, ") && !message.contains("`pass`"),
        "{message}"
    );
    let everything = format!("{}{}{:?}", end.stdout, end.stderr, end.report());
    assert!(!everything.contains("two-lines-long"), "{everything}");
}

#[tokio::test]
async fn a_secret_that_is_written_as_a_results_line_by_mistake_is_in_no_message() {
    let key = "c0rrect/horse+battery/staple+c0rrect/horse==";
    let pod = Pod::new()
        .await
        .secret("KEY", key)
        .run_step("echo \"$KEY\" >> $DCANARY_RESULTS");
    let end = pod.run().await;
    assert_eq!(end.report().reason, "ResultsInvalid");
    assert!(end.message(0).contains("line 1"), "{}", end.message(0));
    let everything = format!("{}{}{:?}", end.stdout, end.stderr, end.report());
    assert!(!everything.contains("c0rrect"), "{everything}");
}

/// A step that writes `text` as its results, in a Pod with a mounted Secret that has a key `env` with the value `prod`.
async fn with_secret(text: &str) -> (Pod, String) {
    let mut pod = Pod::new().await.run_step(text);
    let secret = pod.folder.path().join("secrets/cluster");
    std::fs::create_dir_all(&secret).unwrap();
    std::fs::write(secret.join("env"), "prod\n").unwrap();
    let path = secret.to_str().unwrap().to_owned();
    pod.plan.masks.push(Mask::Dir { path: path.clone() });
    (pod, path)
}

const TAGS: &str = "echo tag=web-prod-17 >> $DCANARY_RESULTS; echo other=web-17 >> $DCANARY_RESULTS";

#[tokio::test]
async fn a_result_that_holds_the_value_of_a_secret_fails_its_step_and_says_which_and_is_never_changed() {
    let (pod, path) = with_secret(TAGS).await;
    let pod = pod.run_step("touch never");
    let end = pod.run().await;
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert_eq!(end.outcomes(), [StepOutcome::Failed, StepOutcome::Skipped]);
    assert_eq!(end.report().reason, "ResultHoldsSecret");
    let message = end.message(0);
    let begin = format!("result `tag` holds the value of a Secret (file `{path}/env`)");
    assert!(message.starts_with(&begin), "{message}");
    assert!(
        !message.contains("prod") && !end.stdout.contains("web-prod"),
        "{message}"
    );
    // the others are what they were
    assert_eq!((end.result("tag"), end.result("other")), (None, Some("web-17")));
}

#[tokio::test]
async fn a_step_that_may_fail_loses_only_the_result_that_holds_a_secret_and_no_earlier_value_stands_for_it() {
    let (pod, _) = with_secret("echo tag=web-16 >> $DCANARY_RESULTS").await;
    let pod = pod
        .run_step(TAGS)
        .with(|step| step.continue_on_error = true)
        .run_step("echo went on");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let expected = [
        StepOutcome::Succeeded,
        StepOutcome::Failed,
        StepOutcome::Succeeded,
    ];
    assert_eq!(end.outcomes(), expected);
    assert!(
        end.message(1).starts_with("result `tag` holds"),
        "{}",
        end.message(1)
    );
    assert_eq!((end.result("tag"), end.result("other")), (None, Some("web-17")));
}

#[tokio::test]
async fn a_step_that_failed_by_itself_keeps_its_reason_and_says_of_the_secret_as_well() {
    let (pod, _) = with_secret(&format!("{TAGS}; exit 3")).await;
    let end = pod.run().await;
    assert_eq!(end.report().reason, "StepFailed");
    assert!(
        end.message(0).starts_with("exit code 3; result `tag` holds"),
        "{}",
        end.message(0)
    );
    assert_eq!(end.result("tag"), None);
}

#[tokio::test]
async fn a_secret_in_a_variable_is_named_by_the_variable() {
    let pod = Pod::new()
        .await
        .secret("PASSWORD", SECRET)
        .run_step("echo \"pw=$(printf %s \"$PASSWORD\" | base64 -w 0)\" >> $DCANARY_RESULTS");
    let end = pod.run().await;
    let begin = "result `pw` holds the value of a Secret (variable `PASSWORD`)";
    assert!(end.message(0).starts_with(begin), "{}", end.message(0));
    let everything = format!("{}{}{:?}", end.stdout, end.stderr, end.report());
    for shape in [SECRET, &STANDARD.encode(SECRET)[..20]] {
        assert!(!everything.contains(shape), "{shape} in {everything}");
    }
}
