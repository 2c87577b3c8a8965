//! The sending half: which TSNs are out, what became of them, and when to give them up.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::ack::{Care, Fate, First, Flight, Rtt, Told};
use crate::sctp::packet::{Chunk, Sack, Tsn};
use crate::sctp::path_mtu;
use crate::sctp::path_mtu::{PathMtu, Suspect};
use crate::sctp::redundancy::{KEPT, PACKETS, Weather};

/// TSNs that are remembered at most. At 600 messages a second this is seven seconds.
const FLIGHTS: usize = 4_096;
/// Most memory that they can take.
pub(super) const MEMORY: usize = FLIGHTS * size_of::<Flight>();
/// A TSN is given up when later ones have arrived and it is older than one and a half round
/// trips and this.
const PATIENCE: Duration = Duration::from_millis(30);
/// If nothing later has arrived it may be the peer that waits with its SACK (RFC 9260 §6.2).
const SACK_DELAY: Duration = Duration::from_millis(250);
/// What arrived behind something lost may wait so much longer to be told that it need not: then
/// it is as good as lost where it could not be delivered yet, and the peer is moved past it.
const STALE: Duration = Duration::from_millis(200);
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
///
/// A message is abandoned whole, and the peer is moved to the end of abandoned ones that follow
/// what it has, not past one that arrived: usrsctp puts messages of several pieces together in
/// the order of their TSNs, and throws away all of them up to that of a FORWARD-TSN, whole ones
/// too. So each run of lost messages takes a round trip. Where more are lost than that, what has
/// waited too long is passed although it arrived.
#[derive(Debug)]
pub(crate) struct Sender {
    next: Tsn,
    /// The number of the packet in the making.
    packet: u32,
    /// The last that the peer has spoken of.
    last_arrived: Option<Tsn>,
    /// The peer's cumulative TSN.
    cumulative: Tsn,
    /// One for each TSN from there to the next, as long as there are not too many.
    flights: VecDeque<Flight>,
    /// How many at the front have met their fate.
    settled: usize,
    /// How many at the front are of abandoned messages; a FORWARD-TSN may pass them.
    abandoned: usize,
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
    pub(super) path_mtu: PathMtu,
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
            cumulative: next.minus(1),
            flights: VecDeque::new(),
            settled: 0,
            abandoned: 0,
            rtt: Rtt::default(),
            weather: Weather::new(),
            witness: Witness::Unproven(0),
            asked: None,
            last_left: None,
            forwarded: None,
            telling: None,
            pause: FORWARD_PAUSE,
            stuck: Stuck::default(),
            path_mtu: PathMtu::new(),
        }
    }

    /// Gives the next TSN to a chunk of the packet in the making, which leaves now. The chunks of
    /// a message follow one another; one `ends` it.
    pub(super) fn send(&mut self, now: Instant, bytes: usize, care: Care, ends: bool) -> Tsn {
        let tsn = self.next;
        self.next = tsn.plus(1);
        if self.flights.len() >= FLIGHTS {
            // A peer that never answers: what it does not know of is forgotten.
            self.abandon(0);
            self.flights.pop_front();
            self.settled = self.settled.saturating_sub(1);
            self.abandoned = self.abandoned.saturating_sub(1);
        }
        let abandoned = self.flights.back().is_some_and(|last| last.abandoned && !last.ends);
        let flight = Flight::new(now, self.packet, bytes, care, ends);
        self.flights.push_back(Flight { abandoned, ..flight });
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
            (flight.last, flight.leads, flight.prompt) = (true, leads, asks);
        }
        asks
    }

    /// The number of the packet in the making.
    pub(crate) fn packet(&self) -> u32 {
        self.packet
    }

    /// A chunk rides again in the packet in the making, which leaves now; false if the peer needs
    /// it no more.
    pub(crate) fn copy(&mut self, now: Instant, tsn: Tsn) -> bool {
        let packet = self.packet;
        let Some(index) = self.index(tsn) else { return false };
        let Some(flight) = self.flights.get_mut(index) else { return false };
        if flight.fate != Fate::Unknown || flight.abandoned {
            return false;
        }
        let after = now.saturating_duration_since(flight.left).as_millis();
        let last = u16::try_from(after + 1).unwrap_or(u16::MAX);
        flight.care = match flight.care {
            Care::Once => Care::Once,
            Care::Kept => Care::Copied { packet, last },
            Care::Copied { packet, .. } => Care::Copied { packet, last },
        };
        true
    }

    /// Takes the peer's word for what arrived.
    pub(crate) fn on_sack(&mut self, now: Instant, sack: &Sack<'_>) -> Result<Told, NeverSent> {
        let last = self.next.minus(1);
        if sack.cumulative > last || sack.gaps().any(|(from, to)| to > last || from > to) {
            return Err(NeverSent);
        }
        let before = self.acked();
        self.cumulative = self.cumulative.max(sack.cumulative);
        if sack.cumulative < before {
            return Ok(Told::default());
        }
        self.pass(sack.cumulative);
        let mut told = Told { rtt: self.measure(now, sack), ..Told::default() };
        if sack.duplicates().next().is_some() {
            self.witness = Witness::Proven;
        }
        let newest = self.newest(sack).map(|flight| flight.packet);
        let mut past = before;
        for (from, to) in [(before.plus(1), sack.cumulative)].into_iter().chain(sack.gaps()) {
            // Blocks ascend (RFC 9260 §3.3.4); those that do not must not cost a look at all again.
            self.arrived(now, from.max(past.plus(1)), to, newest, sack, &mut told);
            past = past.max(to);
        }
        self.clear(&mut told);
        self.watch_stuck(now, sack.cumulative);
        self.forget(now, sack.cumulative);
        self.give_up(now, &mut told);
        Ok(told)
    }

    /// Takes the answer to a HEARTBEAT.
    pub(super) fn on_heartbeat_ack(&mut self, now: Instant, chunk: &Chunk<'_>) -> Told {
        let mut told = Told::default();
        if self.path_mtu.answered(now, chunk) {
            self.clear(&mut told);
            self.path_mtu.tick(now, &self.rtt, self.weather.loss());
        }
        told
    }

    /// Gives up what is too old; tells which packets were lost on the way for sure, because later
    /// ones arrived.
    pub(crate) fn give_up(&mut self, now: Instant, told: &mut Told) {
        for index in self.settled..self.flights.len() {
            if self.limit(index) > now {
                break;
            }
            let passed = self.is_passed(index);
            let flight = &mut self.flights[index];
            if flight.fate == Fate::Unknown {
                flight.fate = Fate::GivenUp;
                if self.is_in_doubt(index) {
                    let first = if passed { First::Lost } else { First::Unknown };
                    self.suspect(now, index, first);
                } else if passed {
                    let flight = &mut self.flights[index];
                    flight.first = First::Lost;
                    told.count(flight);
                }
                self.abandon(index);
            }
        }
        self.settle(now);
        self.path_mtu.tick(now, &self.rtt, self.weather.loss());
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
        let target = self.target();
        if target <= self.cumulative || self.forwarded.is_some_and(|at| now < at + pause) {
            return None;
        }
        self.forwarded = Some(now);
        self.telling.get_or_insert(now);
        match riding {
            true => self.stuck.told(self.packet, target),
            false => self.pause = (self.pause * 2).min(LONGEST_PAUSE),
        }
        Some(target)
    }

    /// When there is something to give up, or to say.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let front = self.flights.front()?;
        match self.forwarded {
            _ if self.target() <= self.cumulative => Some(self.limit(0)),
            None => Some(front.left),
            Some(at) => Some(at + self.pause()),
        }
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
        if matches!(newest.care, Care::Copied { .. }) {
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
        now: Instant,
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
                told.bytes += usize::from(flight.bytes);
                flight.fate = Fate::Arrived;
                self.learn(now, step as usize, told);
            }
            if let Some(flight) = self.flights.get_mut(step as usize) {
                flight.fate = Fate::Arrived;
            }
        }
    }

    /// Takes what is known now of the packet in which a chunk left first.
    fn learn(&mut self, now: Instant, index: usize, told: &mut Told) {
        let flight = self.flights[index];
        match flight.first {
            First::Lost | First::Doubtful if self.is_in_doubt(index) => {
                self.flights[index].first = First::Unknown;
                self.suspect(now, index, flight.first);
            }
            First::Arrived if flight.last => {
                self.path_mtu.arrived(flight.left, flight.size.into());
                told.count(&flight);
            }
            _ => told.count(&flight),
        }
    }

    /// Whether a packet that is lost may be so for its length: nothing that is as long, and left
    /// later, has arrived.
    fn is_in_doubt(&self, index: usize) -> bool {
        let size = self.flights[index].size;
        let mut later = self.flights.range(index..);
        usize::from(size) > path_mtu::BASE
            && !later.any(|flight| flight.first == First::Arrived && flight.size >= size)
    }

    fn suspect(&mut self, now: Instant, index: usize, first: First) {
        let Flight { packet, left, size, last, .. } = self.flights[index];
        if last {
            self.path_mtu.suspect(now, Suspect { packet, left, size: size.into(), first });
        }
    }

    /// Counts what was in doubt, and was lost by chance.
    fn clear(&mut self, told: &mut Told) {
        for Suspect { packet, left, first, .. } in self.path_mtu.cleared() {
            if first == First::Unknown {
                continue;
            }
            let own = self.flights.iter_mut().filter(|flight| flight.packet == packet);
            if own.map(|flight| flight.first = first).count() == 0 {
                self.weather.note_late();
            }
            if first == First::Lost {
                told.lose(left);
            }
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
    fn forget(&mut self, now: Instant, cumulative: Tsn) {
        let count = cumulative.since(self.acked()).max(0) as usize;
        for flight in self.flights.drain(..count.min(self.flights.len())) {
            self.weather.note(flight.packet, flight.first);
        }
        self.settled = self.settled.saturating_sub(count);
        self.abandoned = self.abandoned.saturating_sub(count);
        if count > 0 {
            self.pause = FORWARD_PAUSE;
            self.telling = None;
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        let rest = self.flights.iter().skip(self.settled);
        self.settled += rest.take_while(|flight| flight.fate != Fate::Unknown).count();
        let stale = self.patience() + STALE;
        for (index, flight) in self.flights.iter().enumerate().skip(self.abandoned) {
            match flight.fate {
                _ if flight.abandoned && flight.ends => self.abandoned = index + 1,
                _ if flight.abandoned => {}
                Fate::Arrived if flight.left + stale <= now => {}
                _ => break,
            }
        }
    }

    /// Of chunks that a FORWARD-TSN may have passed the peer's cumulative TSN tells nothing.
    fn pass(&mut self, cumulative: Tsn) {
        let count = cumulative.since(self.acked()).max(0) as usize;
        let covered = self.flights.iter_mut().take(count);
        for flight in covered.filter(|flight| flight.abandoned && flight.fate == Fate::Unknown) {
            flight.fate = Fate::GivenUp;
        }
    }

    /// Abandons the message of a chunk, as far as it is still known.
    fn abandon(&mut self, index: usize) {
        if self.flights.get(index).is_none_or(|flight| flight.abandoned) {
            return;
        }
        let before = self.flights.range(..index).rposition(|flight| flight.ends);
        for flight in self.flights.range_mut(before.map_or(0, |before| before + 1)..) {
            flight.abandoned = true;
            if flight.ends {
                break;
            }
        }
    }

    /// Where the peer may be moved.
    fn target(&self) -> Tsn {
        self.acked().plus(self.abandoned as u32)
    }

    /// Until when a chunk may be on its way.
    fn limit(&self, index: usize) -> Instant {
        let flight = &self.flights[index];
        let delay = if self.is_passed(index) { Duration::ZERO } else { SACK_DELAY };
        // The peer must not be moved past what may still come.
        let rides = self.packet.wrapping_sub(flight.packet) <= PACKETS;
        let last = match flight.care {
            Care::Kept | Care::Copied { .. } if rides => Some(flight.left + KEPT),
            Care::Copied { last, .. } => Some(flight.left + Duration::from_millis(last.into())),
            Care::Once | Care::Kept => None,
        };
        let limit = flight.left + self.patience() + delay;
        last.map_or(limit, |last| limit.max(last + PATIENCE))
    }

    /// How old a chunk may become when later ones have arrived.
    fn patience(&self) -> Duration {
        self.rtt.smoothed().mul_f64(1.5) + PATIENCE
    }

    /// Whether a later one has arrived.
    fn is_passed(&self, index: usize) -> bool {
        let tsn = self.acked().plus(1 + index as u32);
        self.last_arrived.is_some_and(|last| tsn < last)
    }

    /// What of a packet is no chunk of its own goes to the account of its last.
    fn charge(&mut self, bytes: usize) {
        let (packet, size) = (self.packet, u16::try_from(bytes).unwrap_or(u16::MAX));
        let own = self.flights.iter_mut().rev().take_while(|flight| flight.packet == packet);
        let chunks: usize = own
            .map(|flight| {
                flight.size = size;
                usize::from(flight.bytes)
            })
            .sum();
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

/// So many times, over so long, a peer must have heard that it shall move, and stay.
const TIMES: u32 = 8;
const TIME: Duration = Duration::from_secs(2);

/// Watches the packets that told the peer to move on. One that is lost proves nothing; of one
/// whose data arrived the peer must have taken the rest too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stuck {
    /// The packet that told it last, and where to move.
    told: Option<(u32, Tsn)>,
    /// Since when it stays, and how often it was told.
    stays: Option<(Instant, u32)>,
}

impl Stuck {
    /// A packet with data tells the peer to move to `target`.
    pub(super) fn told(&mut self, packet: u32, target: Tsn) {
        self.told.get_or_insert((packet, target));
    }

    /// The packet that told it last.
    pub(super) fn packet(&self) -> Option<u32> {
        self.told.map(|(packet, _)| packet)
    }

    /// That packet arrived, and the peer is at `cumulative`.
    pub(super) fn arrived(&mut self, now: Instant, cumulative: Tsn) {
        let Some((_, target)) = self.told.take() else { return };
        self.stays = (cumulative < target).then(|| {
            let (since, times) = self.stays.unwrap_or((now, 0));
            (since, times + 1)
        });
    }

    /// That packet is lost.
    pub(super) fn lost(&mut self) {
        self.told = None;
    }

    /// Whether the peer was told again and again, and is where it was.
    pub(super) fn is_sure(&self, now: Instant) -> bool {
        self.stays.is_some_and(|(since, times)| times >= TIMES && now >= since + TIME)
    }
}

/// So many copies a peer must have had without ever telling of one that came twice. Then it
/// never will.
const UNTOLD: u32 = 64;

/// Whether the peer tells of chunks that came twice, as it should (RFC 9260 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// So many it could have told of, and has not.
    Unproven(u32),
    Proven,
}

impl Witness {
    /// What a SACK whose newest chunk left in packet `newest` says of a chunk's first packet.
    pub(super) fn judge(
        &mut self,
        care: Care,
        newest: Option<u32>,
        came_twice: impl Fn() -> bool,
    ) -> First {
        let (Care::Copied { packet: copy, .. }, Some(newest)) = (care, newest) else {
            return First::Arrived;
        };
        match newest.wrapping_sub(copy) as i32 {
            // The copy had not arrived yet.
            ..0 => First::Arrived,
            0 if came_twice() => First::Arrived,
            0 => self.missed(),
            // The SACK that would have told is lost.
            1.. => First::Unknown,
        }
    }

    fn missed(&mut self) -> First {
        match self {
            Witness::Proven => First::Lost,
            Witness::Unproven(UNTOLD..) => First::Doubtful,
            Witness::Unproven(count) => {
                *count += 1;
                First::Unknown
            }
        }
    }
}
