//! The ask graph of all nodes, and the nodes that are refused because they would close a cycle in it.
//!
//! The judgement does not depend on the order in which nodes were heard, so all nodes that have heard the same nodes judge
//! alike.

use std::collections::BTreeMap;

use essaim_base::graph::cycle_in;
use essaim_protocol::frame::HostReport;

/// The capabilities that a node hosts, each with those that it may ask.
pub type DeclaredAsks = BTreeMap<String, Vec<String>>;

/// A node as a part of the ask graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeAsks<'a> {
    pub name: &'a str,
    pub epoch: u64,
    pub asks: &'a DeclaredAsks,
}

/// The asks that a node's reports of its capabilities declare.
pub(super) fn declared_asks(reports: &BTreeMap<String, HostReport>) -> DeclaredAsks {
    reports.iter().map(|(capability, host)| (capability.clone(), host.asks.clone())).collect()
}

/// The nodes that are refused, each with the cycle that it would close.
///
/// Nodes are admitted in the order of their epochs, which are times, so the node that came last is refused. The asks of a
/// refused node keep no other node out.
pub(super) fn refused_nodes<'a>(nodes: impl IntoIterator<Item = NodeAsks<'a>>) -> BTreeMap<&'a str, Vec<String>> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_by_key(|node| (node.epoch, node.name));
    let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for node in nodes {
        let mut extended = graph.clone();
        for (capability, asks) in node.asks {
            let known = extended.entry(capability).or_default();
            known.extend(asks.iter().map(String::as_str));
            known.sort_unstable();
            known.dedup();
        }
        match cycle_in(&extended) {
            Some(cycle) => drop(refused.insert(node.name, cycle)),
            None => graph = extended,
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(of: &[(&str, &[&str])]) -> DeclaredAsks {
        of.iter().map(|(name, asks)| (name.to_string(), asks.iter().map(|a| a.to_string()).collect())).collect()
    }

    #[test]
    fn the_node_that_came_last_is_refused_and_its_edges_keep_no_other_out() {
        let (down, up, free) = (asks(&[("x", &["y"])]), asks(&[("y", &["x"])]), asks(&[("z", &["y"])]));
        let node = |name, epoch, asks| NodeAsks { name, epoch, asks };
        let refused = refused_nodes([node("replica", 9, &down), node("loop", 5, &up), node("first", 1, &down)]);
        assert_eq!(refused.into_iter().collect::<Vec<_>>(), [("loop", vec!["x".into(), "y".into(), "x".into()])]);
        let refused = refused_nodes([node("a", 7, &down), node("b", 5, &up), node("bystander", 9, &free)]);
        assert_eq!(refused.into_keys().collect::<Vec<_>>(), ["a"]);
    }
}
