//! Logging in to a registry: what it asks for, and tokens, which are asked for anew before they end.

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dcanary_guard::Guard;
use reqwest::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{ANSWER_BYTES, Problem, allowed, good, problem};

/// Seconds for which a token is good that does not say so.
const GOOD_FOR: u64 = 60;
/// Seconds before its end in which it is not used any more.
const SPARE: u64 = 10;

/// A login of a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// None.
    #[default]
    Anonymous,
    /// Name and password.
    Basic(String, String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic(name, _) => write!(f, "Basic({name:?})"),
        }
    }
}

impl Login {
    fn header(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::Basic(name, password) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Password,
    /// A token from this place.
    Token(Url),
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a repository wants to see.
pub(super) struct Auth {
    login: Login,
    scope: String,
    wanted: Wanted,
    token: Mutex<Option<(String, Instant)>>,
}

impl Auth {
    pub(super) fn new(login: Login, scope: String) -> Self {
        Self {
            login,
            scope,
            wanted: Wanted::Nothing,
            token: Mutex::default(),
        }
    }

    /// Takes what a registry has answered at its root.
    pub(super) fn challenged(
        &mut self,
        headers: &HeaderMap,
        root: &Url,
        guard: Guard,
    ) -> Result<(), Problem> {
        let challenges: Vec<_> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .flat_map(challenges)
            .collect();
        let bearer = challenges
            .iter()
            .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
        self.wanted = match bearer {
            None if challenges.is_empty() => Wanted::Nothing,
            None => Wanted::Password,
            Some(bearer) => {
                let realm = bearer.of("realm").and_then(|realm| root.join(realm).ok());
                let unusable = || Problem::Refused("the registry does not say where to log in".to_owned());
                let mut realm = realm.ok_or_else(unusable)?;
                allowed(guard, root, &realm)?;
                realm.query_pairs_mut().append_pair("scope", &self.scope);
                if let Some(service) = bearer.of("service") {
                    realm.query_pairs_mut().append_pair("service", service);
                }
                Wanted::Token(realm)
            }
        };
        Ok(())
    }

    /// The header of a request.
    pub(super) async fn header(
        &self,
        ask: impl Fn(Url) -> RequestBuilder,
    ) -> Result<Option<String>, Problem> {
        let realm = match &self.wanted {
            Wanted::Nothing => return Ok(None),
            Wanted::Password => return Ok(self.login.header()),
            Wanted::Token(realm) => realm,
        };
        let mut known = self.token.lock().await;
        if let Some((token, until)) = &*known
            && Instant::now() < *until
        {
            return Ok(Some(format!("Bearer {token}")));
        }
        let request = ask(realm.clone());
        let request = match self.login.header() {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        };
        let body = problem::bounded(good(request).await?, ANSWER_BYTES).await?;
        // What the place has answered is not repeated: it may be no registry.
        let unusable = || Problem::Refused("the registry's answer to a login is no token".to_owned());
        let said: Token = serde_json::from_slice(&body).map_err(|_| unusable())?;
        let token = said.token.or(said.access_token).ok_or_else(unusable)?;
        let good_for = said.expires_in.unwrap_or(GOOD_FOR).clamp(GOOD_FOR, 3_600);
        *known = Some((
            token.clone(),
            Instant::now() + Duration::from_secs(good_for - SPARE),
        ));
        Ok(Some(format!("Bearer {token}")))
    }
}

/// One way to log in: `Bearer realm="…",service="…"`.
#[derive(Debug, PartialEq, Eq)]
struct Challenge<'a> {
    scheme: &'a str,
    values: Vec<(&'a str, &'a str)>,
}

impl<'a> Challenge<'a> {
    fn of(&self, name: &str) -> Option<&'a str> {
        let mut values = self.values.iter();
        let found = values.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// All ways in one header.
fn challenges(header: &str) -> Vec<Challenge<'_>> {
    let mut found: Vec<Challenge<'_>> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return found;
        }
        let Some(value) = after.strip_prefix('=') else {
            found.push(Challenge {
                scheme: word,
                values: Vec::new(),
            });
            rest = after;
            continue;
        };
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at(value.find([' ', '\t', ',']).unwrap_or(value.len())),
        };
        if let Some(challenge) = found.last_mut() {
            challenge.values.push((word, value));
        }
        rest = after;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GUARD: Guard = Guard {
        allow_link_local: false,
        switch: "",
    };

    fn wanted(headers: &[&str]) -> Result<Wanted, Problem> {
        let mut auth = Auth::new(Login::Anonymous, "repository:a/b:pull".to_owned());
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(WWW_AUTHENTICATE, header.parse().unwrap());
        }
        let root = Url::parse("https://reg.example/v2/").unwrap();
        auth.challenged(&map, &root, GUARD)?;
        Ok(auth.wanted)
    }

    #[test]
    fn a_registry_says_where_its_tokens_are() {
        let token = |url: &str| Wanted::Token(Url::parse(url).unwrap());
        let there = token("https://auth.example/token?scope=repository%3Aa%2Fb%3Apull&service=reg.example");
        for header in [
            r#"Bearer realm="https://auth.example/token",service="reg.example",scope="x:y:pull,push""#,
            r#"bearer service=reg.example, Realm="https://auth.example/token""#,
            r#"Basic realm="other, Bearer", Bearer realm="https://auth.example/token" , service="reg.example""#,
        ] {
            assert_eq!(wanted(&[header]).unwrap(), there, "{header}");
        }
        let two = ["Basic realm=x", r#"Bearer realm="/token""#];
        let here = token("https://reg.example/token?scope=repository%3Aa%2Fb%3Apull");
        assert_eq!(wanted(&two).unwrap(), here);
    }

    #[test]
    fn a_registry_may_want_a_password_or_nothing() {
        assert_eq!(wanted(&[]).unwrap(), Wanted::Nothing);
        assert_eq!(wanted(&[r#"Basic realm="x""#]).unwrap(), Wanted::Password);
    }

    #[test]
    fn a_place_for_tokens_that_is_not_to_be_asked_is_refused() {
        for realm in [
            "http://auth.example/token",
            "https://169.254.169.254/token",
            "ftp://auth.example/",
            "https://[::ffff:a9fe:a9fe]/",
        ] {
            let refused = wanted(&[&format!(r#"Bearer realm="{realm}""#)]);
            assert!(matches!(refused, Err(Problem::Refused(_))), "{realm}");
        }
        assert!(wanted(&["Bearer"]).is_err());
    }
}
