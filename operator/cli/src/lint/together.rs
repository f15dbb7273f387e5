//! Files that are checked together: what one of them says of another.

use dcanary_core::{Limits, resolve::wrong_params};
use dcanary_crds::{PipelineDefinition, PipelineRunSpec};

use super::{Findings, Mistake, place::Node};

/// A pipeline by its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NamedPipeline {
    namespace: Option<String>,
    name: String,
    definition: PipelineDefinition,
}

impl NamedPipeline {
    pub(super) fn new(document: &Node, definition: &PipelineDefinition) -> Self {
        Self {
            namespace: namespace(document),
            name: document.name().to_owned(),
            definition: definition.clone(),
        }
    }
}

/// A run that names a pipeline, and where everything in it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunOfPipeline {
    namespace: Option<String>,
    pipeline: String,
    spec: PipelineRunSpec,
    document: Node,
}

impl RunOfPipeline {
    pub(super) fn new(document: &Node, spec: &PipelineRunSpec) -> Option<Self> {
        Some(Self {
            namespace: namespace(document),
            pipeline: spec.pipeline_ref.as_ref()?.name.clone(),
            spec: spec.clone(),
            document: document.clone(),
        })
    }

    /// A file may leave the namespace to who applies it.
    fn is_of(&self, pipeline: &NamedPipeline) -> bool {
        let here = match (&self.namespace, &pipeline.namespace) {
            (Some(mine), Some(its)) => mine == its,
            _ => true,
        };
        here && self.pipeline == pipeline.name
    }
}

fn namespace(document: &Node) -> Option<String> {
    document.get("metadata")?.text("namespace").map(str::to_owned)
}

/// Looks at the files as a whole: in one of them must be something of dcanary.dev, the others may belong to it; and runs give the
/// parameters of their pipeline, if it is among them. Pure.
pub fn together(files: &mut [(String, Findings)]) {
    if files.iter().any(|(_, found)| !found.checked.is_empty()) {
        let foreign = files.iter_mut().filter(|(_, found)| found.foreign);
        foreign.for_each(|(_, found)| found.mistakes.clear());
    }
    let pipelines: Vec<NamedPipeline> = files
        .iter()
        .flat_map(|(_, found)| found.pipelines.clone())
        .collect();
    for (_, found) in files {
        let wrong = found.runs.iter().flat_map(|run| of_run(run, &pipelines));
        let wrong: Vec<Mistake> = wrong.collect();
        found.mistakes.extend(wrong);
        found.mistakes.sort();
        found.mistakes.dedup();
    }
}

fn of_run(run: &RunOfPipeline, pipelines: &[NamedPipeline]) -> Vec<Mistake> {
    // two of one name are for different places, such as folders of a kustomization: nobody knows which is meant
    let mut named = pipelines.iter().filter(|pipeline| run.is_of(pipeline));
    let (Some(pipeline), None) = (named.next(), named.next()) else {
        return Vec::new();
    };
    let wrong = wrong_params(&pipeline.definition, &run.spec, &Limits::default()).into_iter();
    wrong
        .map(|problem| Mistake {
            place: run.document.find(&problem.path),
            message: format!("{problem} (pipeline `{}`)", pipeline.name),
        })
        .collect()
}
