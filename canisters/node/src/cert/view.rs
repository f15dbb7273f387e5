//! What readers see: a synced state and the signature under it.
//!
//! Readers get a [`View`] only of states whose batches are synced, so nothing that reads one can show more: [`Views::show`] asks for
//! [`Synced`], which the journal gives. It is replaced as a whole; whoever holds one keeps seeing the same state.

use super::certificate;
use super::keys::Keys;
use super::signer::{SignError, Signature};
use super::topology;
use super::tree::{Tree, Wanted};
use super::trie::{Hash, Subtree, Trie};
use crate::faults::{Fault, broken};
use crate::log::journal::Synced;
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::request::Record;
use crate::wire::hash::leb128;
use ic_certification::{HashTree, pruned};
use ic_principal::Principal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Clients refuse old certificates, so an idle node signs again when the last signature is older than this.
const FRESH: u64 = 1_000_000_000;
/// agent-js refuses delegations older than 30 days.
const DELEGATION_AGE: u64 = 24 * 3_600 * 1_000_000_000;

/// A child of the root of the state tree.
#[derive(Debug, Clone)]
enum Part {
    Fixed(Tree),
    Canisters(Trie<Arc<Canister>>),
    Requests(Trie<Arc<Record>>),
}

impl Subtree for Part {
    fn hash(&self) -> Hash {
        match self {
            Self::Fixed(tree) => tree.hash(),
            Self::Canisters(canisters) => canisters.hash(),
            Self::Requests(requests) => requests.hash(),
        }
    }
}

impl Part {
    fn reveal(&self, wanted: &Wanted) -> HashTree {
        match (self, wanted) {
            (Self::Fixed(tree), _) => tree.reveal(wanted),
            (Self::Canisters(canisters), Wanted::Below(labels)) => {
                canisters.witness(labels.keys().map(Vec::as_slice), &|id, canister| {
                    wanted
                        .below(id)
                        .map_or_else(|| pruned(canister.hash()), |below| canister.tree().reveal(below))
                })
            }
            (Self::Requests(requests), Wanted::Below(labels)) => {
                requests.witness(labels.keys().map(Vec::as_slice), &|id, record| {
                    wanted
                        .below(id)
                        .map_or_else(|| pruned(record.hash()), |below| record.tree().reveal(below))
                })
            }
            // Nobody may see all canisters or all requests.
            (part, Wanted::All) => pruned(part.hash()),
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct View {
    /// The state.
    pub state: State,
    /// The certified time, which is later than the state's when nothing happened since.
    pub time: u64,
    tree: Trie<Part>,
    signature: Signature,
    delegation: Arc<Delegation>,
}

#[derive(Debug)]
struct Delegation {
    subnet_id: Principal,
    certificate: Vec<u8>,
    time: u64,
}

impl View {
    /// A certificate that reveals what is wanted, and the time.
    pub fn certificate(&self, mut wanted: Wanted) -> Vec<u8> {
        wanted.add(&[b"time"]);
        let labels: Vec<Vec<u8>> = match &wanted {
            Wanted::All => Vec::new(),
            Wanted::Below(labels) => labels.keys().cloned().collect(),
        };
        let tree = self
            .tree
            .witness(labels.iter().map(Vec::as_slice), &|label, part| {
                wanted
                    .below(label)
                    .map_or_else(|| pruned(part.hash()), |below| part.reveal(below))
            });
        let delegation = (
            self.delegation.subnet_id.as_slice(),
            self.delegation.certificate.as_slice(),
        );
        certificate::encode(&tree, &self.signature, Some(delegation))
    }

    /// The certificate of a request's status.
    pub fn request_certificate(&self, id: &Hash) -> Vec<u8> {
        let mut wanted = Wanted::default();
        wanted.add(&[b"request_status", id]);
        if broken(Fault::TalkativeCalls) {
            wanted.add(&[b"subnet"]);
        }
        self.certificate(wanted)
    }

    /// The certificate that `data_certificate` gives to a canister.
    pub fn data_certificate(&self, canister: &Principal) -> Vec<u8> {
        let mut wanted = Wanted::default();
        wanted.add(&[b"canister", canister.as_slice(), b"certified_data"]);
        self.certificate(wanted)
    }
}

/// A view that nobody has seen yet.
#[derive(Debug)]
#[must_use]
pub struct Unshown(View);

/// Makes views and holds the current one.
#[derive(Debug)]
pub struct Views {
    keys: Arc<Keys>,
    /// `/subnet` and `/canister_ranges`, which never change; cloning them shares them.
    fixed: [Tree; 2],
    current: RwLock<Arc<View>>,
    /// The latest time that somebody was shown.
    certified: AtomicU64,
    /// Held while the current one is replaced.
    making: Mutex<()>,
}

impl Views {
    /// Begins with a state.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn new(keys: Arc<Keys>, state: State, now: u64) -> Result<Self, SignError> {
        let time = now.max(state.time);
        let delegation = delegate(&keys, time)?;
        let fixed = [topology::subnet(&keys), topology::canister_ranges(&keys)];
        let view = sign(&keys, &fixed, state, time, delegation)?;
        Ok(Self {
            keys,
            fixed,
            current: RwLock::new(Arc::new(view)),
            certified: AtomicU64::new(0),
            making: Mutex::new(()),
        })
    }

    /// The current view, however old its signature is.
    pub fn latest(&self) -> Arc<View> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The latest certified time that somebody was shown; later than that of the last batch when the node was only read from since. It
    /// must get into a batch before the node ends, or the next start could certify an earlier one.
    pub fn certified(&self) -> u64 {
        self.certified.load(Ordering::SeqCst)
    }

    /// The current view with a signature that clients accept as fresh.
    ///
    /// # Errors
    /// When it would have to be signed again, and cannot be.
    pub fn fresh(&self, now: u64) -> Result<Arc<View>, SignError> {
        let view = self.signed(now)?;
        self.certified.fetch_max(view.time, Ordering::SeqCst);
        Ok(view)
    }

    fn signed(&self, now: u64) -> Result<Arc<View>, SignError> {
        let view = self.latest();
        if now < view.time.saturating_add(FRESH) {
            return Ok(view);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.latest();
        if now < view.time.saturating_add(FRESH) {
            return Ok(view);
        }
        Ok(self.replace(self.sign(view.state.clone(), now, &view)?))
    }

    /// Signs a state, to be shown once its batch is synced.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn prepare(&self, state: State) -> Result<Unshown, SignError> {
        let old = self.latest();
        let time = state.time.max(old.time);
        self.sign(state, time, &old).map(Unshown)
    }

    /// Shows a state whose batch is synced.
    ///
    /// # Errors
    /// When readers were shown a later time since it was prepared, and it cannot be signed again; then they go on to see the state before.
    pub fn show(&self, view: Unshown, _batch: Synced) -> Result<Arc<View>, SignError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let Unshown(mut view) = view;
        let old = self.latest();
        #[cfg(feature = "faults")]
        crate::faults::kept::shown(&old);
        if view.time < old.time {
            view = self.sign(view.state, old.time, &old)?;
        }
        let view = self.replace(view);
        self.certified.fetch_max(view.time, Ordering::SeqCst);
        Ok(view)
    }

    fn sign(&self, state: State, time: u64, old: &View) -> Result<View, SignError> {
        let delegation = if time > old.delegation.time.saturating_add(DELEGATION_AGE) {
            delegate(&self.keys, time)?
        } else {
            old.delegation.clone()
        };
        sign(&self.keys, &self.fixed, state, time, delegation)
    }

    fn replace(&self, view: View) -> Arc<View> {
        let view = Arc::new(view);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = view.clone();
        view
    }
}

fn delegate(keys: &Keys, time: u64) -> Result<Arc<Delegation>, SignError> {
    Ok(Arc::new(Delegation {
        subnet_id: keys.subnet_id,
        certificate: certificate::delegation(keys, time)?,
        time,
    }))
}

fn sign(
    keys: &Keys,
    fixed: &[Tree; 2],
    state: State,
    time: u64,
    delegation: Arc<Delegation>,
) -> Result<View, SignError> {
    let [subnet, ranges] = fixed.clone();
    let mut tree = Trie::default();
    tree.insert(b"canister", Part::Canisters(state.canisters.clone()));
    tree.insert(b"canister_ranges", Part::Fixed(ranges));
    tree.insert(b"request_status", Part::Requests(state.requests.clone()));
    tree.insert(b"subnet", Part::Fixed(subnet));
    let shown = time;
    #[cfg(feature = "faults")]
    let shown = crate::faults::kept::certified_time(shown);
    tree.insert(b"time", Part::Fixed(Tree::leaf(leb128(shown))));
    let signature = keys.subnet.sign_root(&tree.hash())?;
    Ok(View {
        state,
        time,
        tree,
        signature,
        delegation,
    })
}
