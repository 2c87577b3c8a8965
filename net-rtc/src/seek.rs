//! Finding the peer that a record from an unknown address belongs to.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

/// Peers on which one datagram is tried at most, of each kind.
const TRIES: usize = 4;
/// Silent peers among which those are chosen that may have come from another IP: those that
/// fell silent last.
const SILENT: usize = 64;

/// Peers by what makes them findable. One of the same IP may be behind a NAT that has changed
/// its port. Of another IP, one may have moved that has just fallen silent.
#[derive(Debug)]
pub(crate) struct Seek {
    by_ip: HashMap<IpAddr, Vec<usize>>,
    /// Since when, and who.
    silent: BTreeSet<(Instant, usize)>,
    near: Tokens,
    far: Tokens,
    turn: usize,
}

/// How one peer can be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findable {
    /// Where it is, if its session is established.
    pub(crate) ip: Option<IpAddr>,
    /// Since when it has been silent, if it is.
    pub(crate) silent: Option<Instant>,
}

/// What may be done so often a second.
#[derive(Debug)]
pub(crate) struct Tokens {
    left: f64,
    /// A second's worth is the most that is kept.
    rate: f64,
    filled: Option<Instant>,
}

impl Seek {
    /// Each kind of peer is tried so often a second at most.
    pub(crate) fn new(trials: u32) -> Seek {
        let (near, far) = (Tokens::new(trials), Tokens::new(trials));
        Seek { by_ip: HashMap::new(), silent: BTreeSet::new(), near, far, turn: 0 }
    }

    /// A peer has changed.
    pub(crate) fn replace(&mut self, slot: usize, old: Findable, new: Findable) {
        if old.ip != new.ip {
            self.leave(slot, old.ip);
            new.ip.into_iter().for_each(|ip| self.by_ip.entry(ip).or_default().push(slot));
        }
        if old.silent != new.silent {
            old.silent.into_iter().for_each(|since| _ = self.silent.remove(&(since, slot)));
            new.silent.into_iter().for_each(|since| _ = self.silent.insert((since, slot)));
        }
    }

    /// How many can be found, counted for each way of finding them.
    pub(crate) fn len(&self) -> usize {
        self.by_ip.values().map(Vec::len).sum::<usize>() + self.silent.len()
    }

    /// Peers that a record from this IP may be of, the likelier first. Each is paid for.
    pub(crate) fn candidates(&mut self, now: Instant, ip: IpAddr) -> Vec<usize> {
        self.turn = self.turn.wrapping_add(TRIES);
        let near = self.by_ip.get(&ip).map(Vec::as_slice).unwrap_or_default();
        let mut found: Vec<usize> = in_turn(near.len(), self.turn).map(|at| near[at]).collect();
        found.truncate(self.near.take(now, found.len()));
        // Looking is not free either.
        if self.far.refill(now) {
            let far = self.far(near);
            found.extend_from_slice(&far[..self.far.take(now, far.len())]);
        }
        found
    }

    fn far(&self, near: &[usize]) -> Vec<usize> {
        let last = self.silent.iter().rev().map(|(_, slot)| *slot).take(SILENT);
        let last: Vec<usize> = last.collect();
        let chosen = in_turn(last.len(), self.turn).map(|at| last[at]);
        chosen.filter(|slot| !near.contains(slot)).collect()
    }

    fn leave(&mut self, slot: usize, ip: Option<IpAddr>) {
        let Some(ip) = ip else { return };
        if let Some(slots) = self.by_ip.get_mut(&ip) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.by_ip.remove(&ip);
            }
        }
    }
}

impl Tokens {
    /// So many a second, and a second's worth at first.
    pub(crate) fn new(rate: u32) -> Tokens {
        Tokens { left: f64::from(rate), rate: f64::from(rate), filled: None }
    }

    /// Whether there are any.
    fn refill(&mut self, now: Instant) -> bool {
        let elapsed = self.filled.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.filled = self.filled.max(Some(now));
        self.left = (self.left + elapsed * self.rate).min(self.rate);
        self.left >= 1.0
    }

    /// How many of so many may be had.
    pub(crate) fn take(&mut self, now: Instant, wanted: usize) -> usize {
        self.refill(now);
        let taken = wanted.min(self.left as usize);
        self.left -= taken as f64;
        taken
    }
}

/// A few of so many, others each time.
fn in_turn(count: usize, turn: usize) -> impl Iterator<Item = usize> {
    (0..count.min(TRIES)).map(move |step| turn.wrapping_add(step) % count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn at(last: u8) -> Findable {
        Findable { ip: Some(ip(last)), silent: None }
    }

    #[test]
    fn neighbours_come_first_and_then_the_silent() {
        let now = Instant::now();
        let mut seek = Seek::new(100);
        seek.replace(1, Findable::default(), at(1));
        seek.replace(2, Findable::default(), at(2));
        seek.replace(3, Findable::default(), at(2));
        assert_eq!(seek.candidates(now, ip(1)), [1]);
        assert_eq!(seek.candidates(now, ip(9)), []);
        seek.replace(3, at(2), Findable { silent: Some(now), ..at(2) });
        assert_eq!(seek.candidates(now, ip(1)), [1, 3]);
        assert_eq!(seek.candidates(now, ip(2)).len(), 2, "nobody is tried twice");
        seek.replace(1, at(1), Findable::default());
        assert_eq!(seek.candidates(now, ip(1)), [3]);
        assert_eq!(seek.by_ip.len(), 1, "who is gone leaves nothing");
    }

    #[test]
    fn many_are_tried_in_turn() {
        let now = Instant::now();
        let mut seek = Seek::new(1_000);
        (0..64).for_each(|slot| seek.replace(slot, Findable::default(), at(1)));
        let mut tried: Vec<usize> = (0..16).flat_map(|_| seek.candidates(now, ip(1))).collect();
        tried.sort_unstable();
        assert!(tried.into_iter().eq(0..64));
    }

    #[test]
    fn a_second_has_so_many_trials() {
        let now = Instant::now();
        let mut seek = Seek::new(10);
        seek.replace(1, Findable::default(), Findable { ip: Some(ip(1)), silent: Some(now) });
        let mut trials = |at: Instant, from: u8| -> usize {
            (0..60_000).map(|_| seek.candidates(at, ip(from)).len()).sum()
        };
        assert_eq!((trials(now, 1), trials(now, 1)), (10, 0));
        assert_eq!(trials(now, 2), 10, "neighbours do not take the trials of others");
        assert_eq!(trials(now + SECOND / 2, 1), 5);
        assert_eq!(trials(now + SECOND * 60, 1), 10);
    }
}
