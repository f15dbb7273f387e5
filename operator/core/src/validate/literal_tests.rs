//! Of fields that are taken as they are written.

use super::tests::{DIAMOND, has, problems};

#[test]
fn credentials_go_to_a_host_that_is_written_out() {
    let step = |checkout: &str| DIAMOND.replace("checkout: {}", &format!("checkout: {{{checkout}}}"));
    let place = "spec.stages[0].steps[0].checkout.credentials";
    for repo in [
        "https://$(params.version)/web.git",
        "$(params.version)",
        "https://[::1/web.git",
        "https://git.example.com:$(params.version)/web.git",
    ] {
        let yaml = step(&format!("repo: '{repo}', credentials: git-login"));
        has(&yaml, place, "must be written out in `repo`");
        let without = problems(&step(&format!("repo: '{repo}'")));
        assert_eq!(without, Vec::<String>::new(), "{repo}");
    }
    for repo in [
        "https://git_server/$(params.version).git",
        "https://[2001:db8::1]:8443/web.git",
        "git@git.example.com:web.git",
    ] {
        let yaml = step(&format!("repo: '{repo}', credentials: git-login"));
        assert_eq!(problems(&yaml), Vec::<String>::new(), "{repo}");
    }
    let source = DIAMOND.replace(
        "https://git.example.com/web.git\"",
        "/srv/web.git\", credentials: git-login",
    );
    has(
        &source,
        "spec.source.credentials",
        "must be written out in `repo`",
    );
}

/// What a stage may have, with an expression in each field that is no template.
const LITERAL: &str = "
params: [{name: v}]
source: {repo: 'https://h/X.git', ref: X}
imagePullSecrets: [X]
stages:
  - name: build
    executor: X
    secrets: [{name: X}]
    env: [{name: A, secret: {name: X, key: X}}]
    podTemplate: {labels: {a: X}, annotations: {a: X}, nodeSelector: {a: X}, runtimeClassName: X, priorityClassName: X}
    steps:
      - {name: X, run: 'true', workingDir: X, shell: [sh, X]}
      - {checkout: {path: X, credentials: X}}
      - {artifact: {name: X, paths: [a, X]}}
      - {image: {push: r/a, name: X, user: X, workingDir: X, entrypoint: [X], cmd: [a, X], files: [{from: X, to: /X}]}}
  - name: read
    dependsOn: [build]
    image: i
    steps: [{downloadArtifact: {name: X, stage: X, path: X}}]
  - {name: deploy, dependsOn: [build], environment: X}
";

const LITERAL_PLACES: [&str; 30] = [
    "source.repo",
    "source.ref",
    "imagePullSecrets[0]",
    "stages[0].executor",
    "stages[0].secrets[0].name",
    "stages[0].env[0].secret.name",
    "stages[0].env[0].secret.key",
    "stages[0].podTemplate.labels.a",
    "stages[0].podTemplate.annotations.a",
    "stages[0].podTemplate.nodeSelector.a",
    "stages[0].podTemplate.runtimeClassName",
    "stages[0].podTemplate.priorityClassName",
    "stages[0].steps[0].name",
    "stages[0].steps[0].workingDir",
    "stages[0].steps[0].shell[1]",
    "stages[0].steps[1].checkout.path",
    "stages[0].steps[1].checkout.credentials",
    "stages[0].steps[2].artifact.name",
    "stages[0].steps[2].artifact.paths[1]",
    "stages[0].steps[3].image.name",
    "stages[0].steps[3].image.user",
    "stages[0].steps[3].image.workingDir",
    "stages[0].steps[3].image.entrypoint[0]",
    "stages[0].steps[3].image.cmd[1]",
    "stages[0].steps[3].image.files[0].from",
    "stages[0].steps[3].image.files[0].to",
    "stages[1].steps[0].downloadArtifact.name",
    "stages[1].steps[0].downloadArtifact.stage",
    "stages[1].steps[0].downloadArtifact.path",
    "stages[2].environment",
];

#[test]
fn an_expression_where_none_is_replaced_is_told_at_each_place() {
    let told = |expression: &str| -> Vec<String> {
        let yaml = LITERAL
            .replace("/X", &format!("/{expression}"))
            .replace(": X", &format!(": '{expression}'"))
            .replace("[X]", &format!("['{expression}']"))
            .replace(", X]", &format!(", '{expression}']"));
        let found = problems(&yaml);
        let told = found
            .iter()
            .filter(|problem| problem.contains("expressions are not replaced here"));
        told.filter_map(|problem| Some(problem.strip_prefix("spec.")?.split_once(": ")?.0.to_owned()))
            .collect()
    };
    let mut expected = LITERAL_PLACES;
    expected.sort_unstable();
    assert_eq!(told("$(params.v)"), expected);
    assert_eq!(told("$(params.v.w)"), expected);
    // what is not ours is left as it is
    assert_eq!(told("$(id)"), Vec::<String>::new());
}

#[test]
fn what_to_write_instead_of_an_expression_is_said() {
    let yaml = DIAMOND.replace("paths: [out/web.tar]", "paths: ['out/$(params.version).tar']");
    has(
        &yaml,
        "spec.stages[0].steps[2].artifact.paths[0]",
        "use \"$PARAM_version\" in a `run` step",
    );
    let source = DIAMOND.replace(
        "web.git\"",
        "$(params.version).git\", credentials: $(params.version)",
    );
    has(&source, "spec.source.repo", "name it in the `checkout` of a step");
    has(&source, "spec.source.credentials", "write the name of the Secret");
}
