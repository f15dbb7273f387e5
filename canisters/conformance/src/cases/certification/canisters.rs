//! What the state tree has about canisters.

use crate::cases::prelude::*;
use ciborium::Value;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::Write;

const CANISTERS: &str = "Canister information";

pub const CASES: &[Case] = &[
    case!(
        CANISTERS,
        the_module_hash_is_that_of_the_installed_module,
        WrongModuleHash
    ),
    case!(
        CANISTERS,
        the_hash_of_a_compressed_module_is_that_of_the_uploaded_bytes,
        WrongModuleHash
    ),
    case!(
        CANISTERS,
        the_controllers_are_shown_and_follow_the_settings,
        HideControllers
    ),
    case!(
        CANISTERS,
        public_metadata_is_for_everybody,
        HideMetadata;
        twin private_metadata_is_for_controllers
    ),
    case!(
        CANISTERS,
        private_metadata_is_for_controllers,
        RevealPrivateMetadata
    ),
    case!(CANISTERS, metadata_follows_the_module),
    case!(CANISTERS, the_time_of_creation_is_shown_and_stays, NoTimestamps),
    case!(
        CANISTERS,
        the_time_of_the_last_install_is_shown_and_follows_upgrades,
        NoTimestamps
    ),
];

async fn hash(user: &User, canister: Principal) -> Result<Found, Failure> {
    user.shown(canister, &[b"module_hash"]).await
}

fn sha256(bytes: &[u8]) -> Found {
    Found::Value(Sha256::digest(bytes).to_vec())
}

async fn the_module_hash_is_that_of_the_installed_module(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    equal("before", hash(&user, canister).await?, Found::Absent)?;
    user.put(canister, &counter()).await?;
    equal(
        "after installing",
        hash(&user, canister).await?,
        sha256(&counter().build()?),
    )?;
    let other = counter().query("more", [skip()]);
    user.upgrade(canister, &other).await?.reply()?;
    equal(
        "after upgrading",
        hash(&user, canister).await?,
        sha256(&other.build()?),
    )?;
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()?;
    equal("after uninstalling", hash(&user, canister).await?, Found::Absent)
}

async fn the_hash_of_a_compressed_module_is_that_of_the_uploaded_bytes(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&counter().build()?)?;
    let compressed = gzip.finish()?;
    user.install_bytes(canister, CanisterInstallMode::Install, &compressed, b"")
        .await?
        .reply()?;
    equal("the hash", hash(&user, canister).await?, sha256(&compressed))?;
    equal("it runs", user.update(canister, "inc", b"").await?.number()?, 1)?;
    user.upgrade(canister, &counter()).await?.reply()?;
    let plain = sha256(&counter().build()?);
    equal(
        "the hash of the same uncompressed",
        hash(&user, canister).await?,
        plain,
    )
}

async fn controllers(user: &User, canister: Principal) -> Result<BTreeSet<Principal>, Failure> {
    let Found::Value(shown) = user.shown(canister, &[b"controllers"]).await? else {
        return Err(Failure::new("expected controllers, seen none"));
    };
    let Value::Tag(55_799, list) = ciborium::from_reader(shown.as_slice())? else {
        return Err(Failure::new("the controllers have no self-describing tag"));
    };
    let ids = list.as_array().into_iter().flatten().filter_map(Value::as_bytes);
    Ok(ids.map(|id| Principal::from_slice(id)).collect())
}

async fn the_controllers_are_shown_and_follow_the_settings(net: Network) -> Verdict {
    let (user, friend) = (net.user(), net.user());
    let canister = user.create().await?;
    equal(
        "the first",
        controllers(&friend, canister).await?,
        [user.id()].into(),
    )?;
    let both = CanisterSettings {
        controllers: Some(vec![user.id(), friend.id()]),
        ..CanisterSettings::default()
    };
    user.set(canister, both).await?.reply()?;
    equal(
        "both",
        controllers(&friend, canister).await?,
        [user.id(), friend.id()].into(),
    )
}

fn labelled() -> Module {
    counter()
        .section("icp:public open", b"for all")
        .section("icp:private closed", b"for some")
}

async fn public_metadata_is_for_everybody(net: Network) -> Verdict {
    let canister = net.user().deploy(&labelled()).await?;
    for user in [net.user(), net.anonymous()] {
        let shown = user.shown(canister, &[b"metadata", b"open"]).await?;
        equal("the section", shown, Found::Value(b"for all".to_vec()))?;
        let missing = user.shown(canister, &[b"metadata", b"other"]).await?;
        equal("a section that is not there", missing, Found::Absent)?;
    }
    Ok(())
}

async fn private_metadata_is_for_controllers(net: Network) -> Verdict {
    let owner = net.user();
    let canister = owner.deploy(&labelled()).await?;
    let labels = [
        b"canister".as_slice(),
        canister.as_slice(),
        b"metadata",
        b"closed",
    ];
    let shown = owner.read(canister, &[path(&labels)]).await?.value(&labels)?;
    equal("the section", shown, b"for some".to_vec())?;
    for other in [net.user(), net.anonymous()] {
        let response = other.post_read(canister, &[path(&labels)]).await?;
        if response.status == 200 {
            let found = certificate_of(&response)?.lookup(&labels);
            check(!matches!(found, Found::Value(_)), "that others do not see it")?;
        }
    }
    Ok(())
}

async fn metadata_follows_the_module(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&labelled()).await?;
    for (label, expected) in [(b"open".as_slice(), "for all"), (b"closed", "for some")] {
        user.update(canister, "inc", b"").await?.reply()?;
        let shown = user.shown(canister, &[b"metadata", label]).await?;
        equal(
            "a section without another module",
            shown,
            Found::Value(expected.into()),
        )?;
    }
    let other = counter().section("icp:public open", b"changed");
    user.upgrade(canister, &other).await?.reply()?;
    let shown = user.shown(canister, &[b"metadata", b"open"]).await?;
    equal("the section", shown, Found::Value(b"changed".to_vec()))?;
    let gone = user.shown(canister, &[b"metadata", b"closed"]).await?;
    equal("the section that is gone", gone, Found::Absent)
}

async fn time_at(user: &User, canister: Principal, label: &[u8]) -> Result<u64, Failure> {
    match user.shown(canister, &[label]).await? {
        Found::Value(value) => crate::client::certificate::unleb(&value),
        other => Err(Failure::new(format!("expected a time, seen {other:?}"))),
    }
}

async fn the_time_of_creation_is_shown_and_stays(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let created = time_at(&user, canister, b"canister_creation_timestamp").await?;
    check(now().abs_diff(created) < 5 * MINUTE, "a time near now")?;
    user.put(canister, &counter()).await?;
    let later = time_at(&user, canister, b"canister_creation_timestamp").await?;
    equal("the time after an install", later, created)?;
    let other = user.create().await?;
    let another = time_at(&user, other, b"canister_creation_timestamp").await?;
    check(
        another > created,
        "a later time of a canister that was created later",
    )
}

async fn the_time_of_the_last_install_is_shown_and_follows_upgrades(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let none = user.shown(canister, &[b"last_install_timestamp"]).await?;
    equal("while it is empty", none, Found::Absent)?;
    user.put(canister, &counter()).await?;
    let first = time_at(&user, canister, b"last_install_timestamp").await?;
    user.update(canister, "inc", b"").await?.reply()?;
    let same = time_at(&user, canister, b"last_install_timestamp").await?;
    equal("after a call", same, first)?;
    user.upgrade(canister, &counter()).await?.reply()?;
    let second = time_at(&user, canister, b"last_install_timestamp").await?;
    check(second > first, "a later time after an upgrade")?;
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()?;
    let none = user.shown(canister, &[b"last_install_timestamp"]).await?;
    equal("when it is empty again", none, Found::Absent)
}
