//! What the API server's answer to a write means.

use kube::core::response::Status;

use crate::environment::refusals::UNAVAILABLE;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The object is newer than what was seen.
    Conflict,
    /// An object of that name is there.
    Exists,
    /// The object is gone.
    Gone,
    /// It is not done.
    Refused {
        /// As in `Refusal::reason`.
        reason: &'static str,
        /// What the API server said.
        message: String,
        /// The namespace is being deleted.
        terminating: bool,
    },
}

fn refused(reason: &'static str, message: String) -> Answer {
    Answer::Refused {
        reason,
        message,
        terminating: false,
    }
}

impl Answer {
    /// Of an error. `user` is who asked; `creates`: the object was not there.
    pub fn of(error: &kube::Error, user: &str, creates: bool) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status, user, creates),
            other => refused(UNAVAILABLE, crate::ledger::chain(other)),
        }
    }

    fn of_status(status: &Status, user: &str, creates: bool) -> Self {
        let message = status.message.clone();
        let details = status.details.as_ref();
        let terminating = details.is_some_and(|details| {
            details
                .causes
                .iter()
                .any(|cause| cause.reason == "NamespaceTerminating")
        });
        let of_namespace = details.is_some_and(|details| details.kind == "namespaces");
        match (status.code, status.reason.as_str()) {
            _ if terminating => Self::Refused {
                reason: "NamespaceMissing",
                message,
                terminating,
            },
            (409, "AlreadyExists") => Self::Exists,
            (409, _) => Self::Conflict,
            (404, _) if of_namespace => refused("NamespaceMissing", message),
            (404, _) if !creates => Self::Gone,
            (403, _) if is_quota(&message) => refused("QuotaExceeded", message),
            (403, _) => refused("Forbidden", format!("as {user}: {message}")),
            (400 | 422, _) => refused("Invalid", message),
            _ => refused(UNAVAILABLE, message),
        }
    }
}

/// The words of the API server's quota admission; `status unknown` is said of a quota that was created just now.
pub fn is_quota(message: &str) -> bool {
    ["exceeded quota", "failed quota", "status unknown for quota"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_refused_write_means_is_told_by_code_and_by_the_words_of_the_quota() {
        let answer = |code: u16, reason: &str, message: &str, details: serde_json::Value, creates: bool| {
            let status: Status = serde_json::from_value(json!({
                "status": "Failure", "code": code, "reason": reason, "message": message, "details": details,
            }))
            .unwrap();
            match Answer::of_status(&status, "system:serviceaccount:team:deployer", creates) {
                Answer::Conflict => "Conflict".to_owned(),
                Answer::Exists => "Exists".to_owned(),
                Answer::Gone => "Gone".to_owned(),
                Answer::Refused {
                    reason, terminating, ..
                } => format!("{reason}{}", if terminating { " (terminating)" } else { "" }),
            }
        };
        let none = || json!({});
        let table = [
            (answer(409, "AlreadyExists", "", none(), true), "Exists"),
            (answer(409, "Conflict", "", none(), false), "Conflict"),
            (answer(409, "Conflict", "", none(), true), "Conflict"),
            (answer(404, "NotFound", "", none(), false), "Gone"),
            (answer(404, "NotFound", "", none(), true), "Unavailable"),
            (
                answer(404, "NotFound", "", json!({"kind": "namespaces"}), true),
                "NamespaceMissing",
            ),
            (
                answer(
                    403,
                    "Forbidden",
                    "is forbidden: exceeded quota: small",
                    none(),
                    true,
                ),
                "QuotaExceeded",
            ),
            (
                answer(403, "Forbidden", "User cannot update resource", none(), false),
                "Forbidden",
            ),
            (
                answer(
                    403,
                    "Forbidden",
                    "because it is being terminated",
                    json!({"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]}),
                    true,
                ),
                "NamespaceMissing (terminating)",
            ),
            (answer(422, "Invalid", "", none(), true), "Invalid"),
            (answer(400, "BadRequest", "", none(), true), "Invalid"),
            (answer(429, "TooManyRequests", "", none(), false), "Unavailable"),
            (answer(500, "InternalError", "", none(), false), "Unavailable"),
        ];
        for (found, expected) in table {
            assert_eq!(found, expected);
        }
    }
}
