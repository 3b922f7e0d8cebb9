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

#[test]
fn schedules_are_listed_with_their_next_moments_and_fired_now() {
    let probe = Probe::default();
    let stage = Stage::clock(&probe, None);
    ticks(&probe, 1);
    let listed = stage.json(&["schedules", "list"]);
    let (line, now_ms) = (&listed["schedules"][0], listed["asked_at_ms"].as_u64().expect("a moment"));
    assert_eq!((line["capability"].as_str(), line["cron"].as_str()), (Some("clock"), Some("* * * * * *")));
    assert!(line["next_ms"].as_u64().is_some_and(|next| next > now_ms && next <= now_ms + 1_000), "{listed}");
    assert!(line["last_ms"].as_u64().is_some_and(|last| last <= now_ms), "{listed}");
    let fired = stage.essaim(&["schedules", "fire", "clock", "every-second"]);
    assert_eq!(fired.code, Some(0), "{}", fired.text);
    assert_eq!(stage.acts(), ["fires the schedule every-second of clock: done"]);
    let id = fired.text.split(' ').next().expect("its id").to_string();
    eventually("the command that was sent now", || {
        let sql = format!("SELECT count(*) FROM essaim_inbox WHERE effect AND id = '{id}'");
        (stage.sql("clock", &sql).trim() == "1").then_some(())
    });
    for (wrong, why) in [(["clock", "never"], "has no schedule `never`"), (["cook", "never"], "no capability `cook`")] {
        let refused = stage.essaim(&["schedules", "fire", wrong[0], wrong[1]]);
        assert!(refused.code == Some(2) && refused.text.contains(why), "{}", refused.text);
    }
    stage.at_rest();
}
