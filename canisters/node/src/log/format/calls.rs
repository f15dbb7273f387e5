//! Calls between canisters, and messages of users that wait, in a checkpoint. They are few and small beside the canisters, so each checkpoint has all of them.

use super::FormatError;
use crate::cert::trie::{Subtree, Trie};
use crate::state::calls::{Callback, Calls, Context, Draw, Request, Response, Stop, label, parse};
use crate::state::ingress::Ingress;
use ic_principal::Principal;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::sync::Arc;

type Entries<T> = Vec<(ByteBuf, T)>;

/// As [`Calls`]. A checkpoint of a version that had no calls has none.
#[derive(Serialize, Deserialize)]
pub struct CallsDescription {
    next: u64,
    turn: Principal,
    /// The management canister in a checkpoint of a version in which timers took no turns.
    #[serde(default = "Principal::management_canister")]
    timer_turn: Principal,
    /// The same in one of a version in which messages of users had one order.
    #[serde(default = "Principal::management_canister")]
    ingress_turn: Principal,
    requests: Entries<Request>,
    responses: Entries<Response>,
    contexts: Entries<Context>,
    callbacks: Entries<Callback>,
    stops: Entries<Stop>,
    draws: Entries<Draw>,
    /// None in a checkpoint of a version in which they did not wait.
    #[serde(default)]
    ingress: Entries<Ingress>,
}

impl Default for CallsDescription {
    fn default() -> Self {
        Self::of(&Calls::default())
    }
}

impl CallsDescription {
    /// Describes them.
    pub fn of(calls: &Calls) -> Self {
        Self {
            next: calls.next,
            turn: calls.turn,
            timer_turn: calls.timer_turn,
            ingress_turn: calls.ingress_turn,
            requests: entries(&calls.requests),
            responses: entries(&calls.responses),
            contexts: entries(&calls.contexts),
            callbacks: entries(&calls.callbacks),
            stops: entries(&calls.stops),
            draws: entries(&calls.draws),
            ingress: entries(&calls.ingress),
        }
    }

    /// Makes them again.
    pub fn restore(self) -> Result<Calls, FormatError> {
        Ok(Calls {
            next: self.next,
            turn: self.turn,
            timer_turn: self.timer_turn,
            ingress_turn: self.ingress_turn,
            requests: trie(self.requests)?,
            responses: trie(self.responses)?,
            contexts: trie(self.contexts)?,
            callbacks: trie(self.callbacks)?,
            stops: trie(self.stops)?,
            draws: trie(self.draws)?,
            ingress: trie(queued(self.ingress)?)?,
        })
    }
}

fn entries<T: Clone>(trie: &Trie<Arc<T>>) -> Entries<T> {
    trie.iter()
        .map(|(label, value)| (ByteBuf::from(label), (**value).clone()))
        .collect()
}

/// Under the labels of their queues, also those that an earlier version kept under the canisters that they are about.
fn queued(entries: Entries<Ingress>) -> Result<Entries<Ingress>, FormatError> {
    let relabelled = entries.into_iter().map(|(at, message)| {
        let (_, number) = parse(&at).ok_or_else(no_label)?;
        Ok((ByteBuf::from(label(&message.queue(), number)), message))
    });
    relabelled.collect()
}

fn no_label() -> FormatError {
    FormatError::Description("a label of a call is none".to_owned())
}

fn trie<T>(entries: Entries<T>) -> Result<Trie<Arc<T>>, FormatError>
where
    Arc<T>: Subtree,
{
    let mut trie = Trie::default();
    for (label, value) in entries {
        if parse(&label).is_none() {
            return Err(no_label());
        }
        trie.insert(&label, Arc::new(value));
    }
    Ok(trie)
}
