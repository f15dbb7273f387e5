use super::*;

#[test]
fn a_run_of_other_parameters_or_of_another_source_than_it_began_with_fails() {
    let of = |change: &dyn Fn(&mut PipelineRun)| {
        let mut run = run();
        change(&mut run);
        compare(&run, &journal())
    };
    let param = |name: &str, value: &str| dcanary_crds::ParamValue {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let source = |run: &mut PipelineRun, change: &dyn Fn(&mut dcanary_crds::RunSource)| {
        change(run.spec.source.as_mut().unwrap());
    };
    let cases: Vec<(&str, (Status, String))> = vec![
        (
            "spec.params: the run has other parameters",
            of(&|run| run.spec.params[0].value = "eve".to_owned()),
        ),
        (
            "spec.params: the run has other parameters",
            of(&|run| run.spec.params.clear()),
        ),
        (
            "spec.params[1].name: there is no parameter `x`",
            of(&|run| run.spec.params.push(param("x", "evil"))),
        ),
        (
            "spec.params[1].name: parameter `who` is given twice",
            of(&|run| run.spec.params.insert(0, param("who", "eve"))),
        ),
        (
            "commit bbbbbbbb",
            of(&|run| source(run, &|source| source.commit = Some("b".repeat(40)))),
        ),
        (
            "from no commit that is recorded in the cluster and from https://git.example/web (main, commit aaaaaaaa",
            of(&|run| run.spec.source = None),
        ),
        (
            "from https://evil.example/web (commit aaaaaaaa",
            of(&|run| {
                source(run, &|source| {
                    source.repo = Some("https://evil.example/web".to_owned());
                });
            }),
        ),
        (
            "from https://git.example/web (evil, commit aaaaaaaa",
            of(&|run| source(run, &|source| source.reference = Some("evil".to_owned()))),
        ),
    ];
    for (said, (status, detail)) in cases {
        assert_eq!(status, Status::Failed, "{said}");
        assert!(detail.contains(said), "{detail}, not {said}");
    }
    // To cancel a run that is under way or to delete it changes nothing of this.
    let (status, detail) = of(&|run| {
        run.spec.cancel = true;
        run.metadata.deletion_timestamp = run.metadata.creation_timestamp.clone();
        run.metadata.finalizers = None;
    });
    assert_eq!(status, Status::Passed, "{detail}");
}

/// The records that the operator itself writes, not ones that a test makes up.
#[test]
fn what_the_operator_records_of_a_run_agrees_with_it() {
    let mut fresh = run();
    fresh.metadata.finalizers = Some(vec![dcanary_crds::labels::RECORDED.to_owned()]);
    fresh.status = None;
    let pipeline = serde_saphyr::from_str(
        "{params: [{name: who, default: world}], source: {repo: 'https://git.example/web', ref: main}, stages: [{name: build, image: i, steps: [{run: 'true'}]}]}",
    )
    .unwrap();
    let seen = dcanary_core::Observed {
        pipeline: Some(pipeline),
        slots: Some(0),
        ..dcanary_core::Observed::default()
    };
    let plan = dcanary_core::next(&fresh, &seen, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(plan.journal.len(), 1);
    fresh.status = Some(plan.status);
    let (status, detail) = compare(&fresh, &plan.journal);
    assert_eq!(status, Status::Passed, "{detail}");
}
