//! What broken rules remember beside the state. Nothing of it is in a log: a node with a fault is not to be restarted.

use super::{Fault, broken};
use crate::cert::view::View;
use crate::heap::mapping::Image;
use crate::heap::stable::Overlay;
use crate::heap::wasm_memory::Heap;
use crate::state::calls::{Context, Origin};
use crate::state::canister::Canister;
use crate::sysapi::context::Contexts;
use crate::sysapi::{Execution, Outgoing};
use crate::wire::hash::Hash;
use ic_principal::Principal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use wasmtime::Store;

type Canisters = Mutex<BTreeMap<Principal, Canister>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an execution that trapped had done.
pub struct Left {
    /// Its heap.
    pub heap: Option<Heap>,
    /// Stable memory.
    pub stable: Option<Overlay>,
    /// What it certified.
    pub certified: Option<Vec<u8>>,
    /// What it set the timer to.
    pub timer: Option<u64>,
    /// Cycles that it accepted.
    pub taken: u128,
    /// Its calls.
    pub calls: Vec<Outgoing>,
}

static LEFT: Mutex<Option<Left>> = Mutex::new(None);

/// Those after which the canister goes on at once, so that what they left is taken before anything else runs.
const MESSAGES: Contexts = Contexts::U
    .or(Contexts::RY)
    .or(Contexts::RT)
    .or(Contexts::C)
    .or(Contexts::T);

/// The heap as an execution left it.
pub fn written(store: &Store<Execution>, heap: &Heap, image: Option<&Image>) -> Option<Heap> {
    if !broken(Fault::KeepStateAfterTrap) {
        return None;
    }
    let memory = store.data().memory()?.data(store);
    Some(heap.capture(memory, heap.globals.clone(), image).0)
}

/// Keeps what an execution had done when it trapped.
pub fn leave(kind: Contexts, left: Left) {
    if MESSAGES.allows(kind) {
        let rest = broken(Fault::KeepCertifiedAfterTrap);
        *lock(&LEFT) = Some(Left {
            stable: left.stable.filter(|_| broken(Fault::KeepStableAfterTrap)),
            certified: left.certified.filter(|_| rest),
            timer: left.timer.filter(|_| rest),
            taken: if rest { left.taken } else { 0 },
            calls: if broken(Fault::KeepCallsAfterTrap) {
                left.calls
            } else {
                Vec::new()
            },
            ..left
        });
    }
}

/// The canister with what its last execution had done when it trapped, and the calls of that.
pub fn left(canister: &Canister) -> (Canister, Vec<Outgoing>) {
    let mut next = canister.clone();
    let Some(left) = lock(&LEFT).take() else {
        return (next, Vec::new());
    };
    next.heap = left.heap.unwrap_or(next.heap);
    next.stable = left.stable.map_or(next.stable, |stable| stable.commit().0);
    next.certified = left.certified.unwrap_or(next.certified);
    next.timer = left.timer.unwrap_or(next.timer);
    next.cycles = next.cycles.saturating_add(left.taken);
    (next, left.calls)
}

/// The context of calls that nobody should have sent.
pub fn context(caller: Principal) -> Context {
    Context {
        caller,
        origin: Origin::System,
        answered: true,
        deleted: false,
        available: 0,
        instructions: 0,
        outstanding: 0,
    }
}

static HALF: Canisters = Mutex::new(BTreeMap::new());

/// Notes a canister in the middle of an install or upgrade.
pub fn half_installed(canister: &Canister) {
    if broken(Fault::UpgradeNotAtomic) {
        lock(&HALF).insert(canister.id, canister.clone());
    }
}

/// The canister whose install or upgrade failed.
pub fn not_installed(canister: &Canister) -> Canister {
    let half = lock(&HALF).remove(&canister.id);
    half.unwrap_or_else(|| canister.clone())
}

static CALLED: Canisters = Mutex::new(BTreeMap::new());

/// Notes a canister before the execution in which it called others.
pub fn before_call(canister: &Canister) {
    if broken(Fault::RollBackCaller) {
        lock(&CALLED).insert(canister.id, canister.clone());
    }
}

/// Takes a canister back to before its last calls.
pub fn roll_back(canister: &mut Canister) {
    if let Some(before) = lock(&CALLED).get(&canister.id) {
        canister.heap = before.heap.clone();
        canister.stable = before.stable.clone();
    }
}

static COMPOSITE: Canisters = Mutex::new(BTreeMap::new());

/// Notes what a composite query did to its canister.
pub fn composite(canister: &Canister) {
    if broken(Fault::CompositeKeepsState) {
        lock(&COMPOSITE).insert(canister.id, canister.clone());
    }
}

/// Gives a canister what its last composite query did to it.
pub fn after_composite(canister: &mut Canister) {
    if let Some(before) = lock(&COMPOSITE).get(&canister.id) {
        canister.heap = before.heap.clone();
        canister.stable = before.stable.clone();
    }
}

static EARLIER: Mutex<Option<Arc<View>>> = Mutex::new(None);

/// Notes what was shown until now.
pub fn shown(view: &Arc<View>) {
    *lock(&EARLIER) = Some(view.clone());
}

/// What was shown before the last batch, when this rule is broken.
pub fn earlier(fault: Fault, view: Arc<View>) -> Arc<View> {
    let earlier = lock(&EARLIER).clone().filter(|_| broken(fault));
    earlier.unwrap_or(view)
}

/// The time to certify.
pub fn certified_time(time: u64) -> u64 {
    static ODD: AtomicBool = AtomicBool::new(false);
    const BACK: u64 = 2_000_000_000;
    if broken(Fault::TimeGoesBack) && ODD.fetch_not(Ordering::Relaxed) {
        return time.saturating_sub(BACK);
    }
    time
}

/// The hash to show of a module.
pub fn module_hash(hash: Hash) -> Hash {
    static FIRST: OnceLock<Hash> = OnceLock::new();
    if broken(Fault::WrongModuleHash) {
        return *FIRST.get_or_init(|| hash);
    }
    hash
}

/// The message of a rejection.
pub fn reject_message(message: String) -> String {
    static LAST: Mutex<String> = Mutex::new(String::new());
    if broken(Fault::ForeignRejectMessage) {
        return std::mem::replace(&mut *lock(&LAST), message);
    }
    message
}

/// Whether a timer stays on: the first time that it runs.
pub fn timer_stays(canister: &Principal) -> bool {
    static RAN: Mutex<BTreeSet<Principal>> = Mutex::new(BTreeSet::new());
    broken(Fault::TimerFiresTwice) && lock(&RAN).insert(*canister)
}
