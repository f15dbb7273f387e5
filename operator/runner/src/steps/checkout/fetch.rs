//! Fetches exactly one commit where the server allows it, else what its refs hold.

use std::num::NonZeroU32;

use dcanary_protocol::git::is_revision;
use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::progress::Discard;
use gix::protocol::fetch::refmap::Mapping;
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
    let Ok(object) = ObjectId::from_hex(wanted.revision.as_bytes()) else {
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
    commit_of(repository, wanted, object)
}

/// The commit that an id names. Some hooks and clients give the id of an annotated tag instead, which names one too.
fn commit_of(
    repository: &gix::Repository,
    wanted: &Wanted,
    object: ObjectId,
) -> Result<ObjectId, CheckoutError> {
    let found = repository
        .find_object(object)
        .map_err(|_| CheckoutError::NoCommit {
            url: wanted.address.to_string(),
            commit: object.to_string(),
        })?;
    let kind = found.kind;
    let commit = found.peel_to_commit().map_err(|_| CheckoutError::NotCommit {
        url: wanted.address.to_string(),
        object: object.to_string(),
        kind,
    })?;
    Ok(commit.id)
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
    if !is_revision(revision) {
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

/// One round with the server. Answers the object of the ref that is meant; of several refspecs, of any.
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
    let mappings = &prepared.ref_map().mappings;
    let meant = match refspecs {
        [revision] => meant(revision, mappings),
        _ => mappings.first(),
    };
    let found = meant
        .and_then(|mapping| mapping.remote.as_id())
        .map(ToOwned::to_owned);
    if found.is_none() {
        return Ok(None);
    }
    // Only what is meant is fetched: the other ones may be large, and anybody's.
    let name = meant.and_then(|mapping| mapping.remote.as_name()?.to_str().ok());
    if let ([revision], Some(name)) = (refspecs, name)
        && mappings.len() > 1
        && name.starts_with("refs/")
        && name != revision
    {
        let name = [name.to_owned()];
        return once(session, repository, wanted, &name, shallow);
    }
    prepared
        .with_shallow(shallow)
        .receive(Discard, session.interrupt.flag())
        .map_err(failed)?;
    Ok(found)
}

/// Where git looks for a short name, in its order: whoever may push a branch must not take the place of a tag of that name.
const PLACES: [(&str, &str); 6] = [
    ("", ""),
    ("refs/", ""),
    ("refs/tags/", ""),
    ("refs/heads/", ""),
    ("refs/remotes/", ""),
    ("refs/remotes/", "/HEAD"),
];

/// What a revision means of all that the server has under it.
fn meant<'a>(revision: &str, found: &'a [Mapping]) -> Option<&'a Mapping> {
    let is_at = |mapping: &Mapping, (before, after)| {
        let name = format!("{before}{revision}{after}");
        mapping
            .remote
            .as_name()
            .is_some_and(|found| found == name.as_str())
    };
    found.iter().min_by_key(|mapping| {
        let place = PLACES.iter().position(|&place| is_at(mapping, place));
        place.unwrap_or(PLACES.len())
    })
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

#[cfg(test)]
mod tests {
    use gix::objs;
    use gix::protocol::fetch::refmap::{Source, SpecIndex};
    use gix::protocol::handshake::Ref;

    use super::super::{Address, worktree};
    use super::*;

    /// The ref that is meant of those that a server shows.
    fn name(revision: &str, shown: &[&str]) -> String {
        let mapping = |name: &&str| Mapping {
            remote: Source::Ref(Ref::Direct {
                full_ref_name: (*name).into(),
                object: gix::hash::Kind::Sha1.null(),
            }),
            local: None,
            spec_index: SpecIndex::ExplicitInRemote(0),
        };
        let found: Vec<_> = shown.iter().map(mapping).collect();
        let meant = meant(revision, &found).and_then(|mapping| mapping.remote.as_name());
        meant.unwrap_or_default().to_string()
    }

    #[test]
    fn a_branch_that_is_named_like_a_tag_does_not_take_its_place() {
        let both = ["refs/heads/v1.0", "refs/tags/v1.0"];
        assert_eq!(name("v1.0", &both), "refs/tags/v1.0");
        assert_eq!(name("heads/v1.0", &both), "refs/heads/v1.0");
        assert_eq!(name("refs/heads/v1.0", &both), "refs/heads/v1.0");
        let more = ["refs/heads/heads/x", "refs/tags/heads/x", "refs/heads/x"];
        assert_eq!(name("heads/x", &more), "refs/heads/x");
        let more = ["refs/heads/HEAD", "refs/tags/HEAD", "HEAD"];
        assert_eq!(name("HEAD", &more), "HEAD");
        let more = ["refs/remotes/x/HEAD", "refs/remotes/x", "refs/heads/x"];
        assert_eq!(name("x", &more), "refs/heads/x");
    }

    #[test]
    fn the_id_of_an_annotated_tag_names_its_commit_and_one_of_a_file_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let repository = worktree::init(folder.path()).unwrap();
        let written = |object: objs::Object| repository.write_object(&object).unwrap().detach();
        let tree = written(objs::Tree::empty().into());
        let person = gix::actor::Signature {
            name: "T".into(),
            email: "t@example".into(),
            time: gix::date::Time::new(1_700_000_000, 0),
        };
        let commit = written(
            objs::Commit {
                tree,
                parents: Vec::new().into(),
                author: person.clone(),
                committer: person,
                encoding: None,
                message: "change".into(),
                extra_headers: Vec::new(),
            }
            .into(),
        );
        let tag = |target, target_kind, name: &str| {
            written(
                objs::Tag {
                    target,
                    target_kind,
                    name: name.into(),
                    tagger: None,
                    message: "one".into(),
                    signature: None,
                }
                .into(),
            )
        };
        let one = tag(commit, objs::Kind::Commit, "v1");
        let two = tag(one, objs::Kind::Tag, "v1-signed");
        let file = written(objs::Blob { data: b"x".to_vec() }.into());
        let wanted = Wanted {
            address: Address::parse("https://h/app.git").unwrap(),
            revision: String::new(),
            depth: 1,
            submodules: 0,
            directory: folder.path().to_owned(),
        };
        let found = |id| commit_of(&repository, &wanted, id);
        for id in [commit, one, two] {
            assert_eq!(found(id).unwrap(), commit, "{id}");
        }
        let error = found(file).unwrap_err().to_string();
        assert!(
            error.contains("no commit and no tag of one, but a blob"),
            "{error}"
        );
        let absent = ObjectId::from_hex("12".repeat(20).as_bytes()).unwrap();
        assert!(matches!(found(absent), Err(CheckoutError::NoCommit { .. })));
    }
}
