//! Certified data.

use crate::cases::prelude::*;

const CERTIFIED: &str = "Certified data";

pub const CASES: &[Case] = &[
    case!(
        CERTIFIED,
        a_query_can_show_the_certificate_of_what_was_certified,
        WrongPrune;
        twin there_is_no_certificate_outside_of_queries
    ),
    case!(CERTIFIED, certified_data_has_at_most_32_bytes, LongCertifiedData),
    case!(
        CERTIFIED,
        there_is_no_certificate_outside_of_queries,
        CertificateForAll
    ),
    case!(
        CERTIFIED,
        an_upgrade_keeps_the_certified_data_and_a_reinstall_empties_it,
        UpgradeForgets
    ),
    case!(
        CERTIFIED,
        the_certificate_of_one_canister_does_not_show_another,
        WrongPrune
    ),
];

fn certifying() -> Module {
    Module::new()
        .update("set", [certify(arg()), reply()])
        .query("get", [answer(fetched("data_certificate"))])
        .query("present", [answer_numbers([sys32("data_certificate_present")])])
        .update("in_update", [answer_numbers([sys32("data_certificate_present")])])
        .update("get_in_update", [answer(fetched("data_certificate"))])
}

async fn shown(user: &User, canister: Principal) -> Result<(Certificate, Vec<u8>), Failure> {
    let certificate = Certificate::decode(&user.query(canister, "get", b"").await?.reply()?)?;
    certificate.verify(user.net.root_key())?;
    let data = certificate.value(&[b"canister", canister.as_slice(), b"certified_data"])?;
    Ok((certificate, data))
}

async fn a_query_can_show_the_certificate_of_what_was_certified(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&certifying()).await?;
    equal("at first", shown(&user, canister).await?.1, vec![])?;
    for data in [b"one".as_slice(), b"two", &[7; 32], b""] {
        user.update(canister, "set", data).await?.reply()?;
        let (certificate, seen) = shown(&user, canister).await?;
        equal("the data", seen, data.to_vec())?;
        check(
            now().abs_diff(certificate.time()?) < 5 * MINUTE,
            "a fresh certificate",
        )?;
    }
    equal(
        "present",
        user.query(canister, "present", b"").await?.number()?,
        1,
    )
}

async fn certified_data_has_at_most_32_bytes(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&certifying()).await?;
    user.update(canister, "set", &[1; 32]).await?.reply()?;
    user.update(canister, "set", &[2; 33])
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the data", shown(&user, canister).await?.1, vec![1; 32])
}

async fn there_is_no_certificate_outside_of_queries(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&certifying()).await?;
    equal(
        "in an update",
        user.update(canister, "in_update", b"").await?.number()?,
        0,
    )?;
    user.update(canister, "get_in_update", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "in a query that is called",
        user.update(canister, "present", b"").await?.number()?,
        0,
    )?;
    equal(
        "in a query",
        user.query(canister, "present", b"").await?.number()?,
        1,
    )
}

async fn an_upgrade_keeps_the_certified_data_and_a_reinstall_empties_it(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&certifying()).await?;
    user.update(canister, "set", b"data").await?.reply()?;
    user.upgrade(canister, &certifying()).await?.reply()?;
    equal(
        "after an upgrade",
        shown(&user, canister).await?.1,
        b"data".to_vec(),
    )?;
    user.install(canister, CanisterInstallMode::Reinstall, &certifying(), b"")
        .await?
        .reply()?;
    equal("after a reinstall", shown(&user, canister).await?.1, vec![])
}

async fn the_certificate_of_one_canister_does_not_show_another(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (
        user.deploy(&certifying()).await?,
        user.deploy(&certifying()).await?,
    );
    user.update(one, "set", b"one").await?.reply()?;
    user.update(other, "set", b"other").await?.reply()?;
    let (certificate, data) = shown(&user, one).await?;
    equal("the data", data, b"one".to_vec())?;
    let hidden = certificate.lookup(&[b"canister", other.as_slice(), b"certified_data"]);
    equal("the data of the other", hidden, Found::Pruned)
}
