//! Sending half: TSN assignment, loss detection and PR-SCTP abandonment (RFC 3758).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::ack::{
    AckSummary, ChunkState, FirstTransmission, Redundancy, RttEstimator, SentChunk,
};
use crate::sctp::fallback::ForwardTsnWatchdog;
use crate::sctp::packet::{Chunk, SackChunk, Tsn};
use crate::sctp::path_mtu;
use crate::sctp::path_mtu::{MtuSuspect, PathMtu};
use crate::sctp::redundancy::{DupReporting, LossEstimator, MAX_COPY_AGE, MAX_COPY_DISTANCE};

/// Maximum recorded TSNs. At 600 messages per second this is seven seconds.
const MAX_SENT_CHUNKS: usize = 4_096;
/// Most memory of the record, in bytes.
pub(super) const MAX_MEMORY: usize = MAX_SENT_CHUNKS * size_of::<SentChunk>();
/// A chunk is lost when later ones have arrived and it is older than 1.5 round trips plus this.
const LOSS_DELAY_MARGIN: Duration = Duration::from_millis(30);
/// Additional time if nothing later has arrived: the peer may delay its SACK (RFC 9260 §6.2).
const MAX_PEER_SACK_DELAY: Duration = Duration::from_millis(250);
/// Additional time that a chunk which arrived behind a loss may wait for a FORWARD-TSN: then it is
/// as good as lost where the peer could not deliver it yet, and the peer is moved past it.
const MAX_HEAD_OF_LINE_DELAY: Duration = Duration::from_millis(200);
/// Shortest interval between FORWARD-TSNs.
const FORWARD_TSN_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum interval, up to which it doubles without an answer.
const MAX_FORWARD_TSN_INTERVAL: Duration = Duration::from_secs(1);
/// Time without an RTT measurement after which a packet that follows a pause asks for an immediate
/// SACK (RFC 7053); for any other packet, four times as long. A pause is at least [`IDLE_GAP`].
const RTT_SAMPLE_INTERVAL: Duration = Duration::from_millis(60);
const IDLE_GAP: Duration = Duration::from_millis(5);

/// Sender of DATA chunks; assigns TSNs, and moves the peer past lost ones by FORWARD-TSN (RFC 3758
/// §3.5), so that nothing waits for a lost chunk.
///
/// Messages are abandoned as a whole. The peer is moved to the end of the abandoned messages that
/// follow its cumulative TSN, and not past a message that arrived: usrsctp reassembles fragmented
/// messages in the order of their TSNs, and drops all of them up to the FORWARD-TSN, even complete
/// ones. So each run of lost messages takes a round trip. Under heavier loss, messages that have
/// waited too long are passed although they arrived.
#[derive(Debug)]
pub(crate) struct Sender {
    next_tsn: Tsn,
    /// Number of the packet under construction.
    packet_number: u32,
    /// Highest acknowledged TSN.
    highest_acked: Option<Tsn>,
    /// Cumulative TSN of the peer's SACKs.
    cumulative_tsn: Tsn,
    /// One record for each TSN from there to the next, up to [`MAX_SENT_CHUNKS`].
    sent_chunks: VecDeque<SentChunk>,
    /// Number of chunks at the front with a known outcome.
    resolved_count: usize,
    /// Number of chunks at the front that a FORWARD-TSN may pass.
    abandoned_count: usize,
    rtt: RttEstimator,
    loss_estimator: LossEstimator,
    dup_reporting: DupReporting,
    /// When the RTT was last measured, or an immediate SACK was last requested.
    last_rtt_request: Option<Instant>,
    /// Send time of the last packet.
    last_sent: Option<Instant>,
    last_forward_tsn: Option<Instant>,
    /// Time of the first FORWARD-TSN that the peer has not followed.
    forward_unanswered_since: Option<Instant>,
    forward_backoff: Duration,
    forward_watchdog: ForwardTsnWatchdog,
    pub(super) path_mtu: PathMtu,
}

/// A SACK of a TSN that was never sent, or with a reversed gap block.
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

    /// Assigns the next TSN to a chunk of the packet under construction, which is sent now. The
    /// chunks of a message are consecutive; `ends` marks its last.
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
            // The peer never acknowledges: the oldest chunk is dropped.
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

    /// Ends the packet under construction, of `bytes` bytes; returns whether to ask for an
    /// immediate SACK (RFC 7053). A packet with redundant `copies` always asks: the peer
    /// acknowledges duplicates at once anyway, with this or the next packet.
    pub(crate) fn end_packet(&mut self, now: Instant, bytes: usize, copies: bool) -> bool {
        self.charge_packet_overhead(bytes);
        self.packet_number = self.packet_number.wrapping_add(1);
        let leads = self.last_sent.is_none_or(|last| now >= last + IDLE_GAP);
        let pause = if leads { RTT_SAMPLE_INTERVAL } else { RTT_SAMPLE_INTERVAL * 4 };
        // The first packet after a pause meets no own queue, so its RTT sample must not be missed.
        let asks = copies || self.last_rtt_request.is_none_or(|asked| now >= asked + pause);
        self.last_sent = Some(now);
        self.last_rtt_request = if asks { Some(now) } else { self.last_rtt_request };
        if let Some(flight) = self.sent_chunks.back_mut() {
            (flight.ends_packet, flight.is_after_idle, flight.wants_immediate_ack) =
                (true, leads, asks);
        }
        asks
    }

    /// Returns the number of the packet under construction.
    pub(crate) fn packet_number(&self) -> u32 {
        self.packet_number
    }

    /// Records a redundant copy of a chunk in the packet under construction, which is sent now;
    /// false if the peer does not need it any more.
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

    /// Takes a SACK; returns what it newly acknowledges, and the losses that it shows.
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
            // Blocks ascend (RFC 9260 §3.3.4); others must not cost another pass over all chunks.
            self.ack_range(now, from.max(past.plus(1)), to, newest, sack, &mut told);
            past = past.max(to);
        }
        self.count_cleared_suspects(&mut told);
        self.update_forward_watchdog(now, sack.cumulative_tsn);
        self.drop_acked(now, sack.cumulative_tsn);
        self.detect_losses(now, &mut told);
        Ok(told)
    }

    /// Takes a HEARTBEAT-ACK.
    pub(super) fn on_heartbeat_ack(&mut self, now: Instant, chunk: &Chunk<'_>) -> AckSummary {
        let mut told = AckSummary::default();
        if self.path_mtu.on_heartbeat_ack(now, chunk) {
            self.count_cleared_suspects(&mut told);
            self.path_mtu.detect_losses(now, &self.rtt, self.loss_estimator.loss_rate());
        }
        told
    }

    /// Declares chunks lost that are too old; counts packets that were certainly lost because later
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

    /// Returns the TSN of a FORWARD-TSN, if one is due. With `riding`, in a packet with data, it
    /// costs nothing and is due earlier.
    pub(crate) fn poll_forward_tsn(&mut self, now: Instant, riding: bool) -> Option<Tsn> {
        let unheard = self
            .forward_unanswered_since
            .is_some_and(|since| now >= since + self.rtt.smoothed() * 2);
        let pause = match riding {
            // With a full queue the same packets may be lost repeatedly.
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

    /// Returns the time of the next loss detection or FORWARD-TSN.
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

    /// Returns the highest TSN up to which the peer has received everything, or was moved past it.
    pub(crate) fn cumulative_ack_point(&self) -> Tsn {
        self.next_tsn.minus(1 + self.sent_chunks.len() as u32)
    }

    /// Returns the TSN that the next chunk gets.
    pub(crate) fn next_tsn(&self) -> Tsn {
        self.next_tsn
    }

    /// Returns whether the peer ignores FORWARD-TSN.
    pub(crate) fn is_ignoring_forward_tsn(&self, now: Instant) -> bool {
        self.forward_watchdog.is_expired(now)
    }

    pub(crate) fn rtt(&self) -> &RttEstimator {
        &self.rtt
    }

    pub(super) fn loss_estimator(&self) -> LossEstimator {
        self.loss_estimator
    }

    /// Returns the newest chunk of a SACK, if no earlier SACK acknowledged it.
    fn newly_acked(&self, sack: &SackChunk<'_>) -> Option<&SentChunk> {
        let last = sack.gap_blocks().last().map_or(sack.cumulative_tsn, |(_, to)| to);
        let flight = self.sent_chunks.get(self.chunk_index(last)?)?;
        (flight.state == ChunkState::InFlight).then_some(flight)
    }

    /// Measures the RTT; returns it if the peer sent its SACK at once. A peer may delay it for a
    /// second packet, but not if an immediate SACK is requested, or there is a gap (RFC 9260 §6.2,
    /// §6.7).
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

    /// Processes the outcome of the packet that carried a newly acknowledged chunk first.
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

    /// Returns whether a lost packet may be lost because of its length: no packet of at least its
    /// length that was sent later has arrived.
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

    /// Counts former MTU suspects, which were lost by chance.
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

    /// Updates the watchdog if the outcome of its FORWARD-TSN's packet is known.
    fn update_forward_watchdog(&mut self, now: Instant, cumulative: Tsn) {
        let Some(packet) = self.forward_watchdog.pending_packet() else { return };
        let later = |flight: &&SentChunk| flight.packet_number.wrapping_sub(packet) as i32 >= 0;
        let flight =
            self.sent_chunks.iter().find(later).filter(|flight| flight.packet_number == packet);
        match flight.map(|flight| (flight.first_transmission, flight.state)) {
            // The packet itself, and not only a copy of its chunk.
            Some((FirstTransmission::Arrived, _)) => self.forward_watchdog.on_ack(now, cumulative),
            Some((_, ChunkState::InFlight)) => {}
            _ => self.forward_watchdog.on_loss(),
        }
    }

    /// Drops chunks up to the peer's cumulative TSN.
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

    /// Marks abandoned chunks up to the cumulative TSN as lost: a FORWARD-TSN may have passed them,
    /// so it does not show that they arrived.
    fn resolve_skipped(&mut self, cumulative: Tsn) {
        let count = cumulative.since(self.cumulative_ack_point()).max(0) as usize;
        let covered = self.sent_chunks.iter_mut().take(count);
        for flight in
            covered.filter(|flight| flight.is_abandoned && flight.state == ChunkState::InFlight)
        {
            flight.state = ChunkState::DeclaredLost;
        }
    }

    /// Abandons the message of a chunk, as far as it is still recorded.
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

    /// Returns the TSN to which a FORWARD-TSN may move the peer (RFC 3758 §3.5,
    /// `Advanced.Peer.Ack.Point`).
    fn advanced_peer_ack_point(&self) -> Tsn {
        self.cumulative_ack_point().plus(self.abandoned_count as u32)
    }

    /// Returns the time at which a chunk is declared lost.
    fn loss_deadline(&self, index: usize) -> Instant {
        let flight = &self.sent_chunks[index];
        let delay = if self.is_overtaken(index) { Duration::ZERO } else { MAX_PEER_SACK_DELAY };
        // The peer must not be moved past a copy that may still arrive.
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

    /// Returns the age at which a chunk is lost when later ones have arrived.
    fn loss_delay(&self) -> Duration {
        self.rtt.smoothed().mul_f64(1.5) + LOSS_DELAY_MARGIN
    }

    /// Returns whether a later chunk has arrived.
    fn is_overtaken(&self, index: usize) -> bool {
        let tsn = self.cumulative_ack_point().plus(1 + index as u32);
        self.highest_acked.is_some_and(|last| tsn < last)
    }

    /// Adds the bytes of a packet beyond its own chunks to its last chunk.
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
