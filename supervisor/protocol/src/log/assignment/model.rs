//! Random lives of a capability's hosts and partitions, against what the rule promises of each assignment.

use std::time::Duration;

use essaim_base::Env;

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A capability, as its log knows it.
struct Life {
    dice: Env,
    /// What hosts handle, one letter for each message.
    versions: &'static [&'static str],
    hosts: BTreeMap<String, LiveHost>,
    owners: Vec<Option<String>>,
    /// Partitions in which a message waits that one host or another may not handle.
    waiting: BTreeMap<u32, String>,
}

impl Life {
    fn new(seed: u64, versions: &'static [&'static str]) -> Self {
        let dice = Env::simulated(seed, Duration::ZERO);
        let owners = vec![None; (dice.random() % 17) as usize];
        Self { dice, versions, hosts: BTreeMap::new(), owners, waiting: BTreeMap::new() }
    }

    fn roll(&self, sides: usize) -> usize {
        (self.dice.random() % sides as u64) as usize
    }

    fn step(&mut self) {
        let name = NAMES[self.roll(NAMES.len())];
        match self.roll(8) {
            // It comes, or comes back with another version.
            0 | 1 => {
                let handles = self.versions[self.roll(self.versions.len())].chars().map(String::from).collect();
                self.hosts.insert(name.into(), LiveHost { handles, leaving: false });
            }
            2 => drop(self.hosts.remove(name)),
            3 => self.hosts.get_mut(name).into_iter().for_each(|live_host| live_host.leaving = true),
            4 if !self.owners.is_empty() => {
                let message = ["w", "x", "y", "z"][self.roll(4)];
                self.waiting.insert(self.roll(self.owners.len()) as u32, message.into());
            }
            5 => drop(self.waiting.pop_first()),
            _ => {
                let wanted = self.assign();
                self.give_up_some(&wanted);
            }
        }
    }

    /// Assigns the partitions, checks every promise, and returns those that are wanted.
    fn assign(&mut self) -> BTreeSet<usize> {
        let owners: Vec<_> = self.owners.iter().map(|o| o.as_deref().filter(|owner| self.is_staying(owner))).collect();
        let unhandled: Vec<_> = self.waiting.clone().into_iter().collect();
        let names: Vec<_> = self.owners.iter().map(Option::as_deref).collect();
        let assignments = assign(&self.hosts, &names, &unhandled);
        assert_eq!(assignments, assign(&self.hosts, &names, &unhandled), "those who decide at once decide the same");
        let able = self.able();
        for (number, (assignment, owner)) in assignments.iter().zip(&owners).enumerate() {
            let Some(Assignment { host, wanted }) = assignment else {
                assert!(able.is_empty(), "{number} is free while a host wants it");
                continue;
            };
            let handling: Vec<_> = able.iter().filter(|name| self.handles_what_waits(name, number)).collect();
            let has_to_go = !handling.is_empty() && !self.handles_what_waits(host, number);
            match owner {
                Some(owner) => assert_eq!(host, owner, "{number} is taken from a live owner"),
                None => assert!(able.contains(&&**host) && !wanted && !has_to_go, "{number} is given to {host}"),
            }
            if !able.contains(&&**host) || has_to_go {
                assert!(wanted, "{number} stays with {host}, which cannot do its work");
            } else if !self.are_alike(&able) {
                assert!(!wanted, "{number} moves from {host} although the hosts differ");
            }
        }
        if self.are_alike(&able) && !able.is_empty() {
            let share = owners.len().div_ceil(able.len());
            let surplus = |name: &&str| assignments.iter().flatten().filter(|a| a.host == **name && a.wanted).count();
            let held: Vec<_> = able.iter().map(|name| owners.iter().flatten().filter(|o| *o == name).count()).collect();
            assert_eq!(able.iter().map(surplus).sum::<usize>(), fewest_moves(&held, owners.len()), "{held:?}");
            for (assignment, _) in assignments.iter().zip(&owners).filter(|(_, owner)| owner.is_none()) {
                let host = &assignment.as_ref().expect("a host wants it").host;
                let has = assignments.iter().flatten().filter(|a| a.host == *host).count();
                assert!(has <= share, "{host} gets {has}, more than its share");
            }
        }
        let wanted = (0..owners.len()).filter(|n| assignments[*n].as_ref().is_some_and(|a| a.wanted)).collect();
        self.owners = assignments.into_iter().map(|assignment| Some(assignment?.host)).collect();
        wanted
    }

    /// Owners give up some of what is wanted, at least one partition; how many.
    fn give_up_some(&mut self, wanted: &BTreeSet<usize>) -> usize {
        let surely = self.roll(wanted.len().max(1));
        let given_up: Vec<_> = wanted.iter().enumerate().filter(|(i, _)| *i == surely || self.roll(3) == 0).collect();
        given_up.iter().for_each(|(_, number)| self.owners[**number] = None);
        given_up.len()
    }

    /// No host comes or goes any more: the partitions come to rest with as few moves as were wanted at first.
    fn settle(&mut self) {
        let mut wanted = self.assign();
        let (mut moves, at_first) = (0, wanted.clone());
        while !wanted.is_empty() {
            assert!(wanted.is_subset(&at_first), "{wanted:?} are wanted, at first {at_first:?}");
            moves += self.give_up_some(&wanted);
            assert!(moves <= at_first.len(), "more moves than were wanted: {at_first:?}");
            wanted = self.assign();
        }
        let (able, owners) = (self.able(), self.owners.clone());
        let shares = able.iter().map(|name| owners.iter().flatten().filter(|o| o == name).count());
        if self.are_alike(&able) {
            let (least, most) = (shares.clone().min().unwrap_or(0), shares.max().unwrap_or(0));
            assert!(most - least <= 1, "{owners:?}");
        }
        assert!(self.assign().is_empty() && self.owners == owners, "{owners:?} are not at rest");
    }

    fn is_staying(&self, name: &str) -> bool {
        self.hosts.get(name).is_some_and(|live_host| !live_host.leaving)
    }

    /// The staying hosts of which no other handles all that they do, and more.
    fn able(&self) -> Vec<&str> {
        let staying = || self.hosts.iter().filter(|(_, live_host)| !live_host.leaving);
        let is_surpassed = |one: &LiveHost| {
            staying().any(|(_, other)| one.handles.is_subset(&other.handles) && one.handles != other.handles)
        };
        staying().filter(|(_, live_host)| !is_surpassed(live_host)).map(|(name, _)| name.as_str()).collect()
    }

    fn are_alike(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.hosts[*name].handles == self.hosts[names[0]].handles)
    }

    fn handles_what_waits(&self, name: &str, number: usize) -> bool {
        self.waiting.get(&(number as u32)).is_none_or(|message| self.hosts[name].handles.contains(message))
    }
}

/// How many partitions have to be given up for even shares, by trying all ways to give the remainder.
fn fewest_moves(held: &[usize], partitions: usize) -> usize {
    let (each, left) = (partitions / held.len(), partitions % held.len());
    let all_ways = (0_u32..1 << held.len()).filter(|way| way.count_ones() as usize == left);
    let moves = all_ways.map(|way| {
        let share = |index| each + usize::from(way >> index & 1 == 1);
        held.iter().enumerate().map(|(index, held)| held.saturating_sub(share(index))).sum()
    });
    moves.min().expect("there is a way")
}

fn live(versions: &'static [&'static str]) {
    for seed in 0..100 {
        let life = std::panic::AssertUnwindSafe(|| {
            let mut life = Life::new(seed, versions);
            for _ in 0..10 {
                (0..10).for_each(|_| life.step());
                life.settle();
            }
        });
        if let Err(panic) = std::panic::catch_unwind(life) {
            eprintln!("in the life of seed {seed}:");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn hosts_of_one_version_have_even_shares_after_as_few_moves_as_can_be() {
    live(&["x"]);
}

#[test]
fn while_a_version_is_rolled_out_the_older_one_gives_everything_up() {
    live(&["x", "xy"]);
}

#[test]
fn hosts_that_handle_different_messages_keep_what_they_have_unless_it_is_needed_elsewhere() {
    live(&["x", "xy", "yz", "xyz", "w"]);
}
