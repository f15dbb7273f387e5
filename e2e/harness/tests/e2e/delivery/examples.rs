//! The delivery examples, applied as their READMEs tell.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView, cluster::repository, example_app::pinned, fixtures::LIMIT, scenario,
};

use super::{all_on, decide, load, prepared};

/// A folder of examples. Each of its files must be used.
struct Example {
    ns: Namespace,
    folder: &'static str,
    left: BTreeSet<String>,
}

impl Example {
    fn new(ns: &Namespace, folder: &'static str) -> Result<Self> {
        let entries = std::fs::read_dir(repository().join("examples").join(folder))?;
        let manifests = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        let names = manifests.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(Self {
            ns: ns.clone(),
            folder,
            left: names.collect(),
        })
    }

    /// Applies a file, in the test's namespace instead of `shop`, with digests put in as `scripts/pin.sh` does.
    async fn apply(&mut self, file: &str) -> Result<()> {
        let path = repository().join("examples").join(self.folder).join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = &self.ns.name;
        let mut text = text
            .replace("namespace: shop", &format!("namespace: {name}"))
            .replace("shop.test", &format!("{name}.test"));
        let words: BTreeSet<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        // the longest first: one tag may begin with another
        for word in words
            .iter()
            .rev()
            .filter(|word| word.starts_with("registry.local:5000/example-app:"))
        {
            text = text.replace(word, &pinned(word).await?);
        }
        self.ns
            .apply(&text)
            .await
            .with_context(|| format!("apply {file}"))?;
        self.left.remove(file);
        Ok(())
    }

    /// Applies a Promotion and waits for its end.
    async fn promote(&mut self, file: &str, name: &str) -> Result<RunView> {
        self.apply(file).await?;
        let promotion = self.ns.promotions().get(name).await?;
        self.ns
            .promotion_ended(&RunView(serde_json::to_value(promotion)?))
            .await
    }

    fn is_used_up(&self) -> Result<()> {
        ensure!(
            self.left.is_empty(),
            "files of examples/{} that nothing uses: {:?}",
            self.folder,
            self.left
        );
        Ok(())
    }
}

#[tokio::test]
async fn the_canary_promotes_the_good_release_and_takes_the_bad_one_back() -> Result<()> {
    scenario("example-canary", |ns| async move {
        prepared(&ns).await?;
        let mut example = Example::new(&ns, "canary")?;
        for file in [
            "deployer.yaml",
            "template.yaml",
            "environment.yaml",
            "releases.yaml",
        ] {
            example.apply(file).await?;
        }
        let one = example.promote("promote-one.yaml", "web-one").await?;
        assert_eq!(one.state("Succeeded").0, "True", "{:#}", one.status());
        let load = load(&ns, "canary").await?;
        let two = example.promote("promote-two.yaml", "web-two").await?;
        assert_eq!(two.state("Succeeded").0, "True", "{:#}", two.status());
        let bad = example.promote("promote-bad.yaml", "web-bad").await?;
        assert_eq!(
            bad.state("Succeeded"),
            ("False", "AnalysisFailed"),
            "{:#}",
            bad.status()
        );
        all_on(&load, "2").await?;
        load.stop().await.none_lost()?;
        example.is_used_up()
    })
    .await
}

#[tokio::test]
async fn blue_is_replaced_by_green_and_comes_back_without_a_lost_request() -> Result<()> {
    scenario("example-blue-green", |ns| async move {
        let me = prepared(&ns).await?;
        let mut example = Example::new(&ns, "blue-green")?;
        for file in ["deployer.yaml", "environment.yaml", "releases.yaml"] {
            example.apply(file).await?;
        }
        let blue = example.promote("promote-blue.yaml", "till-blue").await?;
        assert_eq!(blue.state("Succeeded").0, "True", "{:#}", blue.status());
        let load = load(&ns, "blue-green").await?;
        example.apply("promote-green.yaml").await?;
        ns.environment_until("till", LIMIT, |view| view.state("Paused").0 == "True")
            .await?;
        let green = RunView(serde_json::to_value(ns.promotions().get("till-green").await?)?);
        decide(&me, Verb::Resume, &green).await?;
        let view = ns.serves("till", "green").await?;
        all_on(&load, "2").await?;
        decide(&me, Verb::Undo, &view).await?;
        ns.serves("till", "blue").await?;
        all_on(&load, "1").await?;
        load.stop().await.none_lost()?;
        example.is_used_up()
    })
    .await
}

#[tokio::test]
async fn the_pipeline_brings_what_it_built_through_staging_into_production() -> Result<()> {
    scenario("example-deploy", |ns| async move {
        prepared(&ns).await?;
        let mut example = Example::new(&ns, "deploy")?;
        for file in ["deployer.yaml", "environments.yaml", "pipeline.yaml", "run.yaml"] {
            example.apply(file).await?;
        }
        let run = ns.finished("deploy", LIMIT).await?;
        assert_eq!(run.state("Succeeded").0, "True", "{:#}", run.status());
        let release = |stage: &str| anyhow::Ok(run.attempt(stage)?["promotion"]["release"].clone());
        assert_eq!(release("staging")?, release("production")?);
        ns.serves("production", release("production")?.as_str().context("release")?)
            .await?;
        example.is_used_up()
    })
    .await
}
