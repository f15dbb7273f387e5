//! Argo CD and Flux themselves as owners of an Environment, of the route and of the Deployment that it adopted, with the recipes of
//! docs/gitops.md and without them. `delivery::syncs` imitates both where they do not run; these tests bring them up (`make soak`).

mod argocd;
mod flux;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView, data_plane, example_app::image, fixtures::LIMIT, gitops::InGit, person::Person,
};
use futures::StreamExt;
use kube::{
    Api,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{interval, timeout},
};

use crate::delivery::{canary, to_adopt};

/// Rounds of the tool after which a fight would have shown.
const ROUNDS: u64 = 5;
/// Time between two looks at how many there were, which nothing announces.
const BEAT: Duration = Duration::from_millis(500);

/// One of the two, at work in the namespace of a test.
trait Tool {
    /// The field manager under which it writes.
    const MANAGER: &'static str;

    /// How often it has compared Git with the cluster so far.
    async fn rounds(&self) -> Result<u64>;

    /// Waits until a commit is applied and all of it healthy.
    async fn settled(&self, commit: &str) -> Result<()>;
}

/// Waits for so many rounds from now on.
async fn more_rounds(tool: &impl Tool, more: u64) -> Result<()> {
    let until = tool.rounds().await? + more;
    let mut beat = interval(BEAT);
    let waited = timeout(LIMIT, async {
        while tool.rounds().await? < until {
            beat.tick().await;
        }
        Ok(())
    });
    match waited.await {
        Ok(done) => done,
        Err(_) => bail!("no {more} rounds in {LIMIT:?}"),
    }
}

/// Every version of an object from now on.
struct History {
    seen: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl History {
    async fn of(api: Api<DynamicObject>, name: &str) -> Result<Self> {
        let first = serde_json::to_value(api.get(name).await?)?;
        let seen = Arc::new(Mutex::new(vec![first]));
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut versions = watcher(api, config).default_backoff().applied_objects().boxed();
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Some(version) = versions.next().await {
                if let Ok(Ok(version)) = version.map(serde_json::to_value) {
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(version);
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Something of each version, without repeats.
    fn told<T: PartialEq>(&self, what: impl Fn(&Value) -> T) -> Vec<T> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<T> = seen.iter().map(what).collect();
        all.dedup();
        all
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is in Git: an Environment, and the route and the Deployment that it adopts.
struct Shop {
    route: Value,
    legacy: Value,
    environment: Value,
}

impl Shop {
    async fn of(ns: &Namespace) -> Result<Self> {
        ns.deployer().await?;
        data_plane::gateway().await?;
        let [route, legacy, environment] = to_adopt(ns).await?;
        Ok(Self {
            route,
            legacy,
            environment,
        })
    }

    async fn served(&self, ns: &Namespace) -> Result<InGit> {
        let objects = [
            ("route", self.route.clone()),
            ("legacy", self.legacy.clone()),
            ("environment", self.environment.clone()),
        ];
        InGit::served(ns, &objects).await
    }
}

/// The weight that a version of the route gives to the candidate.
fn weight(route: &Value) -> i64 {
    let rules = route["spec"]["rules"].as_array().into_iter().flatten();
    let backends = rules.filter_map(|rule| rule["backendRefs"].as_array()).flatten();
    backends
        .filter(|backend| backend["name"] == "web-candidate")
        .map(|backend| backend["weight"].as_i64().unwrap_or(1))
        .sum()
}

/// Who has written the spec of an object, by its managed fields.
fn writers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array();
    let writes = |entry: &&Value| entry["fieldsV1"]["f:spec"].is_object();
    let names = entries.into_iter().flatten().filter(writes);
    names.filter_map(|entry| entry["manager"].as_str()).collect()
}

async fn environment(ns: &Namespace) -> Result<Value> {
    Ok(serde_json::to_value(ns.environments().get("web").await?)?)
}

/// The adopted Deployment serves.
async fn adopted(ns: &Namespace) -> Result<RunView> {
    ns.environment_until("web", LIMIT, |view| {
        view.status()["stable"]["workload"] == "legacy" && view.state("Ready").0 == "True"
    })
    .await
}

async fn resume(ns: &Namespace, promotion: &RunView) -> Result<()> {
    let me = Person::me(&ns.cluster).await?;
    me.decides(Verb::Resume, promotion, None, None).await?;
    Ok(())
}

/// A canary over what is in Git, from the adopted Deployment to the first release of our own. In the middle of it Git gets another step.
async fn goes_through<T: Tool>(ns: &Namespace, tool: &T, git: &InGit, shop: &Shop) -> Result<()> {
    tool.settled(&git.head().await?).await?;
    adopted(ns).await?;
    let route = History::of(ns.parts("httproute")?, "shop").await?;
    let specs = History::of(ns.environments(), "web").await?;
    let began = tool.rounds().await?;
    ns.release("two", "2").await?;
    let promotion = ns.promote("two", "web").await?;
    ns.pauses_at("web", 30).await?;
    more_rounds(tool, ROUNDS).await?;
    ns.pauses_at("web", 30).await?;

    let mut changed = shop.environment.clone();
    let steps = json!([{"weight": 30}, {"pause": {}}, {"weight": 60}, {"pause": {}}]);
    changed["spec"]["strategy"] = canary(&steps);
    let commit = git.commit(&[("environment", changed)]).await?;
    tool.settled(&commit).await?;
    let seen = |view: &RunView| view.status()["observedGeneration"] == view.0["metadata"]["generation"];
    ns.environment_until("web", LIMIT, |view| {
        seen(view) && view.0["spec"]["strategy"]["canary"]["steps"] == steps
    })
    .await?;
    resume(ns, &promotion).await?;
    ns.pauses_at("web", 60).await?;
    more_rounds(tool, ROUNDS).await?;
    resume(ns, &promotion).await?;
    ns.promotion_succeeds(&promotion).await?;
    ns.scaled_to_zero("legacy").await?;
    ns.serves("web", "two").await?;
    more_rounds(tool, ROUNDS).await?;
    tool.settled(&commit).await?;

    let ended = environment(ns).await?;
    assert_eq!(
        route.told(weight),
        [0, 30, 60, 100, 0],
        "nobody wrote other weights"
    );
    assert_eq!(
        specs.told(|version| version["spec"].clone()).len(),
        2,
        "the spec is as Git says"
    );
    assert_eq!(writers(&ended), [T::MANAGER], "and nobody else's");
    assert!(
        ended["status"]["contest"]["at"]
            .as_array()
            .is_none_or(Vec::is_empty),
        "{:#}",
        ended["status"]
    );
    let rounds = tool.rounds().await? - began;
    println!("{rounds} rounds of {} during the canary", T::MANAGER);
    ensure!(rounds >= 3 * ROUNDS, "{rounds} rounds");
    Ok(())
}

/// After the canary a change of the route in Git is applied, and its rules stay the operator's.
async fn all_but_the_rules_come_from_git(
    ns: &Namespace,
    tool: &impl Tool,
    git: &InGit,
    shop: &Shop,
) -> Result<()> {
    let mut route = shop.route.clone();
    route["spec"]["hostnames"] = json!([ns.host("web"), ns.host("shop")]);
    route["spec"]["rules"][0]["name"] = json!("other");
    let commit = git.commit(&[("route", route.clone())]).await?;
    tool.settled(&commit).await?;
    more_rounds(tool, ROUNDS).await?;
    let live = ns.object("httproute", "shop").await?.context("no route")?;
    assert_eq!(live["spec"]["hostnames"], route["spec"]["hostnames"]);
    let rule = &live["spec"]["rules"][0];
    assert_eq!(
        (&rule["name"], &rule["backendRefs"][0]["weight"]),
        (&json!("app"), &json!(100)),
        "{live:#}"
    );
    ns.serves("web", "two").await?;
    Ok(())
}

/// Without the recipe the route is put back in each round.
async fn is_contested<T: Tool>(ns: &Namespace, tool: &T) -> Result<()> {
    adopted(ns).await?;
    let specs = History::of(ns.environments(), "web").await?;
    ns.release("two", "2").await?;
    ns.promote("two", "web").await?;
    let view = ns
        .environment_until("web", LIMIT, |view| {
            view.state("Stalled") == ("True", "RouteContested")
        })
        .await?;
    let said = view.says("Stalled");
    println!("{said}");
    ensure!(said.contains(T::MANAGER), "{said}");
    more_rounds(tool, ROUNDS).await?;
    assert_eq!(
        specs.told(|version| version["spec"].clone()).len(),
        1,
        "only the route is fought about"
    );
    assert_eq!(writers(&environment(ns).await?), [T::MANAGER]);
    Ok(())
}

/// A Release and the Promotion of it as they are in Git.
async fn promoted(release: &str, tag: &str, requester: &str) -> Result<[(String, Value); 2]> {
    let spec = json!({"images": {"web": image(tag).await?}});
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let wanted = json!({
        "environmentRef": {"name": "web"}, "releaseRef": {"name": release}, "requestedBy": requester,
    });
    Ok([
        (format!("release-{release}"), object("Release", release, spec)),
        (
            format!("promotion-{release}"),
            object("Promotion", release, wanted),
        ),
    ])
}

/// The Promotion of that name, once it is there.
async fn promotion(ns: &Namespace, name: &str) -> Result<RunView> {
    ns.object_until(ns.promotions(), name, LIMIT, |_| true).await
}

/// An Environment, its first Release and the Promotion of it in Git.
async fn begun(ns: &Namespace, environment: &Value, requester: &str) -> Result<InGit> {
    let [(file, object), (other, second)] = promoted("one", "1", requester).await?;
    let objects = [
        ("environment", environment.clone()),
        (file.as_str(), object),
        (other.as_str(), second),
    ];
    InGit::served(ns, &objects).await
}

/// Releases and Promotions in Git: one that is promoted, one that a person aborts, one that rolls itself back and is held, one that is kept out.
/// After each the tool says that all is well.
async fn is_told_the_truth<T: Tool>(
    ns: &Namespace,
    tool: &T,
    git: &InGit,
    environment: &Value,
    requester: &str,
) -> Result<()> {
    let commit = async |release: &str, tag: &str| -> Result<String> {
        let [(file, object), (other, second)] = promoted(release, tag, requester).await?;
        git.commit(&[(&file, object), (&other, second)]).await
    };
    tool.settled(&git.head().await?).await?;
    ns.serves("web", "one").await?;

    commit("two", "2").await?;
    let asked = promotion(ns, "two").await?;
    ns.pauses_at("web", 50).await?;
    // a commit that comes while the one before waits for a person
    let mut changed = environment.clone();
    changed["spec"]["progressDeadline"] = json!("15s");
    let two = git.commit(&[("environment", changed)]).await?;
    let came = |view: &RunView| view.0["spec"]["progressDeadline"] == "15s";
    ns.environment_until("web", LIMIT, came).await?;
    ns.pauses_at("web", 50).await?;
    let me = Person::me(&ns.cluster).await?;
    me.decides(Verb::Abort, &asked, None, None).await?;
    ns.promotion_fails(&asked, "Aborted").await?;
    tool.settled(&two).await?;
    ns.serves("web", "one").await?;

    let three = commit("three", "2-unready").await?;
    let asked = promotion(ns, "three").await?;
    let ended = ns.promotion_ended(&asked).await?;
    ensure!(ended.state("Succeeded").0 == "False", "{:#}", ended.status());
    tool.settled(&three).await?;
    let view = ns.serves("web", "one").await?;
    assert_eq!(view.held(), ["three"], "{:#}", view.status());

    // what is held does not come again by a new Promotion
    let [_, (_, mut again)] = promoted("three", "2-unready", requester).await?;
    again["metadata"]["name"] = json!("three-again");
    let four = git.commit(&[("promotion-again", again)]).await?;
    let asked = promotion(ns, "three-again").await?;
    ns.promotion_fails(&asked, "Held").await?;
    tool.settled(&four).await
}

/// The Environment of [`is_told_the_truth`].
async fn short_of_patience(ns: &Namespace) -> Result<Value> {
    ns.deployer().await?;
    let mut environment = ns.plain_environment("web", &canary(&json!([{"weight": 50}, {"pause": {}}])));
    environment["spec"]["progressDeadline"] = json!("20s");
    let spec = environment["spec"].as_object_mut().context("spec")?;
    spec.remove("history");
    Ok(environment)
}
