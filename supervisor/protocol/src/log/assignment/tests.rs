//! One assignment at a time, as a reader would draw it.

use super::*;

/// Hosts and the messages that they handle, one letter each; a name with a `!` leaves.
fn hosts(all: &[(&str, &str)]) -> BTreeMap<String, LiveHost> {
    let live_host = |&(name, handles): &(&str, &str)| {
        let handles = handles.chars().map(String::from).collect();
        (name.trim_end_matches('!').to_string(), LiveHost { handles, leaving: name.ends_with('!') })
    };
    all.iter().map(live_host).collect()
}

/// Owners of one letter each, `-` for none; a result in capitals is wanted.
fn shared(all: &[(&str, &str)], owners: &str) -> String {
    shared_lacking(all, owners, &[])
}

fn shared_lacking(all: &[(&str, &str)], owners: &str, unhandled: &[(u32, &str)]) -> String {
    let unhandled: Vec<_> = unhandled.iter().map(|(number, name)| (*number, name.to_string())).collect();
    let names: Vec<String> = owners.chars().map(String::from).collect();
    let owners: Vec<_> = names.iter().map(|n| (n != "-").then_some(n.as_str())).collect();
    let text = |assignment: Option<Assignment>| match assignment {
        Some(Assignment { host, wanted: true }) => host.to_uppercase(),
        Some(Assignment { host, wanted: false }) => host,
        None => "-".into(),
    };
    assign(&hosts(all), &owners, &unhandled).into_iter().map(text).collect()
}

#[test]
fn one_host_gets_all_and_without_a_host_nobody_has_any() {
    assert_eq!(shared(&[("a", "x")], "----"), "aaaa");
    assert_eq!(shared(&[], "--"), "--");
    assert_eq!(shared(&[("a!", "x")], "--"), "--");
    assert_eq!(shared(&[("a", "x")], ""), "");
}

#[test]
fn shares_differ_by_at_most_one() {
    for partitions in 0..20 {
        for count in 1..6 {
            let names: Vec<String> = (0..count).map(|n| char::from(b'a' + n).to_string()).collect();
            let all: Vec<_> = names.iter().map(|n| (n.as_str(), "x")).collect();
            let result = shared(&all, &"-".repeat(partitions));
            let each: Vec<_> = names.iter().map(|n| result.matches(n.as_str()).count()).collect();
            assert_eq!(each.iter().sum::<usize>(), partitions);
            assert!(each.iter().max().unwrap() - each.iter().min().unwrap() <= 1, "{result}");
        }
    }
}

#[test]
fn a_newcomer_wants_its_half_and_nothing_else_moves() {
    let both = [("a", "x"), ("b", "x")];
    assert_eq!(shared(&both, "aaaaa"), "aaaAA");
    assert_eq!(shared(&both, "aaaa-"), "aaaAb", "what is given up goes at once, and the same are still wanted");
    assert_eq!(shared(&both, "aaabb"), "aaabb");
    let three = [("a", "x"), ("b", "x"), ("c", "x")];
    assert_eq!(shared(&three, "aaabb"), "aaAbb");
    assert_eq!(shared(&three, "aaaaabbbbb"), "aaaaAbbbBB");
    assert_eq!(
        shared(&three, "aaaa-bbbbb"),
        "aaaacbbbBB",
        "who gives up first keeps one of the remainder all the same"
    );
}

#[test]
fn what_a_lost_host_had_is_shared_by_the_others() {
    assert_eq!(shared(&[("a", "x"), ("b", "x")], "abcabc"), "abaabb");
    assert_eq!(shared(&[("b", "x")], "aab"), "bbb");
}

#[test]
fn what_a_host_that_leaves_had_is_free_at_once() {
    assert_eq!(shared(&[("a!", "x"), ("b", "x")], "aabb"), "bbbb");
    assert_eq!(shared(&[("a!", "x"), ("b", "x"), ("c", "x")], "aabc"), "bcbc");
    assert_eq!(shared(&[("a!", "x")], "aa"), "--", "it wants none even if nobody else is there");
}

#[test]
fn a_host_that_cannot_handle_what_another_can_gets_none() {
    assert_eq!(shared(&[("a", "xy"), ("b", "x")], "----"), "aaaa");
    assert_eq!(shared(&[("a", "xy"), ("b", "x")], "bb--"), "BBaa");
    assert_eq!(shared(&[("a!", "xy"), ("b", "x")], "----"), "bbbb", "who leaves is no measure");
}

#[test]
fn if_none_handles_all_those_share_that_nobody_surpasses() {
    let crossing = [("a", "xy"), ("b", "yz"), ("c", "x"), ("d", "w")];
    assert_eq!(shared(&crossing, "---"), "abd", "the largest sets are not the only ones that are needed");
    assert_eq!(shared(&crossing, "aaa"), "aaa", "while they differ nothing moves by itself");
    assert_eq!(shared(&crossing, "cca"), "CCa");
}

#[test]
fn a_partition_goes_to_a_host_that_handles_what_waits_in_it() {
    let crossing = [("a", "xy"), ("b", "yz")];
    assert_eq!(shared_lacking(&crossing, "aabb", &[(1, "z")]), "aAbb");
    assert_eq!(shared_lacking(&crossing, "a-bb", &[(1, "z")]), "abbb", "however many it has");
    assert_eq!(shared_lacking(&crossing, "abbb", &[]), "abbb", "and stays there");
    assert_eq!(shared_lacking(&crossing, "abbb", &[(1, "x")]), "aBbb", "until it is needed elsewhere");
    assert_eq!(shared_lacking(&crossing, "aabb", &[(1, "w"), (0, "y")]), "aabb", "nobody does, or its owner");
    assert_eq!(shared_lacking(&[("a", "xy"), ("b!", "yz")], "aa", &[(1, "z")]), "aa", "who leaves takes nothing");
    assert_eq!(shared_lacking(&crossing, "aabb", &[(9, "z")]), "aabb");
    let newer = [("a!", "x"), ("b", "xy"), ("c", "xy")];
    assert_eq!(
        shared_lacking(&newer, "aaa", &[(0, "y"), (1, "y"), (2, "y")]),
        "bbc",
        "hosts that are able share several"
    );
}

#[test]
fn giving_up_what_is_wanted_ends_in_even_shares() {
    let all = [("a", "x"), ("b", "x"), ("c", "x")];
    let mut owners = "aaaaaaab".to_string();
    let mut moves = 0;
    while let Some(at) = shared(&all, &owners).find(char::is_uppercase) {
        owners.replace_range(at..=at, "-");
        owners = shared(&all, &owners).to_lowercase();
        moves += 1;
    }
    assert_eq!((owners.matches('a').count(), moves), (3, 4), "{owners}");
    assert_eq!(owners.matches('b').count() - owners.matches('c').count(), 1, "{owners}");
}
