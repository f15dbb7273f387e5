//! Who has how many connections.
//!
//! A connection belongs to a stranger until a token or session that it shows is taken ([`known`]). Strangers have at most three
//! quarters of the places, so that some are left for those who are known, and one address has at most half, known or not.
//!
//! Who comes and finds no place has the place of a stranger: the oldest one of its own address when that has its share, otherwise the
//! oldest one of the address with the most of them. So who opens as many connections as it can closes its own, from however many
//! addresses it does so, and those who open few, as the operator and the kubelet do, get in at once. Nobody loses the place of a
//! connection that is known; where only such are left, who comes is refused.
//!
//! A peer is a whole address, of IPv6 too: the Pods of a node often share its first 64 bits, and one of them may be the operator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    static CONNECTION: Arc<Place>;
}

/// The places of a listener; see the module documentation.
#[derive(Debug, Clone)]
pub struct Places {
    connections: usize,
    strangers: usize,
    share: usize,
    held: Arc<Mutex<Held>>,
    refused: Counter,
}

#[derive(Debug, Default)]
struct Held {
    connections: usize,
    strangers: usize,
    last: u64,
    peers: HashMap<IpAddr, Peer>,
}

/// Connections by number: what came earlier has a lower one.
#[derive(Debug, Default)]
struct Peer {
    known: BTreeSet<u64>,
    strangers: BTreeMap<u64, CancellationToken>,
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    peer: IpAddr,
    number: u64,
    sent_away: CancellationToken,
}

/// The connection of the request under way shows a token or session that is taken: it is a stranger's no more.
pub fn known() {
    // Outside of a connection, as in tests, there is nobody to know.
    if let Ok(place) = CONNECTION.try_with(Arc::clone) {
        place.is_known();
    }
}

impl Places {
    /// So many places. `refused` counts the connections that were closed for lack of one, new ones and those of strangers.
    pub fn new(connections: usize, refused: Counter) -> Self {
        Self {
            connections,
            strangers: (connections - connections / 4).max(1),
            share: (connections / 2).max(1),
            held: Arc::default(),
            refused,
        }
    }

    /// A place for a connection from an address; `None` when there is none and nobody loses theirs for it.
    pub fn enter(&self, address: IpAddr) -> Option<Arc<Place>> {
        // A listener for both families shows an address of IPv4 inside one of IPv6.
        let peer = address.to_canonical();
        let held = &mut *self.lock();
        let has_its_share = held.peers.get(&peer).is_some_and(|peer| peer.has() >= self.share);
        if has_its_share || held.strangers >= self.strangers || held.connections >= self.connections {
            self.refused.inc();
            let loser = if has_its_share {
                Some(peer)
            } else {
                held.most_strangers(peer)
            };
            tracing::debug!(%peer, ?loser, "a connection is closed: no place is left for one of this address");
            if !held.send_away(loser?) {
                return None;
            }
        }
        Some(Arc::new(self.place(held, peer)))
    }

    fn place(&self, held: &mut Held, peer: IpAddr) -> Place {
        held.last += 1;
        held.connections += 1;
        held.strangers += 1;
        let sent_away = CancellationToken::new();
        let strangers = &mut held.peers.entry(peer).or_default().strangers;
        strangers.insert(held.last, sent_away.clone());
        Place {
            places: self.clone(),
            peer,
            number: held.last,
            sent_away,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn has(&self) -> usize {
        self.known.len() + self.strangers.len()
    }
}

impl Held {
    /// The address with the most strangers, whom the new one is counted with; of several the one whose first came earliest.
    fn most_strangers(&self, new: IpAddr) -> Option<IpAddr> {
        let crowds = self.peers.iter().filter_map(|(address, peer)| {
            let first = *peer.strangers.keys().next()?;
            let crowd = peer.strangers.len() + usize::from(*address == new);
            Some((crowd, Reverse(first), *address))
        });
        crowds.max().map(|(_, _, address)| address)
    }

    /// Closes the oldest stranger of an address. Whether there was one.
    fn send_away(&mut self, peer: IpAddr) -> bool {
        let oldest = self
            .peers
            .get_mut(&peer)
            .and_then(|peer| peer.strangers.pop_first());
        let Some((_, sent_away)) = oldest else {
            return false;
        };
        sent_away.cancel();
        self.strangers -= 1;
        self.connections -= 1;
        self.forget_empty(peer);
        true
    }

    fn forget_empty(&mut self, peer: IpAddr) {
        if self.peers.get(&peer).is_some_and(|peer| peer.has() == 0) {
            self.peers.remove(&peer);
        }
    }
}

impl Place {
    /// Answers a request of this connection.
    pub async fn answer<F: Future>(self: &Arc<Self>, request: F) -> F::Output {
        CONNECTION.scope(Arc::clone(self), request).await
    }

    /// Serves the connection until it ends or loses its place.
    pub async fn hold(&self, connection: impl Future<Output = ()>) {
        tokio::select! {
            () = connection => {}
            () = self.sent_away.cancelled() => {}
        }
    }

    fn is_known(&self) {
        let held = &mut *self.places.lock();
        // One that has just lost its place gets it back no more.
        if let Some(peer) = held.peers.get_mut(&self.peer)
            && peer.strangers.remove(&self.number).is_some()
        {
            peer.known.insert(self.number);
            held.strangers -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = &mut *self.places.lock();
        let Some(peer) = held.peers.get_mut(&self.peer) else {
            return;
        };
        if peer.strangers.remove(&self.number).is_some() {
            held.strangers -= 1;
            held.connections -= 1;
        } else if peer.known.remove(&self.number) {
            held.connections -= 1;
        }
        held.forget_empty(self.peer);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    fn places(connections: usize) -> Places {
        Places::new(connections, Counter::default())
    }

    fn lost(place: &Place) -> bool {
        place.sent_away.is_cancelled()
    }

    #[test]
    fn an_address_has_half_of_the_places_and_its_own_oldest_stranger_goes_for_more() {
        let places = places(8);
        let four: Vec<_> = (0..4).map(|_| places.enter(address(1)).unwrap()).collect();
        four[0].is_known();
        let fifth = places.enter(address(1)).unwrap();
        let lost: Vec<_> = four.iter().map(|place| lost(place)).collect();
        assert_eq!(lost, [false, true, false, false], "who is known stays");
        assert_eq!((places.lock().connections, places.refused.get()), (4, 1));
        drop((four, fifth));
        assert!(places.lock().peers.is_empty());
    }

    #[test]
    fn an_address_that_is_known_by_all_of_its_share_gets_no_more_until_one_ends() {
        let places = places(8);
        let mut known: Vec<_> = (0..4).map(|_| places.enter(address(1)).unwrap()).collect();
        for place in &known {
            place.is_known();
        }
        assert!(places.enter(address(1)).is_none());
        assert_eq!(places.refused.get(), 1);
        let other = places.enter(address(2)).unwrap();
        known.pop();
        assert!(places.enter(address(1)).is_some());
        assert!(!lost(&other));
    }

    #[test]
    fn when_strangers_have_their_places_the_address_with_the_most_loses_its_oldest() {
        let places = places(8);
        let few = places.enter(address(1)).unwrap();
        let many: Vec<_> = (0..3).map(|_| places.enter(address(2)).unwrap()).collect();
        let some: Vec<_> = (0..2).map(|_| places.enter(address(3)).unwrap()).collect();
        let new = places.enter(address(4)).unwrap();
        assert!(lost(&many[0]), "six of eight places are for strangers");
        assert!(
            !some
                .iter()
                .chain(&many[1..])
                .chain([&few, &new])
                .any(|place| lost(place))
        );
        // of two addresses with as many the one that came first
        drop(places.enter(address(5)).unwrap());
        assert!(lost(&many[1]));
    }

    #[test]
    fn strangers_leave_a_quarter_to_those_who_are_known_and_take_no_place_from_them() {
        let places = places(8);
        let known: Vec<_> = (1..=8)
            .map(|n| {
                let place = places.enter(address(n)).unwrap();
                place.is_known();
                place
            })
            .collect();
        assert!(
            places.enter(address(9)).is_none(),
            "all places are of those who are known"
        );
        assert!(!known.iter().any(|place| lost(place)));
        drop(known);
        let flood: Vec<_> = (1..=100).map(|n| places.enter(address(n)).unwrap()).collect();
        assert_eq!(flood.iter().filter(|place| !lost(place)).count(), 6);
    }

    #[test]
    fn who_lost_the_place_does_not_become_known() {
        let places = places(2);
        let first = places.enter(address(1)).unwrap();
        let second = places.enter(address(1)).unwrap();
        first.is_known();
        assert!(lost(&first) && !lost(&second));
        assert_eq!(places.lock().connections, 1);
    }

    #[test]
    fn an_address_of_ipv4_is_one_peer_in_either_family_and_each_of_ipv6_is_its_own() {
        for (one, other, same) in [
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.2", false),
            ("fd00::1", "fd00::2", false),
        ] {
            let places = places(2);
            let first = places.enter(one.parse().unwrap()).unwrap();
            first.is_known();
            let second = places.enter(other.parse().unwrap());
            assert_eq!(second.is_none(), same, "{one} and {other}");
        }
    }

    proptest! {
        #[test]
        fn nobody_ever_has_more_than_is_allowed_and_who_has_one_loses_it_only_where_all_have_no_more(
            connections in 4_usize..24,
            steps in prop::collection::vec((0_u8..3, 1_u8..6, any::<prop::sample::Index>()), 0..200),
        ) {
            let places = places(connections);
            let mut open: Vec<Arc<Place>> = Vec::new();
            for (what, n, which) in steps {
                if what == 0 || open.is_empty() {
                    open.extend(places.enter(address(n)));
                } else if what == 1 {
                    drop(open.swap_remove(which.index(open.len())));
                } else {
                    open[which.index(open.len())].is_known();
                }
                let held = places.lock();
                let gone = open.iter().find(|place| lost(place)).map(|place| place.peer);
                let had_one = gone.is_some_and(|peer| held.peers.get(&peer).is_none_or(|peer| peer.has() == 0));
                if had_one {
                    prop_assert!(held.peers.values().all(|peer| peer.strangers.len() <= 1));
                }
                drop(held);
                open.retain(|place| !lost(place));
                let held = places.lock();
                prop_assert_eq!(held.connections, open.len());
                prop_assert!(held.connections <= connections && held.strangers <= places.strangers);
                prop_assert!(held.peers.values().all(|peer| peer.has() > 0 && peer.has() <= places.share));
                let strangers: usize = held.peers.values().map(|peer| peer.strangers.len()).sum();
                prop_assert_eq!(held.strangers, strangers);
            }
        }
    }
}
