//! The official agent, with all that it verifies.

use crate::cases::prelude::*;
use ic_agent::Agent;
use ic_agent::identity::BasicIdentity;

pub const CASES: &[Case] = &[
    case!(
        "Certification",
        the_official_agent_verifies_calls_and_queries,
        DelegationWithoutRanges;
        twin the_official_agent_refuses_the_network_under_another_root_key
    ),
    case!(
        "Certification",
        the_official_agent_refuses_the_network_under_another_root_key,
        DelegationWithoutRanges
    ),
];

fn agent(net: &Network, root_key: &[u8]) -> Result<Agent, Failure> {
    let agent = Agent::builder()
        .with_url(net.url())
        .with_identity(BasicIdentity::from_raw_key(&rand::random()))
        .build()?;
    agent.set_root_key(root_key.to_vec());
    Ok(agent)
}

async fn the_official_agent_verifies_calls_and_queries(net: Network) -> Verdict {
    let canister = net.user().deploy(&counter()).await?;
    let agent = agent(&net, net.root_key())?;
    let called = agent.update(&canister, "inc").call_and_wait().await?;
    equal("the reply", numbers(&called), vec![1])?;
    let queried = agent.query(&canister, "get").call_with_verification().await?;
    equal("the query", numbers(&queried), vec![1])?;
    let hash = agent.read_state_canister_module_hash(canister).await?;
    equal("the length of the module hash", hash.len(), 32)
}

async fn the_official_agent_refuses_the_network_under_another_root_key(net: Network) -> Verdict {
    let canister = net.user().deploy(&counter()).await?;
    let mut key = net.root_key().to_vec();
    // The key of the subnet is a valid key, and not the root of trust.
    let certificate = net.anonymous().read(canister, &[path(&[b"subnet"])]).await?;
    if let Some((subnet, _)) = &certificate.delegation {
        key = certificate.value(&[b"subnet", subnet.as_slice(), b"public_key"])?;
    } else if let Some(byte) = key.last_mut() {
        *byte ^= 1;
    }
    let misled = agent(&net, &key)?;
    let called = misled.update(&canister, "inc").call_and_wait().await;
    check(called.is_err(), "that the certificate of a call is not believed")?;
    let trusting = agent(&net, net.root_key())?;
    trusting.update(&canister, "inc").call_and_wait().await?;
    Ok(())
}
