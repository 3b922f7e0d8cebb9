//! Acknowledging, counting, and what outlives the process.

use super::*;

pub async fn an_acknowledgement_with_an_older_epoch_changes_nothing(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    let first = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 1, "a"), messages(1, 1, "b")]).await;
    let position = read(log, 0).await[0].position;
    let leaving = HostHeartbeat { leaving: true, given_up: vec![0, 1], ..host("a", "a", SURELY) };
    log.heartbeat(&leaving).await.unwrap();
    let second = own_all(log, "b", SURELY).await;
    let mut old = acknowledge(0, first[0], &[position]);
    old.tally.handled = 1;
    old.dead.push(("m1".into(), Bytes::from_static(b"dead")));
    assert_eq!(log.acknowledge(&[old]).await.unwrap(), [Acknowledged::Fenced]);
    let counted = count(log, 0).await;
    assert_eq!((counted.waiting, counted.tally), (1, Tally::default()));
    assert_eq!(dead(log, SHOP).await, []);
    let other = read(log, 1).await[0].position;
    let both = [acknowledge(0, first[0], &[position]), acknowledge(1, second[1], &[other])];
    assert_eq!(log.acknowledge(&both).await.unwrap(), [Acknowledged::Fenced, Acknowledged::Done]);
    assert_eq!((count(log, 0).await.waiting, count(log, 1).await.waiting), (1, 0));
}

pub async fn acknowledging_again_counts_nothing_again(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 3, "a"), messages(0, 2, "b")]).await;
    let mut done = acknowledge(0, epochs[0], &[read(log, 0).await[0].position]);
    done.tally = Tally { handled: 1, duplicates: 1, dead: 1, expired: 0 };
    for _ in 0..3 {
        assert_eq!(log.acknowledge(std::slice::from_ref(&done)).await.unwrap(), [Acknowledged::Done]);
    }
    assert_eq!(log.acknowledge(&[done.clone(), done.clone()]).await.unwrap(), [Acknowledged::Done; 2]);
    let counted = count(log, 0).await;
    assert_eq!((counted.appended, counted.waiting, counted.tally), (5, 2, done.tally));
    let version = log.registry().await.unwrap().version;
    // What is noted as waiting agrees with what is measured: two wait, so there is room for more than two.
    let full = log.append(version, 2, &[messages(0, 1, "c")]).await.unwrap();
    assert_eq!(full, [Appended::Full { waiting: 2 }]);
    assert_eq!(log.append(version, 3, &[messages(0, 1, "c")]).await.unwrap(), [Appended::Stored { first: 5 }]);
}

pub async fn what_an_acknowledgement_does_not_name_stays(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 1, "a"), messages(0, 1, "b"), messages(1, 1, "c"), messages(1, 1, "d")]).await;
    let (left, right) = (read(log, 0).await, read(log, 1).await);
    let done = [acknowledge(0, epochs[0], &[left[1].position]), acknowledge(1, epochs[1], &[right[0].position])];
    log.acknowledge(&done).await.unwrap();
    assert_eq!((texts(&read(log, 0).await), texts(&read(log, 1).await)), (vec!["a"], vec!["d"]));
}

pub async fn counts_are_those_of_the_entries(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 2).await;
    assert_eq!(log.counts("nobody").await.unwrap(), []);
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 3, "a"), messages(0, 4, "b")]).await;
    let mut done = acknowledge(0, epochs[0], &[read(log, 0).await[0].position]);
    done.tally = Tally { handled: 1, duplicates: 0, dead: 0, expired: 2 };
    log.acknowledge(&[done.clone()]).await.unwrap();
    let owner = |number: usize| Some(("a".to_string(), epochs[number]));
    let worked = PartitionCount { number: 0, appended: 7, waiting: 4, tally: done.tally, owner: owner(0) };
    let idle = PartitionCount { number: 1, appended: 0, waiting: 0, tally: Tally::default(), owner: owner(1) };
    assert_eq!(log.counts(SHOP).await.unwrap(), [worked, idle]);
}

pub async fn dead_letters_are_kept_once_listed_and_forgotten(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, 2, "a")]).await;
    let mut done = acknowledge(0, epochs[0], &[read(log, 0).await[0].position]);
    done.dead = vec![("m2".into(), Bytes::from_static(b"second")), ("m1".into(), Bytes::from_static(b"first"))];
    log.acknowledge(&[done.clone()]).await.unwrap();
    log.acknowledge(&[done.clone()]).await.unwrap();
    assert_eq!(dead(log, SHOP).await, [done.dead[1].clone(), done.dead[0].clone()]);
    assert_eq!(dead(log, "stock").await, []);
    let of_nobody = ("m3".to_string(), Bytes::from_static(b"third"));
    assert_eq!(log.forget("stock", &[done.dead[1].clone()]).await.unwrap(), 0);
    assert_eq!(log.forget(SHOP, &[]).await.unwrap(), 0);
    assert_eq!(log.forget(SHOP, &[done.dead[1].clone(), of_nobody]).await.unwrap(), 1);
    assert_eq!(dead(log, SHOP).await, [done.dead[0].clone()]);
    log.acknowledge(&[done.clone()]).await.unwrap();
    assert_eq!(dead(log, SHOP).await.len(), 1, "what was forgotten does not come back with a repetition");
}

pub async fn a_dead_letter_that_dies_again_is_another_and_not_forgotten_with_the_first(fixture: impl Fixture) {
    let log = fixture.log();
    open_shop(log, 1).await;
    let epochs = own_all(log, "a", SURELY).await;
    let bury = async |letter: &'static [u8]| {
        append(log, &[messages(0, 1, "a")]).await;
        let mut done = acknowledge(0, epochs[0], &[read(log, 0).await[0].position]);
        done.dead = vec![("m1".into(), Bytes::from_static(letter))];
        log.acknowledge(&[done]).await.unwrap();
    };
    bury(b"first").await;
    let first = dead(log, SHOP).await;
    bury(b"second").await;
    let second = [("m1".to_string(), Bytes::from_static(b"second"))];
    assert_eq!(dead(log, SHOP).await, second, "it takes its own place");
    assert_eq!(log.forget(SHOP, &first).await.unwrap(), 0);
    assert_eq!(dead(log, SHOP).await, second);
    assert_eq!(log.forget(SHOP, &second).await.unwrap(), 1);
    assert_eq!(dead(log, SHOP).await, []);
}

pub async fn many_dead_letters_are_read_page_by_page_and_some_by_their_ids(fixture: impl Fixture) {
    const LETTERS: usize = 700;
    let log = fixture.log();
    open_shop(log, 1).await;
    assert_eq!(log.dead(SHOP, None, 10).await.unwrap(), DeadLetterPage::default());
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &[messages(0, LETTERS as u32, "a")]).await;
    let mut done = acknowledge(0, epochs[0], &[read(log, 0).await[0].position]);
    let letter = |n: usize| (format!("m{n:03}"), Bytes::from(format!("letter {n} {}", "x".repeat(100))));
    done.dead = (0..LETTERS).map(letter).collect();
    log.acknowledge(&[done.clone()]).await.unwrap();
    assert_eq!(log.dead_count(SHOP).await.unwrap(), LETTERS as u64);
    assert_eq!(log.dead_count("stock").await.unwrap(), 0);
    let (mut all, mut from, mut pages) = (BTreeMap::new(), None, 0);
    loop {
        let page = log.dead(SHOP, from.as_deref(), 100).await.unwrap();
        assert!(page.letters.len() < 2 * 100, "{}", page.letters.len());
        all.extend(page.letters);
        (from, pages) = (page.next, pages + 1);
        if from.is_none() {
            break;
        }
    }
    assert!(pages > 3 && all.into_iter().eq(done.dead.clone()), "{pages}");
    let ids = ["m007", "m699", "nobody", "m000"].map(String::from);
    let mut found = log.dead_with(SHOP, &ids).await.unwrap();
    found.sort();
    assert_eq!(found, [0, 7, 699].map(letter));
    assert_eq!(log.dead_with(SHOP, &[]).await.unwrap(), []);
    assert_eq!(log.dead_with("stock", &ids).await.unwrap(), []);
}

pub async fn everything_is_there_after_reopening(fixture: impl Fixture) {
    let log = fixture.log();
    let how = Subscription { when_full: WhenFull::Block, ..Subscription::default() };
    log.register(SHOP, 1, &[("stock.moved.v1".into(), how)]).await.unwrap();
    let epochs = own_all(log, "a", SURELY).await;
    append(log, &["a", "b", "c", "d"].map(|text| messages(0, 2, text))).await;
    let mut done = acknowledge(0, epochs[0], &[read(log, 0).await[1].position]);
    done.tally.handled = 2;
    done.dead.push(("m1".into(), Bytes::from_static(b"dead")));
    log.acknowledge(&[done.clone()]).await.unwrap();
    let (registry, entries) = (log.registry().await.unwrap(), read(log, 0).await);
    let fixture = fixture.reopened().await;
    let log = fixture.log();
    assert_eq!(log.registry().await.unwrap(), registry);
    assert_eq!(read(log, 0).await, entries);
    assert_eq!(texts(&entries), ["a", "c", "d"]);
    let counted = count(log, 0).await;
    assert_eq!((counted.appended, counted.waiting, counted.tally), (8, 6, done.tally));
    assert_eq!(dead(log, SHOP).await, done.dead);
    assert_eq!(append(log, &[messages(0, 1, "e")]).await, [Appended::Stored { first: 8 }]);
    assert_eq!(texts(&read(log, 0).await), ["a", "c", "d", "e"]);
}

pub async fn a_log_counts_on_from_behind_what_a_database_knows(fixture: impl Fixture) {
    open_shop(fixture.log(), 1).await;
    append(fixture.log(), &[messages(0, 3, "a")]).await;
    let fixture = fixture.reopened().await;
    let (log, of_shop) = (fixture.log(), partition(0));
    for (known, counted) in [(3, 3), (5, 5), (4, 5)] {
        log.raise(&of_shop, known).await.unwrap();
        assert_eq!(log.appended(&of_shop).await, Ok(counted), "{known}");
    }
    assert_eq!(append(log, &[messages(0, 1, "b")]).await, [Appended::Stored { first: 5 }]);
    assert_eq!(count(log, 0).await.appended, 6);
}

pub async fn a_log_is_known_by_its_identity(fixture: impl Fixture) {
    let identity = fixture.log().identity().await.unwrap();
    assert!(!identity.is_empty());
    assert_eq!(fixture.log().identity().await.unwrap(), identity);
    assert_eq!(fixture.reopened().await.log().identity().await.unwrap(), identity);
}
