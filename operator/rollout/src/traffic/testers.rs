//! Rules that lead testers to the candidate at any weight.
//!
//! Each is a copy of a weighted rule, with its filters and timeouts, whose matches ask for the tester's header as well: what the weighted rule
//! does not match, the testers' rule does not either. It stands directly before the weighted one, and has one more header to match, so that
//! it comes first by order and by precedence.

use dcanary_crds::{NameValue, RouteKind, Tester};
use serde_json::{Map, Value, json};

use super::{
    covers::covers,
    obstacle::Obstacle,
    path::{list, put, text},
    place::Place,
    rules::{self, backends, is, is_tester, renamed},
};

/// Rules of a route, matches of a rule, matches of a route, and headers of a match that the Gateway API allows.
const RULES: usize = 16;
const MATCHES: usize = 64;
const MATCHES_GRPC: usize = 8;
const ALL_MATCHES: usize = 128;
const HEADERS: usize = 16;

/// Puts the rules of testers before each weighted rule, in place of those that are there. No testers: takes them out.
pub(super) fn set(
    place: &Place<'_>,
    kind: RouteKind,
    rules: Vec<Value>,
    weighted: &[usize],
    testers: &[Tester],
) -> Result<Vec<Value>, Obstacle> {
    let (before, kept): (Vec<_>, Vec<_>) = rules
        .into_iter()
        .enumerate()
        .partition(|(_, rule)| is_tester(rule, place));
    let taken: Vec<String> = kept
        .iter()
        .filter_map(|(_, rule)| rules::name(rule))
        .map(str::to_owned)
        .collect();
    let mut names = (0..)
        .map(|n| format!("{}tester-{n}", rules::PREFIX))
        .filter(|name| !taken.contains(name));
    let mut all = Vec::new();
    let mut added = 0;
    for (index, rule) in &kept {
        if weighted.contains(index) {
            for mut wanted in of_rule(place, kind, rule, testers)? {
                if kept.iter().any(|(_, rule)| covers(rule, &wanted)) {
                    return Err(Obstacle::RouteRejected(format!(
                        "the route has a rule without a name that leads the testers to {}: remove it; if nobody wrote it, the CRDs of the Gateway API are older than 1.4 and drop the names of rules: update them, or leave strategy.canary.testers out",
                        place.candidate
                    )));
                }
                put(&mut wanted, &["name"], json!(names.next()));
                // What the API server filled in stays, so that nothing is written again.
                let same = before.iter().find(|(_, rule)| covers(rule, &wanted));
                all.push(same.map_or(wanted, |(_, rule)| rule.clone()));
                added += 1;
            }
        }
        all.push(rule.clone());
    }
    if added > 0 {
        within_limits(
            &all,
            &format!("{added} rules for testers"),
            "fewer strategy.canary.testers",
        )?;
    }
    Ok(all)
}

/// Rules without names for the testers of a weighted rule.
fn of_rule(
    place: &Place<'_>,
    kind: RouteKind,
    rule: &Value,
    testers: &[Tester],
) -> Result<Vec<Value>, Obstacle> {
    let backend = backends(rule)
        .iter()
        .find(|backend| is(backend, &place.candidate, place))
        .or_else(|| {
            backends(rule)
                .iter()
                .find(|backend| is(backend, place.stable, place))
        });
    let Some(backend) = backend else {
        return Ok(Vec::new());
    };
    let own = match list(rule, &["matches"]) {
        [] if kind == RouteKind::Http => vec![json!({"path": {"type": "PathPrefix", "value": "/"}})],
        [] => vec![json!({})],
        matches => matches.to_vec(),
    };
    let mut matches = Vec::new();
    for own in &own {
        for tester in testers {
            matches.extend(narrowed(own, &header(tester))?);
        }
    }
    let most = if kind == RouteKind::Http {
        MATCHES
    } else {
        MATCHES_GRPC
    };
    let filters: Vec<Value> = list(rule, &["filters"])
        .iter()
        .filter(|filter| !rules::is_mirror(filter, place))
        .cloned()
        .collect();
    let made = matches.chunks(most).map(|matches| {
        let mut fields: Map<String, Value> = rule.as_object().cloned().unwrap_or_default();
        fields.remove("name");
        fields.remove("filters");
        if !filters.is_empty() {
            fields.insert("filters".to_owned(), json!(filters));
        }
        fields.insert("matches".to_owned(), json!(matches));
        fields.insert(
            "backendRefs".to_owned(),
            json!([renamed(backend, &place.candidate, 1)]),
        );
        Value::Object(fields)
    });
    Ok(made.collect())
}

/// A match that asks for a header as well. `None`: no request can satisfy both.
fn narrowed(own: &Value, header: &Value) -> Result<Option<Value>, Obstacle> {
    let name = text(header, &["name"]).unwrap_or_default();
    let kind = |header: &Value| text(header, &["type"]).unwrap_or("Exact").to_owned();
    let headers = list(own, &["headers"]);
    let same = headers
        .iter()
        .find(|other| text(other, &["name"]).is_some_and(|other| other.eq_ignore_ascii_case(name)));
    let Some(same) = same else {
        if headers.len() >= HEADERS {
            return Err(Obstacle::RouteRejected(format!(
                "a match of the weighted rule has {HEADERS} headers, and a tester needs one more, but the Gateway API allows no more: match fewer headers, or leave strategy.canary.testers out"
            )));
        }
        let mut own = own.clone();
        let all: Vec<&Value> = headers.iter().chain([header]).collect();
        let all = json!(all);
        put(&mut own, &["headers"], all);
        return Ok(Some(own));
    };
    let equal = same.get("value") == header.get("value") && kind(same) == kind(header);
    if equal {
        return Ok(Some(own.clone()));
    }
    if kind(same) == "Exact" && kind(header) == "Exact" {
        return Ok(None);
    }
    Err(Obstacle::RouteRejected(format!(
        "the weighted rule and a tester both match header {name}, which the Gateway API allows once in a match: let the tester use another header, or leave it out"
    )))
}

/// What a tester's requests have.
fn header(tester: &Tester) -> Value {
    match (&tester.header, &tester.cookie) {
        (Some(NameValue { name, value }), _) => json!({"type": "Exact", "name": name, "value": value}),
        (None, Some(NameValue { name, value })) => json!({
            "type": "RegularExpression",
            "name": "Cookie",
            // It means the same where the whole value is matched and where it is searched.
            "value": format!("^(.*; *)?{}={}( *;.*)?$", literal(name), literal(value)),
        }),
        (None, None) => json!({"type": "Exact", "name": "", "value": ""}),
    }
}

/// A text as a regular expression (RE2, PCRE) that matches just it. A backtick would end a rule of Traefik.
fn literal(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '`' {
            all.push_str("\\x60");
            continue;
        }
        if "\\.+*?()|[]{}^$".contains(letter) {
            all.push('\\');
        }
        all.push(letter);
    }
    all
}

/// Whether the Gateway API takes so many rules and matches. Where not: what was added, and what there could be less of.
pub(super) fn within_limits(all: &[Value], added: &str, less: &str) -> Result<(), Obstacle> {
    let matches: usize = all.iter().map(|rule| list(rule, &["matches"]).len().max(1)).sum();
    if all.len() <= RULES && matches <= ALL_MATCHES {
        return Ok(());
    }
    Err(Obstacle::RouteRejected(format!(
        "with {added} the route would have {} rules with {matches} matches, but the Gateway API allows {RULES} and {ALL_MATCHES}: have fewer of either in it, or {less}",
        all.len(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(name: &str, value: &str) -> Tester {
        Tester {
            header: None,
            cookie: Some(NameValue {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
        }
    }

    #[test]
    fn a_cookie_is_matched_as_it_is_written() {
        assert_eq!(
            header(&cookie("who", "a.b*c")),
            json!({"type": "RegularExpression", "name": "Cookie", "value": r"^(.*; *)?who=a\.b\*c( *;.*)?$"})
        );
        assert_eq!(literal("a`b"), r"a\x60b");
    }

    #[test]
    fn a_match_is_narrowed_and_never_widened() {
        let tester = json!({"type": "Exact", "name": "x-tester", "value": "yes"});
        let own = json!({"path": {"type": "PathPrefix", "value": "/api"}, "headers": [{"name": "a", "value": "b"}]});
        let narrowed = |own: &Value| super::narrowed(own, &tester);
        assert_eq!(
            narrowed(&own),
            Ok(Some(json!({
                "path": {"type": "PathPrefix", "value": "/api"},
                "headers": [{"name": "a", "value": "b"}, tester],
            })))
        );
        let same = json!({"headers": [{"name": "X-Tester", "value": "yes"}]});
        assert_eq!(narrowed(&same), Ok(Some(same.clone())));
        assert_eq!(
            narrowed(&json!({"headers": [{"name": "X-Tester", "value": "no"}]})),
            Ok(None)
        );
        let expression =
            json!({"headers": [{"name": "X-Tester", "value": ".*", "type": "RegularExpression"}]});
        assert!(narrowed(&expression).is_err());
    }
}
