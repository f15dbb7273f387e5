//! Reads of the state tree.

use crate::cases::prelude::*;

const READ_STATE: &str = "Request: Read state";

pub const CASES: &[Case] = &[
    case!(
        READ_STATE,
        the_time_is_always_shown,
        WrongPrune;
        twin what_was_not_asked_for_is_pruned
    ),
    case!(
        READ_STATE,
        the_status_of_a_request_is_for_its_sender_only,
        RevealRequests
    ),
    case!(
        READ_STATE,
        the_status_of_a_request_is_read_through_the_canister_it_was_sent_to,
        RevealRequests
    ),
    case!(READ_STATE, a_request_that_nobody_sent_is_absent, WrongPrune),
    case!(READ_STATE, one_read_is_about_one_request, UnlimitedPaths),
    case!(
        READ_STATE,
        certified_data_is_not_shown_to_users,
        RevealCertifiedData
    ),
    case!(
        READ_STATE,
        other_canisters_than_the_one_in_the_path_are_not_shown,
        RevealOtherCanisters
    ),
    case!(
        READ_STATE,
        whole_subtrees_of_canisters_and_requests_are_not_shown,
        RevealCertifiedData
    ),
    case!(
        READ_STATE,
        a_read_has_at_most_1000_paths_of_127_labels,
        UnlimitedPaths
    ),
    case!(READ_STATE, what_was_not_asked_for_is_pruned, WrongPrune),
    case!(
        READ_STATE,
        a_subnet_shows_its_canister_ranges_and_keys,
        WrongPrune
    ),
];

async fn the_time_is_always_shown(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    for paths in [
        vec![],
        vec![path(&[b"time"])],
        vec![path(&[b"canister", canister.as_slice(), b"controllers"])],
    ] {
        let certificate = user.read(canister, &paths).await?;
        certificate.verify(net.root_key())?;
        let age = now().abs_diff(certificate.time()?);
        check(age < 5 * MINUTE, "a time near that of this machine")?;
    }
    Ok(())
}

/// Whether somebody can see the reply of a request.
async fn sees(user: &User, canister: Principal, id: &[u8; 32]) -> Result<bool, Failure> {
    let response = user
        .post_read(canister, &[path(&[b"request_status", id])])
        .await?;
    if response.status != 200 {
        return Ok(false);
    }
    let found = certificate_of(&response)?.lookup(&[b"request_status", id, b"reply"]);
    Ok(matches!(found, Found::Value(_)))
}

async fn finished(user: &User) -> Result<(Principal, Signed), Failure> {
    let canister = user.deploy(&counter()).await?;
    let signed = Request::call(canister, "inc", b"").sign(&user.key);
    user.send(canister, &signed).await?.reply()?;
    Ok((canister, signed))
}

async fn the_status_of_a_request_is_for_its_sender_only(net: Network) -> Verdict {
    let user = net.user();
    let (canister, signed) = finished(&user).await?;
    check(
        sees(&user, canister, &signed.id).await?,
        "that the sender sees the reply",
    )?;
    for other in [net.user(), net.anonymous()] {
        check(
            !sees(&other, canister, &signed.id).await?,
            "that nobody else sees the reply",
        )?;
    }
    Ok(())
}

async fn the_status_of_a_request_is_read_through_the_canister_it_was_sent_to(net: Network) -> Verdict {
    let user = net.user();
    let (canister, signed) = finished(&user).await?;
    let other = user.deploy(&counter()).await?;
    check(
        !sees(&user, other, &signed.id).await?,
        "that it is not shown through another canister",
    )?;
    check(
        sees(&user, canister, &signed.id).await?,
        "that it is shown through its own",
    )
}

async fn a_request_that_nobody_sent_is_absent(net: Network) -> Verdict {
    let user = net.user();
    let (canister, signed) = finished(&user).await?;
    for (id, expected) in [
        (rand::random(), Found::Absent),
        (signed.id, Found::Value(b"replied".to_vec())),
    ] {
        let certificate = user.read(canister, &[path(&[b"request_status", &id])]).await?;
        certificate.verify(net.root_key())?;
        let found = certificate.lookup(&[b"request_status", &id, b"status"]);
        equal("the status", found, expected)?;
    }
    Ok(())
}

async fn one_read_is_about_one_request(net: Network) -> Verdict {
    let user = net.user();
    let (canister, signed) = finished(&user).await?;
    let other = Request::call(canister, "inc", b"").sign(&user.key);
    user.send(canister, &other).await?.reply()?;
    let paths = [
        path(&[b"request_status", &signed.id]),
        path(&[b"request_status", &other.id]),
    ];
    user.post_read(canister, &paths).await?.refused()?;
    let paths = [
        path(&[b"request_status", &signed.id, b"status"]),
        path(&[b"request_status", &signed.id, b"reply"]),
    ];
    user.post_read(canister, &paths).await?.accepted().map(drop)
}

/// Whether a user gets a value at a path.
async fn shown(user: &User, through: Principal, labels: &[&[u8]]) -> Result<bool, Failure> {
    let response = user.post_read(through, &[path(labels)]).await?;
    if response.status != 200 {
        return Ok(false);
    }
    let certificate = certificate_of(&response)?;
    let inside = certificate
        .paths()
        .iter()
        .any(|path| path.len() >= labels.len() && path.iter().zip(labels).all(|(one, other)| one == other));
    Ok(inside)
}

async fn certified_data_is_not_shown_to_users(net: Network) -> Verdict {
    let user = net.user();
    let canister = user
        .deploy(&Module::new().init([certify(bytes("secret until told"))]))
        .await?;
    let id = canister.as_slice();
    check(
        !shown(&user, canister, &[b"canister", id, b"certified_data"]).await?,
        "that certified data is not shown",
    )?;
    check(
        shown(&user, canister, &[b"canister", id, b"controllers"]).await?,
        "that the controllers are shown",
    )
}

async fn other_canisters_than_the_one_in_the_path_are_not_shown(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (user.deploy(&counter()).await?, user.deploy(&counter()).await?);
    for name in [b"controllers".as_slice(), b"module_hash"] {
        let labels = [b"canister".as_slice(), one.as_slice(), name];
        check(
            !shown(&user, other, &labels).await?,
            "that it is not shown through another canister",
        )?;
        check(
            shown(&user, one, &labels).await?,
            "that it is shown through its own path",
        )?;
    }
    Ok(())
}

async fn whole_subtrees_of_canisters_and_requests_are_not_shown(net: Network) -> Verdict {
    let user = net.user();
    let (canister, signed) = finished(&user).await?;
    for labels in [
        vec![b"canister".as_slice()],
        vec![b"canister".as_slice(), canister.as_slice()],
        vec![b"request_status".as_slice()],
        vec![],
    ] {
        let response = user.post_read(canister, &[path(&labels)]).await?;
        if response.status == 200 {
            let secret = certificate_of(&response)?.paths().into_iter().any(|path| {
                path.first()
                    .is_some_and(|first| first != b"time" && first != b"subnet")
            });
            check(!secret, "that whole subtrees are not shown")?;
        }
    }
    let inside = [b"canister".as_slice(), canister.as_slice(), b"controllers"];
    check(
        shown(&user, canister, &inside).await? && sees(&user, canister, &signed.id).await?,
        "that what is in them is shown",
    )
}

async fn a_read_has_at_most_1000_paths_of_127_labels(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let many = |count: usize| vec![path(&[b"time"]); count];
    user.post_read(canister, &many(1000)).await?.accepted()?;
    user.post_read(canister, &many(1001)).await?.refused()?;
    let long: Vec<&[u8]> = vec![b"time"; 128];
    user.post_read(canister, &[path(&long)])
        .await?
        .refused()
        .map(drop)
}

async fn what_was_not_asked_for_is_pruned(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let id = canister.as_slice();
    let certificate = user
        .read(canister, &[path(&[b"canister", id, b"controllers"])])
        .await?;
    certificate.verify(net.root_key())?;
    certificate.value(&[b"canister", id, b"controllers"])?;
    let hash = certificate.lookup(&[b"canister", id, b"module_hash"]);
    equal("the module hash", hash, Found::Pruned)?;
    equal(
        "the number of values",
        certificate.paths().iter().filter(|path| path.len() > 1).count(),
        1,
    )
}

async fn a_subnet_shows_its_canister_ranges_and_keys(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let certificate = user.read(canister, &[path(&[b"subnet"])]).await?;
    let subnet = match &certificate.delegation {
        Some((subnet, _)) => *subnet,
        None => Principal::self_authenticating(net.root_key()),
    };
    let url = format!("/api/v3/subnet/{subnet}/read_state");
    let signed = Request::read_state(&[
        path(&[b"canister_ranges", subnet.as_slice()]),
        path(&[b"subnet", subnet.as_slice(), b"public_key"]),
    ])
    .sign(&user.key);
    let shown = certificate_of(&net.post(&url, signed.body()).await?)?;
    shown.verify(net.root_key())?;
    let key = shown.value(&[b"subnet", subnet.as_slice(), b"public_key"])?;
    equal("the length of the subnet's key", key.len(), 133)?;
    let within = shown.covers(b"canister_ranges", subnet, canister)?;
    check(within, "that the ranges have a canister of the subnet")?;
    // What canisters have is shown through the canisters only.
    let labels = [b"canister".as_slice(), canister.as_slice(), b"controllers"];
    let signed = Request::read_state(&[path(&labels)]).sign(&user.key);
    let response = net.post(&url, signed.body()).await?;
    let hidden =
        response.status != 200 || !matches!(certificate_of(&response)?.lookup(&labels), Found::Value(_));
    check(hidden, "that a subnet does not show its canisters")
}
