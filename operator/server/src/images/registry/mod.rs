//! What this server asks of registries (the OCI distribution specification). Whoever may name an image names the
//! registry, so every answer that is kept is bounded in size and time, and nothing leads to an address that is not to
//! be asked, or from TLS to none.

mod auth;
mod problem;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dcanary_guard::Guard;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use oci_spec::distribution::Reference;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url, redirect};

use super::documents::DOCUMENT_BYTES;
use super::rules::Access;
use crate::digest::Digest;
use auth::Auth;
pub use auth::Login;
use problem::Astray;
pub use problem::Problem;

const CONNECT: Duration = Duration::from_secs(10);
/// A layer may pause this long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest time for one, which that of its stage ends before.
const LAYER: Duration = Duration::from_secs(30 * 24 * 3600);
const REDIRECTS: usize = 5;
/// Bytes of a layer in one request.
const CHUNK: usize = 1 << 20;
/// Of errors and tokens.
const ANSWER_BYTES: u64 = 64 << 10;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// Time for a whole answer, but for layers.
#[derive(Debug, Clone, Copy)]
pub struct AnswerTime(pub Duration);

impl Default for AnswerTime {
    fn default() -> Self {
        Self(Duration::from_secs(120))
    }
}

/// How a registry is reached.
#[derive(Debug)]
pub struct Way<'a> {
    /// Without TLS.
    pub plain: bool,
    /// Whom nobody asks.
    pub guard: Guard,
    /// PEM of further certificate authorities.
    pub authorities: &'a [Vec<u8>],
    /// Time for an answer.
    pub answer_time: AnswerTime,
}

impl Way<'_> {
    fn http(&self) -> reqwest::Result<reqwest::Client> {
        let guard = self.guard;
        let builder = || {
            let policy = redirect::Policy::custom(move |attempt| {
                let astray = match attempt.previous() {
                    all if all.len() > REDIRECTS => Some(Astray::Long),
                    all => all
                        .last()
                        .and_then(|from| allowed(guard, from, attempt.url()).err()),
                };
                match astray {
                    None => attempt.follow(),
                    Some(astray) => attempt.error(astray),
                }
            });
            guard
                .watches(reqwest::Client::builder())
                .redirect(policy)
                .connect_timeout(CONNECT)
                .read_timeout(PAUSE)
                .user_agent(concat!("dcanary-server/", env!("CARGO_PKG_VERSION")))
        };
        let mut authorities = Vec::new();
        for pem in self.authorities {
            authorities.extend(Certificate::from_pem_bundle(pem)?);
        }
        // A machine that knows no authorities can still use those that it was given.
        builder()
            .tls_certs_merge(authorities.clone())
            .build()
            .or_else(|_| builder().tls_certs_only(authorities).build())
    }
}

/// Whether one place may lead to another.
fn allowed(guard: Guard, from: &Url, to: &Url) -> Result<(), Astray> {
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(guard.literal(to)?),
        (_, "http") => Err(Astray::Plain(to.host_str().unwrap_or_default().to_owned())),
        _ => Err(Astray::Scheme),
    }
}

/// A repository of a registry.
pub struct Repository {
    http: reqwest::Client,
    guard: Guard,
    answer_time: Duration,
    /// `…/v2/<name>/`
    base: Url,
    auth: Auth,
}

impl Repository {
    /// Asks the registry how to log in, and does.
    ///
    /// # Errors
    /// When it is not to be asked, does not answer, or does not take the login.
    pub async fn open(
        way: &Way<'_>,
        image: &Reference,
        login: Login,
        access: Access,
    ) -> Result<Self, Problem> {
        let scheme = if way.plain { "http" } else { "https" };
        let (registry, name) = (image.resolve_registry(), image.repository());
        let no_url = |_| Problem::Refused(format!("{registry:?} is no address of a registry"));
        let root = Url::parse(&format!("{scheme}://{registry}/v2/")).map_err(no_url)?;
        allowed(way.guard, &root, &root)?;
        let base = root.join(&format!("{name}/")).map_err(no_url)?;
        let actions = match access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let mut repository = Self {
            http: way.http().map_err(Problem::Http)?,
            guard: way.guard,
            answer_time: way.answer_time.0,
            base,
            auth: Auth::new(login, format!("repository:{name}:{actions}")),
        };
        let hello = repository.request(Method::GET, root.clone()).send().await;
        let hello = hello.map_err(Problem::Http)?;
        repository
            .auth
            .challenged(hello.headers(), &root, repository.guard)?;
        // A login that is not taken is told before anything else is done.
        repository.authorization().await?;
        Ok(repository)
    }

    fn url(&self, rest: &str) -> Result<Url, Problem> {
        let url = self.base.join(rest);
        url.map_err(|_| Problem::Refused("the image has no usable name".to_owned()))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).timeout(self.answer_time)
    }

    async fn authorization(&self) -> Result<Option<String>, Problem> {
        let ask = |url| self.request(Method::GET, url);
        self.auth.header(ask).await
    }

    /// With the login, unless the registry has led elsewhere.
    async fn authorized(&self, method: Method, url: Url) -> Result<RequestBuilder, Problem> {
        let ours = url.origin() == self.base.origin();
        let request = self.request(method, url);
        Ok(match self.authorization().await? {
            Some(header) if ours => request.header(AUTHORIZATION, header),
            _ => request,
        })
    }

    async fn get(&self, rest: &str) -> Result<RequestBuilder, Problem> {
        self.authorized(Method::GET, self.url(rest)?).await
    }

    /// A manifest or an index by tag or digest.
    ///
    /// # Errors
    /// When it is not there, or too large.
    pub async fn manifest(&self, which: &str) -> Result<Vec<u8>, Problem> {
        let request = self.get(&format!("manifests/{which}")).await?;
        let answer = good(request.header(ACCEPT, MANIFESTS)).await?;
        problem::bounded(answer, DOCUMENT_BYTES).await
    }

    /// A config.
    ///
    /// # Errors
    /// When it is not there, or too large.
    pub async fn document(&self, digest: &Digest) -> Result<Vec<u8>, Problem> {
        let answer = good(self.get(&format!("blobs/{digest}")).await?).await?;
        problem::bounded(answer, DOCUMENT_BYTES).await
    }

    /// A layer, of so many bytes at most.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn layer(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Problem>>, Problem> {
        // As long as it takes: a pause ends it, and its size.
        let request = self.get(&format!("blobs/{digest}")).await?.timeout(LAYER);
        let answer = good(request).await?;
        let mut left = size;
        let pieces = answer.bytes_stream().map(move |piece| {
            let piece = piece.map_err(Problem::Http)?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                Problem::Refused(format!("a layer is larger than the {size} bytes it should have"))
            })?;
            Ok(piece)
        });
        Ok(pieces.boxed())
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn has(&self, digest: &Digest) -> Result<bool, Problem> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let request = self.authorized(Method::HEAD, url).await?;
        let answer = request.send().await.map_err(Problem::Http)?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(problem::refusal(answer).await),
        }
    }

    /// Has the registry take a blob from another repository of its own; says whether it did.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Problem> {
        let mut url = self.url("blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", &digest.to_string())
            .append_pair("from", from);
        let request = self.authorized(Method::POST, url).await?;
        let answer = request.header(CONTENT_LENGTH, 0).send().await;
        Ok(answer.map_err(Problem::Http)?.status() == StatusCode::CREATED)
    }

    /// Sends a blob, in requests of a size that every registry takes.
    ///
    /// # Errors
    /// When the registry or the source fails.
    pub async fn push<S>(&self, digest: &Digest, mut pieces: S) -> Result<(), Problem>
    where
        S: Stream<Item = Result<Bytes, Problem>> + Unpin + Send,
    {
        let begins = self.authorized(Method::POST, self.url("blobs/uploads/")?).await?;
        let mut to = self.led(good(begins.header(CONTENT_LENGTH, 0)).await?)?;
        let (mut sent, mut gathered) = (0, BytesMut::new());
        loop {
            let more = pieces.next().await.transpose()?;
            let over = more.is_none();
            gathered.extend_from_slice(&more.unwrap_or_default());
            while gathered.len() >= CHUNK || (over && !gathered.is_empty()) {
                let chunk = gathered.split_to(gathered.len().min(CHUNK)).freeze();
                let end = sent + chunk.len();
                let request = self.authorized(Method::PATCH, to).await?;
                let request = request
                    .header(CONTENT_RANGE, format!("{sent}-{}", end - 1))
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .body(chunk);
                to = self.led(good(request).await?)?;
                sent = end;
            }
            if over {
                break;
            }
        }
        to.query_pairs_mut().append_pair("digest", &digest.to_string());
        let ends = self.authorized(Method::PUT, to).await?;
        good(ends.header(CONTENT_LENGTH, 0)).await?;
        Ok(())
    }

    /// Puts a manifest under a tag.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn tag(&self, tag: &str, manifest: Vec<u8>) -> Result<(), Problem> {
        let url = self.url(&format!("manifests/{tag}"))?;
        let request = self.authorized(Method::PUT, url).await?;
        good(request.header(CONTENT_TYPE, MANIFEST).body(manifest)).await?;
        Ok(())
    }

    /// Where an upload goes on.
    fn led(&self, answer: Response) -> Result<Url, Problem> {
        let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| answer.url().join(to).ok());
        let to =
            to.ok_or_else(|| Problem::Refused("the registry does not say where to send a layer".to_owned()))?;
        allowed(self.guard, answer.url(), &to)?;
        Ok(to)
    }
}

/// An answer that is a success.
async fn good(request: RequestBuilder) -> Result<Response, Problem> {
    let answer = request.send().await.map_err(Problem::Http)?;
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(problem::refusal(answer).await)
    }
}
