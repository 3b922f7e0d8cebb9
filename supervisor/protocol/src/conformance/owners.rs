//! Who works on which partition.

use super::*;

/// What a host owns: numbers, and those of them that another should have.
fn numbers(owned: &[OwnedPartition]) -> (Vec<u32>, Vec<u32>) {
    let mut numbers: Vec<_> = owned.iter().map(|o| o.number).collect();
    let mut wanted: Vec<_> = owned.iter().filter(|o| o.wanted).map(|o| o.number).collect();
    numbers.sort();
    wanted.sort();
    (numbers, wanted)
}

pub async fn one_host_owns_everything(fixture: impl Fixture) {
    let log = fixture.log();
    assert_eq!(log.heartbeat(&host("a", "a", SURELY)).await.unwrap(), [], "nothing is registered");
    open_shop(log, 4).await;
    let owned = log.heartbeat(&host("a", "a", SURELY)).await.unwrap();
    assert_eq!(numbers(&owned), (vec![0, 1, 2, 3], vec![]));
    assert_eq!(log.heartbeat(&host("a", "a", SURELY)).await.unwrap(), owned, "an owner keeps its epoch");
}

pub async fn a_second_host_gets_its_half_when_it_is_given_up(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 4).await;
    let first = log.heartbeat(&host("a", "a", SURELY)).await.unwrap();
    assert_eq!(log.heartbeat(&host("b", "a", SURELY)).await.unwrap(), [], "all have a live owner");
    let (all, wanted) = numbers(&log.heartbeat(&host("a", "a", SURELY)).await.unwrap());
    assert_eq!((all.len(), wanted.len()), (4, 2));
    let part = HostHeartbeat { given_up: vec![wanted[0]], ..host("a", "a", SURELY) };
    let (mine, still) = numbers(&log.heartbeat(&part).await.unwrap());
    assert_eq!((mine.len(), still), (3, vec![wanted[1]]));
    let one = log.heartbeat(&host("b", "a", SURELY)).await.unwrap();
    assert_eq!(numbers(&one), (vec![wanted[0]], vec![]));
    let before = first.iter().find(|o| o.number == wanted[0]).unwrap().epoch;
    assert!(one[0].epoch > before, "{one:?}");
    let rest = HostHeartbeat { given_up: vec![wanted[1]], ..host("a", "a", SURELY) };
    let kept = log.heartbeat(&rest).await.unwrap();
    assert!(kept.len() == 2 && kept.iter().all(|o| !o.wanted && first.contains(o)), "{kept:?}");
    assert_eq!(numbers(&log.heartbeat(&host("b", "a", SURELY)).await.unwrap()), (wanted, vec![]));
}

pub async fn a_host_that_falls_silent_loses_its_partitions_after_its_lease<F: Fixture>(fixture: F) {
    let log = fixture.log();
    open_shop(log, 3).await;
    let first = own_all(log, "a", F::LEASE).await;
    assert_eq!(log.heartbeat(&host("b", "a", SURELY * 10)).await.unwrap(), []);
    tokio::time::sleep(F::LEASE + F::LEASE / 10).await;
    let second = log.heartbeat(&host("b", "a", SURELY * 10)).await.unwrap();
    assert_eq!(numbers(&second), (vec![0, 1, 2], vec![]));
    assert!(second.iter().all(|o| o.epoch > first[o.number as usize]), "{second:?}");
    assert_eq!(log.heartbeat(&host("a", "a", SURELY)).await.unwrap(), [], "whoever comes back begins anew");
}

pub async fn a_host_that_leaves_gives_everything_away_at_once(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 4).await;
    own_all(log, "a", SURELY).await;
    assert_eq!(log.heartbeat(&host("b", "a", SURELY)).await.unwrap(), []);
    // What it gave up before may have come back to it.
    let leaving = HostHeartbeat { leaving: true, given_up: vec![1], ..host("a", "a", SURELY) };
    assert_eq!(log.heartbeat(&leaving).await.unwrap(), []);
    assert_eq!(log.heartbeat(&host("b", "a", SURELY)).await.unwrap().len(), 4);
    assert_eq!(log.heartbeat(&leaving).await.unwrap(), []);
    let last = HostHeartbeat { leaving: true, ..host("b", "a", SURELY) };
    assert_eq!(log.heartbeat(&last).await.unwrap(), []);
    assert_eq!(own_all(log, "c", SURELY).await.len(), 4, "whoever comes next gets it");
}

pub async fn a_host_that_cannot_handle_what_another_can_owns_nothing(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    let older = log.heartbeat(&host("old", "a", SURELY)).await.unwrap();
    assert_eq!(older.len(), 2);
    assert_eq!(log.heartbeat(&host("new", "ab", SURELY)).await.unwrap(), []);
    let wanted = numbers(&log.heartbeat(&host("old", "a", SURELY)).await.unwrap()).1;
    assert_eq!(wanted, [0, 1]);
    let given_up = HostHeartbeat { given_up: wanted, ..host("old", "a", SURELY) };
    assert_eq!(log.heartbeat(&given_up).await.unwrap(), []);
    assert_eq!(log.heartbeat(&host("new", "ab", SURELY)).await.unwrap().len(), 2);
    assert_eq!(log.heartbeat(&host("old", "a", SURELY)).await.unwrap(), []);
}

pub async fn epochs_rise_with_each_owner_and_after_reopening(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let mut epochs = Vec::new();
    for name in ["a", "b", "a"] {
        epochs.push(own_all(log, name, SURELY).await[0]);
        log.heartbeat(&HostHeartbeat { leaving: true, given_up: vec![0], ..host(name, "a", SURELY) }).await.unwrap();
    }
    let fixture = fixture.reopened().await;
    let log = fixture.log();
    epochs.push(own_all(log, "c", SURELY).await[0]);
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    append(log, &[messages(0, 1, "a")]).await;
    let position = read(log, 0).await[0].position;
    let old = log.acknowledge(&[acknowledge(0, epochs[2], &[position])]).await.unwrap();
    assert_eq!(old, [Acknowledged::Fenced]);
}

pub async fn an_owner_whose_database_is_ahead_gets_a_higher_epoch(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    let before = own_all(log, "a", SURELY).await;
    let ahead = before[1] + 1_000_000_000_000;
    let stale_epochs = HostHeartbeat { stale_epochs: vec![(1, ahead)], ..host("a", "a", SURELY) };
    let owned = log.heartbeat(&stale_epochs).await.unwrap();
    assert_eq!(owned[0].epoch, before[0], "the other one stays");
    assert!(owned[1].epoch > ahead, "{owned:?}");
    let elsewhere = HostHeartbeat { stale_epochs: vec![(0, ahead)], ..host("b", "a", SURELY) };
    assert_eq!(log.heartbeat(&elsewhere).await.unwrap(), [], "only the owner can say so");
    assert_eq!(own_all(log, "a", SURELY).await[0], before[0]);
}
