//! The sending half: which TSNs are out, what became of them, and when to give them up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::flight::{Care, Fate, First, Flight, Told};
use super::packet::Sack;
use super::repair::KEPT;
use super::rtt::Rtt;
use super::stuck::Stuck;
use super::tsn::Tsn;
use super::weather::Weather;
use super::witness::Witness;

/// TSNs that are remembered at most. At 600 messages a second this is seven seconds.
const FLIGHTS: usize = 4_096;
/// Most memory that they can take.
pub(super) const MEMORY: usize = FLIGHTS * size_of::<Flight>();
/// A TSN is given up when later ones have arrived and it is older than one and a half round
/// trips and this.
const PATIENCE: Duration = Duration::from_millis(30);
/// If nothing later has arrived it may be the peer that waits with its SACK (RFC 9260 §6.2).
const SACK_DELAY: Duration = Duration::from_millis(250);
/// Never more often than this is a FORWARD-TSN sent.
const FORWARD_PAUSE: Duration = Duration::from_millis(20);
/// Without an answer the pause doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the round trip of a packet after a pause may go unmeasured before a SACK is asked
/// for (RFC 7053); of any packet, four times as long.
const ASK: Duration = Duration::from_millis(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Gives out TSNs, and moves the peer past what was lost (RFC 3758 §3.5): nothing ever waits
/// for something that was lost.
#[derive(Debug)]
pub(crate) struct Sender {
    next: Tsn,
    /// The number of the packet in the making.
    packet: u32,
    /// The last that the peer has spoken of.
    last_arrived: Option<Tsn>,
    /// One for each TSN from the peer's cumulative one to the next.
    flights: VecDeque<Flight>,
    /// How many at the front have met their fate; a FORWARD-TSN may pass them.
    settled: usize,
    rtt: Rtt,
    weather: Weather,
    witness: Witness,
    /// When the round trip was last measured, or a SACK was asked for to measure it.
    asked: Option<Instant>,
    /// When the last packet left.
    last_left: Option<Instant>,
    forwarded: Option<Instant>,
    /// Since when the peer is told to move on, and does not.
    telling: Option<Instant>,
    pause: Duration,
    stuck: Stuck,
}

/// A SACK that no honest peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverSent;

impl Sender {
    pub(crate) fn new(next: Tsn) -> Sender {
        Sender {
            next,
            packet: 0,
            last_arrived: None,
            flights: VecDeque::new(),
            settled: 0,
            rtt: Rtt::default(),
            weather: Weather::new(),
            witness: Witness::Unproven(0),
            asked: None,
            last_left: None,
            forwarded: None,
            telling: None,
            pause: FORWARD_PAUSE,
            stuck: Stuck::default(),
        }
    }

    /// Gives the next TSN to a chunk of the packet in the making, which leaves now. `kept` is
    /// one that may ride again.
    pub(crate) fn send(&mut self, now: Instant, bytes: usize, kept: bool) -> Tsn {
        let tsn = self.next;
        self.next = tsn.plus(1);
        if self.flights.len() >= FLIGHTS {
            // A peer that never answers: what it does not know of is forgotten.
            self.flights.pop_front();
            self.settled = self.settled.saturating_sub(1);
        }
        self.flights.push_back(Flight::new(now, self.packet, bytes, kept));
        tsn
    }

    /// The packet in the making is made, of so many bytes; tells whether to ask for an acknowledgement at once.
    /// `copies` are in it, which makes the peer speak anyway, now or for the next packet.
    pub(crate) fn end_packet(&mut self, now: Instant, bytes: usize, copies: bool) -> bool {
        self.charge(bytes);
        self.packet = self.packet.wrapping_add(1);
        let leads = self.last_left.is_none_or(|last| now >= last + PAUSE);
        let pause = if leads { ASK } else { ASK * 4 };
        // The first packet meets no queue of ours: it must not be missed.
        let asks = copies || self.asked.is_none_or(|asked| now >= asked + pause);
        self.last_left = Some(now);
        self.asked = if asks { Some(now) } else { self.asked };
        if let Some(flight) = self.flights.back_mut() {
            (flight.leads, flight.prompt) = (leads, asks);
        }
        asks
    }

    /// The number of the packet in the making.
    pub(crate) fn packet(&self) -> u32 {
        self.packet
    }

    /// A chunk rides again in the packet in the making; false if the peer needs it no more.
    pub(crate) fn copy(&mut self, tsn: Tsn) -> bool {
        let packet = self.packet;
        let Some(index) = self.index(tsn) else { return false };
        let Some(flight) = self.flights.get_mut(index) else { return false };
        if flight.fate != Fate::Unknown {
            return false;
        }
        if flight.care == Care::Kept {
            flight.care = Care::Copied(packet);
        }
        true
    }

    /// Takes the peer's word for what arrived.
    pub(crate) fn on_sack(&mut self, now: Instant, sack: &Sack<'_>) -> Result<Told, NeverSent> {
        let last = self.next.minus(1);
        if sack.cumulative > last || sack.gaps().any(|(from, to)| to > last || from > to) {
            return Err(NeverSent);
        }
        let before = self.acked();
        if sack.cumulative < before {
            return Ok(Told::default());
        }
        let mut told = Told { rtt: self.measure(now, sack), ..Told::default() };
        if sack.duplicates().next().is_some() {
            self.witness = Witness::Proven;
        }
        let newest = self.newest(sack).map(|flight| flight.packet);
        let mut past = before;
        for (from, to) in [(before.plus(1), sack.cumulative)].into_iter().chain(sack.gaps()) {
            // Blocks ascend (RFC 9260 §3.3.4); those that do not must not cost a look at all again.
            self.arrived(from.max(past.plus(1)), to, newest, sack, &mut told);
            past = past.max(to);
        }
        self.watch_stuck(now, sack.cumulative);
        self.forget(sack.cumulative);
        self.give_up(now, &mut told);
        Ok(told)
    }

    /// Gives up what is too old; tells which chunks were lost on the way for sure, because later
    /// ones arrived.
    pub(crate) fn give_up(&mut self, now: Instant, told: &mut Told) {
        for index in self.settled..self.flights.len() {
            let (limit, passed) = (self.limit(index), self.is_passed(index));
            let flight = &mut self.flights[index];
            if flight.left + limit > now {
                break;
            }
            if flight.fate == Fate::Unknown {
                flight.fate = Fate::GivenUp;
                if passed {
                    flight.first = First::Lost;
                    told.lose(flight.left);
                }
            }
        }
        self.settle();
    }

    /// The TSN to which the peer should be moved, if it is time to say so. `riding` in a packet
    /// that leaves anyway costs nothing, so then it need not wait as long.
    pub(crate) fn forward(&mut self, now: Instant, riding: bool) -> Option<Tsn> {
        let unheard = self.telling.is_some_and(|since| now >= since + self.rtt.smoothed() * 2);
        let pause = match riding {
            // On a full queue the same packets may be lost again and again.
            true if unheard => Duration::ZERO,
            true => FORWARD_PAUSE,
            false => self.pause(),
        };
        if self.settled == 0 || self.forwarded.is_some_and(|at| now < at + pause) {
            return None;
        }
        self.forwarded = Some(now);
        self.telling.get_or_insert(now);
        let target = self.acked().plus(self.settled as u32);
        match riding {
            true => self.stuck.told(self.packet, target),
            false => self.pause = (self.pause * 2).min(LONGEST_PAUSE),
        }
        Some(target)
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

    /// Whether the peer does not follow FORWARD-TSN.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        self.stuck.is_sure(now)
    }

    pub(crate) fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    pub(super) fn weather(&self) -> Weather {
        self.weather
    }

    /// The newest chunk that a SACK speaks of, if this is the first word of it.
    fn newest(&self, sack: &Sack<'_>) -> Option<&Flight> {
        let last = sack.gaps().last().map_or(sack.cumulative, |(_, to)| to);
        let flight = self.flights.get(self.index(last)?)?;
        (flight.fate == Fate::Unknown).then_some(flight)
    }

    /// Measures the round trip; gives it if the peer spoke at once. A peer may hold its SACK
    /// back for a second packet, but not if it is asked, or has a gap (RFC 9260 §6.2, §6.7).
    fn measure(&mut self, now: Instant, sack: &Sack<'_>) -> Option<Duration> {
        let newest = *self.newest(sack)?;
        if matches!(newest.care, Care::Copied(_)) {
            return None;
        }
        let sample = now.saturating_duration_since(newest.left);
        let news = self.flights.iter().filter(|flight| flight.fate == Fate::Unknown);
        let mut packets = news.map(|flight| flight.packet);
        let prompt = newest.prompt
            || sack.gap_count() > 0
            || packets.next().is_some_and(|first| first != newest.packet);
        self.rtt.sample(sample, prompt);
        if prompt && newest.leads {
            self.asked = self.asked.max(Some(now));
        }
        prompt.then_some(sample)
    }

    fn arrived(
        &mut self,
        from: Tsn,
        to: Tsn,
        newest: Option<u32>,
        sack: &Sack<'_>,
        told: &mut Told,
    ) {
        let base = self.acked().plus(1);
        if to >= base {
            self.last_arrived = Some(self.last_arrived.map_or(to, |last| last.max(to)));
        }
        for step in from.since(base).max(0)..=to.since(base) {
            let Some(flight) = self.flights.get_mut(step as usize) else { break };
            if flight.fate == Fate::Unknown {
                let came_twice = || sack.duplicates().any(|tsn| tsn == base.plus(step as u32));
                flight.first = self.witness.judge(flight.care, newest, came_twice);
                match flight.first {
                    First::Arrived => told.arrived += 1,
                    First::Lost => told.lose(flight.left),
                    First::Unknown | First::Doubtful => {}
                }
                told.bytes += usize::from(flight.bytes);
            }
            flight.fate = Fate::Arrived;
        }
    }

    /// Looks whether the packet arrived that told the peer to move on.
    fn watch_stuck(&mut self, now: Instant, cumulative: Tsn) {
        let Some(packet) = self.stuck.packet() else { return };
        let later = |flight: &&Flight| flight.packet.wrapping_sub(packet) as i32 >= 0;
        let flight = self.flights.iter().find(later).filter(|flight| flight.packet == packet);
        match flight.map(|flight| (flight.first, flight.fate)) {
            // Not a copy of it: the packet itself.
            Some((First::Arrived, _)) => self.stuck.arrived(now, cumulative),
            Some((_, Fate::Unknown)) => {}
            _ => self.stuck.lost(),
        }
    }

    /// Drops what the peer's cumulative TSN covers.
    fn forget(&mut self, cumulative: Tsn) {
        let count = cumulative.since(self.acked()).max(0) as usize;
        for flight in self.flights.drain(..count.min(self.flights.len())) {
            self.weather.note(flight.packet, flight.first);
        }
        self.settled = self.settled.saturating_sub(count);
        if count > 0 {
            self.pause = FORWARD_PAUSE;
            self.telling = None;
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
        let patience = if self.is_passed(index) { patience } else { patience + SACK_DELAY };
        match self.flights[index].care {
            Care::Once => patience,
            // The peer must not be moved past what may still come.
            Care::Kept | Care::Copied(_) => patience.max(KEPT + PATIENCE),
        }
    }

    /// Whether a later one has arrived.
    fn is_passed(&self, index: usize) -> bool {
        let tsn = self.acked().plus(1 + index as u32);
        self.last_arrived.is_some_and(|last| tsn < last)
    }

    /// What of a packet is no chunk of its own goes to the account of its last.
    fn charge(&mut self, bytes: usize) {
        let own = self.flights.iter().rev().take_while(|flight| flight.packet == self.packet);
        let chunks: usize = own.map(|flight| usize::from(flight.bytes)).sum();
        if let Some(flight) = self.flights.back_mut() {
            let more = u16::try_from(bytes.saturating_sub(chunks)).unwrap_or(u16::MAX);
            flight.bytes = flight.bytes.saturating_add(more);
        }
    }

    fn index(&self, tsn: Tsn) -> Option<usize> {
        usize::try_from(tsn.since(self.acked().plus(1))).ok()
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
        let now = Instant::now();
        let mut bench = Bench { sender: Sender::new(START), now };
        for index in 0..count {
            assert_eq!(bench.send(false), START.plus(index));
            bench.now += MS;
        }
        bench
    }

    impl Bench {
        /// Sends a chunk in a packet of its own.
        fn send(&mut self, kept: bool) -> Tsn {
            let tsn = self.sender.send(self.now, 80, kept);
            self.sender.end_packet(self.now, 100, false);
            tsn
        }

        fn give_up(&mut self) -> u32 {
            let mut told = Told::default();
            self.sender.give_up(self.now, &mut told);
            told.lost
        }

        /// A SACK that speaks of the `cumulative` first chunks and of blocks beyond them.
        fn sack(&mut self, cumulative: u32, gaps: &[(u16, u16)]) -> Result<Told, NeverSent> {
            self.sack_with(cumulative, gaps, &[])
        }

        /// The same with what came twice.
        fn sack_with(
            &mut self,
            cumulative: u32,
            gaps: &[(u16, u16)],
            duplicates: &[Tsn],
        ) -> Result<Told, NeverSent> {
            let mut value = START.plus(cumulative).minus(1).0.to_be_bytes().to_vec();
            value.extend([0; 4]);
            value.extend((gaps.len() as u16).to_be_bytes());
            value.extend((duplicates.len() as u16).to_be_bytes());
            for (from, to) in gaps {
                value.extend(from.to_be_bytes());
                value.extend(to.to_be_bytes());
            }
            value.extend(duplicates.iter().flat_map(|tsn| tsn.0.to_be_bytes()));
            let chunk = Chunk { kind: kind::SACK, flags: 0, value: &value };
            let told = self.sender.on_sack(self.now, &Sack::parse(&chunk).unwrap())?;
            assert!(told.bytes >= 100 * told.arrived as usize);
            Ok(Told { bytes: 0, rtt: None, lost_left: None, ..told })
        }
    }

    fn told(arrived: u32, lost: u32) -> Result<Told, NeverSent> {
        Ok(Told { arrived, lost, ..Told::default() })
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
        assert_eq!(bench.give_up(), 1);
        bench.now += 2 * MS;
        assert_eq!(bench.give_up(), 0, "each is counted once");
        bench.now += MS;
        assert_eq!(bench.give_up(), 1);
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
        bench.send(false);
        bench.now += 200 * MS;
        assert_eq!((bench.give_up(), bench.sender.settled), (0, 0));
        assert_eq!(bench.sack(3, &[]), told(1, 0));
        bench.send(false);
        bench.now = bench.sender.wake().unwrap();
        assert_eq!(bench.give_up(), 0, "nobody knows whether it was lost");
        assert_eq!(bench.sender.forward(bench.now, false), Some(START.plus(3)));
    }

    #[test]
    fn without_an_answer_it_is_said_less_and_less_often() {
        let mut bench = sent(1);
        let mut said = Vec::new();
        let end = bench.now + Duration::from_secs(10);
        while let Some(wake) = bench.sender.wake().filter(|wake| *wake < end) {
            bench.now = bench.now.max(wake);
            bench.give_up();
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
                    bench.send(false);
                    arrived.extend(random.random_bool(1.0 - loss).then_some(sent));
                    sent += 1;
                }
                told.lost += bench.give_up();
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
            bench.give_up();
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
                bench.give_up();
                let target = bench.sender.forward(bench.now, true);
                bench.send(false);
                let all = 4 + round;
                match moves && target.is_some() {
                    true => bench.sack(all, &[]).unwrap(),
                    false => bench.sack(0, &[(2, all as u16)]).unwrap(),
                };
            }
            assert_eq!(bench.sender.is_stuck(bench.now), !moves);
        }
    }

    #[test]
    fn a_peer_that_cannot_have_heard_is_not_stuck() {
        let mut bench = sent(3);
        for round in 0..100 {
            bench.now += 50 * MS;
            bench.give_up();
            // Whatever tells it to move is lost.
            let told = bench.sender.forward(bench.now, true).is_some();
            bench.send(false);
            if !told {
                bench.sack(0, &[(round as u16 + 4, round as u16 + 4)]).unwrap();
            }
        }
        assert!(!bench.sender.is_stuck(bench.now));
    }

    /// A chunk, its copy in the next packet, and what a SACK for that one says of the first.
    fn copied(duplicates: bool, before: bool) -> Told {
        let mut bench = sent(0);
        let first = bench.send(true);
        bench.now += MS;
        assert!(bench.sender.copy(first));
        bench.send(true);
        if before {
            bench.sack(1, &[]).unwrap();
        }
        bench.sender.witness = Witness::Proven;
        let twice: &[Tsn] = if duplicates { &[first] } else { &[] };
        bench.sack_with(2, &[], twice).unwrap()
    }

    #[test]
    fn who_hears_of_a_copy_learns_of_the_first_packet() {
        let loss = |told: Told| (told.arrived, told.lost);
        assert_eq!(loss(copied(true, false)), (2, 0), "it came twice");
        assert_eq!(loss(copied(false, false)), (1, 1), "it came once, so the first was lost");
        assert_eq!(loss(copied(true, true)), (1, 0), "that it came was known before");
    }

    #[test]
    fn what_the_peer_has_does_not_ride_again() {
        let mut bench = sent(0);
        let tsn = bench.send(true);
        assert!(bench.sender.copy(tsn));
        bench.sack(1, &[]).unwrap();
        assert!(!bench.sender.copy(tsn));
        assert!(!bench.sender.copy(tsn.plus(1)), "it never left");
    }

    #[test]
    fn what_may_still_come_is_not_passed() {
        let mut bench = sent(0);
        bench.send(true);
        bench.now += MS;
        bench.send(false);
        bench.now += 2 * MS;
        bench.sack(0, &[(2, 2)]).unwrap();
        bench.now += KEPT;
        assert_eq!(bench.give_up(), 0, "a copy may be on its way");
        bench.now += PATIENCE;
        assert_eq!(bench.give_up(), 1);
    }

    #[test]
    fn the_round_trip_is_that_of_what_was_acknowledged_at_once() {
        let mut bench = sent(0);
        bench.send(false);
        bench.now += 40 * MS;
        bench.sack(1, &[]).unwrap();
        assert_eq!(bench.sender.rtt().of_path(), Some(40 * MS), "the first packet asks for it");
        bench.send(false);
        bench.now += 240 * MS;
        bench.sack(2, &[]).unwrap();
        assert_eq!(bench.sender.rtt().of_path(), Some(40 * MS), "this one may have waited");
        bench.send(false);
        bench.now += 120 * MS;
        bench.sack(3, &[]).unwrap();
        assert_eq!(bench.sender.rtt().of_path(), Some(50 * MS), "it was asked again");
        bench.send(false);
        bench.send(false);
        bench.now += 130 * MS;
        bench.sack(5, &[]).unwrap();
        assert_eq!(bench.sender.rtt().of_path(), Some(60 * MS), "a second packet does not wait");
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
