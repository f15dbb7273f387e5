//! The repository on disk: made, filled, and described for git in later steps.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::progress::Discard;
use gix::refs::Target;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::worktree::stack::state::attributes::Source;

use super::{Address, CheckoutError, Session, lfs};

/// Threads that write files.
const THREADS: usize = 2;

/// Makes an empty repository. Nothing but its own configuration counts: no system, user or environment settings, no hooks.
pub(crate) fn init(directory: &Path) -> Result<gix::Repository, CheckoutError> {
    if directory.join(".git").symlink_metadata().is_ok() {
        return Err(CheckoutError::Occupied(directory.to_owned()));
    }
    let create = gix::create::Options {
        destination_must_be_empty: Some(false),
        ..Default::default()
    };
    let init = gix::ThreadSafeRepository::init_opts(
        directory,
        gix::create::Kind::WithWorktree,
        create,
        gix::open::Options::isolated(),
    );
    let failed = |error: gix::Error| CheckoutError::Init {
        path: directory.to_owned(),
        message: error.to_string(),
    };
    let mut repository = init.map_err(failed)?.to_thread_local();
    repository.committer_or_set_generic_fallback().map_err(failed)?;
    Ok(repository)
}

/// Writes the files of a commit and points HEAD to it.
pub(crate) fn check_out(
    session: &Session,
    repository: &gix::Repository,
    commit: ObjectId,
) -> Result<gix::index::File, CheckoutError> {
    let tree = |error: gix::Error| CheckoutError::Tree(error.to_string());
    let written = |error: gix::Error| CheckoutError::Worktree(error.to_string());
    let tree_id = repository
        .find_commit(commit)
        .and_then(|commit| commit.tree_id().map(gix::Id::detach))
        .map_err(tree)?;
    let mut index = repository.index_from_tree(&tree_id).map_err(tree)?;
    let directory = repository.workdir().unwrap_or(repository.git_dir()).to_owned();
    refuse_own(session, &directory, &index)?;
    lfs::refuse(repository, &index)?;
    let mut options = repository.checkout_options(Source::IdMapping).map_err(written)?;
    options.destination_is_initially_empty = true;
    options.thread_limit = Some(THREADS);
    let objects = repository
        .objects
        .clone()
        .into_arc()
        .map_err(|error| CheckoutError::Worktree(error.to_string()))?;
    let outcome = gix::worktree::state::checkout(
        &mut index,
        directory,
        objects,
        &Discard,
        &Discard,
        session.interrupt.flag(),
        options,
    )
    .map_err(written)?;
    session.check()?;
    if let Some(collision) = outcome.collisions.first() {
        return Err(CheckoutError::Collision(
            collision.path.to_str_lossy().into_owned(),
        ));
    }
    if let Some(error) = outcome.errors.first() {
        return Err(CheckoutError::Worktree(format!(
            "{}: {}",
            error.path, error.error
        )));
    }
    index
        .write(gix::index::write::Options::default())
        .map_err(written)?;
    let head = RefEdit {
        change: Change::Update {
            log: LogChange {
                mode: RefLog::AndReference,
                force_create_reflog: false,
                message: "checkout".into(),
            },
            expected: PreviousValue::Any,
            new: Target::Object(commit),
        },
        name: "HEAD"
            .try_into()
            .map_err(|_| CheckoutError::Worktree("HEAD".to_owned()))?,
        deref: false,
    };
    repository.edit_reference(head).map_err(written)?;
    Ok(index)
}

/// A commit must not bring files of the runner: `.dcanary/home` is the home of the steps, with their `.gitconfig`. What users keep in
/// `.dcanary`, such as the pipeline, is theirs.
fn refuse_own(session: &Session, directory: &Path, index: &gix::index::File) -> Result<(), CheckoutError> {
    let around = session.workspace.own("");
    // Anything but a tree at `.dcanary` itself could be filled later, as a submodule is.
    let own = index
        .entries()
        .iter()
        .map(|entry| entry.path(index))
        .find(|path| {
            let path = directory.join(OsStr::from_bytes(path));
            path == around || session.workspace.is_own(&path)
        });
    match own {
        Some(path) => Err(CheckoutError::OwnPath(path.to_str_lossy().into_owned())),
        None => Ok(()),
    }
}

/// Leaves the remote and the runner's own folder in the configuration, for git in later steps.
pub(crate) fn describe(
    repository: &gix::Repository,
    address: &Address,
    commit: ObjectId,
) -> Result<(), CheckoutError> {
    let url = quotable(&address.to_string());
    append(
        repository,
        "config",
        &format!("[remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"),
    )?;
    append(repository, "info/exclude", "/.dcanary/\n")?;
    append(repository, "FETCH_HEAD", &format!("{commit}\t\t{url}\n"))
}

/// Leaves in the configuration that a submodule is checked out: without it git in later steps takes it for one that is not, and leaves
/// it alone.
pub(crate) fn describe_submodule(
    repository: &gix::Repository,
    name: &str,
    address: &Address,
) -> Result<(), CheckoutError> {
    // The commit names it: a line of its own would be any setting, also one that runs a command.
    if name.contains(['\n', '\0']) {
        return Err(CheckoutError::SubmoduleRefused {
            name: name.escape_default().to_string(),
            reason: "its name holds a line break or a zero byte; rename it in `.gitmodules`".to_owned(),
        });
    }
    let (name, url) = (quotable(name), quotable(&address.to_string()));
    append(
        repository,
        "config",
        &format!("[submodule \"{name}\"]\n\tactive = true\n\turl = \"{url}\"\n"),
    )
}

/// Text as it stands between quotes in a configuration of git.
fn quotable(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn append(repository: &gix::Repository, name: &str, text: &str) -> Result<(), CheckoutError> {
    use std::io::Write;
    let path = repository.git_dir().join(name);
    let append = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)?
            .write_all(text.as_bytes())
    };
    append().map_err(|error: std::io::Error| CheckoutError::Worktree(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submodule_that_was_checked_out_is_one_for_git_whatever_its_name_is() {
        let folder = tempfile::tempdir().unwrap();
        let repository = init(folder.path()).unwrap();
        let address = Address::parse("https://h/team/lib.git").unwrap();
        for name in ["lib", "a \"b\" \\ ] c", "deps/x.y"] {
            describe_submodule(&repository, name, &address).unwrap();
        }
        let refused = describe_submodule(&repository, "x\"]\n[core]\n\tfsmonitor = true\n[a \"", &address);
        assert!(matches!(refused, Err(CheckoutError::SubmoduleRefused { .. })));
        let config = gix::open_opts(folder.path(), gix::open::Options::isolated()).unwrap();
        let config = config.config_snapshot();
        for name in ["lib", "a \"b\" \\ ] c", "deps/x.y"] {
            let value = |key: &str| {
                config
                    .plumbing()
                    .string_by("submodule", Some(name.into()), key)
                    .map(|value| value.to_string())
            };
            assert_eq!(value("active").as_deref(), Some("true"), "{name}");
            assert_eq!(value("url").as_deref(), Some("https://h/team/lib.git"), "{name}");
        }
        assert!(config.plumbing().string("core.fsmonitor").is_none());
    }
}
