//! What somebody who decides looks at before.

use dcanary_crds::Promotion;
use kube::ResourceExt as _;

use super::{
    branches::{Branch, drawn, harmless, joined},
    rollout,
};

/// The promotion: who wants what, and what it changes.
pub fn looked_at(promotion: &Promotion, namespace: &str) -> String {
    let spec = &promotion.spec;
    let place = spec.environment_ref.namespace.as_deref().unwrap_or(namespace);
    let mut branches = Vec::new();
    if let Some(identity) = promotion
        .status
        .as_ref()
        .and_then(|status| status.identity.as_ref())
    {
        branches.push(Branch::leaf(format!("identity {identity}")));
    }
    let asked = joined(
        [
            harmless(spec.requested_by.as_deref().unwrap_or("nobody known")).as_str(),
            &harmless(spec.reason.as_deref().unwrap_or_default()),
        ],
        ": ",
    );
    branches.push(Branch::leaf(format!("asked for by {asked}")));
    if spec.undo {
        branches.push(Branch::leaf("it may be older than what is served (undo)"));
    }
    let changes = promotion
        .status
        .as_ref()
        .and_then(|status| status.changes.as_ref());
    if let Some(source) = changes.and_then(|changes| changes.to.as_ref()) {
        branches.push(Branch::leaf(rollout::source(source)));
    }
    branches.extend(changes.and_then(rollout::changes));
    format!(
        "Promotion {} brings Release {} into Environment {} of namespace {place}\n{}",
        promotion.name_any(),
        spec.release_ref.name,
        spec.environment_ref.name,
        drawn(&branches)
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_approves_sees_the_identity_who_asks_and_what_changes() {
        let promotion: Promotion = serde_json::from_value(serde_json::json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"name": "web-42-aaaaa", "namespace": "shop"},
            "spec": {
                "environmentRef": {"name": "production"}, "releaseRef": {"name": "web-42"},
                "requestedBy": "ada", "reason": "search\u{1b}[2J is faster", "undo": true,
            },
            "status": {
                "identity": format!("sha256:{}", "4".repeat(64)),
                "changes": {
                    "from": {"repo": "https://example.com/shop.git", "commit": "aaaaaaaaaaaaaaaa"},
                    "to": {"repo": "https://example.com/shop.git", "ref": "refs/heads/main", "commit": "bbbbbbbbbbbbbbbb"},
                    "images": [format!("web: r.example/web@sha256:{} → r.example/web@sha256:{}", "1".repeat(64), "2".repeat(64))],
                    "configuration": ["~settings/limits.yaml"],
                },
            },
        }))
        .unwrap();
        insta::assert_snapshot!("looked_at", looked_at(&promotion, "shop"));
    }
}
