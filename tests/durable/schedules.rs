//! Schedules over a restart, by the machine's own clock.

use super::probe::Probe;
use super::stage::Stage;
use crate::support::eventually;

/// Waits until the clock has ticked so often.
fn ticks(probe: &Probe, count: usize) {
    eventually(&format!("{count} ticks"), || (probe.applied().len() >= count).then_some(()));
}

#[test]
fn each_planned_moment_fires_once_across_a_restart() {
    let probe = Probe::default();
    let stage = Stage::clock(&probe, None);
    ticks(&probe, 2);
    let stage = Stage::clock(&probe, Some(stage.end()));
    let before = probe.applied().len();
    ticks(&probe, before + 2);
    // Moments are in different partitions, so that one may be applied before the one before it. A copy is no effect.
    eventually("no moment to be left out", || {
        let ids = stage.sql("clock", "SELECT id, count(*) FROM essaim_inbox WHERE effect GROUP BY id ORDER BY id");
        let mut planned = Vec::new();
        for line in ids.lines() {
            let (id, count) = line.split_once('|').expect("two columns");
            assert_eq!(count, "1", "{line}");
            let moment = id.strip_prefix("clock.every-second/").expect("the id tells its schedule");
            planned.push(moment.parse::<u64>().expect("and its moment"));
        }
        planned.windows(2).all(|pair| pair[1] - pair[0] == 1_000).then_some(())
    });
    stage.at_rest();
}
