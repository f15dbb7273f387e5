//! The running replica, with its real threads, on a disk that misbehaves.
//!
//! [`shown`] goes through HTTP with the official agent; [`crashes`] calls the replica itself, because it is done hundreds
//! of times.
#![allow(clippy::unwrap_used, clippy::panic)]

mod calls;
mod clock;
mod crashes;
mod managed;
mod quotas;
mod shown;
mod threads;
mod turns;

use crate::cert::keys::{Keys, Secrets};
use crate::cert::view::Views;
use crate::exec::batch::Ingress;
use crate::exec::machine::Machine;
use crate::log::crash::disk::FaultyDisk;
use crate::log::crash::rig;
use crate::log::disk::write_atomically;
use crate::log::replay::Recovered;
use crate::node::{KEYS, ROOT_KEY};
use crate::replica::{Durability, Policy, Replica};
use crate::{Config, Node};
use ic_agent::Agent;
use ic_agent::identity::AnonymousIdentity;
use std::sync::{Arc, Once};

static PROVIDER: Once = Once::new();

/// A node on a faulty disk, with the counter canister at 1.
struct Running {
    node: Node,
    disk: FaultyDisk,
    agent: Agent,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(Config::ephemeral(), vec![]).await
    }

    /// And with what these messages make.
    async fn start_with(config: Config, more: Vec<Ingress>) -> Self {
        let disk = FaultyDisk::new(7);
        rig::prepare(&disk, more);
        // as a node made them that worked on it
        let secrets = Secrets::generate().unwrap();
        write_atomically(&disk, KEYS, &secrets.to_json().unwrap()).unwrap();
        write_atomically(&disk, ROOT_KEY, Keys::from(secrets).root.der()).unwrap();
        let node = Node::start_on(Arc::new(disk.clone()), config).await.unwrap();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let agent = Agent::builder()
            .with_url(node.url())
            .with_identity(AnonymousIdentity)
            .build()
            .unwrap();
        agent.set_root_key(node.root_key().to_vec());
        let running = Self { node, disk, agent };
        assert_eq!(running.increment().await.0, 200);
        assert_eq!(running.count().await, 1);
        running
    }

    /// Sends an increment; the answer's status and text.
    async fn increment(&self) -> (u16, String) {
        let body = self
            .agent
            .update(&rig::canister(), "inc")
            .sign()
            .unwrap()
            .signed_update;
        post(&self.node.url(), body).await
    }

    /// The counter as a query shows it.
    async fn count(&self) -> u64 {
        let reply = self.agent.query(&rig::canister(), "get").call().await.unwrap();
        u64::from_le_bytes(reply[..8].try_into().unwrap())
    }
}

/// A replica with keys of its own.
fn start(machine: Machine, durability: Option<Durability>) -> Replica {
    start_with(Keys::generate().unwrap(), machine, durability)
}

/// One with these keys.
fn start_with(keys: Keys, machine: Machine, durability: Option<Durability>) -> Replica {
    let views = Arc::new(Views::new(Arc::new(keys), machine.state().clone(), 0).unwrap());
    Replica::start(machine, views, durability, Policy::default()).unwrap()
}

/// One that goes on with what a disk held.
fn started(node: Recovered) -> Replica {
    started_with(Keys::generate().unwrap(), node)
}

/// One with these keys that does.
fn started_with(keys: Keys, node: Recovered) -> Replica {
    let durability = Durability {
        journal: node.journal,
        checkpoints: node.checkpoints,
        segment_bytes: 1 << 30,
    };
    start_with(keys, node.machine, Some(durability))
}

async fn post(url: &str, body: Vec<u8>) -> (u16, String) {
    let response = reqwest::Client::new()
        .post(format!("{url}/api/v4/canister/{}/call", rig::canister()))
        .header("content-type", "application/cbor")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}
