//! The decoder of frames, with many small mutations of good and bad frames.
//!
//! The body is the one that `fuzz/` gives to libFuzzer where there is a nightly compiler; here it is fed by a mutator that
//! knows a little of MessagePack, from the same corpus and the same seed each time.

use std::process::Command;
use std::time::Duration;

use essaim::{Env, fuzz};

use crate::support::{Process, repository};

/// Inputs that are tried.
const INPUTS: usize = 200_000;
/// The longest input, in bytes.
const LONGEST: usize = 4 << 10;
/// The most memory that the process may take while it tries them beyond what it had before, in KiB. A list without its
/// items costs at most a reserve of 1 MiB, even if it declares a greater length.
const MOST_GROWTH_KIB: u64 = 16 << 10;

/// Bytes with which MessagePack begins lists, maps, texts and binaries of every width, nothing, numbers and floats.
const MARKERS: &[u8] = &[
    0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcc, 0xcd,
    0xce, 0xcf, 0xd0, 0xd3, 0xd4, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff,
];

/// Makes inputs of other inputs.
struct Mutator {
    env: Env,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    fn new(seed: u64) -> Self {
        let mut files: Vec<_> = std::fs::read_dir(repository().join("fuzz/corpus/frame"))
            .expect("there is a corpus")
            .map(|entry| entry.expect("the corpus can be read").path())
            .collect();
        files.sort();
        let corpus: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("the corpus can be read")).collect();
        assert!(corpus.len() > 20, "the corpus was not found");
        Self { env: Env::simulated(seed, Duration::ZERO), corpus }
    }

    /// A number below `limit`.
    fn below(&self, limit: usize) -> usize {
        (self.env.random() % limit.max(1) as u64) as usize
    }

    fn any(&self) -> &[u8] {
        &self.corpus[self.below(self.corpus.len())]
    }

    fn next(&self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn change(&self, input: &mut Vec<u8>) {
        let (at, other) = (self.below(input.len()), self.any());
        if input.is_empty() {
            return input.extend(other);
        }
        match self.below(9) {
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = MARKERS[self.below(MARKERS.len())],
            2 => input.truncate(at),
            3 => input.insert(at, MARKERS[self.below(MARKERS.len())]),
            4 => drop(input.drain(at..(at + self.below(8)).min(input.len()))),
            // The end of another frame, or a piece of it in the middle.
            5 => input.splice(at.., other[self.below(other.len())..].iter().copied()).for_each(drop),
            6 => {
                let from = self.below(other.len());
                let piece = other[from..(from + self.below(64)).min(other.len())].to_vec();
                input.splice(at..at, piece).for_each(drop);
            }
            // A length of four bytes that is not true.
            7 => {
                let marker = [0xc6, 0xdb, 0xdd, 0xdf][self.below(4)];
                let length = (self.env.random() as u32).to_be_bytes();
                input.splice(at..at, [&[marker], &length[..]].concat()).for_each(drop);
            }
            _ => input.extend(other),
        }
    }
}

#[test]
fn every_frame_of_the_corpus_is_read_as_far_as_it_should_be() {
    let read = |name: &str| {
        let bytes = std::fs::read(repository().join("fuzz/corpus/frame").join(name));
        fuzz::frame(&bytes.unwrap_or_else(|e| panic!("{name}: {e}")))
    };
    for (name, messages) in [
        ("ask-answered", 1),
        ("ask-cycle", 1),
        ("ask-full", 1),
        ("answer-answered", 1),
        ("beat", 1),
        ("cast", 1),
        ("largest-numbers", 1),
        ("words", 4),
        ("many", 5),
        ("errors", 24),
        ("empty", 0),
        ("many-promised", 1),
    ] {
        assert_eq!(read(name), Some(messages), "{name}");
    }
    for name in ["version-2", "deep", "long-list", "long-map", "long-text", "long-binary"] {
        assert_eq!(read(name), None, "{name}: nothing of it can be read");
    }
}

/// Runs the worker below alone in a process, where its memory can be measured and an abort is seen.
#[test]
fn no_frame_makes_the_decoder_panic_or_take_much_memory() {
    let mut command = Command::new(std::env::current_exe().expect("this is a program"));
    command.args(["--exact", "hostile::fuzz::worker", "--ignored", "--nocapture"]);
    let mut worker = Process::start("the fuzzed decoder", &mut command);
    assert_eq!(worker.exit_code(), Some(0), "{:#?}", worker.lines());
    assert!(worker.has_line("frames were tried"), "{:#?}", worker.lines());
}

#[test]
#[ignore = "no_frame_makes_the_decoder_panic_or_take_much_memory runs it in a process of its own"]
fn worker() {
    let mutator = Mutator::new(1);
    let _: usize = mutator.corpus.iter().filter_map(|input| fuzz::frame(input)).sum();
    let before = most_memory_kib();
    let mut read = 0_usize;
    for number in 0..INPUTS {
        let input = mutator.next();
        let outcome = std::panic::catch_unwind(|| fuzz::frame(&input));
        let messages = outcome.unwrap_or_else(|_| panic!("input {number} of seed 1: {input:02x?}"));
        read += usize::from(messages.is_some_and(|count| count > 0));
    }
    let grown = most_memory_kib() - before;
    println!("{INPUTS} frames were tried, {read} had messages; memory grew by {grown} KiB");
    assert!(read > INPUTS / 20, "a mutator that spoils everything tests little");
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more");
}

/// The most memory that this process has had, in KiB.
fn most_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
