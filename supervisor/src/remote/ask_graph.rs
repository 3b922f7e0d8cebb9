//! Which nodes cannot be among the others, since their asks would close a cycle.
//!
//! The judgement knows nothing of the order in which nodes were heard, so all who have heard the same nodes judge alike.

use std::collections::BTreeMap;

use super::frame::Heartbeat;
use crate::roster::cycle_in;

/// The capabilities of a node, and which ones each may ask.
pub(crate) type Declared = BTreeMap<String, Vec<String>>;

/// A node, and what it declares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declaration<'a> {
    pub name: &'a str,
    pub epoch: u64,
    pub asks: &'a Declared,
}

/// What a node declares by its heartbeat.
pub(super) fn declared(beat: &Heartbeat) -> Declared {
    beat.capabilities.iter().map(|(capability, host)| (capability.clone(), host.asks.clone())).collect()
}

/// The nodes that are refused, each with the cycle that it would close.
///
/// Nodes are admitted by their epochs, which are times, so of those that cannot be together the one that came last is
/// refused. What a refused node asks keeps nobody else out.
pub(super) fn closing<'a>(nodes: impl IntoIterator<Item = Declaration<'a>>) -> BTreeMap<&'a str, Vec<String>> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_by_key(|node| (node.epoch, node.name));
    let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for node in nodes {
        let mut with = graph.clone();
        for (capability, asks) in node.asks {
            let known = with.entry(capability).or_default();
            known.extend(asks.iter().map(String::as_str));
            known.sort_unstable();
            known.dedup();
        }
        match cycle_in(&with) {
            Some(cycle) => drop(refused.insert(node.name, cycle)),
            None => graph = with,
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(of: &[(&str, &[&str])]) -> Declared {
        of.iter().map(|(name, asks)| (name.to_string(), asks.iter().map(|a| a.to_string()).collect())).collect()
    }

    #[test]
    fn the_node_that_came_last_closes_the_cycle_and_its_edges_keep_out_nobody() {
        let (down, up, free) = (asks(&[("x", &["y"])]), asks(&[("y", &["x"])]), asks(&[("z", &["y"])]));
        let node = |name, epoch, asks| Declaration { name, epoch, asks };
        let refused = closing([node("replica", 9, &down), node("loop", 5, &up), node("first", 1, &down)]);
        assert_eq!(refused.into_iter().collect::<Vec<_>>(), [("loop", vec!["x".into(), "y".into(), "x".into()])]);
        let refused = closing([node("a", 7, &down), node("b", 5, &up), node("bystander", 9, &free)]);
        assert_eq!(refused.into_keys().collect::<Vec<_>>(), ["a"]);
    }
}
