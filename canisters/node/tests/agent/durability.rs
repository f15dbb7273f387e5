//! The real program and a real disk: restarts, kill -9 under load, and what must not be shared.

use crate::network::*;
use crate::process::Program;
use candid::Principal;
use dcanary_node::{Config, Node, StartError};
use ic_agent::Agent;
use ic_agent::agent::CallResponse;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::watch;

#[tokio::test]
async fn a_restarted_node_has_its_state_its_keys_and_its_finished_requests() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    let root_key = node.root_key().to_vec();
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&client).await;
    let signed = client.update(&canister, "inc").sign().unwrap();
    client
        .update_signed(canister, signed.signed_update.clone())
        .await
        .unwrap();
    // Nobody else can use the folder meanwhile.
    assert!(matches!(
        Node::start(Config::durable(folder.path())).await,
        Err(StartError::InUse(_))
    ));
    drop(client);
    node.shutdown().await.unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    assert_eq!(node.root_key(), root_key);
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [1, 1, 1]);
    // Sent again after the restart: answered, not executed.
    client
        .update_signed(canister, signed.signed_update)
        .await
        .unwrap();
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [1, 1, 1]);
    assert_eq!(
        counts(&update(&client, canister, "inc").await.unwrap()),
        [2, 2, 2]
    );
    node.shutdown().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Node::start(Config::durable(&data)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data.join("keys.json")), 0o600);
    assert_eq!(mode(&data), 0o700);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_is_served_with_the_keys_of_a_file_beside_it_and_with_no_others() {
    let folder = tempfile::tempdir().unwrap();
    // keys as a node makes them, kept outside the data folder
    let made = |name: &str| {
        let (data, file) = (
            folder.path().join(name),
            folder.path().join(format!("{name}.json")),
        );
        async move {
            let node = Node::start(Config::durable(&data)).await.unwrap();
            node.shutdown().await.unwrap();
            std::fs::copy(data.join("keys.json"), &file).unwrap();
            file
        }
    };
    let (ours, others) = (made("ours").await, made("others").await);
    let data = folder.path().join("data");
    let with = |file: &Path| Config::durable(&data).keys(file);
    let missing = folder.path().join("missing.json");
    assert!(matches!(
        Node::start(with(&missing)).await,
        Err(StartError::KeyFile { path, .. }) if path == missing
    ));

    let node = Node::start(with(&ours)).await.unwrap();
    let root_key = node.root_key().to_vec();
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&client).await;
    drop(client);
    node.shutdown().await.unwrap();
    assert!(
        !data.join("keys.json").exists(),
        "the keys are in the data folder"
    );

    for (given, named) in [
        (with(&others), "others.json"),
        (Config::durable(&data), "`--keys FILE`"),
    ] {
        let refused = Node::start(given).await.unwrap_err();
        assert!(
            matches!(&refused, StartError::OtherKeys { folder, .. } | StartError::NoKeys(folder) if *folder == data)
        );
        assert!(refused.to_string().contains(named), "{refused}");
        assert!(
            !data.join("keys.json").exists(),
            "a refused start left keys that belong to nothing"
        );
    }
    let node = Node::start(with(&ours)).await.unwrap();
    assert_eq!(node.root_key(), root_key);
    let client = agent(&node.url(), &root_key, BasicIdentity::from_raw_key(&[7; 32]));
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [0, 0, 0]);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "all of it").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(elsewhere.path())).await.unwrap();
    node.shutdown().await.unwrap();
    let given = Config::durable(folder.path()).keys(elsewhere.path().join("keys.json"));
    for config in [Config::durable(folder.path()), given] {
        let refused = Node::start(config).await.unwrap_err();
        assert!(matches!(&refused, StartError::Alien { name, .. } if name == "thesis.txt"));
        assert!(!folder.path().join("keys.json").exists() && !folder.path().join("root_key.der").exists());
    }
    // what a volume has in it when it is new
    std::fs::remove_file(folder.path().join("thesis.txt")).unwrap();
    std::fs::create_dir(folder.path().join("lost+found")).unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_part_of_a_data_folder_is_served_under_no_keys_whoever_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, part) = (folder.path().join("whole"), folder.path().join("part"));
    let node = Node::start(Config::durable(&whole)).await.unwrap();
    let client = agent(
        &node.url(),
        node.root_key(),
        BasicIdentity::from_raw_key(&[7; 32]),
    );
    deploy(&client).await;
    drop(client);
    node.shutdown().await.unwrap();
    // as a copy or restore that was interrupted
    std::fs::create_dir(&part).unwrap();
    for entry in std::fs::read_dir(&whole).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("checkpoint-") || name.starts_with("log-") {
            std::fs::copy(entry.path(), part.join(name)).unwrap();
        }
    }
    let given = Config::durable(&part).keys(whole.join("keys.json"));
    for config in [Config::durable(&part), given] {
        let refused = Node::start(config).await.unwrap_err();
        assert!(
            matches!(&refused, StartError::NotWhole(of) if *of == part),
            "{refused}"
        );
        assert!(!part.join("keys.json").exists() && !part.join("root_key.der").exists());
    }
}

/// A client that increments, one call after the other, and writes down what it was told. A call that got no answer is sent again
/// before another one is made.
struct Client {
    key: u8,
    /// What was sent and not answered.
    waiting: Option<Vec<u8>>,
    /// How many calls it made.
    made: u64,
    /// How many of them it sent again.
    repeated: u64,
    /// The counter in each answer.
    told: Vec<u64>,
}

impl Client {
    fn new(key: u8) -> Self {
        Self {
            key,
            waiting: None,
            made: 0,
            repeated: 0,
            told: Vec::new(),
        }
    }

    fn agent(&self, program: &Program) -> Agent {
        agent(
            &program.url,
            &program.root_key,
            BasicIdentity::from_raw_key(&[self.key; 32]),
        )
    }

    /// Makes a call, or sends the one again that was not answered. Whether it was answered.
    async fn call(&mut self, agent: &Agent, canister: Principal) -> bool {
        let request = if let Some(request) = self.waiting.take() {
            self.repeated += 1;
            request
        } else {
            self.made += 1;
            agent.update(&canister, "inc").sign().unwrap().signed_update
        };
        self.waiting = Some(request.clone());
        let Ok(CallResponse::Response(reply)) = agent.update_signed(canister, request).await else {
            return false;
        };
        self.waiting = None;
        self.told.push(counts(&reply)[0]);
        true
    }

    /// Calls until it is stopped or gets no answer. Gives itself back, and the largest counter that a query showed.
    async fn work(
        mut self,
        agent: Agent,
        canister: Principal,
        mut stop: watch::Receiver<bool>,
    ) -> (Self, u64) {
        let mut seen = 0;
        loop {
            let calling = async {
                let answered = self.call(&agent, canister).await;
                if answered
                    && self.key == 1
                    && let Ok(shown) = query(&agent, canister, "get").await
                {
                    seen = counts(&shown)[0].max(seen);
                }
                answered
            };
            let answered = tokio::select! {
                answered = calling => answered,
                _ = stop.changed() => false,
            };
            if !answered {
                return (self, seen);
            }
        }
    }
}

async fn shown(program: &Program, canister: Principal) -> u64 {
    let reader = agent(&program.url, &program.root_key, AnonymousIdentity);
    let shown = query(&reader, canister, "get").await.unwrap();
    let [heap, global, stable] = counts(&shown);
    assert!(heap == global && global == stable, "{shown:?}");
    heap
}

/// `DCANARY_NODE_KILLS` sets how many kills there are; `make soak` does many more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_under_load_and_every_call_is_executed_once() {
    let wanted: u64 = std::env::var("DCANARY_NODE_KILLS").map_or(8, |text| text.parse().unwrap());
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    let root_key = program.root_key.clone();
    let canister = deploy(&agent(&program.url, &root_key, AnonymousIdentity)).await;
    let mut clients: Vec<Client> = (1..=6).map(Client::new).collect();
    let (mut kills, mut seen) = (0, 0);
    while kills < wanted {
        let (stop, stopped) = watch::channel(false);
        let load: Vec<_> = clients
            .drain(..)
            .map(|client| {
                let agent = client.agent(&program);
                tokio::spawn(client.work(agent, canister, stopped.clone()))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + kills * 37 % 250)).await;
        program.kill();
        kills += 1;
        stop.send_replace(true);
        for task in load {
            let (client, shown) = task.await.unwrap();
            seen = client
                .told
                .iter()
                .copied()
                .max()
                .unwrap_or(0)
                .max(shown)
                .max(seen);
            clients.push(client);
        }
        // Now and then it is killed again before it serves.
        while kills < wanted && kills % 4 == 3 {
            let starting = Program::spawn(folder.path(), |_| {});
            tokio::time::sleep(Duration::from_millis(kills * 7 % 60)).await;
            starting.kill();
            kills += 1;
        }
        program = Program::start(folder.path());
        assert_eq!(program.root_key, root_key);
        let counter = shown(&program, canister).await;
        assert!(
            counter >= seen,
            "lost: {counter} after {kills} kills, and somebody saw {seen}"
        );
    }
    for client in &mut clients {
        let agent = client.agent(&program);
        while client.waiting.is_some() {
            assert!(client.call(&agent, canister).await, "a call is never answered");
        }
    }
    let made: u64 = clients.iter().map(|client| client.made).sum();
    let repeated: u64 = clients.iter().map(|client| client.repeated).sum();
    let mut told: Vec<u64> = clients.iter().flat_map(|client| client.told.clone()).collect();
    told.sort_unstable();
    // A reply that was lost would have its counter told once more; a call that was executed twice would leave a gap.
    let lost = told.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let twice = told.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
    println!(
        "{kills} kills: {} acknowledged of {made} calls ({repeated} sent again), {lost} lost, {twice} executed twice, {} s",
        told.len(),
        began.elapsed().as_secs()
    );
    assert_eq!(told, (1..=made).collect::<Vec<_>>());
    assert_eq!(shown(&program, canister).await, made);
    assert!(made > wanted && repeated > 0, "there was no load");
    program.kill();
}

#[tokio::test]
async fn sigterm_stops_the_program_cleanly_and_leaves_nothing_to_replay() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let client = agent(&program.url, &program.root_key, AnonymousIdentity);
    let canister = deploy(&client).await;
    for _ in 0..5 {
        update(&client, canister, "inc").await.unwrap();
    }
    // A node of other semantics replays nothing, so that it starts only where nothing is left. After a crash there is.
    let other = || Config::durable(folder.path().join("data")).instruction_limits(1, 1);
    program.kill();
    let refused = Node::start(other()).await.unwrap_err();
    assert!(matches!(refused, StartError::Restore(_)), "{refused}");

    let program = Program::start(folder.path());
    let client = agent(&program.url, &program.root_key, AnonymousIdentity);
    for _ in 0..5 {
        update(&client, canister, "inc").await.unwrap();
    }
    // the time that this shows is in no batch of a message
    client.read_state_canister_module_hash(canister).await.unwrap();
    program.terminate();
    Node::start(other()).await.unwrap().shutdown().await.unwrap();

    let program = Program::start(folder.path());
    let client = agent(&program.url, &program.root_key, AnonymousIdentity);
    assert_eq!(
        counts(&query(&client, canister, "get").await.unwrap()),
        [10, 10, 10]
    );
    program.kill();
}

#[tokio::test]
async fn checkpoints_while_running_do_not_disturb_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(Config::durable(folder.path()).segment_bytes(2_000))
        .await
        .unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let canister = deploy(&client).await;
    for expected in 1..=60 {
        assert_eq!(
            counts(&update(&client, canister, "inc").await.unwrap()),
            [expected; 3]
        );
    }
    node.shutdown().await.unwrap();
    let node = Node::start(Config::durable(folder.path())).await.unwrap();
    let client = agent(&node.url(), node.root_key(), AnonymousIdentity);
    assert_eq!(counts(&query(&client, canister, "get").await.unwrap()), [60; 3]);
    node.shutdown().await.unwrap();
}
