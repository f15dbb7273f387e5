//! Who may create canisters on the embedded node: this operator. The node waits for the ConfigMap as it does for its keys.

use ic_agent::export::Principal;
use serde_json::json;

use super::publish::apply;
use crate::context::Context;

/// Writes the ConfigMap that the node is started with.
pub async fn name(ctx: &Context, operator: Principal) -> Result<(), kube::Error> {
    let name = format!("{}-ledger-creators", ctx.config.installation);
    apply(ctx, &name, &json!({"creators": format!("{operator}\n")})).await
}
