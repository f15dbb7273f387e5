//! Files behind Git LFS: the commit holds only pointers, which a build must not take for the files.

use gix::bstr::ByteSlice;
use gix::worktree::stack::state::attributes::Source;

use super::CheckoutError;

/// Refuses a commit in which an attribute hands files to LFS.
pub(crate) fn refuse(repository: &gix::Repository, index: &gix::index::File) -> Result<(), CheckoutError> {
    let failed = |error: gix::Error| CheckoutError::Tree(error.to_string());
    let attributes = |path: &gix::bstr::BStr| path == ".gitattributes" || path.ends_with(b"/.gitattributes");
    if !index.entries().iter().any(|entry| attributes(entry.path(index))) {
        return Ok(());
    }
    let mut stack = repository
        .attributes_only(index, Source::IdMapping)
        .map_err(failed)?;
    let mut matches = stack.selected_attribute_matches(["filter"]);
    let mut first = None;
    let mut count = 0;
    for entry in index.entries() {
        if !entry.mode.contains(gix::index::entry::Mode::FILE) {
            continue;
        }
        let path = entry.path(index);
        let platform = stack
            .at_entry(path, Some(entry.mode))
            .map_err(|error| CheckoutError::Tree(error.to_string()))?;
        matches.reset();
        platform.matching_attributes(&mut matches);
        let lfs = matches.iter_selected().any(|found| match found.assignment.state {
            gix::attrs::StateRef::Value(value) => value.as_bstr() == "lfs",
            _ => false,
        });
        if lfs {
            first.get_or_insert_with(|| path.to_str_lossy().into_owned());
            count += 1;
        }
    }
    match first {
        Some(path) => Err(CheckoutError::Lfs { path, count }),
        None => Ok(()),
    }
}
