//! Submodules, to the depth that the step asks for.

use gix::bstr::ByteSlice;
use gix::submodule::config::Update;

use super::{CheckoutError, Session, Wanted, one, worktree};
use crate::workspace::inside;

/// Submodules of one checkout on all levels together.
const SUBMODULES: usize = 200;

/// Checks out the submodules of a repository whose own files are there.
pub(crate) fn check_out(
    session: &Session,
    repository: &gix::Repository,
    index: &gix::index::File,
    wanted: &Wanted,
    count: &mut usize,
    notes: &mut Vec<String>,
) -> Result<(), CheckoutError> {
    let links = index
        .entries()
        .iter()
        .filter(|entry| entry.mode.contains(gix::index::entry::Mode::COMMIT));
    let links = links.count();
    if links == 0 {
        return Ok(());
    }
    if wanted.submodules == 0 {
        notes.push(format!("left out {links} submodules of {}", wanted.address));
        return Ok(());
    }
    let refused = |name: &str, reason: String| CheckoutError::SubmoduleRefused {
        name: name.to_owned(),
        reason,
    };
    let modules = repository
        .submodules()
        .map_err(|error| refused(".gitmodules", error.to_string()))?;
    let mut found = Vec::new();
    for module in modules.into_iter().flatten() {
        let name = module.name().to_str_lossy().into_owned();
        let failed = |error: gix::Error| refused(&name, error.to_string());
        // A command is an error already.
        if module.update().map_err(failed)? == Some(Update::None) {
            notes.push(format!("left out submodule {name}, which asks for it"));
            continue;
        }
        let path = module.path().map_err(failed)?;
        let path = path
            .to_str()
            .map_err(|_| refused(&name, "its path is not UTF-8".to_owned()))?;
        // Named in .gitmodules only: git does nothing either.
        if let Some(entry) = index
            .entry_by_path(path.into())
            .filter(|entry| entry.mode.is_submodule())
        {
            found.push((name, path.to_owned(), entry.id));
        }
    }
    // Before the first one is fetched.
    *count += found.len();
    if *count > SUBMODULES {
        return Err(CheckoutError::TooManySubmodules(SUBMODULES));
    }
    for (name, path, commit) in found {
        session.check()?;
        let within = |source: CheckoutError| CheckoutError::Submodule {
            name: name.clone(),
            source: Box::new(source),
        };
        let url = raw_url(repository, &name).ok_or_else(|| refused(&name, "it has no URL".to_owned()))?;
        let address = wanted.address.of_submodule(&url).map_err(within)?;
        let relative = inside(&path).map_err(|error| within(error.into()))?;
        let below = Wanted {
            address,
            revision: commit.to_string(),
            depth: wanted.depth,
            submodules: wanted.submodules - 1,
            directory: wanted.directory.join(&relative),
        };
        let mut at = wanted.directory.clone();
        for part in &relative {
            at.push(part);
            if !at.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(refused(
                    &name,
                    "its path is not a directory of the commit".to_owned(),
                ));
            }
        }
        one(session, &below, count, notes).map_err(within)?;
        worktree::describe_submodule(repository, &name, &below.address)?;
    }
    Ok(())
}

/// The URL as it is written: the library would make a path of a relative one.
fn raw_url(repository: &gix::Repository, name: &str) -> Option<String> {
    let modules = repository.modules().ok()??;
    let url = modules
        .config()
        .string(format!("submodule.{name}.url").as_str())?;
    Some(url.to_str_lossy().into_owned())
}
