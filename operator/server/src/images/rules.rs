//! Who may push where, and build on what. The login of a registry is the server's, so without rules every namespace
//! could use it for everything that it reaches.

use std::str::FromStr;

use serde::Deserialize;

use crate::names::Namespace;

/// What is done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// Images of it are bases.
    Pull,
    /// Images are pushed to it; they may be bases as well.
    #[default]
    Push,
}

/// Repositories that some namespaces may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    /// Names; a `*` at the end stands for any end.
    namespaces: Vec<String>,
    /// `host/path`, with everything below it; `*` alone is everything.
    repositories: Vec<String>,
    #[serde(default)]
    access: Access,
}

/// Rules, from a JSON array.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRules {
    /// Not the expected JSON.
    #[error("not a JSON array of {{namespaces, repositories, access}}: {0}")]
    Json(#[from] serde_json::Error),
    /// A rule that would not mean what it seems to.
    #[error("rule {at}: {what}")]
    Rule {
        /// Its position, from 0.
        at: usize,
        /// What is wrong.
        what: String,
    },
}

impl FromStr for Rules {
    type Err = BadRules;

    fn from_str(text: &str) -> Result<Self, BadRules> {
        let rules: Vec<Rule> = serde_json::from_str(text)?;
        for (at, rule) in rules.iter().enumerate() {
            rule.check().map_err(|what| BadRules::Rule { at, what })?;
        }
        Ok(Self(rules))
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        if self.namespaces.is_empty() || self.repositories.is_empty() {
            return Err("namespaces and repositories are needed".to_owned());
        }
        for name in &self.namespaces {
            let name = name.strip_suffix('*').unwrap_or(name);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if !name.chars().all(plain) {
                return Err(format!(
                    "namespace {name:?}: a name, or the beginning of one and `*`"
                ));
            }
        }
        for repository in self.repositories.iter().filter(|name| *name != "*") {
            let tagged = repository
                .split_once('/')
                .is_some_and(|(_, path)| path.contains(':'));
            if repository.trim_matches('/').is_empty()
                || repository.contains(['*', '@'])
                || repository.contains("//")
                || tagged
            {
                return Err(format!(
                    "repository {repository:?}: host/path without scheme, tag, digest or `*`"
                ));
            }
        }
        Ok(())
    }

    fn covers(&self, namespace: &str, image: &str, access: Access) -> bool {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => namespace.starts_with(beginning),
            None => namespace == pattern,
        };
        // Whole parts: `reg.example/team` is not above `reg.example/teamwork`.
        let below = |repository: &String| {
            repository == "*" || image.starts_with(&format!("{}/", repository.trim_end_matches('/')))
        };
        self.access >= access && self.namespaces.iter().any(named) && self.repositories.iter().any(below)
    }
}

impl Rules {
    /// No rules were given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some rule lets a namespace use a repository.
    pub fn allow(&self, namespace: &Namespace, registry: &str, repository: &str, access: Access) -> bool {
        let image = format!("{registry}/{repository}/");
        self.0
            .iter()
            .any(|rule| rule.covers(namespace.as_str(), &image, access))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn may(rules: &str, namespace: &str, repository: &str, access: Access) -> bool {
        let rules: Rules = rules.parse().unwrap();
        rules.allow(&namespace.parse().unwrap(), "reg.example", repository, access)
    }

    #[test]
    fn a_rule_is_for_its_namespaces_and_for_what_lies_below_its_repositories() {
        let rules = r#"[{"namespaces": ["team-a"], "repositories": ["reg.example/a"]},
            {"namespaces": ["dev-*"], "repositories": ["reg.example/dev/", "other.example"]}]"#;
        for (namespace, repository, allowed) in [
            ("team-a", "a", true),
            ("team-a", "a/deep/er", true),
            ("team-a", "ab", false),
            ("team-a", "dev/x", false),
            ("team-ab", "a", false),
            ("dev-one", "dev/x", true),
            ("dev-", "dev/x", true),
            ("dev", "dev/x", false),
            ("dev-one", "a", false),
        ] {
            let found = may(rules, namespace, repository, Access::Push);
            assert_eq!(found, allowed, "{namespace} {repository}");
        }
        let everything = r#"[{"namespaces": ["*"], "repositories": ["*"]}]"#;
        assert!(may(everything, "any", "thing", Access::Push));
    }

    #[test]
    fn what_may_be_pulled_may_not_be_pushed_and_what_may_be_pushed_may_be_pulled() {
        let pull = r#"[{"namespaces": ["*"], "repositories": ["reg.example/base"], "access": "pull"}]"#;
        assert!(may(pull, "any", "base/os", Access::Pull));
        assert!(!may(pull, "any", "base/os", Access::Push));
        let push = r#"[{"namespaces": ["*"], "repositories": ["reg.example/base"], "access": "push"}]"#;
        assert!(may(push, "any", "base/os", Access::Pull));
    }

    #[test]
    fn rules_that_would_not_mean_what_they_seem_to_are_refused() {
        for bad in [
            "{}",
            r#"[{"namespaces": ["a"]}]"#,
            r#"[{"namespaces": [], "repositories": ["reg.example"]}]"#,
            r#"[{"namespace": ["a"], "repositories": ["reg.example"]}]"#,
            r#"[{"namespaces": ["a*b"], "repositories": ["reg.example"]}]"#,
            r#"[{"namespaces": ["a"], "repositories": [""]}]"#,
            r#"[{"namespaces": ["a"], "repositories": ["https://reg.example/a"]}]"#,
            r#"[{"namespaces": ["a"], "repositories": ["reg.example/a:1"]}]"#,
            r#"[{"namespaces": ["a"], "repositories": ["reg.example/*"]}]"#,
            r#"[{"namespaces": ["a"], "repositories": ["reg.example"], "access": "delete"}]"#,
        ] {
            assert!(bad.parse::<Rules>().is_err(), "{bad}");
        }
        let port = r#"[{"namespaces": ["a"], "repositories": ["reg.example:5000", "reg.example:5000/a"]}]"#;
        assert!(port.parse::<Rules>().is_ok());
    }
}
