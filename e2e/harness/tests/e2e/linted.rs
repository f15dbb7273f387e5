//! `dcanary lint` and the API server about the same files.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    cli::{dcanary, said},
    kubectl::kubectl,
    scenario,
};
use serde_json::Value;

/// Kinds and specs in the shapes that the schema tells apart: what the operator alone would refuse is not here.
const CASES: [(&str, &str); 49] = [
    (
        "Pipeline",
        "{stages: [{name: a, image: i, executor: null, steps: [{run: x}]}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x, checkout: null}]}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: null, image: i, steps: [{run: x}]}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], dependsOn: [null]}]}",
    ),
    ("Pipeline", "{stages: null}"),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], retries: {count: 1, outcomes: [Failed]}}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], retries: {count: 1, on: [Failed]}}]}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {canary: {steps: [{weight: 5.0}]}}, traffic: {ports: [{name: http, port: 80}]}}",
    ),
    ("Executor", "{image: i, podTemplate: {labels: {y: 'x'}}}"),
    ("Executor", "{image: i}"),
    ("Executor", "{image: ''}"),
    ("Executor", "{}"),
    ("Executor", "{image: 7}"),
    ("Executor", "{image: i, imgae: j}"),
    ("Executor", "{image: i, env: [{name: A, value: x}]}"),
    ("Executor", "{image: i, env: [{name: 1A, value: x}]}"),
    ("Executor", "{image: i, env: [{name: A}]}"),
    (
        "Executor",
        "{image: i, env: [{name: A, value: x, secret: {name: s, key: k}}]}",
    ),
    ("Release", "{images: {}}"),
    ("Release", "{images: {web: 'r.example.com/web:1'}}"),
    (
        "Release",
        "{images: {web: 'r.example.com/web@sha256:0000000000000000000000000000000000000000000000000000000000000000'}}",
    ),
    ("Pipeline", "{stages: []}"),
    ("Pipeline", "{stages: [{name: a, image: i, steps: [{run: x}]}]}"),
    ("Pipeline", "{stages: [{name: A, image: i, steps: [{run: x}]}]}"),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], timeout: 10x}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], timeout: 1h30m}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], timeout: 10}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, executor: e, steps: [{run: x}]}]}",
    ),
    ("Pipeline", "{stages: [{name: a, image: i}]}"),
    ("Pipeline", "{stages: [{name: a, image: i, steps: [{}]}]}"),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x, checkout: {}}]}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], retries: {count: 10}}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], retries: {count: 11}}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], retries: {count: 1, outcomes: [Whatever]}}]}",
    ),
    (
        "Pipeline",
        "{parallelism: 0, stages: [{name: a, image: i, steps: [{run: x}]}]}",
    ),
    (
        "Pipeline",
        "{params: [{name: a-b}], stages: [{name: a, image: i, steps: [{run: x}]}]}",
    ),
    (
        "Pipeline",
        "{stages: [{name: a, image: i, steps: [{run: x}], dependsOn: null}]}",
    ),
    ("PipelineRun", "{pipelineRef: {name: web}}"),
    ("PipelineRun", "{pipelineRef: {name: ''}}"),
    (
        "PipelineRun",
        "{pipelineRef: {name: web}, source: {commit: 12ab}}",
    ),
    ("PipelineRun", "{}"),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {blueGreen: {}}, traffic: {ports: [{name: http, port: 80}]}}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {blueGreen: {}}}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {canary: {steps: [{weight: 200}]}}, traffic: {ports: [{name: http, port: 80}]}}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {canary: {steps: [{weight: 20, pause: {}}]}}, traffic: {ports: [{name: http, port: 80}]}}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {canary: {steps: [{replicas: '-2'}, {weight: 20}]}}, traffic: {ports: [{name: http, port: 80}]}}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {canary: {steps: [{replicas: '2'}, {weight: 20}]}}, traffic: {ports: [{name: http, port: 80}, {name: http, port: 81}]}}",
    ),
    (
        "Environment",
        "{workload: {ref: {name: web}}, strategy: {blueGreen: {}}, approval: {required: 1}, traffic: {ports: [{name: http, port: 80}]}}",
    ),
    (
        "Template",
        "{metrics: [{name: a, success: 'result < 1.0', prometheus: {address: 'http://p', query: q}, web: {url: 'http://w'}}]}",
    ),
];

#[tokio::test]
async fn what_the_api_server_refuses_is_what_lint_refuses() -> Result<()> {
    scenario("linted", |ns| async move {
        let folder = tempfile::tempdir()?;
        let (mut all, mut files) = (String::new(), Vec::new());
        for (i, (kind, spec)) in CASES.into_iter().enumerate() {
            let text = format!(
                "apiVersion: dcanary.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: case-{i}}}\nspec: {spec}\n"
            );
            let file = folder.path().join(format!("case-{i}.yaml"));
            std::fs::write(&file, &text)?;
            files.push(file.display().to_string());
            all.push_str(&format!("---\n{text}"));
        }
        let mut args = vec!["lint", "-o", "json"];
        args.extend(files.iter().map(String::as_str));
        let linted = dcanary(&args).await?;
        let mistakes: Vec<Value> = serde_json::from_slice(&linted.stdout).with_context(|| said(&linted))?;
        let refused_by_lint: BTreeSet<&str> = mistakes
            .iter()
            .filter_map(|mistake| mistake["file"].as_str())
            .collect();

        let create = [
            "create",
            "-n",
            &ns.name,
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ];
        let created = kubectl(&create, &all).await?;
        let answer = String::from_utf8_lossy(&created.stdout);
        let (mut taken, mut apart) = (0, Vec::new());
        for (case, (i, file)) in CASES.into_iter().zip(files.iter().enumerate()) {
            let is_taken = answer
                .lines()
                .any(|line| line.contains(&format!("/case-{i} created")));
            taken += usize::from(is_taken);
            if is_taken == refused_by_lint.contains(file.as_str()) {
                let told: Vec<&Value> = mistakes
                    .iter()
                    .filter(|mistake| mistake["file"] == **file)
                    .collect();
                apart.push(format!(
                    "case-{i} {case:?}: taken: {is_taken}, lint says {told:?}"
                ));
            }
        }
        ensure!(apart.is_empty(), "{}\n{}", apart.join("\n"), said(&created));
        // a cluster that takes nothing, or anything, would show nothing
        ensure!((10..20).contains(&taken), "{taken} were taken: {answer}");
        Ok(())
    })
    .await
}
