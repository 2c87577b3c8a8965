//! The receiving half: every message at once, once, and an acknowledgement for all.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::congestion::Breaker;
use crate::congestion::ack::{Rtt, Told};
use crate::sctp::packet::{Data, Tsn, protocol};
use crate::sctp::reassembly::{Assembly, Endless};

/// How long an acknowledgement may wait for a second packet, or one of ours to ride in
/// (RFC 9260 §6.2 allows 200 ms; the peer's idea of the path is better with less).
const DELAY: Duration = Duration::from_millis(20);
/// How far ahead of the last TSN the next may be. Honest peers have no more than this out.
const JUMP: i64 = 65_536;

/// Takes the peer's DATA chunks, in whatever order they come. The peer is told that everything
/// up to the highest arrived, so that its own congestion control never waits for what was lost.
#[derive(Debug)]
pub(crate) struct Receiver {
    seen: Seen,
    /// What the peer has given up itself: nothing up to here is wanted any more.
    floor: Tsn,
    assembly: Assembly,
    owed: Owed,
    /// Chunks of the packet at hand that had not come before.
    news: u32,
}

/// Whether the peer is owed an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// For one packet; it may wait until then.
    By(Instant),
    Now,
}

/// What no honest peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offence {
    /// A TSN far beyond the last.
    Jump,
    /// A message that is longer than allowed, or in more pieces.
    Endless,
}

impl Receiver {
    /// `before` is the TSN before the peer's first.
    pub(crate) fn new(before: Tsn, assembly: Assembly) -> Receiver {
        Receiver { seen: Seen::new(before), floor: before, assembly, owed: Owed::Nothing, news: 0 }
    }

    /// Notes a chunk that somebody else takes care of; false if it came before.
    pub(crate) fn note(&mut self, tsn: Tsn) -> Result<bool, Offence> {
        if tsn.since(self.seen.highest()) > JUMP {
            return Err(Offence::Jump);
        }
        Ok(tsn > self.floor && self.seen.insert(tsn))
    }

    /// Takes a chunk; gives the message that it completes.
    pub(crate) fn on_data(&mut self, data: &Data<'_>) -> Result<Option<Bytes>, Offence> {
        if !self.note(data.tsn)? {
            return Ok(None);
        }
        self.news += 1;
        match data.protocol {
            protocol::STRING_EMPTY | protocol::BINARY_EMPTY => Ok(Some(Bytes::new())),
            protocol::STRING | protocol::BINARY if data.is_whole() => self.whole(data.payload),
            protocol::STRING | protocol::BINARY => {
                self.assembly.insert(data).map_err(|Endless| Offence::Endless)
            }
            // Other protocols have no business on this stream (RFC 8831 §8).
            _ => Ok(None),
        }
    }

    /// The peer will not send again what it has up to `tsn` (RFC 3758 §3.6). Tells whether that
    /// is beyond all that came.
    pub(crate) fn on_forward(&mut self, tsn: Tsn) -> Result<bool, Offence> {
        let steps = tsn.since(self.seen.highest());
        if steps > JUMP {
            return Err(Offence::Jump);
        }
        self.floor = self.floor.max(tsn);
        self.seen.advance(tsn);
        self.assembly.forget(tsn);
        Ok(steps > 0)
    }

    /// A packet with DATA was taken: the second one is acknowledged at once, and one in which
    /// nothing is new, for its sender waits for an acknowledgement that was lost (RFC 9260 §6.2).
    /// Gives how many of its chunks had not come before.
    pub(crate) fn packet_done(&mut self, now: Instant) -> u32 {
        self.owed = match self.owed {
            Owed::Nothing if self.news > 0 => Owed::By(now + DELAY),
            Owed::Nothing | Owed::By(_) | Owed::Now => Owed::Now,
        };
        std::mem::take(&mut self.news)
    }

    /// A FORWARD-TSN was taken. One that tells nothing new may answer an acknowledgement: if it
    /// were answered at once there would be no end of it (Pion sends one for each as long as it
    /// has anything out).
    pub(crate) fn forward_done(&mut self, now: Instant, is_new: bool) {
        self.owed = match self.owed {
            _ if is_new => Owed::Now,
            Owed::Nothing => Owed::By(now + DELAY),
            owed => owed,
        };
    }

    /// Says at once again what has arrived.
    pub(crate) fn repeat(&mut self) {
        self.owed = Owed::Now;
    }

    /// The TSN to acknowledge, if it is time, or if it can ride along.
    pub(crate) fn acknowledge(&mut self, now: Instant, riding: bool) -> Option<Tsn> {
        let due = match self.owed {
            Owed::Nothing => false,
            Owed::By(at) => riding || at <= now,
            Owed::Now => true,
        };
        due.then(|| {
            self.owed = Owed::Nothing;
            self.seen.highest()
        })
    }

    /// When an acknowledgement is due.
    pub(crate) fn wake(&self, now: Instant) -> Option<Instant> {
        match self.owed {
            Owed::Nothing => None,
            Owed::By(at) => Some(at),
            Owed::Now => Some(now),
        }
    }

    /// Up to where everything has arrived without a gap, counted from the peer's first.
    pub(crate) fn contiguous_from(&self, before: Tsn) -> Tsn {
        self.seen.contiguous_from(before)
    }

    /// The highest TSN that arrived.
    pub(crate) fn highest(&self) -> Tsn {
        self.seen.highest()
    }

    fn whole(&self, payload: &[u8]) -> Result<Option<Bytes>, Offence> {
        if payload.len() > self.assembly.most_bytes() {
            return Err(Offence::Endless);
        }
        Ok(Some(Bytes::copy_from_slice(payload)))
    }
}

/// What a peer may send at once besides, in seconds at the most that it may send.
const BURST: f64 = 0.1;
/// The share of lost packets that is a flood after 10 s: four times what the path carries. Twice
/// as much is better lost on the way than kept waiting in the page.
const FLOOD: f64 = 0.75;
/// The least that is advertised, in bytes: two packets. With less some senders stop for good.
const LEAST: f64 = 2_400.0;
/// No window is larger, in bytes.
const MOST: f64 = 1_048_576.0;

/// The peer's own congestion control sees no loss, so this is what holds it: never more than the
/// most, and next to nothing if for long most of it has been lost (RFC 8084). More than that
/// would make messages wait in the peer's own queue and grow old there.
#[derive(Debug)]
pub(super) struct Brake {
    /// The most and the least that a peer may send, in bytes a second.
    most: f64,
    least: f64,
    breaker: Breaker,
    highest: Option<Tsn>,
}

impl Brake {
    /// Both in bits a second.
    pub(super) fn new(now: Instant, least: u32, most: u32) -> Brake {
        let (least, most) = (f64::from(least) / 8.0, f64::from(most) / 8.0);
        Brake { most, least, breaker: Breaker::new(now, FLOOD), highest: None }
    }

    /// A packet arrived with so many chunks that are new; `highest` is the latest of all.
    pub(super) fn arrived(&mut self, now: Instant, chunks: u32, highest: Tsn) {
        let steps = self.highest.map_or(i64::from(chunks), |last| highest.since(last));
        self.highest = Some(highest);
        let steps = u32::try_from(steps).unwrap_or_default();
        let lost = steps.saturating_sub(chunks);
        self.breaker.told(now, &Told { arrived: chunks, lost, ..Told::default() });
    }

    /// The window to advertise, in bytes.
    pub(super) fn window(&self, now: Instant, rtt: &Rtt) -> u32 {
        let round = rtt.of_path().unwrap_or(rtt.smoothed()).max(Duration::from_millis(1));
        let bytes = match self.breaker.is_open(now) {
            true => self.least * round.as_secs_f64(),
            false => self.most * (round.as_secs_f64() + BURST),
        };
        bytes.clamp(LEAST, MOST) as u32
    }
}

/// Silence after which a peer counts as one that was away.
const AWAY: Duration = Duration::from_millis(250);
/// How long a peer that is back is reminded, unless its data comes.
const WHILE: Duration = Duration::from_secs(3);
/// Between two reminders.
const PAUSE: Duration = Duration::from_millis(100);

/// A path that was down leaves the peer's SCTP waiting for a timer that has doubled again and
/// again: 3 s in browsers (RFC 9260 §6.3.3). An acknowledgement, even of nothing new, makes it
/// look at what it has to say, and the FORWARD-TSN that is due then (RFC 3758 §3.5) is answered
/// by an acknowledgement that ends the waiting. So a peer that is heard again is told once more
/// what has arrived, and again until it has something to say. It is told nothing but the truth,
/// for an acknowledgement of what was never sent ends an association.
#[derive(Debug)]
pub(super) struct Reminder {
    heard: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// It speaks, or it has nothing to say.
    Quiet,
    Reminding {
        next: Instant,
        until: Instant,
    },
}

impl Reminder {
    /// The peer was heard just now.
    pub(super) fn new(now: Instant) -> Reminder {
        Reminder { heard: now, state: State::Quiet }
    }

    /// A packet of the peer came, with something to say or only with acknowledgements; whether
    /// to remind it now.
    pub(super) fn heard(&mut self, now: Instant, speaks: bool) -> bool {
        let away = now.saturating_duration_since(self.heard) > AWAY;
        self.heard = now;
        if speaks {
            self.state = State::Quiet;
        } else if away {
            self.state = State::Reminding { next: now, until: now + WHILE };
        }
        self.is_due(now)
    }

    fn is_due(&mut self, now: Instant) -> bool {
        match self.state {
            State::Reminding { next, until } if next <= now => {
                self.state = match until > now {
                    true => State::Reminding { next: now + PAUSE, until },
                    false => State::Quiet,
                };
                until > now
            }
            _ => false,
        }
    }
}

/// TSNs below the highest that are remembered one by one; whatever is older counts as seen. At
/// 600 messages a second this is more than a second and a half.
const WINDOW: u32 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// A ring of bits behind the highest TSN.
#[derive(Debug)]
pub(crate) struct Seen {
    highest: Tsn,
    bits: [u64; WORDS],
}

impl Seen {
    /// Everything up to `before` counts as seen.
    pub(crate) fn new(before: Tsn) -> Seen {
        Seen { highest: before, bits: [u64::MAX; WORDS] }
    }

    pub(crate) fn highest(&self) -> Tsn {
        self.highest
    }

    /// Marks a TSN; false if it was marked already, or is too old to tell.
    pub(crate) fn insert(&mut self, tsn: Tsn) -> bool {
        self.open(tsn);
        let new = !self.contains(tsn);
        if new {
            *self.word(tsn) |= bit(tsn);
        }
        new
    }

    /// Marks everything up to `tsn`.
    pub(crate) fn advance(&mut self, tsn: Tsn) {
        self.open(tsn);
        for steps in 0..WINDOW {
            let older = tsn.minus(steps);
            if self.highest.since(older) < i64::from(WINDOW) {
                *self.word(older) |= bit(older);
            }
        }
    }

    /// The last TSN after `before` up to which all are marked.
    pub(crate) fn contiguous_from(&self, before: Tsn) -> Tsn {
        let mut last = before;
        while last < self.highest && self.contains(last.plus(1)) {
            last = last.plus(1);
        }
        last
    }

    fn contains(&self, tsn: Tsn) -> bool {
        self.highest.since(tsn) >= i64::from(WINDOW) || self.bits[index(tsn)] & bit(tsn) != 0
    }

    /// Moves the window so that it ends with `tsn`, if that is beyond it.
    fn open(&mut self, tsn: Tsn) {
        let steps = tsn.since(self.highest);
        if steps >= i64::from(WINDOW) {
            self.bits = [0; WORDS];
        } else {
            for step in 1..=steps.max(0) as u32 {
                let fresh = self.highest.plus(step);
                *self.word(fresh) &= !bit(fresh);
            }
        }
        self.highest = self.highest.max(tsn);
    }

    fn word(&mut self, tsn: Tsn) -> &mut u64 {
        &mut self.bits[index(tsn)]
    }
}

// 2^32 is a multiple of the window, so the ring goes on across the wrap.
fn index(tsn: Tsn) -> usize {
    (tsn.0 % WINDOW / 64) as usize
}

fn bit(tsn: Tsn) -> u64 {
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

    fn data(offset: u32, flags: u8, payload: &[u8]) -> Data<'_> {
        let tsn = BEFORE.plus(1 + offset);
        Data { flags, tsn, stream: 0, protocol: protocol::BINARY, payload }
    }

    fn receiver() -> Receiver {
        Receiver::new(BEFORE, Assembly::new(1_000, 2))
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
            assert_eq!(receiver.seen.highest(), BEFORE.plus(200));
            assert_eq!(receiver.contiguous_from(BEFORE), BEFORE.plus(200));
        }
    }

    #[test]
    fn empty_messages_are_messages() {
        let chunk = Data { protocol: protocol::BINARY_EMPTY, ..data(0, WHOLE, &[0]) };
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
            receiver.packet_done(now);
        };
        assert_eq!((receiver.wake(now), receiver.acknowledge(now, true)), (None, None));
        take(&mut receiver, 0);
        assert_eq!(receiver.acknowledge(now, false), None);
        assert_eq!(receiver.wake(now), Some(now + DELAY));
        take(&mut receiver, 1);
        assert_eq!(receiver.acknowledge(now, false), Some(BEFORE.plus(2)));
        take(&mut receiver, 2);
        assert_eq!(receiver.acknowledge(now, true), Some(BEFORE.plus(3)));
        take(&mut receiver, 3);
        assert_eq!(receiver.acknowledge(now + DELAY, false), Some(BEFORE.plus(4)));
        for repeated in [0, 3] {
            take(&mut receiver, repeated);
            assert_eq!(receiver.acknowledge(now, false), Some(BEFORE.plus(4)), "it came twice");
        }
    }

    #[test]
    fn what_is_new_in_a_packet_is_counted_and_what_arrived_can_be_said_again() {
        let now = Instant::now();
        let mut receiver = receiver();
        for (offsets, news) in [(0..3, 3), (2..4, 1), (0..4, 0)] {
            offsets.for_each(|offset| _ = receiver.on_data(&data(offset, WHOLE, b"")).unwrap());
            assert_eq!(receiver.packet_done(now), news);
        }
        assert_eq!(receiver.acknowledge(now, false), Some(BEFORE.plus(4)));
        assert_eq!(receiver.acknowledge(now, true), None);
        receiver.repeat();
        assert_eq!(receiver.wake(now), Some(now));
        assert_eq!(receiver.acknowledge(now, false), Some(BEFORE.plus(4)));
    }

    #[test]
    fn what_the_peer_gave_up_is_not_wanted() {
        let mut receiver = receiver();
        receiver.on_data(&data(4, flag::BEGIN, b"half")).unwrap();
        assert_eq!(receiver.on_forward(BEFORE.plus(10)), Ok(true));
        assert_eq!(receiver.on_forward(BEFORE.plus(10)), Ok(false));
        assert_eq!(receiver.seen.highest(), BEFORE.plus(10));
        assert_eq!(receiver.on_data(&data(5, flag::END, b"rest")), Ok(None));
        assert_eq!(receiver.on_data(&data(10, WHOLE, b"new")), Ok(Some(Bytes::from("new"))));
    }

    #[test]
    fn impossible_tsns_and_endless_messages_are_offences() {
        assert_eq!(receiver().on_data(&data(70_000, WHOLE, b"")), Err(Offence::Jump));
        let last = JUMP as u32;
        assert!(receiver().on_data(&data(last - 1, WHOLE, b"")).is_ok());
        assert_eq!(receiver().on_data(&data(last, WHOLE, b"")), Err(Offence::Jump));
        assert_eq!(receiver().on_forward(BEFORE.plus(last)), Ok(true));
        assert_eq!(receiver().on_forward(BEFORE.plus(last + 1)), Err(Offence::Jump));
        assert_eq!(receiver().on_forward(BEFORE.plus(70_000)), Err(Offence::Jump));
        assert!(
            receiver().on_data(&data(0, WHOLE, &[0; 1_000])).is_ok_and(|whole| whole.is_some())
        );
        assert_eq!(receiver().on_data(&data(0, WHOLE, &[0; 1_001])), Err(Offence::Endless));
        let mut receiver = receiver();
        let endless = (0..100).find_map(|index| receiver.on_data(&data(index, 0, &[0; 100])).err());
        assert_eq!(endless, Some(Offence::Endless));
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
            assert!(receiver.assembly.bytes() <= 2_000);
        }
    }
}

#[cfg(test)]
mod brake_tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The window after so many seconds of a hundred packets each, of which every `nth` arrives.
    fn after(seconds: u32, nth: u32, rtt: Duration) -> u32 {
        let mut now = Instant::now();
        let mut brake = Brake::new(now, 64_000, 4_000_000);
        for packet in (0..seconds * 100).step_by(nth as usize) {
            now += 10 * MS * nth;
            brake.arrived(now, 1, Tsn(u32::MAX - 50).plus(packet));
        }
        let mut known = Rtt::default();
        known.sample(rtt, true);
        brake.window(now, &known)
    }

    #[test]
    fn the_window_carries_the_most_and_a_burst() {
        assert_eq!(after(20, 1, 40 * MS), 70_000);
        assert_eq!(after(20, 1, 200 * MS), 150_000);
        assert_eq!(after(20, 1, 60_000 * MS), MOST as u32);
    }

    #[test]
    fn much_may_be_lost_and_more_for_a_while() {
        assert_eq!(after(60, 3, 40 * MS), 70_000);
        assert_eq!(after(8, 8, 40 * MS), 70_000);
        assert_eq!(after(30, 8, 40 * MS), LEAST as u32);
        assert_eq!(after(30, 8, 500 * MS), 4_000);
    }
}

#[cfg(test)]
mod reminder_tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reminded(times: impl IntoIterator<Item = u32>, data: impl Fn(u32) -> bool) -> Vec<u32> {
        let t = Instant::now();
        let mut reminder = Reminder::new(t);
        times.into_iter().filter(|at| reminder.heard(t + *at * MS, data(*at))).collect()
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
mod seen_tests {
    use std::collections::HashSet;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn agrees_with_a_set() {
        for start in [0, 5_000, u32::MAX - 700] {
            let mut random = StdRng::seed_from_u64(u64::from(start));
            let mut seen = Seen::new(Tsn(start));
            let mut model = HashSet::new();
            let mut highest = 0i64;
            for _ in 0..20_000 {
                let offset = (highest + random.random_range(-1_200..40)).max(1);
                let tsn = Tsn(start).plus(offset as u32);
                let too_old = highest - offset >= i64::from(WINDOW);
                let new = !too_old && model.insert(offset);
                assert_eq!(seen.insert(tsn), new, "{offset} of {highest}");
                highest = highest.max(offset);
                assert_eq!(seen.highest(), Tsn(start).plus(highest as u32));
            }
        }
    }

    #[test]
    fn advancing_marks_what_is_passed() {
        let mut seen = Seen::new(Tsn(10));
        seen.insert(Tsn(15));
        seen.advance(Tsn(13));
        assert_eq!([11, 12, 13, 14].map(|tsn| seen.insert(Tsn(tsn))), [false, false, false, true]);
        seen.advance(Tsn(40_000));
        assert!(!seen.insert(Tsn(39_999)));
        assert!(seen.insert(Tsn(40_001)));
    }

    #[test]
    fn contiguous_stops_at_the_first_gap() {
        let mut seen = Seen::new(Tsn(10));
        assert_eq!([11, 12, 14].map(|tsn| seen.insert(Tsn(tsn))), [true; 3]);
        assert_eq!(seen.contiguous_from(Tsn(10)), Tsn(12));
    }
}
