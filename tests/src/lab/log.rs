//! What happened to each message.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::Cell;
use super::outcome::faults;
use crate::link::{Dropped, Traffic};

/// A message that leaves at all leaves within this time, so a datagram that was dropped then
/// may have carried it. A data plane that holds messages back longer gets no excuse.
pub(super) const PROMPT: Duration = Duration::from_millis(5);

/// One message's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// When the application sent it.
    pub sent: Instant,
    /// When it arrived for the first time.
    pub arrived: Option<Instant>,
}

impl Flight {
    /// From one application to the other.
    pub fn latency(&self) -> Option<Duration> {
        Some(self.arrived? - self.sent)
    }
}

/// All that a run found.
#[derive(Clone, Debug)]
pub struct Log {
    /// What was measured.
    pub cell: Cell,
    /// Every message by its number, and so by the time when it was sent.
    pub flights: Vec<Flight>,
    /// Messages that arrived again.
    pub duplicates: usize,
    /// Datagrams that the network dropped on the messages' way, oldest first.
    pub dropped: Vec<Dropped>,
    /// Datagrams the messages' way.
    pub forth: Traffic,
    /// Datagrams the other way.
    pub back: Traffic,
    /// Why the connection ended too early, if it did.
    pub ended: Option<String>,
}

impl Log {
    /// A part of it: the messages that were sent from `from` up to `until` after the first.
    /// Traffic stays that of the whole.
    pub fn part(&self, from: Duration, until: Duration) -> Log {
        let load = self.cell.load;
        let flights = (load.messages(from)..load.messages(until)).map(|n| self.flights[n]);
        Log { flights: flights.collect(), ..self.clone() }
    }

    /// What must never happen, whatever the network does, each in words.
    pub fn faults(&self) -> Vec<String> {
        faults(self.duplicates, self.ended.as_ref(), &[])
    }

    /// The messages (by index) that the network has on its conscience: for each a datagram was
    /// dropped when it should have left, big enough, and not already the excuse of others.
    ///
    /// The link sees no plain text, so this goes by time and size. Taking the first fit is the
    /// best there is, because all messages are of one size and their times ascend.
    pub fn excused(&self) -> HashSet<usize> {
        self.struck(|flight| flight.arrived.is_none())
    }

    /// How many messages the network dropped at first, whether or not they arrived with a later
    /// datagram.
    pub fn hit(&self) -> usize {
        self.struck(|_| true).len()
    }

    /// Of these messages, those (by index) that the network dropped when they left first,
    /// whether or not a later datagram brought them.
    pub(super) fn struck(&self, affected: impl Fn(&Flight) -> bool) -> HashSet<usize> {
        let bytes = self.cell.load.bytes;
        let mut drops = self.dropped.iter().map(|drop| (drop.at, drop.size)).peekable();
        let mut struck = HashSet::new();
        for (index, flight) in self.flights.iter().enumerate() {
            if !affected(flight) {
                continue;
            }
            while drops.next_if(|(at, room)| *at < flight.sent || *room < bytes).is_some() {}
            if let Some((at, room)) = drops.peek_mut()
                && *at <= flight.sent + PROMPT
            {
                *room -= bytes;
                struck.insert(index);
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::super::Load;
    use super::*;
    use crate::link::{Cause, Direction};

    const MS: Duration = Duration::from_millis(1);

    /// Messages of 200 bytes every 10 ms, of which these arrived, and dropped datagrams.
    fn log(arrived: &[bool], drops: &[(u32, usize)]) -> Log {
        let now = Instant::now();
        let cell = Cell::new(Load::steady(100, 200), 20 * MS, 0.0, Direction::Up);
        let flights = arrived.iter().enumerate().map(|(index, arrived)| {
            let sent = now + 10 * MS * index as u32;
            Flight { sent, arrived: arrived.then_some(sent + 20 * MS) }
        });
        let drop = |&(ms, size)| {
            let (direction, cause) = (Direction::Up, Cause::Loss);
            Dropped { at: now + ms * MS, direction, number: 0, size, cause }
        };
        Log {
            cell,
            flights: flights.collect(),
            duplicates: 0,
            dropped: drops.iter().map(drop).collect(),
            forth: Traffic::default(),
            back: Traffic::default(),
            ended: None,
        }
    }

    fn excused(arrived: &[bool], drops: &[(u32, usize)]) -> Vec<usize> {
        let mut excused: Vec<_> = log(arrived, drops).excused().into_iter().collect();
        excused.sort_unstable();
        excused
    }

    #[test]
    fn a_drop_excuses_the_message_that_was_sent_then() {
        assert_eq!(excused(&[true, false, true], &[(10, 250)]), [1]);
        assert_eq!(excused(&[true, false, true], &[(15, 250)]), [1]);
    }

    #[test]
    fn a_drop_at_another_time_excuses_nothing() {
        assert!(excused(&[true, false, true], &[(9, 250), (16, 250)]).is_empty());
    }

    #[test]
    fn a_small_drop_excuses_nothing() {
        assert!(excused(&[true, false, true], &[(10, 80)]).is_empty());
        assert_eq!(excused(&[true, false, true], &[(10, 80), (11, 250)]), [1]);
    }

    #[test]
    fn a_drop_excuses_as_many_as_fit() {
        let mut log = log(&[false; 4], &[(0, 700)]);
        let sent = log.flights[0].sent;
        log.flights.iter_mut().for_each(|flight| flight.sent = sent);
        assert_eq!(log.excused().len(), 3);
    }

    #[test]
    fn what_was_repaired_was_hit() {
        let log = log(&[true, true, false, true], &[(10, 450), (20, 250)]);
        assert_eq!((log.hit(), log.excused().len()), (2, 1));
    }

    #[test]
    fn what_arrived_needs_no_excuse() {
        assert!(excused(&[true, true], &[(0, 250), (10, 250)]).is_empty());
    }
}
