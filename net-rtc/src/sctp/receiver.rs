//! Receiving half: duplicate detection, delivery, SACKs, advertised window (RFC 9260 §6.2).

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::congestion::CircuitBreaker;
use crate::congestion::ack::{AckSummary, RttEstimator};
use crate::sctp::packet::{DataChunk, Tsn, ppid};
use crate::sctp::reassembly::{MessageTooLong, Reassembly};

/// Delay of a SACK, to acknowledge a second packet or to share a packet with data (RFC 9260 §6.2
/// allows 200 ms; the peer measures the RTT better with less).
const ACK_DELAY: Duration = Duration::from_millis(20);
/// Maximum distance of a TSN from the highest one. Honest peers have no more in flight.
const MAX_TSN_JUMP: i64 = 65_536;

/// Receiver of the peer's DATA chunks in any order. Everything up to the highest TSN is
/// acknowledged, so that the peer's own congestion control never waits for lost chunks.
#[derive(Debug)]
pub(crate) struct Receiver {
    received_tsns: ReceivedTsns,
    /// Highest FORWARD-TSN: later arrivals up to it are ignored.
    forward_tsn: Tsn,
    reassembly: Reassembly,
    pending_ack: PendingAck,
    /// New chunks in the current packet.
    new_chunks: u32,
}

/// When the next SACK is due: not at all, after a delay, or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingAck {
    None,
    /// For one packet; due at this time.
    Delayed(Instant),
    Immediate,
}

/// A protocol violation of the peer's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolViolation {
    /// A TSN more than [`MAX_TSN_JUMP`] beyond the highest.
    TsnJump,
    /// A message over the maximum size or number of fragments.
    MessageTooLong,
}

impl Receiver {
    /// Creates a receiver; `before` is the TSN before the peer's initial one.
    pub(crate) fn new(before: Tsn, reassembly: Reassembly) -> Receiver {
        Receiver {
            received_tsns: ReceivedTsns::new(before),
            forward_tsn: before,
            reassembly,
            pending_ack: PendingAck::None,
            new_chunks: 0,
        }
    }

    /// Marks a chunk that SCTP delivers; false if it is a duplicate.
    pub(crate) fn mark_received(&mut self, tsn: Tsn) -> Result<bool, ProtocolViolation> {
        if tsn.since(self.received_tsns.highest_tsn()) > MAX_TSN_JUMP {
            return Err(ProtocolViolation::TsnJump);
        }
        Ok(tsn > self.forward_tsn && self.received_tsns.insert(tsn))
    }

    /// Takes a chunk; returns the message that it completes.
    pub(crate) fn on_data(
        &mut self,
        data: &DataChunk<'_>,
    ) -> Result<Option<Bytes>, ProtocolViolation> {
        if !self.mark_received(data.tsn)? {
            return Ok(None);
        }
        self.new_chunks += 1;
        match data.ppid {
            ppid::STRING_EMPTY | ppid::BINARY_EMPTY => Ok(Some(Bytes::new())),
            ppid::STRING | ppid::BINARY if data.is_unfragmented() => {
                self.deliver_unfragmented(data.payload)
            }
            ppid::STRING | ppid::BINARY => self
                .reassembly
                .insert(data)
                .map_err(|MessageTooLong| ProtocolViolation::MessageTooLong),
            // Other payload protocols are invalid on this stream (RFC 8831 §8).
            _ => Ok(None),
        }
    }

    /// Takes a FORWARD-TSN: the peer will not send missing chunks up to `tsn` again (RFC 3758
    /// §3.6). Returns whether it exceeds the highest received TSN.
    pub(crate) fn on_forward_tsn(&mut self, tsn: Tsn) -> Result<bool, ProtocolViolation> {
        let steps = tsn.since(self.received_tsns.highest_tsn());
        if steps > MAX_TSN_JUMP {
            return Err(ProtocolViolation::TsnJump);
        }
        self.forward_tsn = self.forward_tsn.max(tsn);
        self.received_tsns.mark_through(tsn);
        self.reassembly.discard_through(tsn);
        Ok(steps > 0)
    }

    /// Schedules the SACK after a packet with DATA: at once for the second packet, and for one of
    /// duplicates only, whose sender awaits a SACK that was lost (RFC 9260 §6.2). Returns the
    /// number of its new chunks.
    pub(crate) fn on_packet_end(&mut self, now: Instant) -> u32 {
        self.pending_ack = match self.pending_ack {
            PendingAck::None if self.new_chunks > 0 => PendingAck::Delayed(now + ACK_DELAY),
            PendingAck::None | PendingAck::Delayed(_) | PendingAck::Immediate => {
                PendingAck::Immediate
            }
        };
        std::mem::take(&mut self.new_chunks)
    }

    /// Schedules the SACK after a FORWARD-TSN: at once if it is new, else delayed. One without news
    /// may answer a SACK; an immediate SACK would cause an endless exchange (Pion sends one for
    /// each SACK while it has data in flight).
    pub(crate) fn schedule_forward_tsn_ack(&mut self, now: Instant, is_new: bool) {
        self.pending_ack = match self.pending_ack {
            _ if is_new => PendingAck::Immediate,
            PendingAck::None => PendingAck::Delayed(now + ACK_DELAY),
            owed => owed,
        };
    }

    /// Schedules an immediate SACK.
    pub(crate) fn ack_immediately(&mut self) {
        self.pending_ack = PendingAck::Immediate;
    }

    /// Returns the TSN to acknowledge if a SACK is due, or pending and `riding` in a packet with
    /// data.
    pub(crate) fn poll_ack(&mut self, now: Instant, riding: bool) -> Option<Tsn> {
        let due = match self.pending_ack {
            PendingAck::None => false,
            PendingAck::Delayed(at) => riding || at <= now,
            PendingAck::Immediate => true,
        };
        due.then(|| {
            self.pending_ack = PendingAck::None;
            self.received_tsns.highest_tsn()
        })
    }

    /// Returns the time at which a SACK is due.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        match self.pending_ack {
            PendingAck::None => None,
            PendingAck::Delayed(at) => Some(at),
            PendingAck::Immediate => Some(now),
        }
    }

    /// Returns the cumulative TSN without gaps, from `before` on.
    pub(crate) fn cumulative_from(&self, before: Tsn) -> Tsn {
        self.received_tsns.cumulative_from(before)
    }

    /// Returns the highest received TSN.
    pub(crate) fn highest_tsn(&self) -> Tsn {
        self.received_tsns.highest_tsn()
    }

    fn deliver_unfragmented(&self, payload: &[u8]) -> Result<Option<Bytes>, ProtocolViolation> {
        if payload.len() > self.reassembly.max_message_size() {
            return Err(ProtocolViolation::MessageTooLong);
        }
        Ok(Some(Bytes::copy_from_slice(payload)))
    }
}

/// Allowed burst of a peer, in seconds at its maximum rate.
const PEER_BURST_SECS: f64 = 0.1;
/// Loss share that over 10 s counts as a flood: four times what the path carries. At twice that,
/// loss on the path is better than messages that wait in the peer's own queue.
const FLOOD_LOSS: f64 = 0.75;
/// Minimum advertised window in bytes: two packets. With less some senders stop for good.
const MIN_A_RWND: f64 = 2_400.0;
/// Maximum advertised window, in bytes.
const MAX_A_RWND: f64 = 1_048_576.0;

/// Advertised window (a_rwnd, RFC 9260 §3.3.4), which limits the peer's rate: its own
/// congestion control sees no loss, because everything up to the newest TSN is acknowledged. It allows the maximum rate, or, after a long flood, the
/// minimum rate (RFC 8084). A stricter limit would let messages grow old in the peer's own queue.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    /// Maximum and minimum rate of the peer, in bytes per second.
    max_bytes_per_sec: f64,
    min_bytes_per_sec: f64,
    circuit_breaker: CircuitBreaker,
    highest_tsn: Option<Tsn>,
}

impl ReceiveWindow {
    /// Creates the window; `least` and `most` are in bits per second.
    pub(super) fn new(now: Instant, least: u32, most: u32) -> ReceiveWindow {
        let (min_bytes_per_sec, max_bytes_per_sec) =
            (f64::from(least) / 8.0, f64::from(most) / 8.0);
        ReceiveWindow {
            max_bytes_per_sec,
            min_bytes_per_sec,
            circuit_breaker: CircuitBreaker::new(now, FLOOD_LOSS),
            highest_tsn: None,
        }
    }

    /// Records a packet with `chunks` new chunks; `highest` is the highest received TSN.
    pub(super) fn on_packet(&mut self, now: Instant, chunks: u32, highest: Tsn) {
        let steps = self.highest_tsn.map_or(i64::from(chunks), |last| highest.since(last));
        self.highest_tsn = Some(highest);
        let steps = u32::try_from(steps).unwrap_or_default();
        let lost = steps.saturating_sub(chunks);
        self.circuit_breaker.on_ack(
            now,
            &AckSummary { packets_acked: chunks, packets_lost: lost, ..AckSummary::default() },
        );
    }

    /// Returns the window to advertise, in bytes.
    pub(super) fn a_rwnd(&self, now: Instant, rtt: &RttEstimator) -> u32 {
        let round = rtt.path_rtt().unwrap_or(rtt.smoothed()).max(Duration::from_millis(1));
        let bytes = match self.circuit_breaker.is_open(now) {
            true => self.min_bytes_per_sec * round.as_secs_f64(),
            false => self.max_bytes_per_sec * (round.as_secs_f64() + PEER_BURST_SECS),
        };
        bytes.clamp(MIN_A_RWND, MAX_A_RWND) as u32
    }
}

/// Silence of the peer after which a packet ends an outage.
const OUTAGE_AFTER: Duration = Duration::from_millis(250);
/// Time after an outage in which SACKs are repeated, unless data arrives.
const RESUME_DURATION: Duration = Duration::from_secs(3);
/// Interval of repeated SACKs.
const RESUME_ACK_INTERVAL: Duration = Duration::from_millis(100);

/// Repeated SACK after an outage. An outage leaves the peer's SCTP waiting for a retransmission
/// timer that has doubled several times: 3 s in browsers (RFC 9260 §6.3.3). A SACK, even without
/// news, makes it process its queue and send the FORWARD-TSN that is due (RFC 3758 §3.5); the SACK
/// of that ends the wait. So a peer that is heard again gets SACKs until it sends DATA or
/// FORWARD-TSN. The repeated SACK is genuine: acknowledging unsent TSNs would abort the
/// association.
#[derive(Debug)]
pub(super) struct ResumeAck {
    last_recv: Instant,
    state: ResumeState,
}

/// Whether SACKs are repeated because the path is back after an outage.
#[derive(Clone, Copy, Debug)]
enum ResumeState {
    /// The peer sends data, or has none to send.
    Idle,
    Repeating {
        next_ack: Instant,
        until: Instant,
    },
}

impl ResumeAck {
    /// Creates the state; a packet of the peer has just arrived.
    pub(super) fn new(now: Instant) -> ResumeAck {
        ResumeAck { last_recv: now, state: ResumeState::Idle }
    }

    /// Records a packet of the peer; `speaks` if it has DATA or FORWARD-TSN. Returns whether to
    /// repeat the SACK now.
    pub(super) fn on_packet(&mut self, now: Instant, speaks: bool) -> bool {
        let away = now.saturating_duration_since(self.last_recv) > OUTAGE_AFTER;
        self.last_recv = now;
        if speaks {
            self.state = ResumeState::Idle;
        } else if away {
            self.state = ResumeState::Repeating { next_ack: now, until: now + RESUME_DURATION };
        }
        self.take_due(now)
    }

    fn take_due(&mut self, now: Instant) -> bool {
        match self.state {
            ResumeState::Repeating { next_ack: next, until } if next <= now => {
                self.state = match until > now {
                    true => ResumeState::Repeating { next_ack: now + RESUME_ACK_INTERVAL, until },
                    false => ResumeState::Idle,
                };
                until > now
            }
            _ => false,
        }
    }
}

/// TSNs below the highest that are recorded individually; older ones count as received. At 600
/// messages per second this is more than 1.5 s.
const TSN_WINDOW: u32 = 1_024;
const BITMAP_WORDS: usize = (TSN_WINDOW / 64) as usize;

/// Received TSNs: a ring of bits behind the highest one.
#[derive(Debug)]
pub(crate) struct ReceivedTsns {
    highest_tsn: Tsn,
    bitmap: [u64; BITMAP_WORDS],
}

impl ReceivedTsns {
    /// Creates the record; everything up to `before` counts as received.
    pub(crate) fn new(before: Tsn) -> ReceivedTsns {
        ReceivedTsns { highest_tsn: before, bitmap: [u64::MAX; BITMAP_WORDS] }
    }

    pub(crate) fn highest_tsn(&self) -> Tsn {
        self.highest_tsn
    }

    /// Marks a TSN; false if it was marked already, or is older than the window.
    pub(crate) fn insert(&mut self, tsn: Tsn) -> bool {
        self.extend_to(tsn);
        let new = !self.contains(tsn);
        if new {
            *self.word_mut(tsn) |= bit_mask(tsn);
        }
        new
    }

    /// Marks everything up to `tsn`.
    pub(crate) fn mark_through(&mut self, tsn: Tsn) {
        self.extend_to(tsn);
        for steps in 0..TSN_WINDOW {
            let older = tsn.minus(steps);
            if self.highest_tsn.since(older) < i64::from(TSN_WINDOW) {
                *self.word_mut(older) |= bit_mask(older);
            }
        }
    }

    /// Returns the last TSN from `before` on up to which all are marked.
    pub(crate) fn cumulative_from(&self, before: Tsn) -> Tsn {
        let mut last = before;
        while last < self.highest_tsn && self.contains(last.plus(1)) {
            last = last.plus(1);
        }
        last
    }

    fn contains(&self, tsn: Tsn) -> bool {
        self.highest_tsn.since(tsn) >= i64::from(TSN_WINDOW)
            || self.bitmap[word_index(tsn)] & bit_mask(tsn) != 0
    }

    /// Moves the window so that it ends with `tsn`, if that is beyond its end.
    fn extend_to(&mut self, tsn: Tsn) {
        let steps = tsn.since(self.highest_tsn);
        if steps >= i64::from(TSN_WINDOW) {
            self.bitmap = [0; BITMAP_WORDS];
        } else {
            for step in 1..=steps.max(0) as u32 {
                let fresh = self.highest_tsn.plus(step);
                *self.word_mut(fresh) &= !bit_mask(fresh);
            }
        }
        self.highest_tsn = self.highest_tsn.max(tsn);
    }

    fn word_mut(&mut self, tsn: Tsn) -> &mut u64 {
        &mut self.bitmap[word_index(tsn)]
    }
}

// 2^32 is a multiple of the window, so the ring continues across the wrap.
fn word_index(tsn: Tsn) -> usize {
    (tsn.0 % TSN_WINDOW / 64) as usize
}

fn bit_mask(tsn: Tsn) -> u64 {
    1 << (tsn.0 % 64)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::sctp::packet::flag;

    const WHOLE: u8 = flag::BEGIN | flag::END | flag::UNORDERED;
    const BEFORE: Tsn = Tsn(u32::MAX - 5);

    fn data(offset: u32, flags: u8, payload: &[u8]) -> DataChunk<'_> {
        let tsn = BEFORE.plus(1 + offset);
        DataChunk { flags, tsn, stream_id: 0, ppid: ppid::BINARY, payload }
    }

    fn receiver() -> Receiver {
        Receiver::new(BEFORE, Reassembly::new(1_000, 2))
    }

    #[test]
    fn each_message_once_in_any_order_across_the_wrap() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut order: Vec<u32> = (0..200).collect();
            order.shuffle(&mut random);
            let mut receiver = receiver();
            for offset in &order {
                let payload = offset.to_be_bytes();
                let chunk = data(*offset, WHOLE, &payload);
                assert_eq!(receiver.on_data(&chunk), Ok(Some(Bytes::copy_from_slice(&payload))));
                assert_eq!(receiver.on_data(&chunk), Ok(None), "a duplicate");
            }
            assert_eq!(receiver.received_tsns.highest_tsn(), BEFORE.plus(200));
            assert_eq!(receiver.cumulative_from(BEFORE), BEFORE.plus(200));
        }
    }

    #[test]
    fn empty_messages_are_messages() {
        let chunk = DataChunk { ppid: ppid::BINARY_EMPTY, ..data(0, WHOLE, &[0]) };
        assert_eq!(receiver().on_data(&chunk), Ok(Some(Bytes::new())));
    }

    #[test]
    fn fragments_make_a_message_in_any_order() {
        let mut random = StdRng::seed_from_u64(3);
        for pieces in 2..7u32 {
            let mut order: Vec<u32> = (0..pieces).collect();
            order.shuffle(&mut random);
            let mut receiver = receiver();
            let mut got = Vec::new();
            for index in order {
                let flags = match index {
                    0 => flag::BEGIN,
                    last if last == pieces - 1 => flag::END,
                    _ => 0,
                };
                got.extend(receiver.on_data(&data(index, flags, &[index as u8])).unwrap());
            }
            assert_eq!(got, [Bytes::from((0..pieces as u8).collect::<Vec<_>>())]);
        }
    }

    #[test]
    fn the_second_packet_is_acknowledged_at_once_the_first_soon() {
        let now = Instant::now();
        let mut receiver = receiver();
        let take = |receiver: &mut Receiver, offset| {
            receiver.on_data(&data(offset, WHOLE, b"")).unwrap();
            receiver.on_packet_end(now);
        };
        assert_eq!((receiver.next_timeout(now), receiver.poll_ack(now, true)), (None, None));
        take(&mut receiver, 0);
        assert_eq!(receiver.poll_ack(now, false), None);
        assert_eq!(receiver.next_timeout(now), Some(now + ACK_DELAY));
        take(&mut receiver, 1);
        assert_eq!(receiver.poll_ack(now, false), Some(BEFORE.plus(2)));
        take(&mut receiver, 2);
        assert_eq!(receiver.poll_ack(now, true), Some(BEFORE.plus(3)));
        take(&mut receiver, 3);
        assert_eq!(receiver.poll_ack(now + ACK_DELAY, false), Some(BEFORE.plus(4)));
        for repeated in [0, 3] {
            take(&mut receiver, repeated);
            assert_eq!(receiver.poll_ack(now, false), Some(BEFORE.plus(4)), "it came twice");
        }
    }

    #[test]
    fn what_is_new_in_a_packet_is_counted_and_what_arrived_can_be_said_again() {
        let now = Instant::now();
        let mut receiver = receiver();
        for (offsets, news) in [(0..3, 3), (2..4, 1), (0..4, 0)] {
            offsets.for_each(|offset| _ = receiver.on_data(&data(offset, WHOLE, b"")).unwrap());
            assert_eq!(receiver.on_packet_end(now), news);
        }
        assert_eq!(receiver.poll_ack(now, false), Some(BEFORE.plus(4)));
        assert_eq!(receiver.poll_ack(now, true), None);
        receiver.ack_immediately();
        assert_eq!(receiver.next_timeout(now), Some(now));
        assert_eq!(receiver.poll_ack(now, false), Some(BEFORE.plus(4)));
    }

    #[test]
    fn what_the_peer_gave_up_is_not_wanted() {
        let mut receiver = receiver();
        receiver.on_data(&data(4, flag::BEGIN, b"half")).unwrap();
        assert_eq!(receiver.on_forward_tsn(BEFORE.plus(10)), Ok(true));
        assert_eq!(receiver.on_forward_tsn(BEFORE.plus(10)), Ok(false));
        assert_eq!(receiver.received_tsns.highest_tsn(), BEFORE.plus(10));
        assert_eq!(receiver.on_data(&data(5, flag::END, b"rest")), Ok(None));
        assert_eq!(receiver.on_data(&data(10, WHOLE, b"new")), Ok(Some(Bytes::from("new"))));
    }

    #[test]
    fn impossible_tsns_and_endless_messages_are_offences() {
        assert_eq!(receiver().on_data(&data(70_000, WHOLE, b"")), Err(ProtocolViolation::TsnJump));
        let last = MAX_TSN_JUMP as u32;
        assert!(receiver().on_data(&data(last - 1, WHOLE, b"")).is_ok());
        assert_eq!(receiver().on_data(&data(last, WHOLE, b"")), Err(ProtocolViolation::TsnJump));
        assert_eq!(receiver().on_forward_tsn(BEFORE.plus(last)), Ok(true));
        assert_eq!(
            receiver().on_forward_tsn(BEFORE.plus(last + 1)),
            Err(ProtocolViolation::TsnJump)
        );
        assert_eq!(receiver().on_forward_tsn(BEFORE.plus(70_000)), Err(ProtocolViolation::TsnJump));
        assert!(
            receiver().on_data(&data(0, WHOLE, &[0; 1_000])).is_ok_and(|whole| whole.is_some())
        );
        assert_eq!(
            receiver().on_data(&data(0, WHOLE, &[0; 1_001])),
            Err(ProtocolViolation::MessageTooLong)
        );
        let mut receiver = receiver();
        let endless = (0..100).find_map(|index| receiver.on_data(&data(index, 0, &[0; 100])).err());
        assert_eq!(endless, Some(ProtocolViolation::MessageTooLong));
    }

    #[test]
    fn random_chunks_never_panic_and_never_hold_much() {
        let mut random = StdRng::seed_from_u64(4);
        let mut receiver = receiver();
        let payload = [0; 50];
        for _ in 0..100_000 {
            let offset = random.random_range(0..3_000);
            let chunk =
                data(offset, random.random_range(0..8), &payload[..random.random_range(0..50)]);
            if receiver.on_data(&chunk).is_err() {
                receiver = self::receiver();
            }
            assert!(receiver.reassembly.buffered_bytes() <= 2_000);
        }
    }
}

#[cfg(test)]
mod receive_window_tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The window after so many seconds of a hundred packets each, of which every `nth` arrives.
    fn after(seconds: u32, nth: u32, rtt: Duration) -> u32 {
        let mut now = Instant::now();
        let mut brake = ReceiveWindow::new(now, 64_000, 4_000_000);
        for packet in (0..seconds * 100).step_by(nth as usize) {
            now += 10 * MS * nth;
            brake.on_packet(now, 1, Tsn(u32::MAX - 50).plus(packet));
        }
        let mut known = RttEstimator::default();
        known.add_sample(rtt, true);
        brake.a_rwnd(now, &known)
    }

    #[test]
    fn the_window_carries_the_most_and_a_burst() {
        assert_eq!(after(20, 1, 40 * MS), 70_000);
        assert_eq!(after(20, 1, 200 * MS), 150_000);
        assert_eq!(after(20, 1, 60_000 * MS), MAX_A_RWND as u32);
    }

    #[test]
    fn much_may_be_lost_and_more_for_a_while() {
        assert_eq!(after(60, 3, 40 * MS), 70_000);
        assert_eq!(after(8, 8, 40 * MS), 70_000);
        assert_eq!(after(30, 8, 40 * MS), MIN_A_RWND as u32);
        assert_eq!(after(30, 8, 500 * MS), 4_000);
    }
}

#[cfg(test)]
mod resume_ack_tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reminded(times: impl IntoIterator<Item = u32>, data: impl Fn(u32) -> bool) -> Vec<u32> {
        let t = Instant::now();
        let mut reminder = ResumeAck::new(t);
        times.into_iter().filter(|at| reminder.on_packet(t + *at * MS, data(*at))).collect()
    }

    #[test]
    fn a_peer_that_speaks_on_is_not_reminded() {
        assert_eq!(reminded((0..5_000).step_by(20), |_| true), []);
        assert_eq!(reminded((0..5_000).step_by(200), |_| false), []);
    }

    #[test]
    fn a_peer_that_is_back_is_reminded_until_its_data_comes() {
        let heard = |from: u32| (from..from + 10_000).step_by(20);
        assert_eq!(reminded(heard(1_000), |at| at >= 1_250), [1_000, 1_100, 1_200]);
        let in_vain = reminded(heard(1_000), |_| false);
        assert_eq!((in_vain.len(), in_vain.last()), (30, Some(&3_900)));
        assert_eq!(reminded([1_000], |_| true), []);
    }
}

#[cfg(test)]
mod received_tsns_tests {
    use std::collections::HashSet;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn agrees_with_a_set() {
        for start in [0, 5_000, u32::MAX - 700] {
            let mut random = StdRng::seed_from_u64(u64::from(start));
            let mut seen = ReceivedTsns::new(Tsn(start));
            let mut model = HashSet::new();
            let mut highest = 0i64;
            for _ in 0..20_000 {
                let offset = (highest + random.random_range(-1_200..40)).max(1);
                let tsn = Tsn(start).plus(offset as u32);
                let too_old = highest - offset >= i64::from(TSN_WINDOW);
                let new = !too_old && model.insert(offset);
                assert_eq!(seen.insert(tsn), new, "{offset} of {highest}");
                highest = highest.max(offset);
                assert_eq!(seen.highest_tsn(), Tsn(start).plus(highest as u32));
            }
        }
    }

    #[test]
    fn advancing_marks_what_is_passed() {
        let mut seen = ReceivedTsns::new(Tsn(10));
        seen.insert(Tsn(15));
        seen.mark_through(Tsn(13));
        assert_eq!([11, 12, 13, 14].map(|tsn| seen.insert(Tsn(tsn))), [false, false, false, true]);
        seen.mark_through(Tsn(40_000));
        assert!(!seen.insert(Tsn(39_999)));
        assert!(seen.insert(Tsn(40_001)));
    }

    #[test]
    fn contiguous_stops_at_the_first_gap() {
        let mut seen = ReceivedTsns::new(Tsn(10));
        assert_eq!([11, 12, 14].map(|tsn| seen.insert(Tsn(tsn))), [true; 3]);
        assert_eq!(seen.cumulative_from(Tsn(10)), Tsn(12));
    }
}
