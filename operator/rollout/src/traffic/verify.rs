//! Weights that are seen by requests: a rule of the route that answers for it.
//!
//! The status of a route may say that it is in force before the data plane acts on it. So, while requests are split, the route has one more
//! rule. It redirects one path, which is another one for each split, to a host that does not exist, without any backend:
//!
//! ```text
//! GET /.well-known/dcanary/<hex>  ─▶ 302  Location: http://<hex>.dcanary.invalid/…
//! ```
//! A gateway that answers so has this version of the route. The application knows nothing of it, and the path tells nobody anything.

use dcanary_crds::RouteVerify;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    covers::covers,
    obstacle::Obstacle,
    path::{list, put, text},
    place::Place,
    route::Asked,
    rules,
    testers::within_limits,
};
use crate::{
    plan::{Effect, Verify},
    seen::Checked,
};

/// Name of the rule.
const NAME: &str = "verify";
/// Where the path begins.
const PATH: &str = "/.well-known/dcanary/";
/// Where the host name ends; RFC 2606 keeps `.invalid` free for ever.
const HOST: &str = ".dcanary.invalid";
/// Bytes of a digest of which eight digits are made.
const HALF: usize = 4;

/// What requests are to prove, where `route.verify` is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// Nothing: the route has no rule for it, and its status is believed.
    #[default]
    Off,
    /// The gateway is asked, and the status is believed: nothing here waits for the answer.
    Asked,
    /// Nothing is in force before requests have shown it.
    Needed,
}

/// Whether requests have shown that the gateway has the route as it is now.
#[derive(Debug, Clone, PartialEq)]
pub enum Verified {
    /// There is nothing to ask: no `route.verify`, or no rule that would answer.
    Unasked,
    /// They have.
    Yes,
    /// Not yet.
    No {
        /// What was asked, and what came back.
        message: String,
        /// What asks again.
        ask: Effect,
    },
}

/// Sixteen digits that stand for a split: eight that say whose, eight that say which. They are path and host name of its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// The token of what a route is asked to say for a candidate. The same for the same, and no gateway that has another split answers to it.
    pub(super) fn of(place: &Place<'_>, candidate: Option<&str>, asked: &Asked<'_>) -> Self {
        // whoever is stable is left out: its Service is switched while it gets no request, and the route stays as it is
        let split = json!([
            place.uid,
            place.stable,
            place.candidate,
            candidate,
            asked.weight,
            asked.mirror,
            asked.testers
        ]);
        Self(format!("{}{}", whose(place), digits(&split.to_string())))
    }

    /// The token of the rule that a route has.
    fn in_route(place: &Place<'_>, route: &Value) -> Option<Self> {
        let rules = list(route, &["spec", "rules"]).iter();
        let matches = rules
            .filter(|rule| is_ours(rule, place))
            .flat_map(|rule| list(rule, &["matches"]));
        let mut paths = matches.filter_map(|matched| text(matched, &["path", "value"])?.strip_prefix(PATH));
        paths.next().map(|token| Self(token.to_owned()))
    }

    /// The digits.
    pub(super) fn digits(&self) -> &str {
        &self.0
    }

    fn path(&self) -> String {
        format!("{PATH}{}", self.0)
    }

    fn host(&self) -> String {
        format!("{}{HOST}", self.0)
    }
}

/// Whether requests have shown that the gateway has a route as it is now.
pub(super) fn verified(place: &Place<'_>, verify: Option<&RouteVerify>, route: Option<&Value>) -> Verified {
    let token = route.and_then(|route| Token::in_route(place, route));
    let (Some(verify), Some(token)) = (verify, token) else {
        return Verified::Unasked;
    };
    let answer = place.seen.check.as_ref();
    let problem = match answer.filter(|answer| answer.token == token.0) {
        Some(Checked { shown: Ok(()), .. }) => return Verified::Yes,
        Some(Checked {
            shown: Err(problem), ..
        }) => problem,
        None => "is being asked whether it has the new weights",
    };
    let host = verify.host.as_ref();
    let host = host.map_or_else(String::new, |host| format!(" (as {host})"));
    Verified::No {
        message: format!(
            "the gateway at {}{host} {problem}: `GET {}` should be answered with a redirect to {}",
            verify.url,
            token.path(),
            token.host()
        ),
        ask: Effect::Verify(Box::new(Verify {
            url: verify.url.clone(),
            host: verify.host.clone(),
            path: token.path(),
            leads_to: token.host(),
            token: token.0,
        })),
    }
}

/// The next Environment of the same name takes over what this one leaves, so a name it is and no UID.
fn whose(place: &Place<'_>) -> String {
    digits(&json!([place.namespace, place.stable]).to_string())
}

fn digits(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..HALF])
}

/// Whether a rule is the one of this Environment: its path says so. A route may serve several Environments.
pub(super) fn is_ours(rule: &Value, place: &Place<'_>) -> bool {
    let ours = format!("{PATH}{}", whose(place));
    let path =
        |matched: &Value| text(matched, &["path", "value"]).is_some_and(|path| path.starts_with(&ours));
    rules::backends(rule).is_empty() && list(rule, &["matches"]).iter().any(path)
}

/// Puts the rule of a token before all others, in place of the one that is there. No token: takes it out.
pub(super) fn set(
    place: &Place<'_>,
    rules: Vec<Value>,
    token: Option<&Token>,
) -> Result<Vec<Value>, Obstacle> {
    let (before, mut kept): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| is_ours(rule, place));
    let Some(token) = token else { return Ok(kept) };
    let taken: Vec<&str> = kept.iter().filter_map(rules::name).collect();
    let name = std::iter::once(format!("{}{NAME}", rules::PREFIX))
        .chain((1..=taken.len() + 1).map(|n| format!("{}{NAME}-{n}", rules::PREFIX)))
        .find(|name| !taken.contains(&name.as_str()));
    let mut wanted = rule(token);
    put(&mut wanted, &["name"], json!(name));
    // What the API server filled in stays, so that nothing is written again.
    let same = before.into_iter().find(|rule| covers(rule, &wanted));
    kept.insert(0, same.unwrap_or(wanted));
    within_limits(
        &kept,
        "one rule for traffic.route.verify",
        "leave traffic.route.verify out",
    )?;
    Ok(kept)
}

fn rule(token: &Token) -> Value {
    json!({
        "matches": [{"path": {"type": "Exact", "value": token.path()}}],
        "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": token.host(), "statusCode": 302}}],
    })
}
