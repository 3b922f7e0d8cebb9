//! What goes between the node that is asked and a capability's host. It is an ask of the runtime's own: the same routing,
//! deadlines and frames, but no permit of the actor's, since it is the runtime that answers, however busy the actor is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::api::{DeadLetterSummary, DeadPosition, ParkedLine, Refused};

/// What follows a capability's name in the wire name of the runtime's own ask.
const OWN: &str = ".essaim-durable.v1";

/// The wire name of the ask for a capability's durable messages.
pub(crate) fn name_of(capability: &str) -> String {
    format!("{capability}{OWN}")
}

/// The capability of such a name.
pub(crate) fn capability_of(name: &str) -> Option<&str> {
    name.strip_suffix(OWN)
}

/// What a host is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Its dead letters; answered with [`DeadLetterSummary`]s in the order of their deaths, as many as go into one answer, and with
    /// none after the last one.
    List(DeadFilter),
    /// The dead letters with this id; answered with `DeadLetterDetail`s.
    Show(String),
    /// Tries these again; answered with [`LetterResults`].
    Replay(LetterSelection),
    /// Forgets these; answered with [`LetterResults`].
    Drop(LetterSelection),
    /// Checks a payload for a letter; answered with a [`LetterAnswer`] of a `CheckedPayload`.
    CheckEdited(EditedLetter),
    /// Tries a letter again with another payload; answered with a [`LetterAnswer`] of [`LetterResults`].
    ReplayEdited(EditedLetter),
    /// Runs the handler of a letter's message without effect; answered with a [`LetterAnswer`] of a `RehearsedLetter`.
    Rehearse(EditedLetter),
    /// Answered with `LedgerLine`s.
    Ledger,
    /// Its parked messages; answered with [`ParkedLine`]s in the order of partitions and places.
    ListParked(ParkedPage),
    /// Tries these parked messages now; answered with their ids.
    RetryParked(Vec<String>),
    /// Where the messages of this id, or with this key, are; answered with a `MessagePlaces`.
    Locate(String),
    /// What it keeps of a subject; answered with `KeptRecord`s.
    FindSubject(String),
    /// Erases what it keeps of a subject; answered with an [`ErasedHere`].
    EraseSubject { subject: String, parked: bool },
    /// Its schedules; answered with `ScheduleLine`s.
    ListSchedules,
    /// Fires the schedule of this name now; answered with the id of its command, or with none if there is none of that name.
    FireSchedule(String),
}

/// Which dead letters are listed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeadFilter {
    pub capability: Option<String>,
    pub reason: Option<String>,
    pub name: Option<String>,
    pub until_ms: Option<u64>,
    pub after: Option<DeadPosition>,
    pub most: u32,
}

/// Which parked messages are listed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ParkedPage {
    pub after: (u32, u64),
    pub most: u32,
}

/// Where a host's database has messages of an id, or with a key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MessagePlaces {
    pub parked: Vec<ParkedLine>,
    pub dead: Vec<DeadLetterSummary>,
    /// Whether a message of that id was applied, or settled otherwise.
    pub settled: bool,
    /// Events that wait on disk for a subscriber that has no room, by subscriber.
    pub overflows: BTreeMap<String, u64>,
    /// How many messages are to leave the outbox before it, if it is among the first of them.
    pub before_in_outbox: Option<u64>,
    /// Why messages do not leave the outbox now.
    pub stalled: BTreeSet<String>,
}

/// What a host has erased of a subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ErasedHere {
    pub dead: u64,
    pub retained: u64,
    pub parked: u64,
    pub refused: Vec<String>,
}

/// Which dead letters something is done about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LetterSelection {
    pub ids: Vec<String>,
    pub capability: Option<String>,
}

/// A letter of the capability's own, with the payload that somebody has written for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EditedLetter {
    pub id: String,
    /// As JSON; `None`: its own.
    pub payload: Option<String>,
}

/// What a host says of a letter with another payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LetterAnswer<T> {
    Done(T),
    /// The host keeps no letter of its own with that id.
    Gone,
    /// The payload, or the letter, cannot be read, in words for who wrote it. Nothing was done.
    Unreadable(String),
}

/// The outcome for dead letters; one that is not named is not here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LetterResults {
    pub done: Vec<DeadLetterSummary>,
    pub refused: Vec<Refused>,
}
