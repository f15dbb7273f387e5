//! A node of its own for each test, and agents that check everything an agent checks.

use std::sync::{LazyLock, Once};

use candid::{Decode, Encode, Principal};
use dcanary_node::{Config, Modules, Node};
use ic_agent::{Agent, AgentError, Identity, identity::BasicIdentity};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};

pub struct Network {
    pub node: Node,
}

impl Network {
    pub async fn start(config: Config) -> Self {
        // each test has a node of its own, and none compiles what another has compiled
        static MODULES: LazyLock<Modules> = LazyLock::new(|| Modules::new().unwrap());
        Self {
            node: Node::start(config.modules(MODULES.clone())).await.unwrap(),
        }
    }

    pub fn agent(&self, identity: impl Identity + 'static) -> Agent {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let agent = Agent::builder()
            .with_url(self.node.url())
            .with_identity(identity)
            .build()
            .unwrap();
        agent.set_root_key(self.node.root_key().to_vec());
        agent
    }
}

/// Somebody with a key of their own.
pub fn identity(who: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[who; 32])
}

pub fn principal(who: u8) -> Principal {
    identity(who).sender().unwrap()
}

pub async fn create(agent: &Agent) -> Principal {
    // An id that nobody has, to route the creation.
    let anywhere = Principal::from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 1, 1]);
    let arg = Encode!(&ProvisionalCreateCanisterWithCyclesArgs::default()).unwrap();
    let reply = agent
        .update(
            &Principal::management_canister(),
            "provisional_create_canister_with_cycles",
        )
        .with_effective_canister_id(anywhere)
        .with_arg(arg)
        .call_and_wait()
        .await
        .unwrap();
    Decode!(&reply, CanisterIdRecord).unwrap().canister_id
}

pub async fn install(
    agent: &Agent,
    canister_id: Principal,
    mode: CanisterInstallMode,
    wasm: &[u8],
    arg: &[u8],
) -> Result<(), AgentError> {
    let arg = Encode!(&InstallCodeArgs {
        mode,
        canister_id,
        wasm_module: wasm.to_vec(),
        arg: arg.to_vec(),
        sender_canister_version: None,
    })
    .unwrap();
    agent
        .update(&Principal::management_canister(), "install_code")
        .with_effective_canister_id(canister_id)
        .with_arg(arg)
        .call_and_wait()
        .await
        .map(|_| ())
}

/// The words of a refusal, whoever refused.
pub fn words(error: &AgentError) -> String {
    match error {
        AgentError::CertifiedReject { reject, .. } | AgentError::UncertifiedReject { reject, .. } => {
            reject.reject_message.clone()
        }
        other => other.to_string(),
    }
}
