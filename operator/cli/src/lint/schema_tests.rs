//! What the schema of a kind says of a file: the same as the API server, which is asked too by the end-to-end tests.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_cel::{ErrorKind, Validator, compile_schema};
use serde_json::Value;

use super::{tests::GOOD, *};

/// The definitions as they are installed.
fn crds() -> Vec<CustomResourceDefinition> {
    let files = dcanary_crds::generate::files().unwrap();
    let read = |(_, text): (String, String)| serde_saphyr::from_str(&text).unwrap();
    files.into_iter().map(read).collect()
}

/// Every schema in a schema, with its path.
fn each(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        each(inner, &format!("{path}.{name}"), visit);
    }
    for part in ["items", "additionalProperties"] {
        if schema[part].is_object() {
            each(&schema[part], &format!("{path}[]"), visit);
        }
    }
}

fn schemas() -> Vec<(String, Value)> {
    let schema = |crd: CustomResourceDefinition| {
        let schema = serde_json::to_value(fields::schema(&crd).unwrap()).unwrap();
        (crd.spec.names.kind, schema)
    };
    crds().into_iter().map(schema).collect()
}

#[test]
fn every_pattern_of_the_definitions_is_told_in_words() {
    let mut seen = 0;
    for (kind, schema) in schemas() {
        each(&schema, &kind, &mut |path, schema| {
            let Some(pattern) = schema["pattern"].as_str().filter(|_| !path.contains(".status")) else {
                return;
            };
            seen += 1;
            let duration = pattern == dcanary_crds::duration::PATTERN;
            assert!(duration || limits::words(pattern).is_some(), "{path}: {pattern}");
        });
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_rule_of_the_definitions_can_be_evaluated() {
    let mut rules = 0;
    for (kind, schema) in schemas() {
        assert!(!compile_schema(&schema).has_errors(), "{kind}");
        each(&schema, &kind, &mut |_, schema| {
            rules += schema["x-kubernetes-validations"].as_array().map_or(0, Vec::len);
        });
    }
    assert!(rules > 50, "{rules}");
    // and none fails of itself on what is really written
    let mut objects = 0;
    for text in examples() {
        for document in place::read(&text).unwrap() {
            let kind = document.text("kind").unwrap_or_default();
            let Some((_, schema)) = schemas().into_iter().find(|(known, _)| known == kind) else {
                continue;
            };
            objects += 1;
            let told = Validator::new()
                .validate(&schema, &document.to_json(), None)
                .err();
            for one in told.map(kube_cel::ValidationErrors::into_vec).unwrap_or_default() {
                assert_eq!(one.kind, ErrorKind::ValidationFailure, "{one:?}");
            }
        }
    }
    assert!(objects > 20, "{objects}");
}

fn examples() -> Vec<String> {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let folders = std::fs::read_dir(examples)
        .unwrap()
        .map(|folder| folder.unwrap().path());
    let files = folders
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten();
    files
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|kind| kind == "yaml"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect()
}

/// An object of a kind with a spec in one line.
fn object(kind: &str, spec: &str) -> String {
    format!("apiVersion: dcanary.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n")
}

fn said(text: &str) -> Vec<String> {
    lint(text)
        .mistakes
        .into_iter()
        .map(|mistake| mistake.message)
        .collect()
}

fn stage(more: &str) -> String {
    object(
        "Pipeline",
        &format!("{{stages: [{{name: a, image: i, steps: [{{run: x}}]{more}}}]}}"),
    )
}

fn canary(steps: &str, more: &str) -> String {
    object(
        "Environment",
        &format!(
            "{{workload: {{ref: {{name: web}}}}, traffic: {{ports: [{{name: http, port: 80}}]}}, strategy: {{canary: {{steps: [{steps}]}}}}{more}}}"
        ),
    )
}

#[test]
fn what_is_beyond_a_limit_of_the_schema_is_told_with_the_limit() {
    assert_eq!(said(&canary("{weight: 20}", "")), Vec::<String>::new());
    for (text, told) in [
        (
            canary("{weight: 200}", ""),
            "`spec.strategy.canary.steps[0].weight` must be 0 to 100, found 200",
        ),
        (
            canary("{replicas: \"-2\"}", ""),
            "write a number such as 2, or a part of all such as 25%",
        ),
        (
            canary("{weight: 20}", ", approval: {required: 0, users: [a]}"),
            "`spec.approval.required` must be 1 to",
        ),
        (
            stage(", timeout: 10x"),
            "`10x` is not a duration: write numbers with d, h, m or s",
        ),
        (
            stage(", env: [{name: 1a, value: x}]"),
            "`1a` is no name of a variable",
        ),
        (
            object("Executor", "{image: \"\"}"),
            "`spec.image` must not be empty",
        ),
        (
            object("Release", "{images: {}}"),
            "`spec.images` must not be empty",
        ),
        (
            object("Executor", &format!("{{image: {}}}", "i".repeat(1_025))),
            "`spec.image` must have at most 1024 characters, found 1025",
        ),
        (
            object(
                "Promotion",
                "{environmentRef: {name: p}, releaseRef: {name: r}, undo: true, identity: \"sha256:12\"}",
            ),
            "sha256: and 64 hex digits",
        ),
    ] {
        let said = said(&text);
        assert_eq!(said.len(), 1, "{said:#?}\n{text}");
        assert!(said[0].contains(told), "no `{told}` in {said:#?}");
    }
}

#[test]
fn what_breaks_a_rule_of_the_schema_is_told_as_the_api_server_does() {
    let release = object("Release", "{images: {web: \"registry.example.com/web:1\"}}");
    for (text, told) in [
        (release.clone(), "spec: name each image by digest"),
        (
            canary("{weight: 20, pause: {}}", ""),
            "spec.strategy.canary.steps[0]: a step is exactly one of weight, pause",
        ),
        (
            canary("{weight: 20}", ", approval: {required: 1}"),
            "spec.approval: name users or groups who may approve",
        ),
        (
            object(
                "Decision",
                "{for: {kind: Environment, name: p, uid: u}, verb: hold, reason: r, by: {username: a}}",
            ),
            "name the release's identity in for.digest",
        ),
    ] {
        let said = said(&text);
        assert!(
            said.iter().any(|one| one.contains(told)),
            "no `{told}` in {said:#?}"
        );
    }
    let by_digest = release.replace(":1\"", &format!("@sha256:{}\"", "a".repeat(64)));
    assert_eq!(said(&by_digest), Vec::<String>::new());
}

#[test]
fn one_mistake_is_told_once_though_schema_and_operator_both_see_it() {
    for text in [
        stage(", executor: e"),
        object(
            "Pipeline",
            "{stages: [{name: a, image: i, steps: [{name: only}]}]}",
        ),
        object("Pipeline", "{stages: []}"),
        object(
            "Pipeline",
            "{parallelism: 0, stages: [{name: a, image: i, steps: [{run: x}]}]}",
        ),
        stage(", retries: {count: 11}"),
        stage(", env: [{name: X}]"),
    ] {
        let said = said(&text);
        assert_eq!(said.len(), 1, "{said:#?}\n{text}");
    }
}

#[test]
fn a_value_that_cannot_be_read_hides_nothing_of_the_rest() {
    let text = GOOD
        .replace("  - name: test\n", "  - name: test\n    timeout: 10x\n")
        .replace("dependsOn: [build]", "dependsOn: [biuld]")
        .replace(
            "  - name: build\n",
            "  - name: build\n    optional: 1\n    executor: 7\n",
        );
    let found = lint(&text).mistakes;
    for (line, told) in [
        (8, "`spec.stages[0].optional` must be true or false"),
        (9, "`spec.stages[0].executor` must be text"),
        (8, "give `image` or `executor`, not both"),
        (14, "`10x` is not a duration"),
        (15, "did you mean `build`?"),
    ] {
        assert!(
            found
                .iter()
                .any(|one| one.message.contains(told) && one.place.line.abs_diff(line) <= 1),
            "no `{told}` at line {line} in {found:#?}\n{text}"
        );
    }
}

#[test]
fn names_are_read_as_kubectl_reads_them() {
    let said = said(&stage(", retries: {count: 1, on: [Failed]}"));
    assert!(
        said.len() == 1 && said[0].contains("unknown field `true`") && said[0].contains("put it in quotes"),
        "{said:?}"
    );
}

#[test]
fn nothing_is_no_value_and_what_needs_one_is_told() {
    for (more, told) in [
        (", optional: null", None),
        (", dependsOn: null", None),
        (", executor: null", None),
        (", dependsOn: [null]", Some("must be text")),
        (
            ", retries: {count: null}",
            Some("`spec.stages[0].retries` lacks `count`"),
        ),
    ] {
        let said = said(&stage(more));
        let fits = told.map_or(said.is_empty(), |told| said.iter().any(|one| one.contains(told)));
        assert!(fits, "{more}: {said:?}");
    }
}

#[test]
fn a_time_and_a_field_of_the_frame_are_told_at_their_place() {
    let text = object(
        "Decision",
        "{for: {kind: Environment, name: p, uid: u}, verb: pause, by: {username: a}, expiresAt: tomorrow}",
    );
    assert_eq!(
        said(&text),
        ["`spec.expiresAt` is `tomorrow`: write a time such as 2026-01-31T12:00:00Z"]
    );
    let labels = object("Executor", "{image: i}").replace("{name: a}", "{name: a, labels: {x: 1}}");
    let found = lint(&labels).mistakes;
    assert!(
        found.len() == 1 && found[0].message.starts_with("metadata.labels"),
        "{found:?}"
    );
    assert_eq!(found[0].place.line, 3);
}

#[test]
fn the_objects_of_a_list_are_checked_each() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: dcanary.dev/v1alpha1\n  kind: Executor\n  metadata: {name: a}\n  spec: {image: ''}\n";
    let found = lint(list);
    assert_eq!(found.checked, ["Executor a"]);
    assert_eq!(found.mistakes[0].place.line, 7);
    assert_eq!(lint("apiVersion: v1\nkind: List\nitems: []\n").mistakes.len(), 1);
}

#[test]
fn a_number_that_kubectl_sends_as_a_whole_one_is_one() {
    assert_eq!(said(&canary("{weight: 5.0}", "")), Vec::<String>::new());
    assert!(said(&canary("{weight: 5.5}", ""))[0].contains("must be a whole number"));
}

#[test]
fn an_object_needs_a_name_that_kubernetes_takes() {
    let named = |metadata: &str| object("Executor", "{image: i}").replace("{name: a}", metadata);
    for good in [
        "{name: web-1.x}",
        "{generateName: web-}",
        "{name: '', generateName: web-}",
    ] {
        assert_eq!(said(&named(good)), Vec::<String>::new(), "{good}");
    }
    for (bad, told) in [
        ("{}", "give metadata.name"),
        ("{name: ''}", "give metadata.name"),
        ("{labels: {a: b}}", "give metadata.name"),
        ("{name: Web}", "`metadata.name` is `Web`: use small letters"),
        ("{name: web_1}", "use small letters"),
        ("{name: web-}", "use small letters"),
        ("{name: 7}", "put it in quotes"),
    ] {
        let said = said(&named(bad));
        assert!(said.len() == 1 && said[0].contains(told), "{bad}: {said:?}");
    }
}

#[test]
fn runs_are_held_against_the_pipeline_in_another_file() {
    let pipeline = |metadata: &str| {
        object("Pipeline", "{params: [{name: who}, {name: greeting, default: hi}], stages: [{name: a, image: i, steps: [{run: x}]}]}").replace("{name: a}", metadata)
    };
    let run = |metadata: &str, params: &str| {
        object(
            "PipelineRun",
            &format!("{{pipelineRef: {{name: web}}, params: [{params}]}}"),
        )
        .replace("{name: a}", metadata)
    };
    let told = |files: &[String]| {
        let mut all: Vec<(String, Findings)> = files.iter().map(|text| (String::new(), lint(text))).collect();
        together(&mut all);
        let mistakes = all.into_iter().flat_map(|(_, found)| found.mistakes);
        mistakes.map(|mistake| mistake.message).collect::<Vec<_>>()
    };
    let (web, good) = (
        pipeline("{name: web}"),
        run("{name: r}", "{name: who, value: you}"),
    );
    assert_eq!(told(&[web.clone(), good.clone()]), Vec::<String>::new());
    assert_eq!(
        told(&[good]),
        Vec::<String>::new(),
        "a pipeline that is elsewhere"
    );
    let found = told(&[run("{name: r}", "{name: whom, value: you}"), web.clone()]);
    assert!(
        found.iter().any(|one| one.contains("did you mean `who`?")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|one| one.contains("parameter `who` is required")),
        "{found:?}"
    );
    assert!(
        found.iter().all(|one| one.ends_with("(pipeline `web`)")),
        "{found:?}"
    );
    let elsewhere = run("{name: r, namespace: other}", "");
    let other = told(&[pipeline("{name: web, namespace: here}"), elsewhere.clone()]);
    assert_eq!(other, Vec::<String>::new(), "a pipeline of another namespace");
    assert_eq!(told(&[web.clone(), elsewhere]).len(), 1, "one that is put there");
    assert_eq!(
        told(&[web.clone(), web, run("{name: r}", "")]),
        Vec::<String>::new(),
        "two of one name"
    );
}

#[test]
fn what_is_no_yaml_is_told_in_words_that_say_what_to_do() {
    for (text, line, told) in [
        ("a: 1\na: 2\n", 2, "`a` is given twice: keep one of them"),
        ("a:\n\t- 1\n", 2, "use spaces"),
        ("a: *x\n", 1, "no anchor"),
        ("{{ .Values.x }}\n", 1, "helm template . | dcanary lint -"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n", 2, "conflict in Git"),
    ] {
        let found = lint(text).mistakes;
        assert!(
            found.len() == 1 && found[0].message.contains(told),
            "{text}: {found:?}"
        );
        assert!(found[0].place.line.abs_diff(line) <= 1, "{text}: {found:?}");
        assert!(!found[0].message.contains(" at line "), "{found:?}");
    }
    let alias =
        |name: char, of: char| format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(", "));
    let bomb: String = ['b', 'c', 'd', 'e', 'f', 'g']
        .into_iter()
        .zip('a'..)
        .map(|(name, of)| alias(name, of))
        .collect();
    let found = lint(&format!("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n{bomb}")).mistakes;
    assert!(
        found.len() == 1 && found[0].message.contains("too large when its aliases"),
        "{found:?}"
    );
}
