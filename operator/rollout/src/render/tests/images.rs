use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::render::{RenderError, images::place};

fn template(init: &[(&str, Option<&str>)], main: &[(&str, Option<&str>)]) -> Value {
    let list = |list: &[(&str, Option<&str>)]| -> Value {
        list.iter()
            .map(|(name, image)| match image {
                Some(image) => json!({"name": name, "image": image}),
                None => json!({"name": name}),
            })
            .collect()
    };
    json!({"spec": {"initContainers": list(init), "containers": list(main)}})
}

fn images(names: &[&str]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), format!("r/{name}@sha256:{}", "a".repeat(64))))
        .collect()
}

fn placed(mut template: Value, names: &[&str]) -> Result<Vec<String>, RenderError> {
    place(&mut template, &images(names), "spec.template")?;
    Ok(["initContainers", "containers"]
        .iter()
        .flat_map(|list| template["spec"][*list].as_array().unwrap().clone())
        .map(|container| container["image"].as_str().unwrap().to_owned())
        .collect())
}

#[test]
fn a_placeholder_takes_its_image_and_the_digest_stays() {
    let found = placed(
        template(
            &[("migrate", Some("$(images.web)"))],
            &[("main", Some("$(images.web)")), ("side", Some("proxy:1"))],
        ),
        &["web"],
    );
    let web = format!("r/web@sha256:{}", "a".repeat(64));
    assert_eq!(found.unwrap(), [web.clone(), web, "proxy:1".to_owned()]);
}

#[test]
fn without_placeholders_images_go_to_containers_by_name() {
    let found = placed(
        template(
            &[("tools", None)],
            &[("web", Some("web:dev")), ("side", Some("proxy:1"))],
        ),
        &["web", "tools"],
    )
    .unwrap();
    assert!(found[0].starts_with("r/tools@") && found[1].starts_with("r/web@") && found[2] == "proxy:1");
}

#[test]
fn the_only_image_goes_into_the_only_container() {
    let found = placed(
        template(&[("init", Some("busybox:1"))], &[("server", None)]),
        &["web"],
    )
    .unwrap();
    assert!(
        found[0] == "busybox:1" && found[1].starts_with("r/web@"),
        "{found:?}"
    );
}

#[test]
fn an_image_that_goes_nowhere_is_refused_with_its_name_and_the_containers() {
    let error = placed(
        template(&[], &[("web", None), ("side", Some("p:1"))]),
        &["web", "worker"],
    )
    .unwrap_err();
    assert_eq!(error.reason(), "ImageUnplaced");
    assert!(!error.waits());
    let text = error.to_string();
    for part in ["`worker`", "spec.template", "`web`", "`side`", "$(images.worker)"] {
        assert!(text.contains(part), "{text}");
    }
    // with a placeholder names of containers do not count
    let error = placed(
        template(&[], &[("web", Some("$(images.web)")), ("worker", Some("p:1"))]),
        &["web", "worker"],
    );
    assert_eq!(error.unwrap_err().reason(), "ImageUnplaced");
}

#[test]
fn a_container_without_image_and_a_placeholder_without_one_are_refused_with_their_place() {
    let error = placed(template(&[], &[("web", None), ("side", None)]), &["web"]).unwrap_err();
    assert_eq!(error.reason(), "ContainerWithoutImage");
    assert!(
        error.to_string().contains("spec.template.spec.containers[1]"),
        "{error}"
    );

    let error = placed(
        template(&[("init", Some("$(images.wbe)"))], &[("web", None)]),
        &["web"],
    )
    .unwrap_err();
    // `web` goes nowhere either, which is the same mistake
    assert_eq!(error.reason(), "ImageUnplaced");
    let error = placed(
        template(
            &[("init", Some("$(images.wbe)"))],
            &[("web", Some("$(images.web)"))],
        ),
        &["web"],
    )
    .unwrap_err();
    assert_eq!(error.reason(), "ImageUnknown");
    let text = error.to_string();
    assert!(
        text.contains("spec.template.spec.initContainers[0].image")
            && text.contains("`wbe`")
            && text.contains("`web`"),
        "{text}"
    );
}

#[test]
fn half_a_placeholder_is_refused() {
    for text in [
        "$(images.web",
        "$(image.web)",
        "r/$(images.web)",
        "$(images.)",
        "$(images.web):1",
    ] {
        let error = placed(template(&[], &[("web", Some(text))]), &["web"]).unwrap_err();
        assert_eq!(error.reason(), "ImageInvalid", "{text}");
        assert!(
            error
                .to_string()
                .contains("spec.template.spec.containers[0].image"),
            "{error}"
        );
    }
}

#[test]
fn a_template_without_containers_is_refused() {
    for value in [
        json!({}),
        json!(null),
        json!("x"),
        json!({"spec": {"containers": []}}),
        json!({"spec": {"containers": "web"}}),
    ] {
        let mut template = value;
        let error = place(&mut template, &images(&["web"]), "spec.template").unwrap_err();
        assert_eq!(error.reason(), "NoContainers");
    }
}

proptest! {
    /// What is told in prose, computed in another way: each container ends with exactly the image that the rules give it.
    #[test]
    fn every_image_is_placed_or_the_release_is_refused(
        containers in prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "d"]), 0..4_usize), 1..4),
        names in prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c"]), 1..3),
    ) {
        let names: Vec<&str> = names.into_iter().collect();
        let holders = ["$(images.a)", "$(images.b)"];
        let list: Vec<(&str, Option<&str>)> = containers.iter().map(|(name, image)| (*name, match image {
            0 => None,
            1 => Some("fixed:1"),
            n => Some(holders[n - 2]),
        })).collect();
        let by_holder = list.iter().any(|(_, image)| image.is_some_and(|image| image.starts_with("$(")));
        let by_name = list.iter().any(|(name, _)| names.contains(name));
        let wanted: Vec<Option<String>> = list.iter().map(|(name, image)| {
            let of = |name: &str| names.contains(&name).then(|| images(&[name])[name].clone());
            match image {
                Some("$(images.a)") => of("a"),
                Some("$(images.b)") => of("b"),
                other => {
                    let own = if by_holder { None } else if by_name { of(name) } else if list.len() == 1 && names.len() == 1 { of(names[0]) } else { None };
                    own.or_else(|| other.map(str::to_owned))
                }
            }
        }).collect();
        let all_used = names.iter().all(|name| wanted.contains(&Some(images(&[name])[*name].clone())));
        match placed(template(&[], &list), &names) {
            Ok(found) => prop_assert_eq!(found.into_iter().map(Some).collect::<Vec<_>>(), wanted),
            Err(error) => {
                prop_assert!(!error.waits());
                prop_assert!(!all_used || wanted.contains(&None), "{}", error);
            }
        }
    }
}
