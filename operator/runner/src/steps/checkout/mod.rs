//! `checkout`: a Git commit, without git in the image.
//!
//! ```text
//! address (what may be fetched) ─▶ transport (HTTPS, SSH, git) ─▶ fetch ─▶ LFS? ─▶ worktree ─▶ submodules, the same way
//! ```

mod address;
mod credentials;
mod fetch;
mod http;
mod lfs;
mod ssh;
mod submodules;
mod transport;
mod worktree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::work::Work;
use super::{Context, Done};
use crate::interrupt::{Interrupt, Interrupted};
use crate::workspace::{PathError, Workspace};

pub(crate) use address::Address;
use credentials::Credentials;
use transport::TransportError;

const REASON: &str = "CheckoutFailed";

/// Why a commit is not checked out.
#[derive(Debug, Error)]
pub(crate) enum CheckoutError {
    #[error("`{url}` cannot be fetched: {reason}")]
    Address { url: String, reason: &'static str },
    #[error("directory: {0}")]
    Directory(#[from] PathError),
    #[error("`{0}` is a folder of the runner; choose another directory")]
    OwnDirectory(PathBuf),
    #[error(
        "the commit holds `{0}`, which is where the runner keeps its own files; rename it, or check out into a directory of its own"
    )]
    OwnPath(String),
    #[error("`{0}` is a repository already")]
    Occupied(PathBuf),
    #[error("the repository in `{path}` cannot be set up: {message}")]
    Init { path: PathBuf, message: String },
    #[error("{0}")]
    Transport(#[from] TransportError),
    #[error("{host} asks for credentials, and there are none for this host")]
    NoCredentials { host: String },
    #[error(
        "{host} asks for credentials without TLS, where they could be read on the way; use its https address"
    )]
    Plain { host: String },
    #[error("{host} refused the credentials that it was given")]
    Refused { host: String },
    #[error("`{url}` cannot be fetched: {message}")]
    Fetch { url: String, message: String },
    #[error("`{revision}` does not exist in `{url}`")]
    NoRevision { url: String, revision: String },
    #[error("commit {commit} is not in `{url}`, or in none of its branches and tags")]
    NoCommit { url: String, commit: String },
    #[error(
        "`{object}` in `{url}` is no commit and no tag of one, but a {kind}; name a commit, a tag or a branch"
    )]
    NotCommit {
        url: String,
        object: String,
        kind: gix::object::Kind,
    },
    #[error("the commit holds a tree that is refused: {0}")]
    Tree(String),
    #[error(
        "`{path}` is stored with Git LFS, which is not supported; {count} such files in the commit. Fetch them in a `run` step with git-lfs, or store them in Git"
    )]
    Lfs { path: String, count: usize },
    #[error("`{0}` cannot be written, because something is there already")]
    Collision(String),
    #[error("the files cannot be written: {0}")]
    Worktree(String),
    #[error("submodule `{name}`: {source}")]
    Submodule {
        name: String,
        source: Box<CheckoutError>,
    },
    #[error("submodule `{name}`: {reason}")]
    SubmoduleRefused { name: String, reason: String },
    #[error("more than {0} submodules")]
    TooManySubmodules(usize),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error("the checkout ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What to check out.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) address: Address,
    /// A commit, or a ref.
    pub(crate) revision: String,
    /// 0 = everything.
    pub(crate) depth: u32,
    /// Levels of submodules below.
    pub(crate) submodules: u32,
    pub(crate) directory: PathBuf,
}

/// What all fetches of a step share.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) interrupt: Interrupt,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) workspace: Workspace,
}

impl Session {
    fn check(&self) -> Result<(), CheckoutError> {
        Ok(self.interrupt.check()?)
    }
}

/// What the plan says about a checkout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) url: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) depth: u32,
    pub(crate) submodules: u32,
    pub(crate) path: &'a str,
    pub(crate) credentials: Option<&'a str>,
}

/// Checks out one commit.
pub(super) async fn run(context: &Context, work: Work, request: Request<'_>) -> Done {
    match check_out(context, &work, request).await {
        Ok(outcome) => {
            let _ = context
                .journal
                .note(context.index, &format!("checked out {}", outcome.commit))
                .await;
            for note in outcome.notes {
                let _ = context.journal.note(context.index, &note).await;
            }
            Done::succeeded()
        }
        Err(error) => Done::failed(REASON, error.to_string()),
    }
}

/// What was checked out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) commit: String,
    pub(crate) notes: Vec<String>,
}

async fn check_out(context: &Context, work: &Work, request: Request<'_>) -> Result<Outcome, CheckoutError> {
    let address = Address::parse(request.url)?;
    let directory = context
        .workspace
        .create_directory(context.workspace.root(), request.path)?;
    if directory.starts_with(context.workspace.own("")) {
        return Err(CheckoutError::OwnDirectory(directory));
    }
    let credentials = Arc::new(Credentials::new(request.credentials));
    let tls = Arc::new(transport::tls(&context.environment).map_err(TransportError::from)?);
    let runtime = tokio::runtime::Handle::current();
    let workspace = context.workspace.clone();
    let wanted = Wanted {
        address,
        revision: request.revision.to_owned(),
        depth: request.depth,
        submodules: request.submodules,
        directory,
    };
    let home = context.workspace.own("home");
    work.blocking(move |interrupt| {
        let session = Session {
            credentials,
            interrupt: interrupt.clone(),
            tls,
            runtime,
            workspace,
        };
        let mut notes = Vec::new();
        let mut count = 0;
        let commit = one(&session, &wanted, &mut count, &mut notes)?;
        if let Err(error) = trust(&home, &wanted.directory) {
            notes.push(format!(
                "git in later steps may call the directory dubious: {error}"
            ));
        }
        Ok(Outcome { commit, notes })
    })
    .await?
}

/// Checks out one repository and, below it, its submodules. A repository that failed does not stay.
fn one(
    session: &Session,
    wanted: &Wanted,
    count: &mut usize,
    notes: &mut Vec<String>,
) -> Result<String, CheckoutError> {
    session.check()?;
    let mut repository = worktree::init(&wanted.directory)?;
    let filled = fill(session, &mut repository, wanted, count, notes);
    if filled.is_err() {
        // What stays makes the next checkout say that there is a repository already.
        let _ = std::fs::remove_dir_all(repository.git_dir());
    }
    filled
}

fn fill(
    session: &Session,
    repository: &mut gix::Repository,
    wanted: &Wanted,
    count: &mut usize,
    notes: &mut Vec<String>,
) -> Result<String, CheckoutError> {
    let commit = fetch::fetch(session, repository, wanted)?;
    session.check()?;
    let index = worktree::check_out(session, repository, commit)?;
    worktree::describe(repository, &wanted.address, commit)?;
    submodules::check_out(session, repository, &index, wanted, count, notes)?;
    Ok(commit.to_string())
}

/// A volume's root belongs to root, which git in the image would refuse to work in.
fn trust(home: &Path, directory: &Path) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let escaped = directory
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    std::fs::create_dir_all(home)?;
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(flags.bits())
        .open(home.join(".gitconfig"))?
        .write_all(format!("[safe]\n\tdirectory = \"{escaped}\"\n").as_bytes())
}
