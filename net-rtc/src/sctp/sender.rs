//! The sending half: which TSNs are out, what became of them, and when to give them up.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::ack::{
    AckSummary, ChunkState, FirstTransmission, Redundancy, RttEstimator, SentChunk,
};
use crate::sctp::packet::{Chunk, SackChunk, Tsn};
use crate::sctp::path_mtu;
use crate::sctp::path_mtu::{MtuSuspect, PathMtu};
use crate::sctp::redundancy::{LossEstimator, MAX_COPY_AGE, MAX_COPY_DISTANCE};

/// TSNs that are remembered at most. At 600 messages a second this is seven seconds.
const MAX_SENT_CHUNKS: usize = 4_096;
/// Most memory that they can take.
pub(super) const MAX_MEMORY: usize = MAX_SENT_CHUNKS * size_of::<SentChunk>();
/// A TSN is given up when later ones have arrived and it is older than one and a half round
/// trips and this.
const LOSS_DELAY_MARGIN: Duration = Duration::from_millis(30);
/// If nothing later has arrived it may be the peer that waits with its SACK (RFC 9260 §6.2).
const MAX_PEER_SACK_DELAY: Duration = Duration::from_millis(250);
/// What arrived behind something lost may wait so much longer to be told that it need not: then
/// it is as good as lost where it could not be delivered yet, and the peer is moved past it.
const MAX_HEAD_OF_LINE_DELAY: Duration = Duration::from_millis(200);
/// Never more often than this is a FORWARD-TSN sent.
const FORWARD_TSN_INTERVAL: Duration = Duration::from_millis(20);
/// Without an answer the pause doubles up to this.
const MAX_FORWARD_TSN_INTERVAL: Duration = Duration::from_secs(1);
/// How long the round trip of a packet after a pause may go unmeasured before a SACK is asked
/// for (RFC 7053); of any packet, four times as long.
const RTT_SAMPLE_INTERVAL: Duration = Duration::from_millis(60);
const IDLE_GAP: Duration = Duration::from_millis(5);

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
    next_tsn: Tsn,
    /// The number of the packet in the making.
    packet_number: u32,
    /// The last that the peer has spoken of.
    highest_acked: Option<Tsn>,
    /// The peer's cumulative TSN.
    cumulative_tsn: Tsn,
    /// One for each TSN from there to the next, as long as there are not too many.
    sent_chunks: VecDeque<SentChunk>,
    /// How many at the front have met their fate.
    resolved_count: usize,
    /// How many at the front are of abandoned messages; a FORWARD-TSN may pass them.
    abandoned_count: usize,
    rtt: RttEstimator,
    loss_estimator: LossEstimator,
    dup_reporting: DupReporting,
    /// When the round trip was last measured, or a SACK was asked for to measure it.
    last_rtt_request: Option<Instant>,
    /// When the last packet left.
    last_sent: Option<Instant>,
    last_forward_tsn: Option<Instant>,
    /// Since when the peer is told to move on, and does not.
    forward_unanswered_since: Option<Instant>,
    forward_backoff: Duration,
    forward_watchdog: ForwardTsnWatchdog,
    pub(super) path_mtu: PathMtu,
}

/// A SACK that no honest peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnsentTsnAcked;

impl Sender {
    pub(crate) fn new(next_tsn: Tsn) -> Sender {
        Sender {
            next_tsn,
            packet_number: 0,
            highest_acked: None,
            cumulative_tsn: next_tsn.minus(1),
            sent_chunks: VecDeque::new(),
            resolved_count: 0,
            abandoned_count: 0,
            rtt: RttEstimator::default(),
            loss_estimator: LossEstimator::new(),
            dup_reporting: DupReporting::Unconfirmed(0),
            last_rtt_request: None,
            last_sent: None,
            last_forward_tsn: None,
            forward_unanswered_since: None,
            forward_backoff: FORWARD_TSN_INTERVAL,
            forward_watchdog: ForwardTsnWatchdog::default(),
            path_mtu: PathMtu::new(),
        }
    }

    /// Gives the next TSN to a chunk of the packet in the making, which leaves now. The chunks of
    /// a message follow one another; one `ends` it.
    pub(super) fn assign_tsn(
        &mut self,
        now: Instant,
        bytes: usize,
        care: Redundancy,
        ends: bool,
    ) -> Tsn {
        let tsn = self.next_tsn;
        self.next_tsn = tsn.plus(1);
        if self.sent_chunks.len() >= MAX_SENT_CHUNKS {
            // A peer that never answers: what it does not know of is forgotten.
            self.abandon_message(0);
            self.sent_chunks.pop_front();
            self.resolved_count = self.resolved_count.saturating_sub(1);
            self.abandoned_count = self.abandoned_count.saturating_sub(1);
        }
        let abandoned =
            self.sent_chunks.back().is_some_and(|last| last.is_abandoned && !last.ends_message);
        let flight = SentChunk::new(now, self.packet_number, bytes, care, ends);
        self.sent_chunks.push_back(SentChunk { is_abandoned: abandoned, ..flight });
        tsn
    }

    /// The packet in the making is made, of so many bytes; tells whether to ask for an acknowledgement at once.
    /// `copies` are in it, which makes the peer speak anyway, now or for the next packet.
    pub(crate) fn end_packet(&mut self, now: Instant, bytes: usize, copies: bool) -> bool {
        self.charge_packet_overhead(bytes);
        self.packet_number = self.packet_number.wrapping_add(1);
        let leads = self.last_sent.is_none_or(|last| now >= last + IDLE_GAP);
        let pause = if leads { RTT_SAMPLE_INTERVAL } else { RTT_SAMPLE_INTERVAL * 4 };
        // The first packet meets no queue of ours: it must not be missed.
        let asks = copies || self.last_rtt_request.is_none_or(|asked| now >= asked + pause);
        self.last_sent = Some(now);
        self.last_rtt_request = if asks { Some(now) } else { self.last_rtt_request };
        if let Some(flight) = self.sent_chunks.back_mut() {
            (flight.ends_packet, flight.is_after_idle, flight.wants_immediate_ack) =
                (true, leads, asks);
        }
        asks
    }

    /// The number of the packet in the making.
    pub(crate) fn packet_number(&self) -> u32 {
        self.packet_number
    }

    /// A chunk rides again in the packet in the making, which leaves now; false if the peer needs
    /// it no more.
    pub(crate) fn record_copy(&mut self, now: Instant, tsn: Tsn) -> bool {
        let packet = self.packet_number;
        let Some(index) = self.chunk_index(tsn) else { return false };
        let Some(flight) = self.sent_chunks.get_mut(index) else { return false };
        if flight.state != ChunkState::InFlight || flight.is_abandoned {
            return false;
        }
        let after = now.saturating_duration_since(flight.sent_at).as_millis();
        let last = u16::try_from(after + 1).unwrap_or(u16::MAX);
        flight.redundancy = match flight.redundancy {
            Redundancy::Never => Redundancy::Never,
            Redundancy::Eligible => {
                Redundancy::Copied { first_copy_packet: packet, last_copy_ms: last }
            }
            Redundancy::Copied { first_copy_packet: packet, .. } => {
                Redundancy::Copied { first_copy_packet: packet, last_copy_ms: last }
            }
        };
        true
    }

    /// Takes the peer's word for what arrived.
    pub(crate) fn on_sack(
        &mut self,
        now: Instant,
        sack: &SackChunk<'_>,
    ) -> Result<AckSummary, UnsentTsnAcked> {
        let last = self.next_tsn.minus(1);
        if sack.cumulative_tsn > last || sack.gap_blocks().any(|(from, to)| to > last || from > to)
        {
            return Err(UnsentTsnAcked);
        }
        let before = self.cumulative_ack_point();
        self.cumulative_tsn = self.cumulative_tsn.max(sack.cumulative_tsn);
        if sack.cumulative_tsn < before {
            return Ok(AckSummary::default());
        }
        self.resolve_skipped(sack.cumulative_tsn);
        let mut told =
            AckSummary { rtt_sample: self.sample_rtt(now, sack), ..AckSummary::default() };
        if sack.duplicate_tsns().next().is_some() {
            self.dup_reporting = DupReporting::Confirmed;
        }
        let newest = self.newly_acked(sack).map(|flight| flight.packet_number);
        let mut past = before;
        for (from, to) in
            [(before.plus(1), sack.cumulative_tsn)].into_iter().chain(sack.gap_blocks())
        {
            // Blocks ascend (RFC 9260 §3.3.4); those that do not must not cost a look at all again.
            self.ack_range(now, from.max(past.plus(1)), to, newest, sack, &mut told);
            past = past.max(to);
        }
        self.count_cleared_suspects(&mut told);
        self.update_forward_watchdog(now, sack.cumulative_tsn);
        self.drop_acked(now, sack.cumulative_tsn);
        self.detect_losses(now, &mut told);
        Ok(told)
    }

    /// Takes the answer to a HEARTBEAT.
    pub(super) fn on_heartbeat_ack(&mut self, now: Instant, chunk: &Chunk<'_>) -> AckSummary {
        let mut told = AckSummary::default();
        if self.path_mtu.on_heartbeat_ack(now, chunk) {
            self.count_cleared_suspects(&mut told);
            self.path_mtu.detect_losses(now, &self.rtt, self.loss_estimator.loss_rate());
        }
        told
    }

    /// Gives up what is too old; tells which packets were lost on the way for sure, because later
    /// ones arrived.
    pub(crate) fn detect_losses(&mut self, now: Instant, told: &mut AckSummary) {
        for index in self.resolved_count..self.sent_chunks.len() {
            if self.loss_deadline(index) > now {
                break;
            }
            let passed = self.is_overtaken(index);
            let flight = &mut self.sent_chunks[index];
            if flight.state == ChunkState::InFlight {
                flight.state = ChunkState::DeclaredLost;
                if self.is_mtu_suspect(index) {
                    let first =
                        if passed { FirstTransmission::Lost } else { FirstTransmission::Unknown };
                    self.add_mtu_suspect(now, index, first);
                } else if passed {
                    let flight = &mut self.sent_chunks[index];
                    flight.first_transmission = FirstTransmission::Lost;
                    told.add_chunk(flight);
                }
                self.abandon_message(index);
            }
        }
        self.update_counts(now);
        self.path_mtu.detect_losses(now, &self.rtt, self.loss_estimator.loss_rate());
    }

    /// The TSN to which the peer should be moved, if it is time to say so. `riding` in a packet
    /// that leaves anyway costs nothing, so then it need not wait as long.
    pub(crate) fn poll_forward_tsn(&mut self, now: Instant, riding: bool) -> Option<Tsn> {
        let unheard = self
            .forward_unanswered_since
            .is_some_and(|since| now >= since + self.rtt.smoothed() * 2);
        let pause = match riding {
            // On a full queue the same packets may be lost again and again.
            true if unheard => Duration::ZERO,
            true => FORWARD_TSN_INTERVAL,
            false => self.forward_interval(),
        };
        let target = self.advanced_peer_ack_point();
        if target <= self.cumulative_tsn || self.last_forward_tsn.is_some_and(|at| now < at + pause)
        {
            return None;
        }
        self.last_forward_tsn = Some(now);
        self.forward_unanswered_since.get_or_insert(now);
        match riding {
            true => self.forward_watchdog.on_send(self.packet_number, target),
            false => {
                self.forward_backoff = (self.forward_backoff * 2).min(MAX_FORWARD_TSN_INTERVAL)
            }
        }
        Some(target)
    }

    /// When there is something to give up, or to say.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let front = self.sent_chunks.front()?;
        match self.last_forward_tsn {
            _ if self.advanced_peer_ack_point() <= self.cumulative_tsn => {
                Some(self.loss_deadline(0))
            }
            None => Some(front.sent_at),
            Some(at) => Some(at + self.forward_interval()),
        }
    }

    /// The highest TSN up to which the peer has, or has been told to forget, everything.
    pub(crate) fn cumulative_ack_point(&self) -> Tsn {
        self.next_tsn.minus(1 + self.sent_chunks.len() as u32)
    }

    /// The TSN that the next chunk gets.
    pub(crate) fn next_tsn(&self) -> Tsn {
        self.next_tsn
    }

    /// Whether the peer does not follow FORWARD-TSN.
    pub(crate) fn is_ignoring_forward_tsn(&self, now: Instant) -> bool {
        self.forward_watchdog.is_expired(now)
    }

    pub(crate) fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    pub(super) fn loss_estimator(&self) -> LossEstimator {
        self.loss_estimator
    }

    /// The newest chunk that a SACK speaks of, if this is the first word of it.
    fn newly_acked(&self, sack: &SackChunk<'_>) -> Option<&SentChunk> {
        let last = sack.gap_blocks().last().map_or(sack.cumulative_tsn, |(_, to)| to);
        let flight = self.sent_chunks.get(self.chunk_index(last)?)?;
        (flight.state == ChunkState::InFlight).then_some(flight)
    }

    /// Measures the round trip; gives it if the peer spoke at once. A peer may hold its SACK
    /// back for a second packet, but not if it is asked, or has a gap (RFC 9260 §6.2, §6.7).
    fn sample_rtt(&mut self, now: Instant, sack: &SackChunk<'_>) -> Option<Duration> {
        let newest = *self.newly_acked(sack)?;
        if matches!(newest.redundancy, Redundancy::Copied { .. }) {
            return None;
        }
        let sample = now.saturating_duration_since(newest.sent_at);
        let news = self.sent_chunks.iter().filter(|flight| flight.state == ChunkState::InFlight);
        let mut packets = news.map(|flight| flight.packet_number);
        let prompt = newest.wants_immediate_ack
            || sack.gap_block_count() > 0
            || packets.next().is_some_and(|first| first != newest.packet_number);
        self.rtt.add_sample(sample, prompt);
        if prompt && newest.is_after_idle {
            self.last_rtt_request = self.last_rtt_request.max(Some(now));
        }
        prompt.then_some(sample)
    }

    fn ack_range(
        &mut self,
        now: Instant,
        from: Tsn,
        to: Tsn,
        newest: Option<u32>,
        sack: &SackChunk<'_>,
        told: &mut AckSummary,
    ) {
        let base = self.cumulative_ack_point().plus(1);
        if to >= base {
            self.highest_acked = Some(self.highest_acked.map_or(to, |last| last.max(to)));
        }
        for step in from.since(base).max(0)..=to.since(base) {
            let Some(flight) = self.sent_chunks.get_mut(step as usize) else { break };
            if flight.state == ChunkState::InFlight {
                let came_twice = || sack.duplicate_tsns().any(|tsn| tsn == base.plus(step as u32));
                flight.first_transmission =
                    self.dup_reporting.classify(flight.redundancy, newest, came_twice);
                told.bytes_acked += usize::from(flight.bytes);
                flight.state = ChunkState::Acked;
                self.on_chunk_acked(now, step as usize, told);
            }
            if let Some(flight) = self.sent_chunks.get_mut(step as usize) {
                flight.state = ChunkState::Acked;
            }
        }
    }

    /// Takes what is known now of the packet in which a chunk left first.
    fn on_chunk_acked(&mut self, now: Instant, index: usize, told: &mut AckSummary) {
        let flight = self.sent_chunks[index];
        match flight.first_transmission {
            FirstTransmission::Lost | FirstTransmission::PresumedLost
                if self.is_mtu_suspect(index) =>
            {
                self.sent_chunks[index].first_transmission = FirstTransmission::Unknown;
                self.add_mtu_suspect(now, index, flight.first_transmission);
            }
            FirstTransmission::Arrived if flight.ends_packet => {
                self.path_mtu.on_ack(flight.sent_at, flight.packet_len.into());
                told.add_chunk(&flight);
            }
            _ => told.add_chunk(&flight),
        }
    }

    /// Whether a packet that is lost may be so for its length: nothing that is as long, and left
    /// later, has arrived.
    fn is_mtu_suspect(&self, index: usize) -> bool {
        let size = self.sent_chunks[index].packet_len;
        let mut later = self.sent_chunks.range(index..);
        usize::from(size) > path_mtu::BASE_PLPMTU
            && !later.any(|flight| {
                flight.first_transmission == FirstTransmission::Arrived && flight.packet_len >= size
            })
    }

    fn add_mtu_suspect(&mut self, now: Instant, index: usize, first: FirstTransmission) {
        let SentChunk {
            packet_number: packet,
            sent_at: left,
            packet_len: size,
            ends_packet: last,
            ..
        } = self.sent_chunks[index];
        if last {
            self.path_mtu.add_suspect(
                now,
                MtuSuspect {
                    packet_number: packet,
                    sent_at: left,
                    size: size.into(),
                    first_transmission: first,
                },
            );
        }
    }

    /// Counts what was in doubt, and was lost by chance.
    fn count_cleared_suspects(&mut self, told: &mut AckSummary) {
        for MtuSuspect {
            packet_number: packet, sent_at: left, first_transmission: first, ..
        } in self.path_mtu.take_cleared()
        {
            if first == FirstTransmission::Unknown {
                continue;
            }
            let own = self.sent_chunks.iter_mut().filter(|flight| flight.packet_number == packet);
            if own.map(|flight| flight.first_transmission = first).count() == 0 {
                self.loss_estimator.on_late_loss();
            }
            if first == FirstTransmission::Lost {
                told.add_loss(left);
            }
        }
    }

    /// Looks whether the packet arrived that told the peer to move on.
    fn update_forward_watchdog(&mut self, now: Instant, cumulative: Tsn) {
        let Some(packet) = self.forward_watchdog.pending_packet() else { return };
        let later = |flight: &&SentChunk| flight.packet_number.wrapping_sub(packet) as i32 >= 0;
        let flight =
            self.sent_chunks.iter().find(later).filter(|flight| flight.packet_number == packet);
        match flight.map(|flight| (flight.first_transmission, flight.state)) {
            // Not a copy of it: the packet itself.
            Some((FirstTransmission::Arrived, _)) => self.forward_watchdog.on_ack(now, cumulative),
            Some((_, ChunkState::InFlight)) => {}
            _ => self.forward_watchdog.on_loss(),
        }
    }

    /// Drops what the peer's cumulative TSN covers.
    fn drop_acked(&mut self, now: Instant, cumulative: Tsn) {
        let count = cumulative.since(self.cumulative_ack_point()).max(0) as usize;
        for flight in self.sent_chunks.drain(..count.min(self.sent_chunks.len())) {
            self.loss_estimator.on_packet(flight.packet_number, flight.first_transmission);
        }
        self.resolved_count = self.resolved_count.saturating_sub(count);
        self.abandoned_count = self.abandoned_count.saturating_sub(count);
        if count > 0 {
            self.forward_backoff = FORWARD_TSN_INTERVAL;
            self.forward_unanswered_since = None;
        }
        self.update_counts(now);
    }

    fn update_counts(&mut self, now: Instant) {
        let rest = self.sent_chunks.iter().skip(self.resolved_count);
        self.resolved_count +=
            rest.take_while(|flight| flight.state != ChunkState::InFlight).count();
        let stale = self.loss_delay() + MAX_HEAD_OF_LINE_DELAY;
        for (index, flight) in self.sent_chunks.iter().enumerate().skip(self.abandoned_count) {
            match flight.state {
                _ if flight.is_abandoned && flight.ends_message => self.abandoned_count = index + 1,
                _ if flight.is_abandoned => {}
                ChunkState::Acked if flight.sent_at + stale <= now => {}
                _ => break,
            }
        }
    }

    /// Of chunks that a FORWARD-TSN may have passed the peer's cumulative TSN tells nothing.
    fn resolve_skipped(&mut self, cumulative: Tsn) {
        let count = cumulative.since(self.cumulative_ack_point()).max(0) as usize;
        let covered = self.sent_chunks.iter_mut().take(count);
        for flight in
            covered.filter(|flight| flight.is_abandoned && flight.state == ChunkState::InFlight)
        {
            flight.state = ChunkState::DeclaredLost;
        }
    }

    /// Abandons the message of a chunk, as far as it is still known.
    fn abandon_message(&mut self, index: usize) {
        if self.sent_chunks.get(index).is_none_or(|flight| flight.is_abandoned) {
            return;
        }
        let before = self.sent_chunks.range(..index).rposition(|flight| flight.ends_message);
        for flight in self.sent_chunks.range_mut(before.map_or(0, |before| before + 1)..) {
            flight.is_abandoned = true;
            if flight.ends_message {
                break;
            }
        }
    }

    /// Where the peer may be moved.
    fn advanced_peer_ack_point(&self) -> Tsn {
        self.cumulative_ack_point().plus(self.abandoned_count as u32)
    }

    /// Until when a chunk may be on its way.
    fn loss_deadline(&self, index: usize) -> Instant {
        let flight = &self.sent_chunks[index];
        let delay = if self.is_overtaken(index) { Duration::ZERO } else { MAX_PEER_SACK_DELAY };
        // The peer must not be moved past what may still come.
        let rides = self.packet_number.wrapping_sub(flight.packet_number) <= MAX_COPY_DISTANCE;
        let last = match flight.redundancy {
            Redundancy::Eligible | Redundancy::Copied { .. } if rides => {
                Some(flight.sent_at + MAX_COPY_AGE)
            }
            Redundancy::Copied { last_copy_ms: last, .. } => {
                Some(flight.sent_at + Duration::from_millis(last.into()))
            }
            Redundancy::Never | Redundancy::Eligible => None,
        };
        let limit = flight.sent_at + self.loss_delay() + delay;
        last.map_or(limit, |last| limit.max(last + LOSS_DELAY_MARGIN))
    }

    /// How old a chunk may become when later ones have arrived.
    fn loss_delay(&self) -> Duration {
        self.rtt.smoothed().mul_f64(1.5) + LOSS_DELAY_MARGIN
    }

    /// Whether a later one has arrived.
    fn is_overtaken(&self, index: usize) -> bool {
        let tsn = self.cumulative_ack_point().plus(1 + index as u32);
        self.highest_acked.is_some_and(|last| tsn < last)
    }

    /// What of a packet is no chunk of its own goes to the account of its last.
    fn charge_packet_overhead(&mut self, bytes: usize) {
        let (packet, size) = (self.packet_number, u16::try_from(bytes).unwrap_or(u16::MAX));
        let own =
            self.sent_chunks.iter_mut().rev().take_while(|flight| flight.packet_number == packet);
        let chunks: usize = own
            .map(|flight| {
                flight.packet_len = size;
                usize::from(flight.bytes)
            })
            .sum();
        if let Some(flight) = self.sent_chunks.back_mut() {
            let more = u16::try_from(bytes.saturating_sub(chunks)).unwrap_or(u16::MAX);
            flight.bytes = flight.bytes.saturating_add(more);
        }
    }

    fn chunk_index(&self, tsn: Tsn) -> Option<usize> {
        usize::try_from(tsn.since(self.cumulative_ack_point().plus(1))).ok()
    }

    fn forward_interval(&self) -> Duration {
        self.forward_backoff.max(self.rtt.smoothed() / 2)
    }
}

/// So many times, over so long, a peer must have heard that it shall move, and stay.
const MIN_IGNORED_COUNT: u32 = 8;
const MIN_IGNORED_DURATION: Duration = Duration::from_secs(2);

/// Watches the packets that told the peer to move on. One that is lost proves nothing; of one
/// whose data arrived the peer must have taken the rest too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ForwardTsnWatchdog {
    /// The packet that told it last, and where to move.
    pending: Option<(u32, Tsn)>,
    /// Since when it stays, and how often it was told.
    ignored: Option<(Instant, u32)>,
}

impl ForwardTsnWatchdog {
    /// A packet with data tells the peer to move to `target`.
    pub(super) fn on_send(&mut self, packet: u32, target: Tsn) {
        self.pending.get_or_insert((packet, target));
    }

    /// The packet that told it last.
    pub(super) fn pending_packet(&self) -> Option<u32> {
        self.pending.map(|(packet, _)| packet)
    }

    /// That packet arrived, and the peer is at `cumulative`.
    pub(super) fn on_ack(&mut self, now: Instant, cumulative: Tsn) {
        let Some((_, target)) = self.pending.take() else { return };
        self.ignored = (cumulative < target).then(|| {
            let (since, times) = self.ignored.unwrap_or((now, 0));
            (since, times + 1)
        });
    }

    /// That packet is lost.
    pub(super) fn on_loss(&mut self) {
        self.pending = None;
    }

    /// Whether the peer was told again and again, and is where it was.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.ignored.is_some_and(|(since, times)| {
            times >= MIN_IGNORED_COUNT && now >= since + MIN_IGNORED_DURATION
        })
    }
}

/// So many copies a peer must have had without ever telling of one that came twice. Then it
/// never will.
const MAX_UNREPORTED_DUPS: u32 = 64;

/// Whether the peer tells of chunks that came twice, as it should (RFC 9260 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DupReporting {
    /// So many it could have told of, and has not.
    Unconfirmed(u32),
    Confirmed,
}

impl DupReporting {
    /// What a SACK whose newest chunk left in packet `newest` says of a chunk's first packet.
    pub(super) fn classify(
        &mut self,
        care: Redundancy,
        newest: Option<u32>,
        came_twice: impl Fn() -> bool,
    ) -> FirstTransmission {
        let (Redundancy::Copied { first_copy_packet: copy, .. }, Some(newest)) = (care, newest)
        else {
            return FirstTransmission::Arrived;
        };
        match newest.wrapping_sub(copy) as i32 {
            // The copy had not arrived yet.
            ..0 => FirstTransmission::Arrived,
            0 if came_twice() => FirstTransmission::Arrived,
            0 => self.on_unreported(),
            // The SACK that would have told is lost.
            1.. => FirstTransmission::Unknown,
        }
    }

    fn on_unreported(&mut self) -> FirstTransmission {
        match self {
            DupReporting::Confirmed => FirstTransmission::Lost,
            DupReporting::Unconfirmed(MAX_UNREPORTED_DUPS..) => FirstTransmission::PresumedLost,
            DupReporting::Unconfirmed(count) => {
                *count += 1;
                FirstTransmission::Unknown
            }
        }
    }
}
