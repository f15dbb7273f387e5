//! What a token says of itself, looked at before the API server is asked about it. Nothing of it is believed: it only spares reviews of what
//! no review would accept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dcanary_protocol::AUDIENCE;
use serde::Deserialize;

use super::Audience;

/// So much may the clocks of the API server and of this one differ before a token counts as expired here.
const CLOCKS: Duration = Duration::from_secs(300);

/// For whom a token is: JWTs have one name or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

/// The payload of a JWT, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Claims {
    aud: Option<Names>,
    exp: Option<f64>,
}

impl Claims {
    /// `None` for what is no JWT.
    fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.').map(|part| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok();
            bytes.filter(|bytes| !bytes.is_empty())
        });
        let (_header, payload, _signature) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() {
            return None;
        }
        serde_json::from_slice(&payload).ok()
    }

    fn audiences(&self) -> &[String] {
        match &self.aud {
            None => &[],
            Some(Names::One(name)) => std::slice::from_ref(name),
            Some(Names::Many(names)) => names,
        }
    }

    fn expired(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.exp
            .is_some_and(|until| now.saturating_sub(CLOCKS).as_secs_f64() > until)
    }
}

/// Whether a review could find somebody behind a token. Tokens for this server are made by the API server on request, and those are JWTs;
/// tokens for the API server itself may be anything that some authenticator of the cluster knows.
pub fn plausible(token: &str, audience: Audience, now: SystemTime) -> bool {
    let Some(claims) = Claims::of(token) else {
        return audience == Audience::ApiServer;
    };
    let names = claims.audiences();
    !claims.expired(now)
        && match audience {
            Audience::Server => names.iter().any(|name| name == AUDIENCE),
            // one for us alone is none for the API server
            Audience::ApiServer => names.is_empty() || names.iter().any(|name| name != AUDIENCE),
        }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn jwt(payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmVk", part(&json!({"alg": "RS256"})), part(payload))
    }

    fn may_be(token: &str) -> (bool, bool) {
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        (
            plausible(token, Audience::Server, now),
            plausible(token, Audience::ApiServer, now),
        )
    }

    #[test]
    fn only_a_jwt_that_names_this_server_may_be_one_for_it() {
        let later = NOW + 60;
        assert_eq!(
            may_be(&jwt(&json!({"aud": ["dcanary-server"], "exp": later}))),
            (true, false)
        );
        assert_eq!(
            may_be(&jwt(&json!({"aud": "dcanary-server", "exp": later}))),
            (true, false)
        );
        assert_eq!(
            may_be(&jwt(
                &json!({"aud": ["https://kubernetes.default.svc", "dcanary-server"], "exp": later})
            )),
            (true, true)
        );
        assert_eq!(
            may_be(&jwt(
                &json!({"aud": ["https://kubernetes.default.svc"], "exp": later})
            )),
            (false, true)
        );
        assert_eq!(may_be(&jwt(&json!({"sub": "old"}))), (false, true));
    }

    #[test]
    fn what_is_no_jwt_may_be_a_token_of_the_api_server_alone() {
        let good = jwt(&json!({"aud": ["dcanary-server"]}));
        let (header, rest) = good.split_once('.').unwrap();
        let (payload, signature) = rest.split_once('.').unwrap();
        for token in [
            "k8s-aws-v1.aHR0cHM6Ly9zdHM".to_owned(),
            "opaque".to_owned(),
            String::new(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!(".{payload}.{signature}"),
            format!("{good}.{signature}"),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}.{payload}.sign/ed"),
            format!("{header}.{signature}.{signature}"),
            jwt(&json!([1])),
            jwt(&json!({"aud": 7})),
        ] {
            assert_eq!(may_be(&token), (false, true), "{token}");
        }
    }

    #[test]
    fn one_that_has_expired_is_for_nobody_but_clocks_may_differ_a_little() {
        let until = |seconds: u64| jwt(&json!({"aud": ["dcanary-server", "other"], "exp": seconds}));
        assert_eq!(may_be(&until(NOW - 301)), (false, false));
        assert_eq!(may_be(&until(NOW - 299)), (true, true));
        assert_eq!(may_be(&until(0)), (false, false));
        assert_eq!(
            may_be(&jwt(&json!({"aud": ["dcanary-server", "other"]}))),
            (true, true)
        );
    }
}
