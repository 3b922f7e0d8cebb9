//! Cycles of a directed graph, such as that of who asks whom.

use std::collections::BTreeMap;

/// A cycle of the graph, if there is one: its nodes in order, the first of them again at the end.
pub fn cycle_in<'a>(graph: &BTreeMap<&'a str, impl AsRef<[&'a str]>>) -> Option<Vec<String>> {
    fn visit<'a>(
        at: &'a str,
        graph: &BTreeMap<&'a str, impl AsRef<[&'a str]>>,
        way: &mut Vec<&'a str>,
        done: &mut Vec<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|c| *c == at) {
            return Some(way[start..].iter().chain([&at]).map(|c| c.to_string()).collect());
        }
        if done.contains(&at) {
            return None;
        }
        way.push(at);
        for next in graph.get(at).map_or(&[][..], |n| n.as_ref()) {
            if let Some(cycle) = visit(next, graph, way, done) {
                return Some(cycle);
            }
        }
        way.pop();
        done.push(at);
        None
    }
    let mut done = Vec::new();
    graph.keys().find_map(|at| visit(at, graph, &mut Vec::new(), &mut done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_found_and_named() {
        let graph: BTreeMap<_, &[_]> = [("gateway", &["auth"][..]), ("auth", &["users"]), ("users", &["auth"])].into();
        assert_eq!(cycle_in(&graph).unwrap(), ["auth", "users", "auth"]);
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        let graph: BTreeMap<_, &[_]> = [("a", &["b", "c"][..]), ("b", &["d"]), ("c", &["d"]), ("d", &[])].into();
        assert_eq!(cycle_in(&graph), None);
    }
}
