//! `run PIPELINE`

use dcanary_crds::{
    ConditionStatus, ConditionType, ParamValue, Pipeline, PipelineRef, PipelineRun, PipelineRunSpec,
    RunSource, Trigger,
};
use kube::api::PostParams;

use super::watch;
use crate::{
    args::{Format, Global, RunArgs},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::{machine, note, print},
    render::branches::harmless,
};

/// Longest name that `spec.trigger.by` takes, in bytes.
const LONGEST_CALLER: usize = 256;

/// Creates the run and, if asked, waits for its end.
pub async fn run(global: &Global, args: &RunArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary run", &[Format::Json, Format::Yaml, Format::Name])?;
    let cluster = Cluster::connect(global).await?;
    let pipeline: Pipeline = cluster.read(&cluster.namespace, &args.pipeline).await?;
    runnable(&pipeline)?;
    check(&pipeline, args)?;
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| generated(&args.pipeline, &mut rand::rng()));
    // a release that the run asks for can be approved only if it is known who asked
    let by = match cluster.whoami().await {
        Ok(caller) => Some(caller.username).filter(|by| by.len() <= LONGEST_CALLER),
        Err(failure) => {
            note(&format!("nobody is named as who starts the run: {failure}"));
            None
        }
    };
    let wanted = build(&name, args, by);
    let made = cluster
        .runs()
        .create(&PostParams::default(), &wanted)
        .await
        .map_err(|source| cluster.explain(&source, &format!("run {name}")))?;
    match format {
        Some(format @ (Format::Json | Format::Yaml)) if !args.wait => print(&machine(&made, format)?),
        Some(Format::Json | Format::Yaml) => {}
        Some(Format::Name) => print(&format!("pipelinerun.dcanary.dev/{name}\n")),
        _ => {
            print(&format!("{name}\n"));
            note(&started(&name, &cluster.namespace, global.namespace.is_some()));
        }
    }
    if !args.wait {
        return Ok(Exit::Succeeded);
    }
    let ended = watch::wait::<PipelineRun>(&cluster, &cluster.namespace, &name, args.timeout).await?;
    if let Some(format @ (Format::Json | Format::Yaml)) = format {
        print(&machine(&ended, format)?);
    }
    let exit = watch::exit_of(&ended).unwrap_or(Exit::CannotTell);
    if format.is_none() {
        let lines = crate::render::ending::ending(&name, &ended.status.unwrap_or_default());
        note(&lines.join("\n"));
    }
    Ok(exit)
}

/// What a person does next. The name alone is on standard output, for scripts.
fn started(name: &str, namespace: &str, named: bool) -> String {
    // Without -n the kubeconfig's namespace is used again.
    let flag = if named {
        format!(" -n {namespace}")
    } else {
        String::new()
    };
    format!(
        "run {name} is created in namespace {namespace}\n  watch it:      dcanary get run {name}{flag} -w\n  read its logs: dcanary logs {name}{flag} -f"
    )
}

/// Refuses a Pipeline that the operator has found wrong as it is now: each run of it would end at once.
fn runnable(pipeline: &Pipeline) -> Result<(), Failure> {
    let conditions = pipeline.status.iter().flat_map(|status| &status.conditions);
    // What was said of a former definition may be mended by the present one.
    let mut present =
        conditions.filter(|condition| Some(condition.observed_generation) == pipeline.metadata.generation);
    let wrong = present.find(|condition| {
        matches!(
            (&condition.kind, &condition.status),
            (ConditionType::Ready, ConditionStatus::False) | (ConditionType::Stalled, ConditionStatus::True)
        )
    });
    match wrong {
        Some(condition) => Err(Failure::usage(format!(
            "Pipeline {} cannot be run: {}; mend it and apply it again",
            pipeline.metadata.name.as_deref().unwrap_or_default(),
            harmless(&format!("{}: {}", condition.reason, condition.message))
        ))),
        None => Ok(()),
    }
}

/// Parameters against the Pipeline's: what the operator would refuse later is refused now.
fn check(pipeline: &Pipeline, args: &RunArgs) -> Result<(), Failure> {
    let known = &pipeline.spec.definition.params;
    for (name, _) in &args.param {
        if !known.iter().any(|param| param.name == *name) {
            let near = dcanary_core::problem::suggestion(name, known.iter().map(|param| param.name.as_str()));
            return Err(Failure::usage(format!(
                "Pipeline {} has no parameter `{name}`{near}",
                args.pipeline
            )));
        }
        if args.param.iter().filter(|(other, _)| other == name).count() > 1 {
            return Err(Failure::usage(format!("parameter `{name}` is given twice")));
        }
    }
    let given = |name: &str| args.param.iter().any(|(found, _)| found == name);
    match known
        .iter()
        .find(|param| param.default.is_none() && !given(&param.name))
    {
        Some(param) => Err(Failure::usage(format!(
            "Pipeline {} needs parameter `{}`; give it with -p {}=VALUE",
            args.pipeline, param.name, param.name
        ))),
        None => Ok(()),
    }
}

fn build(name: &str, args: &RunArgs, by: Option<String>) -> PipelineRun {
    let params = args
        .param
        .iter()
        .map(|(name, value)| ParamValue {
            name: name.clone(),
            value: value.clone(),
        })
        .collect();
    let mut run = PipelineRun::new(
        name,
        PipelineRunSpec {
            pipeline_ref: Some(PipelineRef {
                name: args.pipeline.clone(),
            }),
            params,
            source: source(args),
            trigger: Some(Trigger {
                by,
                event: Some("manual".to_owned()),
            }),
            ..PipelineRunSpec::default()
        },
    );
    run.status = None;
    run
}

/// What is built, where it is not what the Pipeline says.
fn source(args: &RunArgs) -> Option<RunSource> {
    let source = RunSource {
        repo: None,
        reference: args.reference.clone(),
        commit: args.commit.clone(),
    };
    (source != RunSource::default()).then_some(source)
}

/// A name made of another one: that and five letters without vowels, so that no word comes out.
pub(super) fn generated(pipeline: &str, random: &mut impl rand::Rng) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const LONGEST: usize = 57;
    let tail: String = (0..5)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect();
    let base: String = pipeline.chars().take(LONGEST).collect();
    format!("{}-{tail}", base.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(param: &[(&str, &str)]) -> RunArgs {
        RunArgs {
            pipeline: "web".to_owned(),
            param: param
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
            name: None,
            reference: None,
            commit: None,
            wait: false,
            timeout: None,
        }
    }

    fn pipeline() -> Pipeline {
        serde_saphyr::from_str(
            "apiVersion: dcanary.dev/v1alpha1
kind: Pipeline
metadata: {name: web}
spec:
  params: [{name: version}, {name: mode, default: fast}]
  stages: [{name: a, steps: [{run: x}]}]
",
        )
        .unwrap()
    }

    #[test]
    fn parameters_are_checked_before_anything_is_created() {
        assert_eq!(check(&pipeline(), &args(&[("version", "1")])), Ok(()));
        let said = |param: &[(&str, &str)]| check(&pipeline(), &args(param)).unwrap_err().message;
        assert!(said(&[("verison", "1")]).contains("did you mean `version`?"));
        assert!(said(&[("mode", "slow")]).contains("-p version=VALUE"));
        assert!(said(&[("version", "1"), ("version", "2")]).contains("twice"));
    }

    #[test]
    fn a_pipeline_that_is_wrong_as_it_is_now_is_refused_with_what_is_wrong() {
        let found = |status: &str, generation| {
            let mut pipeline = pipeline();
            pipeline.metadata.generation = Some(3);
            pipeline.status = serde_json::from_value(serde_json::json!({"conditions": [{
                "type": "Ready", "status": status, "reason": "InvalidDefinition", "message": "stage a needs b",
                "lastTransitionTime": "2026-03-01T12:00:00Z", "observedGeneration": generation,
            }]}))
            .unwrap();
            runnable(&pipeline)
        };
        let failure = found("False", 3).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.contains("Pipeline web")
                && failure.message.contains("InvalidDefinition: stage a needs b"),
            "{failure}"
        );
        assert_eq!(found("False", 2), Ok(()), "said of a former definition");
        assert_eq!(found("True", 3), Ok(()));
        assert_eq!(runnable(&pipeline()), Ok(()), "nothing is said yet");
    }

    #[test]
    fn values_reach_the_run_as_they_were_typed() {
        let nasty = "\"; touch /pwned; $(id)\nx=y";
        let run = build("web-1", &args(&[("version", nasty)]), Some("ann".to_owned()));
        assert_eq!(run.spec.params[0].value, nasty);
    }

    #[test]
    fn a_run_builds_the_ref_or_commit_that_is_named_and_else_what_the_pipeline_says() {
        assert_eq!(build("web-1", &args(&[]), None).spec.source, None);
        let named = RunArgs {
            reference: Some("release-2".to_owned()),
            commit: Some("a".repeat(40)),
            ..args(&[])
        };
        let source = build("web-1", &named, None).spec.source.unwrap();
        assert_eq!(
            (source.repo, source.reference, source.commit),
            (None, Some("release-2".to_owned()), Some("a".repeat(40)))
        );
    }

    #[test]
    fn the_next_commands_can_be_copied() {
        let said = started("hello-x2k9d", "team", true);
        assert!(
            said.contains("dcanary get run hello-x2k9d -n team -w\n"),
            "{said}"
        );
        assert!(said.ends_with("dcanary logs hello-x2k9d -n team -f"), "{said}");
        let said = started("hello-x2k9d", "default", false);
        assert!(
            said.contains("namespace default") && said.contains("get run hello-x2k9d -w"),
            "{said}"
        );
    }

    #[test]
    fn generated_names_fit_a_label() {
        let name = generated(&"x".repeat(253), &mut rand::rng());
        assert_eq!(name.len(), 63);
        assert!(generated("web", &mut rand::rng()).starts_with("web-"));
    }
}
