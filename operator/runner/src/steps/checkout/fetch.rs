//! Fetches exactly one commit where the server allows it, else what its refs hold.

use std::num::NonZeroU32;

use gix::ObjectId;
use gix::progress::Discard;
use gix::remote::fetch::{Shallow, Tags};
use gix::remote::ref_map;

use super::transport::{self, Connected};
use super::{CheckoutError, Session, Wanted};
use crate::interrupt::Interrupted;

/// Fetches what is wanted and answers its commit.
pub(crate) fn fetch(
    session: &Session,
    repository: &mut gix::Repository,
    wanted: &Wanted,
) -> Result<ObjectId, CheckoutError> {
    let shallow = NonZeroU32::new(wanted.depth).map_or(Shallow::NoChange, Shallow::DepthAtRemote);
    let Ok(commit) = ObjectId::from_hex(wanted.revision.as_bytes()) else {
        return by_ref(session, repository, wanted, shallow);
    };
    let exact = once(
        session,
        repository,
        wanted,
        std::slice::from_ref(&wanted.revision),
        shallow,
    );
    match exact {
        Ok(_) => {}
        // Servers may refuse what no ref names, and old protocols any commit: take everything and look for it.
        Err(CheckoutError::Fetch { .. }) => {
            session.check()?;
            let everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
            once(
                session,
                repository,
                wanted,
                &everything.map(str::to_owned),
                Shallow::NoChange,
            )?;
        }
        Err(error) => return Err(error),
    }
    if repository.find_commit(commit).is_err() {
        let commit = commit.to_string();
        return Err(CheckoutError::NoCommit {
            url: wanted.address.to_string(),
            commit,
        });
    }
    Ok(commit)
}

fn by_ref(
    session: &Session,
    repository: &mut gix::Repository,
    wanted: &Wanted,
    shallow: Shallow,
) -> Result<ObjectId, CheckoutError> {
    let revision = &wanted.revision;
    let missing = || CheckoutError::NoRevision {
        url: wanted.address.to_string(),
        revision: revision.clone(),
    };
    // No refspec of several refs and no deletion comes in through a name.
    if revision.is_empty() || revision.contains([':', '*', '+', '^', '~', ' ', '?', '[', '\\']) {
        return Err(missing());
    }
    let found = once(
        session,
        repository,
        wanted,
        std::slice::from_ref(revision),
        shallow,
    )?;
    let found = found.ok_or_else(missing)?;
    let object = repository.find_object(found).map_err(|_| missing())?;
    let commit = object.peel_to_commit().map_err(|_| missing())?;
    Ok(commit.id)
}

/// One round with the server. Answers the object of the first ref that matched.
fn once(
    session: &Session,
    repository: &gix::Repository,
    wanted: &Wanted,
    refspecs: &[String],
    shallow: Shallow,
) -> Result<Option<ObjectId>, CheckoutError> {
    let url = wanted.address.to_string();
    let invalid = |error: gix::Error| CheckoutError::Fetch {
        url: url.clone(),
        message: shown(&error),
    };
    let remote = repository
        .remote_at(wanted.address.url().clone())
        .and_then(|remote| {
            remote
                .with_fetch_tags(Tags::None)
                .with_refspecs(refspecs.iter().map(String::as_str), gix::remote::Direction::Fetch)
        })
        .map_err(invalid)?;
    let Connected { connection, login } = transport::connect(session, &remote, &wanted.address)?;
    let failed = |error: gix::Error| {
        let host = wanted.address.host().to_owned();
        match login.state() {
            transport::Asked::Without => CheckoutError::NoCredentials { host },
            transport::Asked::Plain => CheckoutError::Plain { host },
            transport::Asked::With if error.is_unauthenticated() || error.is_permission_denied() => {
                CheckoutError::Refused { host }
            }
            _ if error.is_cancelled() => Interrupted.into(),
            _ => CheckoutError::Fetch {
                url: url.clone(),
                message: shown(&error),
            },
        }
    };
    let prepared = connection
        .prepare_fetch(Discard, ref_map::Options::default())
        .map_err(failed)?;
    let found = prepared
        .ref_map()
        .mappings
        .first()
        .and_then(|mapping| mapping.remote.as_id())
        .map(ToOwned::to_owned);
    if found.is_none() {
        return Ok(None);
    }
    prepared
        .with_shallow(shallow)
        .receive(Discard, session.interrupt.flag())
        .map_err(failed)?;
    Ok(found)
}

/// The messages of an error and its causes in one line.
fn shown(error: &gix::Error) -> String {
    let mut text = String::new();
    for cause in error.iter_errors() {
        let message = cause.to_string();
        let line = message.lines().next().unwrap_or_default();
        if !line.is_empty() && !text.contains(line) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(line);
        }
    }
    text
}
