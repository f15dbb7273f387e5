//! What the Pod may do. Every profile but `restricted` comes from a ClusterExecutor.

use dcanary_crds::{PodTemplate, Profile};
use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};

/// User when none is named: images with a named or root user need one.
const USER: i64 = 1000;

pub(super) fn pod(profile: Profile, template: &PodTemplate) -> PodSecurityContext {
    let (user, group) = ids(profile, template);
    PodSecurityContext {
        run_as_non_root: (profile == Profile::Restricted).then_some(true),
        run_as_user: user,
        run_as_group: group,
        // so that workspace, token and Secrets are readable for it
        fs_group: group.or(user),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container(profile: Profile, template: &PodTemplate) -> SecurityContext {
    let restricted = profile == Profile::Restricted;
    SecurityContext {
        allow_privilege_escalation: restricted.then_some(false),
        capabilities: restricted.then(|| Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        privileged: Some(false),
        read_only_root_filesystem: template.read_only_root_filesystem.then_some(true),
        ..SecurityContext::default()
    }
}

/// A user namespace of the Pod's own.
pub(super) fn host_users(profile: Profile) -> Option<bool> {
    (profile == Profile::Userns).then_some(false)
}

fn ids(profile: Profile, template: &PodTemplate) -> (Option<i64>, Option<i64>) {
    match profile {
        Profile::Restricted => {
            let user = template.run_as_user.unwrap_or(USER);
            (Some(user), Some(template.run_as_group.unwrap_or(user)))
        }
        Profile::Baseline | Profile::Userns => (template.run_as_user, template.run_as_group),
    }
}
