//! Decisions. About a promotion: approve, reject, abort, pause, resume, skip, retry, override. About an environment: undo, hold, unhold.
//!
//! Each looks at what it is about, says what will be missing before anything is created, and creates one Decision for exactly that object.

mod environment;
mod find;
mod made;
mod promotion;

use std::io::{IsTerminal as _, stdin};

use dcanary_crds::Verb;

use super::ask::confirmed;
use crate::{
    args::{ApproveArgs, Format, Global, HoldArgs, ReasonedArgs, StepArgs, UndoArgs, UnholdArgs, Why},
    cluster::Cluster,
    exit::{Exit, Failure},
    output::note,
    render::decision::looked_at,
};
use made::About;

const FORMS: [Format; 3] = [Format::Json, Format::Yaml, Format::Name];

/// `approve`: what is approved is shown before, and the Decision counts for that alone.
pub async fn approve(global: &Global, args: &ApproveArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary approve", &FORMS)?;
    let cluster = Cluster::connect(global).await?;
    let found = find::promotion(&cluster, &args.promotion, Verb::Approve).await?;
    let caller = cluster.whoami().await?;
    promotion::may(Verb::Approve, &found, &caller)?;
    let identity = promotion::identity(&found.promotion, args.identity.as_deref())?;
    note(&looked_at(&found.promotion, &found.namespace));
    // whoever names the identity has looked before
    let asked = !args.yes && args.identity.is_none();
    if asked
        && !confirmed(
            "Approve this?",
            "approve",
            stdin().is_terminal(),
            &mut stdin().lock(),
        )?
    {
        note("nothing was decided");
        return Ok(Exit::Failed);
    }
    let about = found.about(Some(identity));
    made::create(&cluster, &about, Verb::Approve, &caller, &args.why, format).await
}

/// `abort`, `pause`, `resume`, `skip`, `retry`.
pub async fn step(global: &Global, verb: Verb, args: &StepArgs) -> Result<Exit, Failure> {
    on_promotion(global, verb, &args.promotion, &args.why).await
}

/// `reject`, `override`.
pub async fn reasoned(global: &Global, verb: Verb, args: &ReasonedArgs) -> Result<Exit, Failure> {
    on_promotion(global, verb, &args.promotion, &Why::from(&args.why)).await
}

async fn on_promotion(global: &Global, verb: Verb, name: &str, why: &Why) -> Result<Exit, Failure> {
    let format = global.form(&format!("dcanary {}", verb.word()), &FORMS)?;
    let cluster = Cluster::connect(global).await?;
    let found = find::promotion(&cluster, name, verb).await?;
    let caller = cluster.whoami().await?;
    promotion::may(verb, &found, &caller)?;
    let identity = found
        .promotion
        .status
        .as_ref()
        .and_then(|status| status.identity.clone());
    made::create(&cluster, &found.about(identity), verb, &caller, why, format).await
}

/// `undo`
pub async fn undo(global: &Global, args: &UndoArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary undo", &FORMS)?;
    let cluster = Cluster::connect(global).await?;
    let found = cluster.read(&cluster.namespace, &args.environment).await?;
    let promotion = find::under_way_in(&cluster, &found).await;
    note(&environment::back(&found, promotion.as_ref())?);
    let caller = cluster.whoami().await?;
    let about = About::environment(&found, None);
    made::create(&cluster, &about, Verb::Undo, &caller, &args.why, format).await
}

/// `hold`
pub async fn hold(global: &Global, args: &HoldArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary hold", &FORMS)?;
    let cluster = Cluster::connect(global).await?;
    let found = cluster.read(&cluster.namespace, &args.environment).await?;
    let promotions = find::into(&cluster, &args.environment).await?;
    let identity = environment::to_hold(&found, &promotions, &args.release)?;
    let caller = cluster.whoami().await?;
    let about = About::environment(&found, Some(identity));
    made::create(
        &cluster,
        &about,
        Verb::Hold,
        &caller,
        &Why::from(&args.why),
        format,
    )
    .await
}

/// `unhold`
pub async fn unhold(global: &Global, args: &UnholdArgs) -> Result<Exit, Failure> {
    let format = global.form("dcanary unhold", &FORMS)?;
    let cluster = Cluster::connect(global).await?;
    let found = cluster.read(&cluster.namespace, &args.environment).await?;
    let identity = environment::held(&found, &args.release)?;
    let caller = cluster.whoami().await?;
    let about = About::environment(&found, Some(identity));
    made::create(&cluster, &about, Verb::Unhold, &caller, &args.why, format).await
}
