//! Keys that sign for other keys.

use crate::cases::prelude::*;
use crate::client::request::bytes as blob;
use ciborium::Value;

const AUTHENTICATION: &str = "Authentication";

pub const CASES: &[Case] = &[
    case!(
        AUTHENTICATION,
        a_delegated_key_sends_in_the_name_of_the_owner,
        NoDelegations
    ),
    case!(
        AUTHENTICATION,
        a_chain_has_at_most_20_delegations,
        IgnoreDelegationLimits
    ),
    case!(
        AUTHENTICATION,
        a_delegation_that_has_ended_is_refused,
        IgnoreDelegationExpiry
    ),
    case!(
        AUTHENTICATION,
        a_delegation_that_its_owner_did_not_sign_is_refused,
        AcceptForgedSignature
    ),
    case!(
        AUTHENTICATION,
        no_key_appears_twice_in_a_chain,
        IgnoreDelegationLimits
    ),
    case!(
        AUTHENTICATION,
        a_delegation_with_targets_is_for_those_canisters_only,
        IgnoreDelegationTargets
    ),
    case!(
        AUTHENTICATION,
        a_delegation_has_at_most_1000_targets,
        IgnoreDelegationLimits
    ),
    case!(
        AUTHENTICATION,
        a_delegation_for_queries_cannot_be_used_for_calls,
        IgnoreDelegationPermissions
    ),
    case!(
        AUTHENTICATION,
        a_later_delegation_does_not_lift_the_restriction_of_an_earlier_one,
        IgnoreDelegationPermissions
    ),
    case!(
        AUTHENTICATION,
        a_delegation_with_unknown_permissions_is_refused,
        IgnoreDelegationPermissions;
        twin a_delegation_for_queries_cannot_be_used_for_calls
    ),
];

struct Scene {
    net: Network,
    owner: Key,
    session: Key,
    canister: Principal,
}

impl Scene {
    async fn new(net: Network) -> Result<Self, Failure> {
        let canister = net
            .user()
            .deploy(
                &Module::new()
                    .update("who", [answer(caller())])
                    .query("ask", [answer(caller())]),
            )
            .await?;
        Ok(Self {
            net,
            owner: Key::ed25519(),
            session: Key::p256(),
            canister,
        })
    }

    async fn call(
        &self,
        chain: &[Delegation],
        last: &Key,
    ) -> Result<crate::client::network::Response, Failure> {
        let signed = Request::call(self.canister, "who", b"").sign_delegated(&self.owner, chain, last);
        self.net.anonymous().post_call("v4", self.canister, &signed).await
    }

    async fn query(
        &self,
        chain: &[Delegation],
        last: &Key,
    ) -> Result<crate::client::network::Response, Failure> {
        let signed = Request::query(self.canister, "ask", b"").sign_delegated(&self.owner, chain, last);
        self.net.anonymous().post_query(self.canister, &signed).await
    }

    fn link(&self, more: Vec<(&str, Value)>) -> Delegation {
        Delegation::new(&self.owner, &self.session, more)
    }
}

async fn a_delegated_key_sends_in_the_name_of_the_owner(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let signed = Request::call(scene.canister, "who", b"").sign_delegated(
        &scene.owner,
        &[scene.link(vec![])],
        &scene.session,
    );
    let reply = scene
        .net
        .anonymous()
        .send(scene.canister, &signed)
        .await?
        .reply()?;
    equal("the caller", reply, scene.owner.principal().as_slice().to_vec())?;
    scene.call(&[], &scene.session).await?.refused().map(drop)
}

async fn a_chain_has_at_most_20_delegations(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let keys: Vec<Key> = (0..21).map(|_| Key::ed25519()).collect();
    let mut chain = Vec::new();
    let mut from = &scene.owner;
    for key in &keys {
        chain.push(Delegation::new(from, key, vec![]));
        from = key;
    }
    let (Some(twenty), [.., last_but_one, last]) = (chain.get(..20), keys.as_slice()) else {
        return Err(Failure::new("the chain is too short"));
    };
    scene.call(twenty, last_but_one).await?.accepted()?;
    scene.call(&chain, last).await?.refused().map(drop)
}

async fn a_delegation_that_has_ended_is_refused(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let ended = Delegation::until(now() - MINUTE, &scene.owner, &scene.session, vec![]);
    scene
        .call(std::slice::from_ref(&ended), &scene.session)
        .await?
        .refused()?;
    scene.query(&[ended], &scene.session).await?.refused()?;
    scene
        .query(&[scene.link(vec![])], &scene.session)
        .await?
        .accepted()
        .map(drop)
}

async fn a_delegation_that_its_owner_did_not_sign_is_refused(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let forged = Delegation::new(&Key::ed25519(), &scene.session, vec![]);
    scene.call(&[forged], &scene.session).await?.refused()?;
    let middle = Key::ed25519();
    let chain = [
        Delegation::new(&scene.owner, &middle, vec![]),
        Delegation::new(&scene.owner, &scene.session, vec![]),
    ];
    scene.call(&chain, &scene.session).await?.refused()?;
    let [first, _] = chain;
    let chain = [first, Delegation::new(&middle, &scene.session, vec![])];
    scene.call(&chain, &scene.session).await?.accepted().map(drop)
}

async fn no_key_appears_twice_in_a_chain(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let to_itself = Delegation::new(&scene.owner, &scene.owner, vec![]);
    scene.call(&[to_itself], &scene.owner).await?.refused()?;
    let (one, other) = (Key::ed25519(), Key::ed25519());
    let circle = [
        Delegation::new(&scene.owner, &one, vec![]),
        Delegation::new(&one, &other, vec![]),
        Delegation::new(&other, &one, vec![]),
    ];
    scene.call(&circle, &one).await?.refused()?;
    let (straight, _) = circle.split_at(2);
    scene.call(straight, &other).await?.accepted().map(drop)
}

fn targets(canisters: impl IntoIterator<Item = Principal>) -> Vec<(&'static str, Value)> {
    vec![("targets", Value::Array(canisters.into_iter().map(blob).collect()))]
}

async fn a_delegation_with_targets_is_for_those_canisters_only(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let other = Principal::from_slice(&[0, 0, 0, 0, 0, 9, 9, 9, 1, 1]);
    let elsewhere = scene.link(targets([other]));
    scene
        .call(std::slice::from_ref(&elsewhere), &scene.session)
        .await?
        .refused()?;
    scene.query(&[elsewhere], &scene.session).await?.refused()?;
    let here = scene.link(targets([other, scene.canister]));
    scene
        .call(std::slice::from_ref(&here), &scene.session)
        .await?
        .accepted()?;
    scene.query(&[here], &scene.session).await?.accepted().map(drop)
}

async fn a_delegation_has_at_most_1000_targets(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let many = |count: u16| {
        let others = (1..count).map(|number| {
            let [high, low] = number.to_be_bytes();
            Principal::from_slice(&[0, 0, 0, 0, 0, 9, high, low, 1, 1])
        });
        scene.link(targets(others.chain([scene.canister])))
    };
    scene.call(&[many(1000)], &scene.session).await?.accepted()?;
    scene
        .call(&[many(1001)], &scene.session)
        .await?
        .refused()
        .map(drop)
}

async fn a_delegation_for_queries_cannot_be_used_for_calls(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let queries = scene.link(vec![("permissions", text("queries"))]);
    scene
        .query(std::slice::from_ref(&queries), &scene.session)
        .await?
        .accepted()?;
    scene.call(&[queries], &scene.session).await?.refused()?;
    let all = scene.link(vec![("permissions", text("all"))]);
    scene.call(&[all], &scene.session).await?.accepted().map(drop)
}

async fn a_later_delegation_does_not_lift_the_restriction_of_an_earlier_one(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let last = Key::ed25519();
    let chain = |first: &str| {
        [
            scene.link(vec![("permissions", text(first))]),
            Delegation::new(&scene.session, &last, vec![("permissions", text("all"))]),
        ]
    };
    scene.call(&chain("queries"), &last).await?.refused()?;
    scene.query(&chain("queries"), &last).await?.accepted()?;
    scene.call(&chain("all"), &last).await?.accepted().map(drop)
}

async fn a_delegation_with_unknown_permissions_is_refused(net: Network) -> Verdict {
    let scene = Scene::new(net).await?;
    let odd = scene.link(vec![("permissions", text("everything"))]);
    scene
        .call(std::slice::from_ref(&odd), &scene.session)
        .await?
        .refused()?;
    scene.query(&[odd], &scene.session).await?.refused().map(drop)
}
