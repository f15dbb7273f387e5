//! The status of a Pipeline: a pure function of the object and the limits.

use dcanary_core::{Limits, problem, validate};
use dcanary_crds::{Condition, ConditionStatus, ConditionType, Pipeline, PipelineStatus};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The status that a Pipeline should have. Conditions that did not change keep their transition time.
pub fn of(pipeline: &Pipeline, limits: &Limits, now: Timestamp) -> PipelineStatus {
    let definition = &pipeline.spec.definition;
    let problems = validate::definition(definition, "spec", limits);
    let generation = pipeline.metadata.generation.unwrap_or_default();
    let old = pipeline
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let condition = |kind, holds: bool, reason: &str, message: String| {
        let status = ConditionStatus::from(holds);
        let before = old
            .iter()
            .find(|condition| condition.kind == kind && condition.status == status);
        Condition {
            kind,
            status,
            reason: reason.to_owned(),
            message,
            last_transition_time: before.map_or(now, |condition| condition.last_transition_time),
            observed_generation: generation,
        }
    };
    let stages = definition.stages.len() + definition.finally.len();
    let conditions = if problems.is_empty() {
        vec![condition(
            ConditionType::Ready,
            true,
            "Valid",
            format!("{stages} stages can be run"),
        )]
    } else {
        let message = problem::summary(&problems);
        vec![
            condition(ConditionType::Ready, false, "InvalidDefinition", message.clone()),
            condition(ConditionType::Stalled, true, "InvalidDefinition", message),
        ]
    };
    PipelineStatus {
        observed_generation: generation,
        conditions,
        definition: problems.is_empty().then(|| digest(pipeline)),
        stages: i32::try_from(stages).ok(),
    }
}

/// Digest of the definition as it is written: equal texts of the spec give equal digests, whatever the Pipeline is called.
fn digest(pipeline: &Pipeline) -> String {
    // `serde_json` writes the fields of a struct in a fixed order and sorts maps of this crate (BTreeMap)
    let json = serde_json::to_vec(&pipeline.spec).unwrap_or_default();
    format!("sha256:{}", hex::encode(Sha256::digest(json)))
}

/// The condition that says what is wrong, if something is.
pub fn stalled(pipeline: &Pipeline) -> Option<&Condition> {
    let conditions = &pipeline.status.as_ref()?.conditions;
    conditions.iter().find(|condition| {
        condition.kind == ConditionType::Stalled && condition.status == ConditionStatus::True
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn of(pipeline: &Pipeline, now: Timestamp) -> PipelineStatus {
        super::of(pipeline, &Limits::default(), now)
    }

    fn pipeline(spec: &serde_json::Value) -> Pipeline {
        serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": "p", "namespace": "n", "generation": 3}, "spec": spec,
        }))
        .unwrap()
    }

    fn stage(name: &str, needs: &[&str]) -> serde_json::Value {
        json!({"name": name, "dependsOn": needs, "image": "busybox", "steps": [{"run": "true"}]})
    }

    /// `e2e/kstatus` lets the kstatus library judge these; `DCANARY_GOLDEN=write` writes them anew.
    #[test]
    fn the_golden_objects_of_kstatus_are_what_the_operator_writes() {
        let written = |stages: &serde_json::Value| {
            let mut object = pipeline(&json!({"stages": stages}));
            object.status = Some(of(&object, "2026-01-01T00:00:00Z".parse().unwrap()));
            serde_json::to_value(&object).unwrap()
        };
        let mut unseen = serde_json::to_value(pipeline(&json!({"stages": [stage("a", &[])]}))).unwrap();
        // the default of the schema
        unseen["status"] = json!({"observedGeneration": -1});
        let golden = [
            ("InProgress.pipeline-that-nobody-has-seen", unseen),
            (
                "Current.pipeline-that-is-valid",
                written(&json!([stage("a", &[])])),
            ),
            (
                "Failed.pipeline-with-a-cycle",
                written(&json!([stage("a", &["b"]), stage("b", &["a"])])),
            ),
        ];
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kstatus");
        for (name, object) in golden {
            let file = folder.join(format!("{name}.json"));
            let text = serde_json::to_string_pretty(&object).unwrap() + "\n";
            if std::env::var("DCANARY_GOLDEN").is_ok_and(|value| value == "write") {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, &text).unwrap();
            }
            assert_eq!(
                std::fs::read_to_string(&file).unwrap_or_default(),
                text,
                "{name} is not what the operator writes; DCANARY_GOLDEN=write writes it anew"
            );
        }
    }

    #[test]
    fn a_valid_pipeline_is_ready_with_a_digest_and_keeps_its_transition_time() {
        let mut object = pipeline(&json!({"stages": [stage("a", &[])]}));
        let first = of(&object, "2026-01-01T00:00:00Z".parse().unwrap());
        assert!(first.definition.as_ref().unwrap().starts_with("sha256:"));
        object.status = Some(first.clone());
        assert_eq!(of(&object, "2026-01-02T00:00:00Z".parse().unwrap()), first);
    }

    #[test]
    fn equal_definitions_have_one_digest_and_other_ones_another() {
        let digest = |spec| {
            of(&pipeline(&spec), "2026-01-01T00:00:00Z".parse().unwrap())
                .definition
                .unwrap()
        };
        let one = digest(json!({"stages": [stage("a", &[])], "params": [{"name": "x"}]}));
        assert_eq!(
            one,
            digest(json!({"params": [{"name": "x"}], "stages": [stage("a", &[])]}))
        );
        assert_eq!(one.len(), "sha256:".len() + 64);
        for other in [
            json!({"stages": [stage("b", &[])], "params": [{"name": "x"}]}),
            json!({"stages": [stage("a", &[])], "params": [{"name": "y"}]}),
            json!({"stages": [stage("a", &[])]}),
        ] {
            assert_ne!(digest(other.clone()), one, "{other}");
        }
    }

    #[test]
    fn a_cycle_stalls_the_pipeline_and_is_named_stage_by_stage() {
        let object =
            pipeline(&json!({"stages": [stage("a", &["c"]), stage("b", &["a"]), stage("c", &["b"])]}));
        let status = of(&object, "2026-01-01T00:00:00Z".parse().unwrap());
        let stalled = status
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::Stalled)
            .unwrap();
        assert!(stalled.message.contains("a → c → b → a"), "{}", stalled.message);
        assert_eq!(status.definition, None);
    }
    #[test]
    fn a_limit_that_is_set_lower_stalls_the_pipeline_with_its_number() {
        let object = pipeline(&json!({"stages": [stage("a", &[]), stage("b", &[])]}));
        let with = |stages| {
            let limits = Limits {
                stages,
                ..Limits::default()
            };
            super::of(&object, &limits, "2026-01-01T00:00:00Z".parse().unwrap())
        };
        assert!(with(2).definition.is_some());
        let status = with(1);
        let message = &status.conditions[0].message;
        assert_eq!(message, "spec.stages: there are 2 stages, at most 1 are allowed");
    }
}
