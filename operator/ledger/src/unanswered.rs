//! Why a network gave no answer: the URL that was asked, the cause, and what a person checks.

use std::{error::Error, io, time::Duration};

use ic_agent::{AgentError, agent_error::TransportError};
use thiserror::Error;

use crate::transport::{MAX_SAID, Transport, WireError};

/// A network that was asked and gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{url}: {cause}")]
pub struct Unanswered {
    /// URL that was asked.
    pub url: String,
    /// Why nothing came.
    pub cause: NoAnswer,
}

/// Why a network gave no answer. Nothing of it is certified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoAnswer {
    /// Nobody listens.
    #[error("the connection was refused; check host and port, and whether the node runs")]
    Refused,
    /// It took too long.
    #[error(
        "no answer came within {} s; check host and port, and whether the node runs and a firewall lets this machine through",
        after.as_secs()
    )]
    TimedOut {
        /// Longest wait.
        after: Duration,
    },
    /// The host name leads nowhere.
    #[error("the host name is not found; check how it is spelt, and whether this machine resolves names")]
    Name,
    /// The host cannot be reached from here.
    #[error(
        "there is no way to the host from this machine ({reason}); check the host, and this machine's network"
    )]
    NoWay {
        /// What the system said.
        reason: String,
    },
    /// The other side speaks no TLS, or its certificate is not good.
    #[error(
        "TLS failed: {reason}; check whether the URL begins with the right one of http:// and https://, and whether the certificate is for this host"
    )]
    Tls {
        /// What does not hold.
        reason: String,
    },
    /// An HTTP status that is none of success.
    #[error("HTTP {status}: {said}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the body.
        said: String,
    },
    /// Something answers that is no network of this kind.
    #[error(
        "what answers there has not the interface of the Internet Computer ({found}); check whether the URL is that of a `dcanary-node` or of the mainnet, without a path behind it"
    )]
    NoNetwork {
        /// What it answered with.
        found: String,
    },
    /// Anything else.
    #[error("{reason}; check the URL and the way to it")]
    Other {
        /// What the transport said.
        reason: String,
    },
}

impl NoAnswer {
    /// What a failure of the agent means for somebody who asked over `transport`.
    pub fn of_agent(source: &AgentError, transport: &Transport) -> Self {
        match source {
            AgentError::TransportError(TransportError::Reqwest(source)) => {
                Self::of_http(source, transport.timeout)
            }
            AgentError::TimeoutWaitingForResponse() => Self::TimedOut {
                after: transport.timeout,
            },
            AgentError::HttpError(answer) => Self::of_status(
                answer.status,
                answer.content_type.as_deref(),
                &String::from_utf8_lossy(&answer.content),
            ),
            AgentError::InvalidReplicaStatus | AgentError::InvalidCborData(_) => Self::NoNetwork {
                found: "its answer is not one of a network".to_owned(),
            },
            other => Self::Other { reason: chain(other) },
        }
    }

    /// What a failure of the wire means.
    pub(crate) fn of_wire(source: &WireError, after: Duration) -> Self {
        match source {
            WireError::Http(source) => Self::of_http(source, after),
            WireError::Status { status, kind, said } => Self::of_status(*status, kind.as_deref(), said),
            WireError::TooLarge => Self::Other {
                reason: chain(source),
            },
        }
    }

    fn of_http(source: &reqwest::Error, after: Duration) -> Self {
        if source.is_timeout() {
            return Self::TimedOut { after };
        }
        // the outermost error only repeats the URL
        source.source().map_or_else(
            || Self::Other {
                reason: chain(source),
            },
            Self::of_cause,
        )
    }

    /// What the causes of a connection that failed mean: pure.
    fn of_cause(source: &(dyn Error + 'static)) -> Self {
        let causes = || std::iter::successors(Some(source), |error| (*error).source());
        let last = causes().last().map_or_else(String::new, ToString::to_string);
        // the resolver's own error says no more than "dns error"
        if causes().any(|error| error.to_string() == "dns error") {
            return Self::Name;
        }
        let kind = causes().find_map(|error| error.downcast_ref::<io::Error>());
        match kind.map(innermost) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                Self::NoWay { reason: last }
            }
            // what does not look like TLS, or breaks off in the middle of greeting
            Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => Self::Tls { reason: last },
            _ => Self::Other { reason: last },
        }
    }

    /// What an HTTP status means: pure. A network answers in plain text or CBOR, and has all of its paths.
    fn of_status(status: u16, kind: Option<&str>, said: &str) -> Self {
        let page = kind.is_some_and(|kind| kind.starts_with("text/html"));
        if page || matches!(status, 300..400 | 404 | 405 | 501) {
            return Self::NoNetwork {
                found: format!("HTTP {status}"),
            };
        }
        Self::Status {
            status,
            said: said.trim().chars().take(MAX_SAID).collect(),
        }
    }
}

/// The kind of the innermost of errors that are wrapped in each other: those around it are of the kind "other".
fn innermost(error: &io::Error) -> io::ErrorKind {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<io::Error>());
    inner.map_or_else(|| error.kind(), innermost)
}

/// An error with its causes in one line, without repeating a cause that the error names itself.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error behind which there is another one, as HTTP clients have them.
    #[derive(Debug, Error)]
    #[error("{said}")]
    struct Outer {
        said: &'static str,
        source: io::Error,
    }

    fn behind(said: &'static str, kind: io::ErrorKind, reason: &'static str) -> NoAnswer {
        NoAnswer::of_cause(&Outer {
            said,
            source: io::Error::new(kind, reason),
        })
    }

    #[test]
    fn each_cause_is_told_with_what_to_check_and_the_url_is_named_once() {
        use io::ErrorKind as K;
        for (cause, said) in [
            (
                behind("tcp connect error", K::ConnectionRefused, "refused"),
                "refused; check host and port",
            ),
            (
                behind("dns error", K::Other, "no address"),
                "host name is not found",
            ),
            (
                behind("tcp connect error", K::NetworkUnreachable, "no route"),
                "no way to the host from this machine (no route)",
            ),
            (
                behind("client error", K::InvalidData, "corrupt message"),
                "TLS failed: corrupt message; check",
            ),
            (
                behind("client error", K::ConnectionReset, "reset by peer"),
                "reset by peer; check the URL",
            ),
            (
                NoAnswer::of_status(429, Some("text/plain"), "quota\n"),
                "HTTP 429: quota",
            ),
            (
                NoAnswer::of_status(404, Some("text/html"), "<html>"),
                "(HTTP 404); check whether the URL",
            ),
            (
                NoAnswer::of_status(503, Some("text/html"), "<html>"),
                "(HTTP 503); check whether the URL",
            ),
            (NoAnswer::of_status(301, None, ""), "(HTTP 301)"),
            (
                NoAnswer::TimedOut {
                    after: Duration::from_secs(30),
                },
                "within 30 s",
            ),
        ] {
            let url = "http://n:1".to_owned();
            let told = Unanswered { url, cause }.to_string();
            assert!(told.contains(said) && !told.contains("<html>"), "{told}");
            assert_eq!(told.matches("http://n:1").count(), 1, "{told}");
        }
    }

    #[test]
    fn a_cause_is_found_inside_of_errors_that_are_wrapped_in_each_other() {
        let tls = io::Error::new(io::ErrorKind::InvalidData, "corrupt message");
        let told = NoAnswer::of_cause(&Outer {
            said: "client error",
            source: io::Error::other(tls),
        });
        assert!(matches!(told, NoAnswer::Tls { .. }), "{told}");
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_refuses() {
        let transport = Transport::new("http://127.0.0.1:1");
        let identity = std::sync::Arc::new(ic_agent::identity::AnonymousIdentity);
        let agent = crate::transport::agent(&transport, b"key", identity).unwrap();
        let source = agent.status().await.unwrap_err();
        assert_eq!(NoAnswer::of_agent(&source, &transport), NoAnswer::Refused);
    }
}
