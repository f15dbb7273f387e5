//! Which peer has how many connections.
//!
//! One peer has at most half of the places, so that who opens as many connections as it can keeps neither the probes of the kubelet
//! nor the operator out, which come from other addresses. A peer is an address, and for IPv6 the first 64 bits of one: whoever has
//! one of those has them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Connections that one may have.
    share: usize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Peers {
    /// Those who share so many connections; a single one is for everybody.
    pub fn new(connections: usize) -> Self {
        Self {
            share: (connections / 2).max(1),
            held: Arc::default(),
        }
    }

    /// Counts a connection from an address until its place is dropped; `None` when its peer has its share.
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let peer = peer(address);
        let mut held = self.lock();
        let count = held.entry(peer).or_default();
        if *count >= self.share {
            return None;
        }
        *count += 1;
        Some(Place {
            peers: self.clone(),
            peer,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The peer of an address. A listener for both families shows an address of IPv4 inside one of IPv6.
fn peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// A connection of a peer.
#[derive(Debug)]
pub struct Place {
    peers: Peers,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.peers.lock();
        if let Some(count) = held.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_has_half_of_the_places_and_gets_one_back_when_one_of_its_connections_ends() {
        let peers = Peers::new(5);
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(address);
        let mut places = vec![peers.enter(one).unwrap(), peers.enter(one).unwrap()];
        assert!(peers.enter(one).is_none());
        let another = peers.enter(other).unwrap();
        places.pop();
        places.push(peers.enter(one).unwrap());
        assert!(peers.enter(one).is_none());
        drop((places, another));
        assert!(peers.lock().is_empty());
    }

    #[test]
    fn a_single_place_is_for_everybody() {
        let peers = Peers::new(1);
        drop(peers.enter(address("10.0.0.1")).unwrap());
        peers.enter(address("10.0.0.2")).unwrap();
    }

    #[test]
    fn addresses_of_ipv6_are_one_peer_when_they_begin_with_the_same_64_bits() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.2", false),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            let peers = Peers::new(2);
            let _first = peers.enter(address(one)).unwrap();
            assert_eq!(peers.enter(address(other)).is_none(), same, "{one} and {other}");
        }
    }
}
