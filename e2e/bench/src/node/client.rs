//! Clients of a node: the official agent to set up and to verify, and bare connections for requests that were signed before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use candid::{Decode, Encode, Principal};
use futures::future::try_join_all;
use ic_agent::{Agent, identity::BasicIdentity};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInstallMode, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
};

use super::program::Program;

/// One reply in so many is verified, in [`Client::together`].
pub const VERIFIED: usize = 100;

/// Signs as somebody, and knows where the node is.
pub struct Client {
    agent: Agent,
    url: String,
}

/// A request that was signed, and where it goes.
pub struct Request {
    url: String,
    canister: Principal,
    body: Vec<u8>,
    update: bool,
}

impl Client {
    /// A client of a node.
    ///
    /// # Errors
    /// When the node announced something that is no address or key.
    pub fn of(node: &Program) -> Result<Self> {
        let agent = Agent::builder()
            .with_url(node.url())
            .with_identity(BasicIdentity::from_raw_key(&[7; 32]))
            .build()?;
        agent.set_root_key(node.root_key()?);
        Ok(Self {
            agent,
            url: node.url().to_owned(),
        })
    }

    /// A new canister with a module.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn deploy(&self, wasm: &[u8], argument: &[u8]) -> Result<Principal> {
        let create = Encode!(&ProvisionalCreateCanisterWithCyclesArgs::default())?;
        // routes the creation; nobody has this id
        let anywhere = Principal::from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 1, 1]);
        let made = self
            .manage("provisional_create_canister_with_cycles", anywhere, create)
            .await?;
        let canister = Decode!(&made, CanisterIdRecord)?.canister_id;
        let install = Encode!(&InstallCodeArgs {
            mode: CanisterInstallMode::Install,
            canister_id: canister,
            wasm_module: wasm.to_vec(),
            arg: argument.to_vec(),
            sender_canister_version: None,
        })?;
        self.manage("install_code", canister, install).await?;
        Ok(canister)
    }

    /// Whom it signs as.
    ///
    /// # Errors
    /// When its key cannot be used.
    pub fn principal(&self) -> Result<Principal> {
        self.agent.get_principal().map_err(anyhow::Error::msg)
    }

    async fn manage(&self, method: &str, effective: Principal, argument: Vec<u8>) -> Result<Vec<u8>> {
        self.agent
            .update(&Principal::management_canister(), method)
            .with_effective_canister_id(effective)
            .with_arg(argument)
            .call_and_wait()
            .await
            .with_context(|| method.to_owned())
    }

    /// So many signed updates without an argument.
    ///
    /// # Errors
    /// When they cannot be signed.
    pub fn updates(&self, canister: Principal, method: &str, number: usize) -> Result<Vec<Request>> {
        self.requests(canister, "v4", "call", number, || {
            let builder = self.agent.update(&canister, method).with_arg(Vec::new());
            Ok(builder.sign()?.signed_update)
        })
    }

    /// So many signed queries without an argument.
    ///
    /// # Errors
    /// When they cannot be signed.
    pub fn queries(&self, canister: Principal, method: &str, number: usize) -> Result<Vec<Request>> {
        self.requests(canister, "v3", "query", number, || {
            let builder = self.agent.query(&canister, method).with_arg(Vec::new());
            Ok(builder.sign()?.signed_query)
        })
    }

    fn requests(
        &self,
        canister: Principal,
        version: &str,
        endpoint: &str,
        number: usize,
        body: impl Fn() -> Result<Vec<u8>>,
    ) -> Result<Vec<Request>> {
        let url = format!("{}/api/{version}/canister/{canister}/{endpoint}", self.url);
        let one = |_| {
            Ok(Request {
                url: url.clone(),
                canister,
                body: body()?,
                update: endpoint == "call",
            })
        };
        (0..number).map(one).collect()
    }

    /// Sends requests over one connection, each after the answer to the one before. How long each took; no answer is verified.
    ///
    /// # Errors
    /// When the node refuses one.
    pub async fn in_a_row(&self, requests: Vec<Request>) -> Result<Vec<Duration>> {
        let http = reqwest::Client::new();
        let mut times = Vec::with_capacity(requests.len());
        for request in requests {
            let began = Instant::now();
            send(&http, request).await?;
            times.push(began.elapsed());
        }
        Ok(times)
    }

    /// Sends requests over so many connections at once. Of updates, one reply in [`VERIFIED`] is verified as the agent does. How long all took.
    ///
    /// # Errors
    /// When the node refuses one, or a reply is false.
    pub async fn together(&self, connections: usize, requests: Vec<Request>) -> Result<Duration> {
        let queue = Arc::new(std::sync::Mutex::new(requests.into_iter().enumerate()));
        let began = Instant::now();
        let workers = (0..connections).map(|_| {
            let (queue, agent) = (queue.clone(), self.agent.clone());
            let worker = tokio::spawn(async move {
                let http = reqwest::Client::new();
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some((number, request)) = next else {
                        return anyhow::Ok(());
                    };
                    if request.update && number.is_multiple_of(VERIFIED) {
                        agent.update_signed(request.canister, request.body).await?;
                    } else {
                        send(&http, request).await?;
                    }
                }
            });
            async { worker.await? }
        });
        try_join_all(workers).await?;
        Ok(began.elapsed())
    }
}

async fn send(http: &reqwest::Client, request: Request) -> Result<()> {
    let answer = http
        .post(&request.url)
        .header("content-type", "application/cbor")
        .body(request.body)
        .send()
        .await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    // 202 would be an update that goes on; a rejection is 200 and says so
    ensure!(
        status.as_u16() == 200 && body.windows(7).any(|text| text == b"replied"),
        "the node answers {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}
