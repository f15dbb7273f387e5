//! Volumes of the Pod: runner, token, workspace, Secrets.

use dcanary_protocol::AUDIENCE;
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, ImageVolumeSource, KeyToPath, ProjectedVolumeSource, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};

use crate::{
    credentials,
    definition::StageDefinition,
    plan::{SECRETS, Subject},
    settings::{Delivery, Settings},
};

pub(super) const RUNNER: &str = "/dcanary/dcanary-runner";
pub(super) const WORKSPACE: &str = "/workspace";
const TOKEN: &str = "/var/run/dcanary/token";
/// The runner trades the token at once; it asks again only while the server is away.
const TOKEN_SECONDS: i64 = 3600;

/// Volumes, where they are mounted, and the container that fills the runner's.
pub(super) struct Volumes {
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
    pub(super) init: Option<Container>,
}

pub(super) fn volumes(subject: Subject<'_>, stage: &StageDefinition, settings: &Settings) -> Volumes {
    let mut all = Volumes {
        volumes: Vec::new(),
        mounts: Vec::new(),
        init: None,
    };
    all.runner(settings);
    all.add(token(), TOKEN, true, Some("token"));
    all.add(empty("workspace"), WORKSPACE, false, None);
    all.add(empty("tmp"), "/tmp", false, None);
    for (i, secret) in stage.stage.secrets.iter().enumerate() {
        all.add(
            secret_volume(format!("secret-{i}"), &secret.name),
            &format!("{SECRETS}/{}", secret.name),
            true,
            None,
        );
    }
    for credentials in credentials::of(subject.run, subject.definition, stage) {
        let volume = secret_volume(format!("credentials-{}", credentials.number), &credentials.secret);
        all.add(volume, &credentials.mount(), true, None);
        let secret = secret_keys(format!("masks-{}", credentials.number), &credentials.secret);
        all.add(secret, &credentials.masks(), true, None);
    }
    all
}

impl Volumes {
    fn add(&mut self, volume: Volume, path: &str, read_only: bool, sub_path: Option<&str>) {
        self.mounts.push(VolumeMount {
            name: volume.name.clone(),
            mount_path: path.to_owned(),
            read_only: read_only.then_some(true),
            sub_path: sub_path.map(str::to_owned),
            ..VolumeMount::default()
        });
        self.volumes.push(volume);
    }

    fn runner(&mut self, settings: &Settings) {
        match settings.delivery {
            Delivery::ImageVolume => {
                let volume = Volume {
                    name: "runner".to_owned(),
                    image: Some(ImageVolumeSource {
                        reference: Some(settings.runner_image.clone()),
                        pull_policy: settings.runner_pull_policy.clone(),
                    }),
                    ..Volume::default()
                };
                self.add(volume, "/dcanary", true, None);
            }
            Delivery::Init => {
                let mount = VolumeMount {
                    name: "runner".to_owned(),
                    mount_path: "/dcanary".to_owned(),
                    ..VolumeMount::default()
                };
                self.init = Some(Container {
                    name: "runner".to_owned(),
                    image: Some(settings.runner_image.clone()),
                    image_pull_policy: settings.runner_pull_policy.clone(),
                    command: Some(["/dcanary-runner", "copy", RUNNER].map(str::to_owned).to_vec()),
                    volume_mounts: Some(vec![mount]),
                    ..Container::default()
                });
                self.add(empty("runner"), "/dcanary", true, None);
            }
        }
    }
}

fn token() -> Volume {
    Volume {
        name: "token".to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(ServiceAccountTokenProjection {
                    audience: Some(AUDIENCE.to_owned()),
                    expiration_seconds: Some(TOKEN_SECONDS),
                    path: "token".to_owned(),
                }),
                ..VolumeProjection::default()
            }]),
            default_mode: None,
        }),
        ..Volume::default()
    }
}

fn empty(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

fn secret_volume(name: String, secret: &str) -> Volume {
    Volume {
        name,
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The keys of a Secret with credentials that are secret, as far as they are there.
fn secret_keys(name: String, secret: &str) -> Volume {
    let items = credentials::SECRET_KEYS.map(|key| KeyToPath {
        key: key.to_owned(),
        path: key.to_owned(),
        mode: None,
    });
    Volume {
        name,
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(items.to_vec()),
            optional: Some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}
