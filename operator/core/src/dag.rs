//! The graph of stages: an order in which needs come first, cycles by name, what is upstream of what.

use std::collections::{BTreeMap, BTreeSet};

/// A cycle, stage by stage; the first is named again at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<usize>);

/// An order in which each node comes after those it needs; among those that could come next, the one that was written first.
///
/// # Errors
/// One cycle, when there is one. Needs outside the graph are left out.
pub fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Cycle> {
    let mut waiting: Vec<usize> = needs
        .iter()
        .map(|list| distinct(list, needs.len()).len())
        .collect();
    let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, list) in needs.iter().enumerate() {
        for need in distinct(list, needs.len()) {
            needed_by.entry(need).or_default().push(node);
        }
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|node| waiting[*node] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for next in needed_by.get(&node).into_iter().flatten() {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    if order.len() == needs.len() {
        return Ok(order);
    }
    Err(cycle(needs, &order))
}

fn distinct(list: &[usize], len: usize) -> BTreeSet<usize> {
    list.iter().copied().filter(|need| *need < len).collect()
}

/// Follows needs among the nodes that have no place in the order until one comes again.
fn cycle(needs: &[Vec<usize>], ordered: &[usize]) -> Cycle {
    let left: BTreeSet<usize> = (0..needs.len()).filter(|node| !ordered.contains(node)).collect();
    let mut path: Vec<usize> = Vec::new();
    let mut node = left.first().copied().unwrap_or_default();
    loop {
        if let Some(start) = path.iter().position(|seen| *seen == node) {
            path.drain(..start);
            path.push(node);
            return Cycle(path);
        }
        path.push(node);
        match needs[node].iter().find(|need| left.contains(need)) {
            Some(next) => node = *next,
            // every node that is left needs one that is left
            None => return Cycle(path),
        }
    }
}

/// All nodes that each node needs, directly or not. `needs` must be in an order in which needs come first.
pub fn ancestors(needs: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    let mut all: Vec<BTreeSet<usize>> = Vec::with_capacity(needs.len());
    for list in needs {
        let mut upstream = BTreeSet::new();
        for need in list {
            upstream.insert(*need);
            if let Some(further) = all.get(*need) {
                upstream.extend(further);
            }
        }
        all.push(upstream);
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn needs_come_first_and_otherwise_the_written_order_stays() {
        assert_eq!(order(&[vec![2], vec![], vec![]]).unwrap(), [1, 2, 0]);
        assert_eq!(
            order(&[vec![], vec![0], vec![0], vec![1, 2]]).unwrap(),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn a_cycle_is_named_stage_by_stage() {
        assert_eq!(
            order(&[vec![1], vec![2], vec![1]]).unwrap_err(),
            Cycle(vec![1, 2, 1])
        );
        assert_eq!(order(&[vec![0]]).unwrap_err(), Cycle(vec![0, 0]));
    }

    #[test]
    fn upstream_is_transitive() {
        let all = ancestors(&[vec![], vec![0], vec![1], vec![]]);
        assert_eq!(all[2], BTreeSet::from([0, 1]));
        assert!(all[3].is_empty());
    }
}
