//! The conformance suite of logs: the cases that each implementation has to pass.
//!
//! An implementation writes a [`Fixture`] and says `essaim_protocol::log_conformance!(ItsFixture, ())`, which makes one test of
//! each case; the arguments in the parentheses go into `#[tokio::test(…)]`.

pub mod messages;
pub mod owners;
pub mod registry;
pub mod storing;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::log::*;

/// Gives the cases a log.
pub trait Fixture: Sized {
    /// The lease of a host: where the clock is real, longer than a slow machine takes for a few calls.
    const LEASE: Duration;

    /// A log with nothing in it; `None` where there is no server to keep it.
    fn new() -> impl Future<Output = Option<Self>>;

    /// The log.
    fn log(&self) -> &dyn Log;

    /// Closes the log and opens it again.
    fn reopened(self) -> impl Future<Output = Self>;
}

/// Makes the tests of one implementation.
#[macro_export]
macro_rules! log_conformance {
    (@each $fixture:ty, $runtime:tt, [$($module:ident: $($case:ident)+;)+]) => {
        $($($crate::log_conformance!(@one $fixture, $runtime, $module, $case);)+)+
    };
    (@one $fixture:ty, ($($runtime:tt)*), $module:ident, $case:ident) => {
        #[tokio::test($($runtime)*)]
        async fn $case() {
            if let Some(fixture) = <$fixture as $crate::conformance::Fixture>::new().await {
                $crate::conformance::$module::$case(fixture).await;
            }
        }
    };
    ($fixture:ty, $runtime:tt) => {
        $crate::log_conformance!(@each $fixture, $runtime, [
            messages:
                entries_are_read_in_order_until_they_are_acknowledged
                offsets_go_on_when_everything_is_acknowledged
                partitions_are_queues_of_their_own
                no_more_entries_are_read_than_wanted
                a_reader_wakes_up_when_something_is_appended
                a_reader_that_waits_in_vain_gets_nothing
                a_full_partition_takes_nothing_and_others_of_the_call_do
                what_is_parked_takes_room_and_what_is_urgent_needs_none
                a_sender_that_knows_an_older_registry_stores_nothing
                senders_at_once_lose_nothing_and_share_no_offset;
            storing:
                an_acknowledgement_with_an_older_epoch_changes_nothing
                acknowledging_again_counts_nothing_again
                what_an_acknowledgement_does_not_name_stays
                counts_are_those_of_the_entries
                dead_letters_are_kept_once_listed_and_forgotten
                a_dead_letter_that_dies_again_is_another_and_not_forgotten_with_the_first
                many_dead_letters_are_read_page_by_page_and_some_by_their_ids
                everything_is_there_after_reopening
                a_log_counts_on_from_behind_what_a_database_knows
                a_log_is_known_by_its_identity;
            registry:
                a_number_of_partitions_stays_as_it_was_first
                subscriptions_come_and_go_with_a_new_version_each
                registering_the_same_again_changes_nothing
                a_subscription_has_begun_when_it_was_first_made
                a_capability_that_is_retired_leaves_nothing_and_may_begin_anew
                a_capability_with_a_host_is_not_retired;
            owners:
                one_host_owns_everything
                a_second_host_gets_its_half_when_it_is_given_up
                a_host_that_falls_silent_loses_its_partitions_after_its_lease
                a_host_that_leaves_gives_everything_away_at_once
                a_host_that_cannot_handle_what_another_can_owns_nothing
                epochs_rise_with_each_owner_and_after_reopening
                an_owner_whose_database_is_ahead_gets_a_higher_epoch;
        ]);
    };
}
/// The capability of these tests.
pub const SHOP: &str = "shop";

/// More messages than any case appends.
pub const MUCH: u64 = 1_000_000;

/// Long enough for an answer that surely comes.
pub const SURELY: Duration = Duration::from_secs(20);

pub fn partition(number: u32) -> Partition {
    Partition { capability: SHOP.into(), number }
}

/// An append of so many messages; the bytes are their text.
pub fn messages(number: u32, count: u32, text: &str) -> Append {
    Append { to: partition(number), count, batch: Bytes::copy_from_slice(text.as_bytes()), urgent: false }
}

pub fn acknowledge(number: u32, epoch: u64, positions: &[Position]) -> Acknowledge {
    let (tally, dead) = (Tally::default(), Vec::new());
    Acknowledge {
        partition: partition(number),
        epoch,
        positions: positions.to_vec(),
        foreign: Vec::new(),
        tally,
        dead,
        parked: 0,
    }
}

/// Registers the shop.
pub async fn open_shop(log: &dyn Log, partitions: u32) {
    log.register(SHOP, partitions, &[]).await.unwrap();
}

/// Appends with the registry as it is.
pub async fn append(log: &dyn Log, appends: &[Append]) -> Vec<Appended> {
    let version = log.registry().await.unwrap().version;
    log.append(version, MUCH, appends).await.unwrap()
}

/// What is in a partition, from its beginning.
pub async fn read(log: &dyn Log, number: u32) -> Vec<Entry> {
    let reading = Reading { partition: partition(number), after: Position::default(), most: 1_000 };
    let found = log.read(&[reading], Duration::ZERO).await.unwrap();
    found.into_iter().flat_map(|(_, entries)| entries).collect()
}

/// The texts of entries.
pub fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.batch).unwrap()).collect()
}

/// What is counted of one partition.
pub async fn count(log: &dyn Log, number: u32) -> PartitionCount {
    log.counts(SHOP).await.unwrap().into_iter().find(|count| count.number == number).unwrap()
}

/// All dead letters of a capability, in the order of their ids.
pub async fn dead(log: &dyn Log, capability: &str) -> Vec<(String, Bytes)> {
    let (mut all, mut from) = (BTreeMap::new(), None);
    loop {
        let page = log.dead(capability, from.as_deref(), 1).await.unwrap();
        all.extend(page.letters);
        from = page.next;
        if from.is_none() {
            return all.into_iter().collect();
        }
    }
}

/// A host that handles these messages, one letter each.
pub fn host(name: &str, handles: &str, lease: Duration) -> HostHeartbeat {
    HostHeartbeat {
        capability: SHOP.into(),
        host: name.into(),
        handles: handles.chars().map(String::from).collect(),
        leaving: false,
        given_up: Vec::new(),
        unhandled: Vec::new(),
        stale_epochs: Vec::new(),
        lease,
    }
}

/// The epoch of the only host there is, for each partition.
pub async fn own_all(log: &dyn Log, name: &str, lease: Duration) -> Vec<u64> {
    log.heartbeat(&host(name, "a", lease)).await.unwrap().iter().map(|owned| owned.epoch).collect()
}
