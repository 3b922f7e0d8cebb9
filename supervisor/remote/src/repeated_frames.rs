//! Repeated frames: numbers of signed frames that were heard, so that one that was recorded has no effect when it is played
//! again.
//!
//! A frame may come twice, and a frame may come after a later one: while a connection is replaced, both deliver. So what counts is
//! whether a number was heard, not whether it rises. Nothing here is forgotten by the clock. Of a sender that was not heard for
//! long enough to be forgotten, and of all that were there before it, no frame is believed again: epochs rise with time.

use std::collections::{HashMap, VecDeque};

use essaim_protocol::wire::Channel;

/// The numbers of the last frames of all senders.
pub struct HeardFrames {
    /// By the inbox of the sender, which is one epoch of one node, for each channel.
    senders: [HashMap<String, HeardNumbers>; 2],
    /// Frames of senders that are not remembered are believed if their epoch is higher.
    forgotten_epoch: u64,
    most_numbers: usize,
    most_senders: usize,
    /// Counts frames, to tell which sender has been silent for longest.
    turn: u64,
}

struct HeardNumbers {
    epoch: u64,
    /// Rising. Bounded by `most_numbers`.
    numbers: VecDeque<u64>,
    /// Every number up to this one is too old to tell whether it was heard.
    forgotten: u64,
    last_turn: u64,
}

impl HeardFrames {
    /// Bounds: numbers of one sender on one channel (`wire.duplicate_frames`), and senders (`wire.senders`).
    pub fn new(most_numbers: usize, most_senders: usize) -> Self {
        Self { senders: Default::default(), forgotten_epoch: 0, most_numbers, most_senders, turn: 0 }
    }

    /// Records a signed frame, and says whether it is heard for the first time.
    pub fn record(&mut self, channel: Channel, (inbox, epoch): (&str, u64), number: u64) -> bool {
        self.turn += 1;
        let senders = &mut self.senders[channel as usize];
        if let Some(heard) = senders.get_mut(inbox) {
            heard.last_turn = self.turn;
            return heard.record(number, self.most_numbers);
        }
        if epoch <= self.forgotten_epoch {
            return false;
        }
        // What a sender has broadcast before it was first heard is not for this node: somebody may have recorded it. At an inbox all is,
        // since nobody could publish there before it was this node's.
        let forgotten = if channel == Channel::Broadcast { number.saturating_sub(1) } else { 0 };
        let mut heard = HeardNumbers { epoch, numbers: VecDeque::new(), forgotten, last_turn: self.turn };
        let is_new = heard.record(number, self.most_numbers);
        senders.insert(inbox.into(), heard);
        if senders.len() > self.most_senders {
            let silent = senders.iter().min_by_key(|(_, heard)| heard.last_turn).map(|(inbox, _)| inbox.clone());
            if let Some(gone) = silent.and_then(|inbox| senders.remove(&inbox)) {
                self.forgotten_epoch = self.forgotten_epoch.max(gone.epoch);
            }
        }
        debug_assert!(senders.len() <= self.most_senders);
        is_new
    }
}

impl HeardNumbers {
    fn record(&mut self, number: u64, most: usize) -> bool {
        if number <= self.forgotten {
            return false;
        }
        match self.numbers.back() {
            Some(last) if *last >= number => match self.numbers.binary_search(&number) {
                Ok(_) => return false,
                Err(at) => self.numbers.insert(at, number),
            },
            _ => self.numbers.push_back(number),
        }
        if self.numbers.len() > most
            && let Some(oldest) = self.numbers.pop_front()
        {
            self.forgotten = oldest;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: (&str, u64) = ("inbox:a:7", 7);

    #[test]
    fn a_frame_counts_once_also_when_it_comes_behind_a_later_one() {
        let mut heard = HeardFrames::new(3, 8);
        let counts = [1, 5, 3, 5, 1, 3, 9, 0].map(|number| heard.record(Channel::Inbox, A, number));
        assert_eq!(counts, [true, true, true, false, false, false, true, false]);
        assert!(!heard.record(Channel::Inbox, A, 1), "the oldest was forgotten, and is not believed");
        assert!(heard.record(Channel::Inbox, A, 4) && heard.record(Channel::Broadcast, A, 9));
        assert!(!heard.record(Channel::Broadcast, A, 8), "from before it was first heard");
        assert!(heard.record(Channel::Broadcast, A, 11) && heard.record(Channel::Broadcast, A, 10));
    }

    #[test]
    fn a_sender_that_was_forgotten_is_not_believed_again_nor_are_those_before_it() {
        let mut heard = HeardFrames::new(3, 2);
        for (inbox, epoch) in [A, ("inbox:b:8", 8), ("inbox:c:9", 9)] {
            assert!(heard.record(Channel::Broadcast, (inbox, epoch), 1), "{inbox}");
        }
        for (inbox, epoch) in [A, ("inbox:old:6", 6)] {
            assert!(!heard.record(Channel::Broadcast, (inbox, epoch), 2), "{inbox}");
        }
        assert!(heard.record(Channel::Broadcast, ("inbox:b:8", 8), 2), "it is remembered");
        assert!(heard.record(Channel::Broadcast, ("inbox:a:10", 10), 1), "a later epoch is another sender");
    }
}
