//! The sending half: which TSNs are out, what became of them, and when to give them up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::packet::Sack;
use super::rtt::Rtt;
use super::tsn::Tsn;

/// TSNs that are remembered at most. At 600 messages a second this is seven seconds.
const FLIGHTS: usize = 4_096;
/// A TSN is given up when later ones have arrived and it is older than one and a half round
/// trips and this.
const PATIENCE: Duration = Duration::from_millis(30);
/// If nothing later has arrived it may be the peer that waits with its SACK (RFC 9260 §6.2).
const SACK_DELAY: Duration = Duration::from_millis(250);
/// Never more often than this is a FORWARD-TSN sent.
const FORWARD_PAUSE: Duration = Duration::from_millis(20);
/// Without an answer the pause doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// So many SACKs, over so long, must show that a peer does not move when it is told to.
const STUCK_SACKS: u32 = 8;
const STUCK_TIME: Duration = Duration::from_secs(2);

/// Gives out TSNs, and moves the peer past what was lost (RFC 3758 §3.5): nothing is ever sent
/// again, so nothing ever waits for something that was lost.
#[derive(Debug)]
pub(crate) struct Sender {
    next: Tsn,
    /// The last that the peer has spoken of.
    last_arrived: Option<Tsn>,
    /// One for each TSN from the peer's cumulative one to the next.
    flights: VecDeque<Flight>,
    /// How many at the front have met their fate; a FORWARD-TSN may pass them.
    settled: usize,
    rtt: Rtt,
    forwarded: Option<Instant>,
    pause: Duration,
    stuck: Stuck,
}

/// Whether the peer stays where it is although it was told to move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stuck {
    No,
    /// Since then, and so many SACKs have said so.
    Since(Instant, u32),
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    left: Instant,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Arrived,
    GivenUp,
}

/// What a SACK told, in chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) arrived: u32,
    pub(crate) lost: u32,
}

/// A SACK that no honest peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverSent;

impl Sender {
    pub(crate) fn new(next: Tsn) -> Sender {
        Sender {
            next,
            last_arrived: None,
            flights: VecDeque::new(),
            settled: 0,
            rtt: Rtt::default(),
            forwarded: None,
            pause: FORWARD_PAUSE,
            stuck: Stuck::No,
        }
    }

    /// Gives the next TSN to a chunk that leaves now.
    pub(crate) fn send(&mut self, now: Instant) -> Tsn {
        let tsn = self.next;
        self.next = tsn.plus(1);
        self.flights.push_back(Flight { left: now, fate: Fate::Unknown });
        if self.flights.len() > FLIGHTS {
            // A peer that never answers: what it does not know of is forgotten.
            self.flights.pop_front();
            self.settled = self.settled.saturating_sub(1);
        }
        tsn
    }

    /// Takes the peer's word for what arrived.
    pub(crate) fn on_sack(&mut self, now: Instant, sack: &Sack<'_>) -> Result<Told, NeverSent> {
        let last = self.next.minus(1);
        if sack.cumulative > last || sack.gaps().any(|(from, to)| to > last || from > to) {
            return Err(NeverSent);
        }
        let mut told = Told::default();
        let before = self.acked();
        if sack.cumulative < before {
            return Ok(told);
        }
        for (from, to) in sack.gaps() {
            self.arrived(now, from, to, &mut told);
        }
        self.arrived(now, before.plus(1), sack.cumulative, &mut told);
        self.count_stuck(now, sack.cumulative == before);
        self.forget(sack.cumulative);
        told.lost += self.give_up(now);
        Ok(told)
    }

    /// Gives up what is too old; tells how many chunks were lost on the way for sure, because
    /// later ones arrived.
    pub(crate) fn give_up(&mut self, now: Instant) -> u32 {
        let mut lost = 0;
        for index in self.settled..self.flights.len() {
            let (limit, passed) = (self.limit(index), self.is_passed(index));
            let flight = &mut self.flights[index];
            if flight.left + limit > now {
                break;
            }
            if flight.fate == Fate::Unknown {
                flight.fate = Fate::GivenUp;
                lost += u32::from(passed);
            }
        }
        self.settle();
        lost
    }

    /// The TSN to which the peer should be moved, if it is time to say so. `riding` in a packet
    /// that leaves anyway costs nothing, so then it need not wait as long.
    pub(crate) fn forward(&mut self, now: Instant, riding: bool) -> Option<Tsn> {
        let pause = if riding { FORWARD_PAUSE } else { self.pause() };
        if self.settled == 0 || self.forwarded.is_some_and(|at| now < at + pause) {
            return None;
        }
        self.forwarded = Some(now);
        if self.stuck == Stuck::No {
            self.stuck = Stuck::Since(now, 0);
        }
        if !riding {
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Some(self.acked().plus(self.settled as u32))
    }

    /// When there is something to give up, or to say.
    pub(crate) fn wake(&self) -> Option<Instant> {
        if self.settled > 0 {
            return self.forwarded.map_or_else(
                || self.flights.front().map(|flight| flight.left),
                |at| Some(at + self.pause()),
            );
        }
        self.flights.front().map(|flight| flight.left + self.limit(0))
    }

    /// The highest TSN up to which the peer has, or has been told to forget, everything.
    pub(crate) fn acked(&self) -> Tsn {
        self.next.minus(1 + self.flights.len() as u32)
    }

    /// The TSN that the next chunk gets.
    pub(crate) fn next(&self) -> Tsn {
        self.next
    }

    /// Whether the peer does not follow FORWARD-TSN: it was told to move on, again and again,
    /// and has spoken since, and is where it was.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        match self.stuck {
            Stuck::No => false,
            Stuck::Since(at, sacks) => sacks >= STUCK_SACKS && now >= at + STUCK_TIME,
        }
    }

    pub(crate) fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    fn arrived(&mut self, now: Instant, from: Tsn, to: Tsn, told: &mut Told) {
        let base = self.acked().plus(1);
        if to >= base {
            self.last_arrived = Some(self.last_arrived.map_or(to, |last| last.max(to)));
        }
        let (first, last) = (from.since(base).max(0), to.since(base));
        for index in first..=last {
            let Some(flight) = self.flights.get_mut(index as usize) else { break };
            if flight.fate == Fate::Unknown {
                told.arrived += 1;
                if index == last {
                    self.rtt.sample(now.saturating_duration_since(flight.left));
                }
            }
            flight.fate = Fate::Arrived;
        }
    }

    /// A SACK that was on its way when the peer was told says nothing yet.
    fn count_stuck(&mut self, now: Instant, still: bool) {
        self.stuck = match self.stuck {
            Stuck::Since(at, sacks) if still => {
                let heard = now >= at + self.rtt.smoothed() * 2;
                Stuck::Since(at, sacks + u32::from(heard))
            }
            Stuck::Since(..) | Stuck::No => Stuck::No,
        };
    }

    /// Drops what the peer's cumulative TSN covers.
    fn forget(&mut self, cumulative: Tsn) {
        let count = cumulative.since(self.acked()).max(0) as usize;
        self.flights.drain(..count.min(self.flights.len()));
        self.settled = self.settled.saturating_sub(count);
        if count > 0 {
            self.pause = FORWARD_PAUSE;
        }
        self.settle();
    }

    fn settle(&mut self) {
        let rest = self.flights.iter().skip(self.settled);
        self.settled += rest.take_while(|flight| flight.fate != Fate::Unknown).count();
    }

    /// How old a flight may become.
    fn limit(&self, index: usize) -> Duration {
        let patience = self.rtt.smoothed().mul_f64(1.5) + PATIENCE;
        if self.is_passed(index) { patience } else { patience + SACK_DELAY }
    }

    /// Whether a later one has arrived.
    fn is_passed(&self, index: usize) -> bool {
        let tsn = self.acked().plus(1 + index as u32);
        self.last_arrived.is_some_and(|last| tsn < last)
    }

    fn pause(&self) -> Duration {
        self.pause.max(self.rtt.smoothed() / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::packet::{Chunk, kind};
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const START: Tsn = Tsn(u32::MAX - 3);

    struct Bench {
        sender: Sender,
        now: Instant,
    }

    /// A sender that has sent this many chunks, one a millisecond.
    fn sent(count: u32) -> Bench {
        let mut bench = Bench { sender: Sender::new(START), now: Instant::now() };
        for index in 0..count {
            assert_eq!(bench.sender.send(bench.now), START.plus(index));
            bench.now += MS;
        }
        bench
    }

    impl Bench {
        /// A SACK that speaks of the `cumulative` first chunks and of blocks beyond them.
        fn sack(&mut self, cumulative: u32, gaps: &[(u16, u16)]) -> Result<Told, NeverSent> {
            let mut value = START.plus(cumulative).minus(1).0.to_be_bytes().to_vec();
            value.extend([0; 4]);
            value.extend((gaps.len() as u16).to_be_bytes());
            value.extend([0; 2]);
            for (from, to) in gaps {
                value.extend(from.to_be_bytes());
                value.extend(to.to_be_bytes());
            }
            let chunk = Chunk { kind: kind::SACK, flags: 0, value: &value };
            self.sender.on_sack(self.now, &Sack::parse(&chunk).unwrap())
        }
    }

    fn told(arrived: u32, lost: u32) -> Result<Told, NeverSent> {
        Ok(Told { arrived, lost })
    }

    #[test]
    fn what_is_acknowledged_is_forgotten() {
        let mut bench = sent(10);
        assert_eq!(bench.sack(4, &[]), told(4, 0));
        assert_eq!(bench.sender.acked(), START.plus(3));
        assert_eq!(bench.sack(10, &[]), told(6, 0));
        assert_eq!((bench.sender.wake(), bench.sender.forward(bench.now, false)), (None, None));
    }

    #[test]
    fn the_lost_are_given_up_and_passed() {
        let mut bench = sent(10);
        bench.now += 20 * MS;
        assert_eq!(bench.sack(2, &[(2, 3), (5, 8)]), told(8, 0));
        assert_eq!(bench.sender.forward(bench.now, false), None, "too early to give up");
        bench.now = bench.sender.wake().unwrap();
        assert_eq!(bench.sender.give_up(bench.now), 1);
        bench.now += 2 * MS;
        assert_eq!(bench.sender.give_up(bench.now), 0, "each is counted once");
        bench.now += MS;
        assert_eq!(bench.sender.give_up(bench.now), 1);
        assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(9)));
        assert_eq!(bench.sender.forward(bench.now, true), None, "not twice at once");
        bench.now += FORWARD_PAUSE;
        assert_eq!(bench.sender.forward(bench.now, true), Some(START.plus(9)), "until it is heard");
        assert_eq!(bench.sack(10, &[]), told(0, 0));
        assert_eq!(bench.sender.forward(bench.now + FORWARD_PAUSE, true), None);
    }

    #[test]
    fn a_sack_that_waits_is_no_loss() {
        let mut bench = sent(2);
        bench.now += 20 * MS;
        assert_eq!(bench.sack(2, &[]), told(2, 0));
        bench.sender.send(bench.now);
        bench.now += 200 * MS;
        assert_eq!((bench.sender.give_up(bench.now), bench.sender.settled), (0, 0));
        assert_eq!(bench.sack(3, &[]), told(1, 0));
        bench.sender.send(bench.now);
        bench.now = bench.sender.wake().unwrap();
        assert_eq!(bench.sender.give_up(bench.now), 0, "nobody knows whether it was lost");
        assert_eq!(bench.sender.forward(bench.now, false), Some(START.plus(3)));
    }

    #[test]
    fn without_an_answer_it_is_said_less_and_less_often() {
        let mut bench = sent(1);
        let mut said = Vec::new();
        let end = bench.now + Duration::from_secs(10);
        while let Some(wake) = bench.sender.wake().filter(|wake| *wake < end) {
            bench.now = bench.now.max(wake);
            bench.sender.give_up(bench.now);
            said.extend(bench.sender.forward(bench.now, false));
        }
        assert!((5..=20).contains(&said.len()), "{} in ten seconds", said.len());
    }

    /// A peer that tells the truth about what a random network lets through, late or never.
    #[test]
    fn only_what_was_lost_is_told_lost_and_only_what_was_sent_is_passed() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let loss = random.random_range(0.0..0.6);
            let (mut bench, mut arrived) = (sent(0), BTreeSet::new());
            let (mut sent, mut floor, mut told) = (0u32, 0u32, Told::default());
            for _ in 0..400 {
                bench.now += Duration::from_micros(random.random_range(0..20_000));
                for _ in 0..random.random_range(0..4) {
                    bench.sender.send(bench.now);
                    arrived.extend(random.random_bool(1.0 - loss).then_some(sent));
                    sent += 1;
                }
                told.lost += bench.sender.give_up(bench.now);
                if let Some(to) = bench.sender.forward(bench.now, random.random())
                    && random.random_bool(1.0 - loss)
                {
                    floor = floor.max(to.since(START) as u32 + 1);
                }
                if random.random_bool(0.7) {
                    let (cumulative, gaps) = truth(&arrived, floor);
                    let new = bench.sack(cumulative, &gaps).unwrap();
                    told.arrived += new.arrived;
                    told.lost += new.lost;
                }
            }
            assert!(told.arrived as usize <= arrived.len(), "seed {seed}");
            assert!(told.lost as usize <= sent as usize - arrived.len(), "seed {seed}");
            assert!(floor <= sent, "seed {seed}");
            bench.now += Duration::from_secs(60);
            bench.sender.give_up(bench.now);
            assert_eq!(bench.sender.settled, bench.sender.flights.len(), "seed {seed}");
        }
    }

    /// What a receiver that has these chunks, and was moved to `floor`, says.
    fn truth(arrived: &BTreeSet<u32>, floor: u32) -> (u32, Vec<(u16, u16)>) {
        let mut cumulative = floor;
        while arrived.contains(&cumulative) {
            cumulative += 1;
        }
        let mut gaps: Vec<(u16, u16)> = Vec::new();
        for chunk in arrived.range(cumulative..) {
            let offset = (chunk - cumulative) as u16 + 1;
            match gaps.last_mut() {
                Some((_, last)) if *last + 1 == offset => *last = offset,
                _ => gaps.push((offset, offset)),
            }
        }
        (cumulative, gaps)
    }

    #[test]
    fn a_peer_that_does_not_move_when_told_is_stuck() {
        for moves in [true, false] {
            let mut bench = sent(3);
            for round in 0..100 {
                bench.now += 50 * MS;
                bench.sender.send(bench.now);
                bench.sender.give_up(bench.now);
                bench.sender.forward(bench.now, true);
                let cumulative = if moves { round } else { 0 };
                bench.sack(cumulative, &[(2, 2)]).unwrap();
            }
            assert_eq!(bench.sender.is_stuck(bench.now), !moves);
        }
    }

    #[test]
    fn no_honest_peer_acknowledges_what_was_never_sent() {
        assert_eq!(sent(5).sack(6, &[]), Err(NeverSent));
        assert_eq!(sent(5).sack(2, &[(2, 4)]), Err(NeverSent));
        assert_eq!(sent(5).sack(2, &[(3, 2)]), Err(NeverSent));
        assert_eq!(sent(5).sack(2, &[(2, 3)]), told(4, 0));
        assert_eq!(
            sent(5).sack((1 << 31) + 10, &[]),
            told(0, 0),
            "half the circle away is the past"
        );
    }

    #[test]
    fn an_old_sack_says_nothing() {
        let mut bench = sent(5);
        assert_eq!(bench.sack(4, &[]), told(4, 0));
        assert_eq!(bench.sack(2, &[(1, 1)]), told(0, 0));
        assert_eq!(bench.sender.acked(), START.plus(3));
    }

    #[test]
    fn a_peer_that_never_answers_costs_a_bounded_amount() {
        let bench = sent(20_000);
        assert_eq!(bench.sender.flights.len(), FLIGHTS);
        assert_eq!(bench.sender.acked(), START.plus(20_000 - 1).minus(FLIGHTS as u32));
    }
}
