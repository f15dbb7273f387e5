use super::*;

fn digest() -> String {
    format!("sha256:{}", "01".repeat(32))
}

fn stage(kind: &str, reference: Option<String>) -> StageStatus {
    StageStatus {
        name: "build".to_owned(),
        artifacts: vec![ArtifactStatus {
            name: "app".to_owned(),
            digest: digest(),
            size: 7,
            kind: kind.to_owned(),
            reference,
        }],
        ..StageStatus::default()
    }
}

#[test]
fn an_image_is_where_the_status_says_only_under_its_own_digest() {
    let good = format!("registry.example:5000/team/app@{}", digest());
    assert_eq!(compare(&stage("image", Some(good.clone()))), Ok(()));
    assert_eq!(compare(&stage("image", None)), Ok(()));
    let other = format!("sha256:{}", "02".repeat(32));
    let evil = [
        format!("evil.example/x@{other}"),
        format!("evil.example/x@{other}@{}", digest()),
        format!("evil.example/x:1{}", digest()),
        "evil.example/x:1".to_owned(),
        String::new(),
    ];
    for reference in evil {
        let said = compare(&stage("image", Some(reference.clone()))).unwrap_err();
        let named = ["image app", "stage build", &reference, &digest()];
        assert!(named.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn what_is_no_image_is_in_no_registry() {
    for kind in ["file", "directory", "report", ""] {
        assert_eq!(compare(&stage(kind, None)), Ok(()));
        let good = format!("registry.example/app@{}", digest());
        let said = compare(&stage(kind, Some(good))).unwrap_err();
        assert!(
            said.contains("artifact app of stage build") && said.contains("no image"),
            "{said}"
        );
    }
}
