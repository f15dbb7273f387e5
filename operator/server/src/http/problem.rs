//! Errors as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dcanary_protocol::session::Problem;

use crate::auth::ClusterError;
use crate::auth::relay::RelayError;
use crate::auth::reviews::ReviewError;
use crate::evidence::EvidenceError;
use crate::finish::FinalError;
use crate::frames::FramesError;
use crate::session::SessionError;
use crate::store::fault::StoreFault;
use crate::uploads::UploadError;

/// Seconds after which a client may repeat.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// Where an upload goes on.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    problem: Problem,
    offset: Option<u64>,
}

impl Refusal {
    /// A refusal with a reason of this contract.
    pub fn new(status: u16, reason: &str, detail: impl Into<String>) -> Self {
        let title = reason.replace('-', " ");
        let kind = format!("urn:dcanary:{reason}");
        Self {
            problem: Problem {
                kind,
                title,
                status,
                detail: detail.into(),
                acked: None,
            },
            offset: None,
        }
    }

    /// No or a wrong token.
    pub fn unauthenticated() -> Self {
        Self::new(401, "unauthenticated", "a valid token is needed")
    }

    /// The token may not do this.
    pub fn forbidden(detail: &str) -> Self {
        Self::new(403, "forbidden", detail)
    }

    /// Not there, or not for this namespace.
    pub fn not_found(detail: &str) -> Self {
        Self::new(404, "not-found", detail)
    }

    fn of((status, reason): (u16, &str), error: &(dyn std::error::Error + 'static)) -> Self {
        if status >= 500 {
            tracing::warn!(error, reason, "request not served");
        }
        Self::new(status, reason, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(offset) = self.offset {
            headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
        }
        response
    }
}

impl From<StoreFault> for Refusal {
    fn from(error: StoreFault) -> Self {
        Self::of(error.reason(), &error)
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self::of(error.reason(), &error)
    }
}

impl From<FramesError> for Refusal {
    fn from(error: FramesError) -> Self {
        let mut refusal = Self::of(error.reason(), &error);
        if let FramesError::Gap { acked, .. } = error {
            refusal.problem.acked = Some(acked);
        }
        refusal
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        let mut refusal = Self::of(error.reason(), &error);
        refusal.offset = match error {
            UploadError::Offset { have } => Some(have),
            UploadError::DigestMismatch { .. } => Some(0),
            _ => None,
        };
        refusal
    }
}

impl From<FinalError> for Refusal {
    fn from(error: FinalError) -> Self {
        Self::of(error.reason(), &error)
    }
}

impl From<EvidenceError> for Refusal {
    fn from(error: EvidenceError) -> Self {
        Self::of(error.reason(), &error)
    }
}

impl From<ClusterError> for Refusal {
    fn from(error: ClusterError) -> Self {
        Self::of((503, "api-server"), &error)
    }
}

impl From<ReviewError> for Refusal {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Cluster(error) => error.into(),
            ReviewError::Busy => Self::of((503, "busy"), &error),
        }
    }
}

impl From<RelayError> for Refusal {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Cluster(error) => error.into(),
            RelayError::Busy => Self::of((503, "busy"), &error),
            RelayError::Token => Self::new(401, "unauthenticated", error.to_string()),
            RelayError::TooLarge => Self::new(422, "too-large", error.to_string()),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        StoreFault::from(error).into()
    }
}
