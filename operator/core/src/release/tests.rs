#![allow(clippy::unwrap_used)]

use super::*;

/// Stages by what they do: `b` builds an image, `d` deploys, anything else neither.
fn from(stages: &[(char, &[usize])], of: usize) -> Vec<usize> {
    let needs = |i: usize| stages[i].1;
    let found = sources(of, needs, |i| stages[i].0 == 'b', |i| stages[i].0 == 'd');
    found.into_iter().collect()
}

#[test]
fn a_deployment_takes_the_images_of_the_nearest_stages_that_build_any() {
    let base_then_app: [(char, &[usize]); 4] = [('b', &[]), ('b', &[0]), ('t', &[1]), ('d', &[2])];
    assert_eq!(from(&base_then_app, 3), [1], "not the base image");
    let both: [(char, &[usize]); 3] = [('b', &[]), ('b', &[0]), ('d', &[0, 1])];
    assert_eq!(from(&both, 2), [0, 1], "what is named counts");
    let other_branch: [(char, &[usize]); 3] = [('b', &[]), ('b', &[]), ('d', &[0])];
    assert_eq!(from(&other_branch, 2), [0], "only what is upstream");
    let none: [(char, &[usize]); 2] = [('t', &[]), ('d', &[0])];
    assert_eq!(from(&none, 1), [0; 0]);
}

#[test]
fn a_deployment_after_another_brings_the_same_unless_something_was_built_in_between() {
    let staging_first: [(char, &[usize]); 4] = [('b', &[]), ('d', &[0]), ('t', &[1]), ('d', &[2])];
    assert_eq!(from(&staging_first, 3), from(&staging_first, 1));
    let built_between: [(char, &[usize]); 4] = [('b', &[]), ('d', &[0]), ('b', &[1]), ('d', &[2])];
    assert_eq!(from(&built_between, 3), [2]);
    let circle: [(char, &[usize]); 2] = [('d', &[1]), ('d', &[0])];
    assert_eq!(
        from(&circle, 0),
        [0; 0],
        "a definition that is wrong has an answer too"
    );
}

fn stage(name: &str, artifacts: &[(&str, &str, Option<&str>)]) -> StageStatus {
    let artifact = |(name, kind, reference): &(&str, &str, Option<&str>)| ArtifactStatus {
        name: (*name).to_owned(),
        digest: digest(name),
        size: 1,
        kind: (*kind).to_owned(),
        reference: reference.map(str::to_owned),
    };
    StageStatus {
        name: name.to_owned(),
        state: StageState::Succeeded,
        artifacts: artifacts.iter().map(artifact).collect(),
        ..StageStatus::default()
    }
}

fn digest(of: &str) -> String {
    text(&sha256(of.as_bytes()))
}

#[test]
fn an_image_goes_into_a_release_only_by_the_digest_that_was_stored() {
    let good = format!("r.example.com/web@{}", digest("web"));
    let other = format!("r.example.com/web@{}", digest("other"));
    let made = |reference: Option<&str>| images(&[&stage("build", &[("web", "image", reference)])]);
    assert_eq!(made(Some(&good)).unwrap()["web"], good);
    let bare = digest("web");
    for wrong in [
        None,
        Some("r.example.com/web:1"),
        Some(other.as_str()),
        Some(bare.as_str()),
    ] {
        let Err(PlanError::Refused { reason, .. }) = made(wrong) else {
            unreachable!("{wrong:?}")
        };
        assert_eq!(reason, "ImageNotPinned", "{wrong:?}");
    }
}

#[test]
fn two_images_of_one_name_are_refused_and_files_of_one_name_are_told_apart_by_their_stage() {
    let at = |place: &str| format!("{place}/web@{}", digest("web"));
    let (a, b) = (at("a.example.com"), at("b.example.com"));
    let one = stage(
        "one",
        &[
            ("web", "image", Some(&a)),
            ("dist", "directory", None),
            ("log", "report", None),
        ],
    );
    let two = stage(
        "two",
        &[
            ("web", "image", Some(&b)),
            ("dist", "file", None),
            ("sbom", "file", None),
        ],
    );
    let Err(PlanError::Refused { reason, message }) = images(&[&one, &two]) else {
        unreachable!()
    };
    assert_eq!(reason, "ImageAmbiguous");
    assert!(message.contains("`web`"), "{message}");
    let names: Vec<_> = artifacts(&[&one, &two]).into_keys().collect();
    assert_eq!(names, ["one/dist", "sbom", "two/dist"]);
}

#[test]
fn the_name_of_a_release_follows_from_its_content_and_is_a_name_whatever_the_run_is_called() {
    let spec = |image: &str| ReleaseSpec {
        images: BTreeMap::from([("web".to_owned(), image.to_owned())]),
        ..ReleaseSpec::default()
    };
    let long = format!("{}.{}", "a".repeat(39), "b".repeat(200));
    let found = name(&long, &spec("x")).unwrap();
    assert_eq!(found, name(&long, &spec("x")).unwrap());
    assert_ne!(found, name(&long, &spec("y")).unwrap());
    assert!(found.starts_with(&format!("{}-", "a".repeat(39))), "{found}");
}
