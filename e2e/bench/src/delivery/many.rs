//! Many rollouts on fake nodes: Environments that each replace their only Pod again and again, and the operator's process meanwhile.

use std::{cell::Cell, ops::Range, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use dcanary_harness::{Namespace, RunView, example_app::pod_spec, person::Person};
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    memory::{Rest, at_rest},
    part::say,
};
use crate::{
    audit::{self, Calls, Scope, Window},
    board::{Board, Sight},
    product,
    usage::Process,
};

/// Rollouts at once.
pub const AT_ONCE: u32 = 20;
/// How often it is rested and looked at the memory.
const RESTS: u32 = 4;
/// How often it is told how far it is.
const TELL: u32 = 50;

/// What was measured.
#[derive(Default)]
pub struct Found {
    /// Before there was anything.
    pub before: Option<Rest>,
    /// With all Environments and their first release.
    pub idle: Option<Rest>,
    /// After so many rollouts.
    pub after: Vec<(u32, Rest)>,
    /// Seconds that these took, without the rests between them.
    pub seconds: f64,
    /// After the Promotions of all were deleted.
    pub cleared: Option<Rest>,
    /// API calls meanwhile, or why they are not known.
    pub calls: Option<Result<Calls, String>>,
}

/// Where it happens.
struct World<'a> {
    ns: &'a Namespace,
    me: Person,
    promotions: Board,
    environments: u32,
}

/// Measures so many Environments, and so many rollouts over all of them.
///
/// # Errors
/// When there are no fake nodes, the operator's process cannot be seen, or a rollout fails; what was measured before is in `found`.
pub async fn measure(
    ns: &Namespace,
    found: &mut Found,
    environments: u32,
    rollouts: u32,
    audit_log: &Path,
) -> Result<()> {
    fake_nodes(ns).await?;
    let operator = product::component(&ns.cluster, "operator").await?;
    let server = product::component(&ns.cluster, "server").await?;
    let process = Process::of_pod(&operator.uid, "dcanary-operator")?;
    ns.deployer().await?;
    let world = World {
        ns,
        me: Person::me(&ns.cluster).await?,
        promotions: Board::open(ns.promotions(), look).await?,
        environments,
    };
    found.before = Some(rested(&process, "before").await?);
    world.create(rollouts).await?;
    found.idle = Some(rested(&process, &format!("{environments} Environments")).await?);

    let from = Timestamp::now();
    let mut done = 0;
    for until in stops(rollouts) {
        let began = Instant::now();
        world.roll(done..until).await?;
        found.seconds += began.elapsed().as_secs_f64();
        let rest = rested(&process, &format!("{until} rollouts")).await?;
        found.after.push((until, rest));
        done = until;
    }
    if done > 0 {
        let to = Timestamp::now();
        let scope = Scope {
            operator: operator.user,
            server: server.user,
            system: ns.cluster.operator_namespace.clone(),
            bench: ns.name.clone(),
            // nothing is deleted in it
            windows: vec![Window { from, asked: to, to }],
        };
        let calls = audit::read(audit_log, &scope);
        found.calls = Some(calls.map_err(|error| format!("{error:#}")));
    }
    let all = ListParams::default();
    ns.promotions()
        .delete_collection(&DeleteParams::background(), &all)
        .await?;
    world.promotions.empty().await?;
    found.cleared = Some(rested(&process, "Promotions deleted").await?);
    Ok(())
}

async fn rested(process: &Process, when: &str) -> Result<Rest> {
    let rest = at_rest(process).await?;
    say(format!(
        "many: {when}: {:.1} MiB{}, CPU {:.1} ms a second",
        rest.mib(),
        if rest.calm { "" } else { " and still changing" },
        rest.cpu
    ));
    Ok(rest)
}

impl World<'_> {
    /// All releases, and all Environments with the first of them.
    async fn create(&self, rollouts: u32) -> Result<()> {
        for round in 0..=rollouts.div_ceil(self.environments) {
            self.ns.apply(&release(round).to_string()).await?;
        }
        say(format!("many: {} Environments come up", self.environments));
        let told = Cell::new(0);
        self.in_lanes(0..self.environments, async |number| {
            let name = environment_name(number);
            let object = serde_json::from_value(environment(&name))?;
            self.ns
                .environments()
                .create(&PostParams::default(), &object)
                .await
                .with_context(|| format!("create Environment {name}"))?;
            self.promoted(&release_name(0), &name).await?;
            tell(&told, self.environments, "Environments");
            Ok(())
        })
        .await
    }

    /// Rollouts of these numbers: one after another of all Environments, then again of the first.
    async fn roll(&self, rollouts: Range<u32>) -> Result<()> {
        let told = Cell::new(rollouts.start);
        let all = rollouts.end;
        self.in_lanes(rollouts, async |number| {
            let environment = environment_name(number % self.environments);
            let release = release_name(number / self.environments + 1);
            self.promoted(&release, &environment).await?;
            tell(&told, all, "rollouts");
            Ok(())
        })
        .await
    }

    async fn in_lanes(&self, numbers: Range<u32>, each: impl AsyncFn(u32) -> Result<()>) -> Result<()> {
        let each = &each;
        let lanes = lanes(numbers, self.environments, AT_ONCE);
        try_join_all(lanes.into_iter().map(|lane| async move {
            for number in lane {
                each(number).await?;
            }
            Ok(())
        }))
        .await
        .map(drop)
    }

    async fn promoted(&self, release: &str, environment: &str) -> Result<()> {
        let promotion = self
            .ns
            .promote_as(&self.me, release, environment, json!({}))
            .await
            .with_context(|| format!("promote {release} into {environment}"))?;
        self.promotions.finished(&[promotion.name().to_owned()]).await?;
        Ok(())
    }
}

fn tell(told: &Cell<u32>, all: u32, what: &str) {
    told.set(told.get() + 1);
    if told.get().is_multiple_of(TELL) || told.get() == all {
        say(format!("many: {} of {all} {what}", told.get()));
    }
}

/// Numbers in lanes, in each of which one comes after the other. An Environment is always in the same: two rollouts of one at once would
/// replace one another.
fn lanes(numbers: Range<u32>, environments: u32, lanes: u32) -> Vec<Vec<u32>> {
    let lanes = lanes.min(environments).max(1);
    (0..lanes)
        .map(|lane| {
            let mine = |number: &u32| number % environments.max(1) % lanes == lane;
            numbers.clone().filter(mine).collect()
        })
        .collect()
}

/// After how many rollouts it is rested.
fn stops(rollouts: u32) -> Vec<u32> {
    let mut stops: Vec<u32> = (1..=RESTS)
        .map(|part| u64::from(rollouts) * u64::from(part) / u64::from(RESTS))
        .filter_map(|stop| u32::try_from(stop).ok())
        .filter(|stop| *stop > 0)
        .collect();
    stops.dedup();
    stops
}

fn environment_name(number: u32) -> String {
    format!("e{number}")
}

fn release_name(round: u32) -> String {
    format!("r{round}")
}

/// A release of a round. Nobody pulls its image.
fn release(round: u32) -> Value {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Release", "metadata": {"name": release_name(round)},
        "spec": {"images": {"web": format!("registry.local:5000/none@sha256:{round:064x}")}},
    })
}

/// An Environment whose only Pod is on a fake node. It keeps one earlier release, so that after its first rollout it has as many objects
/// as after its last.
fn environment(name: &str) -> Value {
    let mut pod = pod_spec();
    pod["nodeSelector"] = json!({"type": "kwok"});
    pod["tolerations"] = json!([{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]);
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "deployer",
            "replicas": 1,
            "workload": {"template": {"spec": {"template": {"spec": pod}}}},
            "strategy": {"blueGreen": {"scaleDownDelay": "1s"}},
            "traffic": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}], "drain": "1s"},
            "history": {"limit": 1},
            "progressDeadline": "5m",
        },
    })
}

/// What a version of a Promotion says.
fn look(promotion: &DynamicObject) -> Sight {
    let view = RunView(serde_json::to_value(promotion).unwrap_or_default());
    let ended = view.state("Finished").0 == "True";
    let (succeeded, reason) = view.state("Succeeded");
    Sight {
        finished: ended && succeeded == "True",
        exited: ended,
        settled: ended,
        records: 0,
        problem: (ended && succeeded != "True").then(|| format!("{reason}: {}", view.says("Succeeded"))),
    }
}

async fn fake_nodes(ns: &Namespace) -> Result<()> {
    let fake = ListParams::default().labels("type=kwok");
    let nodes = Api::<Node>::all(ns.cluster.client.clone()).list(&fake).await?;
    let ready = nodes.items.iter().filter(|node| is_ready(node)).count();
    ensure!(ready > 0, "no fake nodes are ready: run e2e/cluster/kwok.sh up");
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut all = conditions.into_iter().flatten();
    all.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_rollout_is_in_one_lane_and_those_of_an_environment_are_in_order_in_the_same() {
        for (numbers, environments) in [(0..1000, 200), (250..500, 200), (0..40, 7), (0..5, 1), (0..0, 3)] {
            let lanes = lanes(numbers.clone(), environments, 20);
            assert!(lanes.len() <= 20 && lanes.len() <= usize::try_from(environments).unwrap());
            let mut all: Vec<u32> = lanes.concat();
            all.sort_unstable();
            assert_eq!(all, numbers.collect::<Vec<_>>());
            for environment in 0..environments {
                let has = |lane: &&Vec<u32>| lane.iter().any(|number| number % environments == environment);
                assert!(lanes.iter().filter(has).count() <= 1);
            }
            assert!(lanes.iter().all(|lane| lane.is_sorted()));
        }
    }

    #[test]
    fn it_rests_after_each_quarter_and_after_the_last_rollout() {
        assert_eq!(stops(1_000), [250, 500, 750, 1_000]);
        assert_eq!(stops(3), [1, 2, 3]);
        assert_eq!(stops(0), Vec::<u32>::new());
    }

    #[test]
    fn every_release_has_an_image_of_its_own_by_digest() {
        let image = |round| {
            release(round)["spec"]["images"]["web"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_ne!(image(1), image(2));
        assert_eq!(image(1).split_once("@sha256:").unwrap().1.len(), 64);
    }

    #[test]
    fn the_objects_are_ones_that_the_product_knows() {
        let made: dcanary_crds::Environment = serde_json::from_value(environment("e1")).unwrap();
        assert!(made.spec.strategy.blue_green.is_some());
        let template = made.spec.workload.template.unwrap();
        assert!(
            serde_json::to_string(&template.spec)
                .unwrap()
                .contains("kwok.x-k8s.io/node")
        );
        let made: dcanary_crds::Release = serde_json::from_value(release(1)).unwrap();
        assert!(made.spec.images.contains_key("web"));
    }

    #[test]
    fn a_promotion_that_ended_badly_says_why() {
        let seen = |succeeded: &str, finished: &str| {
            let conditions = json!([
                {"type": "Finished", "status": finished},
                {"type": "Succeeded", "status": succeeded, "reason": "R", "message": "m"},
            ]);
            look(
                &serde_json::from_value(json!({
                    "apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "p"},
                    "status": {"conditions": conditions},
                }))
                .unwrap(),
            )
        };
        assert!(seen("True", "True").finished);
        assert_eq!(seen("False", "True").problem.as_deref(), Some("R: m"));
        assert!(!seen("Unknown", "False").exited && seen("Unknown", "False").problem.is_none());
    }
}
