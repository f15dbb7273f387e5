//! Reads the `Authorization` header and asks who that is. The connection of somebody who may go on is a stranger's no more.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::places::known;
use super::problem::Refusal;
use crate::attempts::Attempt;
use crate::auth::{Audience, PodIdentity, Readable};
use crate::core::Core;
use crate::names::{AttemptId, Namespace};
use crate::session;

fn shown<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a str, Refusal> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(name, _)| name.eq_ignore_ascii_case(scheme))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty())
        .ok_or_else(Refusal::unauthenticated)
}

/// A build Pod with its token.
///
/// # Errors
/// No token for this server, or one that is bound to no Pod.
pub async fn pod(core: &Core, headers: &HeaderMap) -> Result<PodIdentity, Refusal> {
    let token = shown(headers, "Bearer")?;
    let user = core
        .readers
        .now(core.cluster.as_ref(), token)
        .await?
        .ok_or_else(Refusal::unauthenticated)?;
    let pod = user.pod().ok_or(session::SessionError::NotAPod)?;
    known();
    Ok(pod)
}

/// A runner with its session.
///
/// # Errors
/// No such session, or a closed one.
pub async fn runner(core: &Core, headers: &HeaderMap, attempt: &str) -> Result<Arc<Attempt>, Refusal> {
    let shown = shown(headers, "DCanary")?;
    let attempt: AttemptId = attempt
        .parse()
        .map_err(|error: crate::names::BadName| Refusal::new(400, "bad-name", error.to_string()))?;
    let attempt = session::open(core, shown, &attempt).await?;
    known();
    Ok(attempt)
}

/// The operator with its token.
///
/// # Errors
/// Somebody else.
pub async fn operator(core: &Core, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = shown(headers, "Bearer")?;
    let user = core
        .readers
        .user_for(core.cluster.as_ref(), token, Audience::Server)
        .await?;
    let user = user.ok_or_else(Refusal::unauthenticated)?;
    if user.name == core.settings.operator {
        known();
        Ok(())
    } else {
        Err(Refusal::forbidden("only the operator may do this"))
    }
}

/// Somebody for whom a request is handed on to the API server.
pub struct Caller {
    /// The token, which the API server takes.
    pub token: String,
    /// User name, as the API server knows it.
    pub name: String,
}

/// Whoever asks, with a token for the API server. What they may do is the API server's to say.
///
/// # Errors
/// No such token.
pub async fn caller(core: &Core, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let token = shown(headers, "Bearer")?;
    let cluster = core.cluster.as_ref();
    if let Some(user) = core.readers.user_for(cluster, token, Audience::ApiServer).await? {
        known();
        return Ok(Caller {
            token: token.to_owned(),
            name: user.name,
        });
    }
    let ours = core.readers.user_for(cluster, token, Audience::Server).await?;
    Err(match ours {
        None => Refusal::unauthenticated(),
        Some(_) => Refusal::new(
            401,
            "unauthenticated",
            "this token is for the DCanary server only, and the request is handed on to the API server: show a token that was \
             made for the API server (`kubectl create token NAME` without --audience)",
        ),
    })
}

/// Somebody who may read some kind in a namespace.
///
/// # Errors
/// Nobody, or somebody who may not.
pub async fn reader(
    core: &Core,
    headers: &HeaderMap,
    namespace: &Namespace,
    kind: Readable,
) -> Result<(), Refusal> {
    let token = shown(headers, "Bearer")?;
    let cluster = core.cluster.as_ref();
    let user = core
        .readers
        .user(cluster, token)
        .await?
        .ok_or_else(Refusal::unauthenticated)?;
    let may = core
        .readers
        .may_read(cluster, &user, kind, namespace.as_str())
        .await?;
    if may {
        known();
        Ok(())
    } else {
        let kind = kind.resource();
        Err(Refusal::forbidden(&format!(
            "get {kind}.dcanary.dev in this namespace is needed"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use prometheus_client::metrics::counter::Counter;

    use super::super::places::Places;
    use super::*;
    use crate::auth::relay::{Answer, Call, RelayError};
    use crate::auth::{Cluster, ClusterError, OwnerRun, PodFacts, RunFacts, User};
    use crate::core::Settings;
    use crate::digest::Digest;
    use crate::images::Registries;
    use crate::limits::Limits;
    use crate::metrics::Metrics;
    use crate::store::Store;
    use crate::store::commit::CommitSettings;
    use crate::store::space::Reserve;
    use crate::store::volume::Volume;

    /// Every token is the operator's and bound to a Pod, but those whose signature is `bad` in base64.
    struct Everybody;

    #[async_trait::async_trait]
    impl Cluster for Everybody {
        async fn review(&self, token: &str, _: Audience) -> Result<Option<User>, ClusterError> {
            let fact = |name: &str| {
                (
                    format!("authentication.kubernetes.io/{name}"),
                    vec!["p-1".to_owned()],
                )
            };
            Ok((!token.ends_with(".YmFk")).then(|| User {
                name: "system:serviceaccount:ops:conductor".to_owned(),
                extra: vec![fact("pod-name"), fact("pod-uid")],
                ..User::default()
            }))
        }
        async fn may_read(&self, _: &User, _: Readable, namespace: &str) -> Result<bool, ClusterError> {
            Ok(namespace == "mine")
        }
        async fn pod(&self, _: &str, _: &str) -> Result<Option<PodFacts>, ClusterError> {
            Ok(Some(PodFacts {
                uid: "p-1".to_owned(),
                owner_run: Some(OwnerRun {
                    name: "run".to_owned(),
                    uid: "r-1".to_owned(),
                }),
                run_uid: Some("r-1".to_owned()),
                stage: Some("build".to_owned()),
                attempt: Some(1),
            }))
        }
        async fn run(&self, _: &str, _: &str, _: &str) -> Result<Option<RunFacts>, ClusterError> {
            Ok(Some(RunFacts::default()))
        }
        async fn run_uids(&self) -> Result<HashSet<String>, ClusterError> {
            Ok(HashSet::new())
        }
        async fn relay(&self, _: &str, _: Call) -> Result<Answer, RelayError> {
            Err(RelayError::Busy)
        }
    }

    fn core(operator: &str) -> (Core, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::default();
        let store = Store::open(
            Arc::new(Volume::open(dir.path()).unwrap()),
            CommitSettings::default(),
            Reserve::Bytes(1 << 20),
            metrics.store.clone(),
        )
        .unwrap();
        let settings = Settings {
            operator: operator.to_owned(),
            reader_cache: Duration::ZERO,
            retention: Duration::ZERO,
            retry_wait: Duration::ZERO,
            registry_patience: Duration::ZERO,
        };
        let (store, cluster) = (Arc::new(store), Arc::new(Everybody));
        let core = Core::new(
            store,
            cluster,
            Registries::default(),
            Limits::default(),
            settings,
            metrics,
        );
        (core.unwrap(), dir)
    }

    fn token(signature: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = format!(r#"{{"aud": ["{}", "api"]}}"#, dcanary_protocol::AUDIENCE);
        format!("Bearer {}.{}.{}", part("{}"), part(&claims), part(signature))
    }

    fn authorization(value: &str) -> HeaderMap {
        let value = value.parse().unwrap();
        [(header::AUTHORIZATION, value)].into_iter().collect()
    }

    /// Whether a connection is known after a request that asks who that is.
    async fn known_after<T>(asked: impl Future<Output = Result<T, Refusal>>) -> bool {
        // A place for each address: only a stranger makes room for the next of its own.
        let places = Places::new(2, Counter::default());
        let place = places.enter([10, 0, 0, 1].into()).unwrap();
        let taken = place.answer(asked).await.is_ok();
        let known = places.enter([10, 0, 0, 1].into()).is_none();
        assert_eq!(taken, known);
        known
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_connection_is_known_by_every_kind_of_token_that_is_taken_and_by_no_other() {
        let (core, _dir) = core("system:serviceaccount:ops:conductor");
        let namespace: Namespace = "mine".parse().unwrap();
        for (signature, taken) in [("good", true), ("bad", false)] {
            let headers = authorization(&token(signature));
            assert_eq!(known_after(operator(&core, &headers)).await, taken);
            assert_eq!(known_after(pod(&core, &headers)).await, taken);
            assert_eq!(known_after(caller(&core, &headers)).await, taken);
            let reads = reader(&core, &headers, &namespace, Readable::Runs);
            assert_eq!(known_after(reads).await, taken);
        }
        assert!(!known_after(operator(&core, &HeaderMap::new())).await);
        let headers = authorization(&token("good"));
        let other: Namespace = "other".parse().unwrap();
        assert!(!known_after(reader(&core, &headers, &other, Readable::Runs)).await);
        let us = pod(&core, &headers).await.ok().unwrap();
        let key = Digest::of(&[7; 32]).hex();
        session::trade(&core, &us, &key).await.unwrap();
        for (key, taken) in [([7; 32], true), ([8; 32], false)] {
            let headers = authorization(&format!("DCanary p-1:{}", hex::encode(key)));
            assert_eq!(known_after(runner(&core, &headers, "p-1")).await, taken);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_token_of_somebody_else_than_the_operator_makes_nobody_known() {
        let (core, _dir) = core("system:serviceaccount:ops:somebody-else");
        let headers = authorization(&token("good"));
        assert!(!known_after(operator(&core, &headers)).await);
    }
}
