//! Argo CD and Flux as owners of an Environment, of a route that it adopted and of a Deployment that it adopted: once a second what they do at
//! each sync, all through a canary. With the recipes of docs/gitops.md there is no fight; without them the tool is named.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, RunView, fixtures::LIMIT, scenario};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::interval};

use super::{decide, deletion::whole, prepared, to_adopt};

const SYNC: Duration = Duration::from_secs(1);
/// Syncs after which a fight would have shown.
const ROUNDS: u32 = 5;

/// An object in Git.
#[derive(Clone)]
struct InGit {
    api: Api<DynamicObject>,
    object: Value,
    /// `ignoreDifferences` of Argo CD's Application: managers, and pointers.
    managers: &'static [&'static str],
    pointers: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Tool {
    ArgoCd,
    Flux,
}

impl Tool {
    const fn manager(self) -> &'static str {
        match self {
            Self::ArgoCd => "argocd-controller",
            Self::Flux => "kustomize-controller",
        }
    }

    /// One sync of one object; whether it had anything to change.
    async fn sync(self, one: &InGit) -> Result<bool> {
        let name = one.object["metadata"]["name"].as_str().context("name")?;
        let params = PatchParams::apply(self.manager()).force();
        let dry = PatchParams {
            dry_run: true,
            ..params.clone()
        };
        loop {
            let mut wanted = one.object.clone();
            let Some(live) = one.api.get_opt(name).await? else {
                one.api.patch(name, &params, &Patch::Apply(&wanted)).await?;
                return Ok(true);
            };
            let live = serde_json::to_value(live)?;
            match self {
                // RespectIgnoreDifferences: what is ignored is applied as it is
                Self::ArgoCd => ignored(one, &live, &mut wanted),
                Self::Flux => {
                    let policy = &one.object["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/ssa"];
                    if policy == "IfNotPresent" {
                        return Ok(false);
                    }
                }
            }
            let would = one.api.patch(name, &dry, &Patch::Apply(&wanted)).await?;
            let would = serde_json::to_value(would)?;
            // what somebody else wrote between the two is no change of this tool
            if would["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"] {
                continue;
            }
            let changes = shown(&would) != shown(&live);
            // Flux applies only what a dry run shows as drift
            if changes || matches!(self, Self::ArgoCd) {
                one.api.patch(name, &params, &Patch::Apply(&wanted)).await?;
            }
            return Ok(changes);
        }
    }
}

/// What Flux compares.
fn shown(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!([object["spec"], metadata["labels"], metadata["annotations"]])
}

/// Puts into `wanted` what is ignored, as it is live.
fn ignored(one: &InGit, live: &Value, wanted: &mut Value) {
    let entries = live["metadata"]["managedFields"].as_array();
    for entry in entries.into_iter().flatten() {
        let manager = entry["manager"].as_str().unwrap_or_default();
        if one.managers.contains(&manager) && entry["subresource"].is_null() {
            owned(&entry["fieldsV1"], live, wanted);
        }
    }
    for pointer in one.pointers {
        let (parent, field) = pointer.rsplit_once('/').unwrap_or_default();
        let Some(parent) = wanted.pointer_mut(parent).and_then(Value::as_object_mut) else {
            continue;
        };
        match live.pointer(pointer) {
            Some(value) => drop(parent.insert(field.to_owned(), value.clone())),
            None => drop(parent.remove(field)),
        }
    }
}

/// Takes over the fields of a manager. Elements of lists by key are none of the kinds here.
fn owned(fields: &Value, live: &Value, wanted: &mut Value) {
    for (key, inner) in fields.as_object().into_iter().flatten() {
        let Some(name) = key.strip_prefix("f:") else {
            continue;
        };
        let has_fields = inner
            .as_object()
            .is_some_and(|inner| inner.keys().any(|key| key.starts_with("f:")));
        if has_fields && wanted[name].is_object() {
            owned(inner, &live[name], &mut wanted[name]);
        } else if !has_fields && !live[name].is_null() {
            wanted[name] = live[name].clone();
        }
    }
}

/// Syncs until it is dropped, or fails.
async fn for_ever(tool: Tool, all: Vec<InGit>, told: watch::Sender<(u32, Vec<u32>)>) -> Result<()> {
    let mut beat = interval(SYNC);
    loop {
        beat.tick().await;
        let mut changed = Vec::new();
        for one in &all {
            changed.push(u32::from(tool.sync(one).await?));
        }
        told.send_modify(|(rounds, counts)| {
            *rounds += 1;
            for (count, changed) in counts.iter_mut().zip(changed) {
                *count += changed;
            }
        });
    }
}

/// Syncs that go on.
struct Syncing {
    /// Rounds so far, and how often each object was changed since the first.
    seen: watch::Receiver<(u32, Vec<u32>)>,
    task: JoinHandle<Result<()>>,
}

impl Syncing {
    async fn start(tool: Tool, all: Vec<InGit>) -> Result<Self> {
        for one in &all {
            tool.sync(one).await?;
        }
        let (told, seen) = watch::channel((0, vec![0; all.len()]));
        let task = tokio::spawn(for_ever(tool, all, told));
        Ok(Self { seen, task })
    }

    /// So many syncs from now on; how often each object was changed in all of them.
    async fn rounds(&mut self, more: u32) -> Result<Vec<u32>> {
        let until = self.seen.borrow().0 + more;
        match tokio::time::timeout(LIMIT, self.seen.wait_for(|(rounds, _)| *rounds >= until)).await {
            Ok(Ok(seen)) => return Ok(seen.1.clone()),
            Ok(Err(_)) => {}
            Err(_) => bail!("no {more} syncs in {LIMIT:?}"),
        }
        // it ended, which only an error does
        (&mut self.task).await?.context("a sync failed")?;
        bail!("the syncs ended")
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is adopted, and by what, in Git.
async fn in_git(ns: &Namespace) -> Result<[InGit; 3]> {
    let [route, legacy, environment] = to_adopt(ns).await?;
    let plain = |api, object| InGit {
        api,
        object,
        managers: &[],
        pointers: &[],
    };
    Ok([
        plain(ns.parts("httproute")?, route),
        plain(ns.parts("deployment")?, legacy),
        plain(ns.environments(), environment),
    ])
}

async fn generation(one: &InGit) -> Result<i64> {
    let name = one.object["metadata"]["name"].as_str().context("name")?;
    one.api.get(name).await?.metadata.generation.context("generation")
}

/// Weights of the two backends of the rule.
async fn weights(ns: &Namespace) -> Result<Vec<(String, i64)>> {
    let route = ns.object("httproute", "shop").await?.context("no route")?;
    let backends = route["spec"]["rules"][0]["backendRefs"].as_array();
    let mut found: Vec<_> = backends
        .into_iter()
        .flatten()
        .map(|backend| {
            let name = backend["name"].as_str().unwrap_or_default().to_owned();
            (name, backend["weight"].as_i64().unwrap_or(1))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Fewer than make a fight: a sync that read the route before the operator wrote and applied it after puts the old weights back once.
fn is_no_fight(view: &RunView) -> Result<()> {
    let contests = view.status()["contest"]["at"].as_array().map_or(0, Vec::len);
    ensure!(
        contests < 3 && view.state("Stalled").1 != "RouteContested",
        "{:#}",
        view.status()
    );
    Ok(())
}

/// A canary over what is in Git, from the adopted Deployment to the first release of our own, with a sync every second.
async fn goes_through(ns: &Namespace, tool: Tool, all: [InGit; 3]) -> Result<()> {
    let me = prepared(ns).await?;
    let [_, legacy, environment] = &all;
    // ahead of what adopts it, which else sees a minute later that it is whole
    tool.sync(legacy).await?;
    whole(ns, "legacy").await?;
    let mut syncing = Syncing::start(tool, all.to_vec()).await?;
    ns.environment_until("web", LIMIT, |view| {
        view.status()["stable"]["workload"] == "legacy" && view.state("Ready").0 == "True"
    })
    .await?;
    let before = generation(environment).await?;
    ns.release("two", "2").await?;
    let promotion = ns.promote("two", "web").await?;
    is_no_fight(&ns.pauses_at("web", 30).await?)?;
    syncing.rounds(ROUNDS).await?;
    let wanted = [("web".to_owned(), 70), ("web-candidate".to_owned(), 30)];
    assert_eq!(weights(ns).await?, wanted, "the weights stay");
    is_no_fight(&ns.pauses_at("web", 30).await?)?;
    decide(&me, Verb::Resume, &promotion).await?;
    ns.promotion_succeeds(&promotion).await?;
    ns.scaled_to_zero("legacy").await?;
    let scaled = generation(legacy).await?;
    let changed = syncing.rounds(ROUNDS).await?;
    assert_eq!(generation(legacy).await?, scaled, "it stays at zero");
    assert_eq!(
        generation(environment).await?,
        before,
        "nothing was written into the spec"
    );
    assert_eq!(changed[1..], [0, 0], "neither showed a difference");
    ensure!(changed[0] < 3, "the route was changed {} times", changed[0]);
    is_no_fight(&ns.serves("web", "two").await?)
}

#[tokio::test]
async fn argo_cd_that_ignores_what_dcanary_owns_does_not_fight_with_a_canary() -> Result<()> {
    scenario("argocd", |ns| async move {
        let mut all = in_git(&ns).await?;
        all[0].managers = &["dcanary"];
        all[1].pointers = &["/spec/replicas"];
        goes_through(&ns, Tool::ArgoCd, all).await
    })
    .await
}

#[tokio::test]
async fn flux_that_leaves_the_route_once_it_is_there_does_not_fight_with_a_canary() -> Result<()> {
    scenario("flux", |ns| async move {
        let mut all = in_git(&ns).await?;
        all[0].object["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
        goes_through(&ns, Tool::Flux, all).await
    })
    .await
}

/// Without the recipe the route is put back at each sync.
async fn is_contested(ns: &Namespace, tool: Tool) -> Result<()> {
    prepared(ns).await?;
    let all = in_git(ns).await?;
    let environment = all[2].clone();
    let mut syncing = Syncing::start(tool, all.to_vec()).await?;
    ns.environment_until("web", LIMIT, |view| {
        view.status()["stable"]["workload"] == "legacy"
    })
    .await?;
    let before = generation(&environment).await?;
    ns.release("two", "2").await?;
    ns.promote("two", "web").await?;
    let view = ns
        .environment_until("web", LIMIT, |view| {
            view.state("Stalled") == ("True", "RouteContested")
        })
        .await?;
    let said = view.says("Stalled");
    ensure!(said.contains(tool.manager()), "{said}");
    let changed = syncing.rounds(ROUNDS).await?;
    // three times, as the operator counts; a sync that overwrites what came after its look is none that saw a difference
    ensure!(changed[0] > 0, "{changed:?}");
    assert_eq!(changed[2], 0, "only the route is fought about");
    assert_eq!(generation(&environment).await?, before);
    Ok(())
}

#[tokio::test]
async fn argo_cd_without_the_recipe_is_named_as_who_changes_the_route() -> Result<()> {
    scenario("argocd-contest", |ns| async move {
        is_contested(&ns, Tool::ArgoCd).await
    })
    .await
}

#[tokio::test]
async fn flux_without_the_recipe_is_named_as_who_changes_the_route() -> Result<()> {
    scenario(
        "flux-contest",
        |ns| async move { is_contested(&ns, Tool::Flux).await },
    )
    .await
}
