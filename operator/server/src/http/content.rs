//! Serves stored content, whole or a range of it.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::problem::Refusal;
use crate::core::Core;
use crate::digest::{Digest, NotADigest};
use crate::grants::Grant;
use crate::store::fault::StoreFault;

/// Reads a digest out of a path.
///
/// # Errors
/// When it is none.
pub fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|error: NotADigest| Refusal::new(400, "bad-digest", error.to_string()))
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Impossible,
}

/// One range of bytes; anything else is answered with everything, as RFC 9110 allows.
fn asked(value: Option<&str>, size: u64) -> Asked {
    let Some((first, last)) = value
        .and_then(|v| v.strip_prefix("bytes="))
        .and_then(|v| v.split_once('-'))
    else {
        return Asked::Whole;
    };
    let range = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..size,
        (Err(_), Ok(last)) if first.trim().is_empty() => size.saturating_sub(last)..size,
        _ => return Asked::Whole,
    };
    if range.is_empty() {
        Asked::Impossible
    } else {
        Asked::Part(range)
    }
}

/// `attachment` with a name that no header or shell misreads.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Serves content; `grant` says how it is called and what it is.
///
/// # Errors
/// When it is not there or the store fails.
pub async fn serve(
    core: &Core,
    digest: &Digest,
    headers: &HeaderMap,
    grant: Option<&Grant>,
) -> Result<Response, Refusal> {
    let size = core.store.blobs.size(digest).await.map_err(StoreFault::from)?;
    let Some(size) = size else {
        return Err(Refusal::not_found("no such content"));
    };
    let asked = asked(
        headers.get(header::RANGE).and_then(|value| value.to_str().ok()),
        size,
    );
    let (status, range) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Impossible => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let pieces = core
        .store
        .blobs
        .get(digest, range.clone())
        .await
        .map_err(StoreFault::from)?;
    let mut response = Response::new(Body::from_stream(pieces));
    *response.status_mut() = status;
    let answer = response.headers_mut();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    };
    set(header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    set(header::ACCEPT_RANGES, "bytes");
    set(header::ETAG, &format!("\"{digest}\""));
    match status {
        StatusCode::PARTIAL_CONTENT => {
            set(
                header::CONTENT_RANGE,
                &format!("bytes {}-{}/{size}", range.start, range.end - 1),
            );
        }
        StatusCode::RANGE_NOT_SATISFIABLE => set(header::CONTENT_RANGE, &format!("bytes */{size}")),
        _ => {}
    }
    // What build Pods store is not to run in somebody's browser.
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CONTENT_SECURITY_POLICY, "sandbox");
    let kind = grant.map_or("application/octet-stream", |grant| grant.media_type.as_str());
    set(header::CONTENT_TYPE, kind);
    let hex = digest.hex();
    let name = grant.and_then(|grant| grant.file_name.as_deref()).unwrap_or(&hex);
    set(header::CONTENT_DISPOSITION, &disposition(name));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(asked(None, 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-3"), 10), Asked::Part(0..4));
        assert_eq!(asked(Some("bytes=4-"), 10), Asked::Part(4..10));
        assert_eq!(asked(Some("bytes=-3"), 10), Asked::Part(7..10));
        assert_eq!(asked(Some("bytes=-30"), 10), Asked::Part(0..10));
        assert_eq!(asked(Some("bytes=5-99"), 10), Asked::Part(5..10));
        assert_eq!(asked(Some("bytes=10-"), 10), Asked::Impossible);
        assert_eq!(asked(Some("bytes=3-1"), 10), Asked::Whole);
        assert_eq!(asked(Some("lines=1-2"), 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=1-2,4-5"), 10), Asked::Whole);
    }

    #[test]
    fn file_names_cannot_break_the_header() {
        let text = disposition("a\"\r\n../é");
        assert_eq!(
            text,
            "attachment; filename=\"a___.._".to_owned() + "_\"; filename*=UTF-8''a%22%0D%0A..%2F%C3%A9"
        );
    }
}
