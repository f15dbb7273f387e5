//! The canister in the path.

use crate::cases::prelude::*;

const EFFECTIVE: &str = "Effective canister id";

pub const CASES: &[Case] = &[
    case!(
        EFFECTIVE,
        the_canister_in_the_path_is_the_called_one,
        IgnoreEffectiveId
    ),
    case!(
        EFFECTIVE,
        a_management_call_goes_through_the_canister_that_it_is_about,
        IgnoreEffectiveId
    ),
    case!(EFFECTIVE, a_management_call_without_a_canister_is_rejected),
    case!(EFFECTIVE, a_path_without_a_principal_is_refused),
];

/// Refused in either form: as a bad request, or with a rejection.
fn turned_down(response: &crate::client::network::Response, id: &[u8; 32]) -> Verdict {
    if response.status == 200 {
        return answer_in(response, id)?.refused().map(drop);
    }
    response.refused().map(drop)
}

async fn the_canister_in_the_path_is_the_called_one(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (user.deploy(&counter()).await?, user.deploy(&counter()).await?);
    let call = Request::call(one, "inc", b"").sign(&user.key);
    for version in ["v2", "v4"] {
        turned_down(&user.post_call(version, other, &call).await?, &call.id)?;
    }
    let query = Request::query(one, "get", b"").sign(&user.key);
    user.post_query(other, &query).await?.refused()?;
    equal("the count", user.query(one, "get", b"").await?.number()?, 0)?;
    equal("through itself", user.update(one, "inc", b"").await?.number()?, 1)
}

async fn a_management_call_goes_through_the_canister_that_it_is_about(net: Network) -> Verdict {
    let user = net.user();
    let (one, other) = (user.deploy(&counter()).await?, user.deploy(&counter()).await?);
    let management = Principal::management_canister();
    let signed = Request::call(management, "stop_canister", &about(one)).sign(&user.key);
    turned_down(&user.post_call("v4", other, &signed).await?, &signed.id)?;
    let status = user.status(one).await?.status;
    equal("the status", status, CanisterStatusType::Running)?;
    user.manage(one, "stop_canister", &about(one))
        .await?
        .reply()
        .map(drop)
}

async fn a_management_call_without_a_canister_is_rejected(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let management = Principal::management_canister();
    for (method, arg) in [
        ("stop_canister", nothing()),
        ("stop_canister", candid(&canister)),
        ("no_such_method", about(canister)),
    ] {
        let signed = Request::call(management, method, &arg).sign(&user.key);
        turned_down(&user.post_call("v4", canister, &signed).await?, &signed.id)
            .map_err(|failure| Failure::new(format!("{method}: {failure}")))?;
    }
    let status = user.status(canister).await?.status;
    equal("the status", status, CanisterStatusType::Running)?;
    user.stop(canister).await
}

async fn a_path_without_a_principal_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let signed = Request::read_state(&[path(&[b"time"])]).sign(&user.key);
    for id in ["nobody", "aaaaa-ab", "2vxsx"] {
        let response = net
            .post(&format!("/api/v3/canister/{id}/read_state"), signed.body())
            .await?;
        check(
            (400..500).contains(&response.status),
            format!("that `{id}` is refused, seen {}", response.status),
        )?;
    }
    let url = format!("/api/v3/canister/{}/read_state", net.anywhere());
    net.post(&url, signed.body()).await?.accepted().map(drop)
}
