//! What goes wrong with a registry, and how much of it is told.

use std::error::Error;

use reqwest::Response;
use serde::Deserialize;

use super::ANSWER_BYTES;
use crate::images::ImageError;
use crate::images::text::short;
use crate::store::fault::StoreFault;

/// A place that is not gone to.
#[derive(Debug, thiserror::Error)]
pub enum Astray {
    /// Without TLS.
    #[error("the registry leads to {0} without TLS, which is not followed")]
    Plain(String),
    /// Neither HTTP nor HTTPS.
    #[error("the registry leads to a place that is neither HTTP nor HTTPS")]
    Scheme,
    /// From one to the next.
    #[error("the registry leads from one place to another without end")]
    Long,
    /// An address.
    #[error(transparent)]
    Address(#[from] dcanary_guard::Refused),
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The registry said no.
    #[error("the registry answered {code}{said}")]
    Answer {
        /// Its status.
        code: u16,
        /// Its words: nothing, or a colon and one short line.
        said: String,
    },
    /// No answer.
    #[error("{}", chain(.0))]
    Http(reqwest::Error),
    /// Not possible, now and later.
    #[error("{0}")]
    Refused(String),
    /// The layer cannot be read here.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<Astray> for Problem {
    fn from(astray: Astray) -> Self {
        Self::Refused(astray.to_string())
    }
}

impl Problem {
    /// A refusal that repeating does not change, or something that it may.
    pub fn of(self, what: &'static str, reference: String) -> ImageError {
        let why = self.to_string();
        match self {
            Self::Store(fault) => ImageError::Store(fault),
            Self::Answer { code, .. } if code >= 500 || code == 429 => {
                ImageError::Registry { what, reference, why }
            }
            Self::Http(error) if astray(&error).is_none() && !error.is_builder() => {
                ImageError::Registry { what, reference, why }
            }
            _ => ImageError::Refused { what, reference, why },
        }
    }
}

fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

/// Why a place was not gone to.
fn astray(error: &reqwest::Error) -> Option<String> {
    sources(error)
        .find(|error| error.is::<Astray>() || error.is::<dcanary_guard::Refused>())
        .map(ToString::to_string)
}

fn chain(error: &reqwest::Error) -> String {
    if let Some(why) = astray(error) {
        return why;
    }
    // Not its URL: it may hold what lets somebody in.
    let mut text = String::from(match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "cannot be reached",
        _ => "the request failed",
    });
    for source in sources(error) {
        text.push_str(": ");
        text.push_str(&source.to_string());
    }
    short(&text)
}

/// A whole body of so many bytes at most.
pub async fn bounded(mut answer: Response, most: u64) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(Problem::Http)? {
        if (body.len() + piece.len()) as u64 > most {
            return Err(Problem::Refused(format!(
                "its answer is larger than {most} bytes"
            )));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// What a registry says that is no success.
pub async fn refusal(answer: Response) -> Problem {
    let code = answer.status().as_u16();
    let body = bounded(answer, ANSWER_BYTES).await.unwrap_or_default();
    let said = match serde_json::from_slice::<Errors>(&body).map(|said| said.errors.into_iter().next()) {
        Ok(Some(OneError { code, message })) => short(
            &[Some(code), message]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": "),
        ),
        _ => short(&String::from_utf8_lossy(&body)),
    };
    let said = if said.is_empty() {
        said
    } else {
        format!(": {said}")
    };
    Problem::Answer { code, said }
}
