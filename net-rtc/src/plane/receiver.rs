//! The receiving half: every message at once, once, and an acknowledgement for all.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::assembly::{Assembly, Endless};
use super::packet::{Data, protocol};
use super::seen::Seen;
use super::tsn::Tsn;

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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    use super::super::packet::flag;
    use super::*;

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
