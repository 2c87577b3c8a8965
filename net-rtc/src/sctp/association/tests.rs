//! What is answered, when, and at what cost.

use std::time::Duration;

use crate::Config;
use crate::sctp::association::*;
use crate::sctp::packet::{flag, protocol};
use crate::sctp::reassembly::Assembly;

const MS: Duration = Duration::from_millis(1);
const HEADER: Header = Header { source: 5_000, destination: 5_000, tag: 7 };
const OURS: Tsn = Tsn(1_000);
const THEIRS: Tsn = Tsn(u32::MAX - 5);

fn engaged(now: Instant) -> Engaged {
    let config = Config::new(Vec::new());
    let receiver = Receiver::new(THEIRS.minus(1), Assembly::new(1_000, 2));
    let local = Local::new(OURS, THEIRS.minus(1));
    Engaged::new(now, Settings::of(&config), HEADER, 0, receiver, local)
}

fn packet(write: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::new(HEADER);
    write(&mut builder);
    builder.finish()
}

fn data(number: u32) -> Vec<u8> {
    let flags = flag::BEGIN | flag::END | flag::UNORDERED;
    let (tsn, protocol, payload) = (THEIRS.plus(number), protocol::BINARY, &[7; 100][..]);
    packet(|builder| builder.data(&Data { flags, tsn, stream: 0, protocol, payload }))
}

/// What leaves now: the kinds of all chunks.
fn said(engaged: &mut Engaged, now: Instant) -> Vec<u8> {
    engaged.flush(now);
    let packets = std::iter::from_fn(|| engaged.packet());
    packets.flat_map(|packet| chunks(&packet).map(|chunk| chunk.kind).collect::<Vec<_>>()).collect()
}

/// Pion sends a FORWARD-TSN for each SACK as long as anything of its is out.
#[test]
fn a_peer_that_answers_each_sack_with_a_forward_tsn_starts_no_storm() {
    let start = Instant::now();
    let mut engaged = engaged(start);
    let mut answers = VecDeque::new();
    let mut sacks = 0;
    for step in 0..10_000u32 {
        let now = start + MS * step;
        let out = step / 10;
        let forward = packet(|builder| builder.forward_tsn(THEIRS.plus(out)));
        let due = answers.iter().take_while(|at| **at <= now).count();
        answers.drain(..due);
        let heard = std::iter::repeat_n(forward, due);
        for packet in heard.chain((step % 10 == 0).then(|| data(out))) {
            assert!(engaged.inbound(now, &packet).is_ok());
            let all = said(&mut engaged, now);
            let new = all.iter().filter(|kind| **kind == kind::SACK).count();
            answers.extend((0..new).map(|_| now + 40 * MS));
            sacks += new;
        }
    }
    // One for each second of a thousand packets, and as many again at most.
    assert!((400..=1_000).contains(&sacks), "{sacks}");
}

#[test]
fn a_forward_tsn_that_tells_something_is_answered_at_once() {
    let now = Instant::now();
    let mut engaged = engaged(now);
    for (forward, at_once) in [(3, true), (3, false), (2, false), (4, true)] {
        let forward = packet(|builder| builder.forward_tsn(THEIRS.plus(forward)));
        engaged.inbound(now, &forward).expect("it is honest");
        assert_eq!(!said(&mut engaged, now).is_empty(), at_once);
        said(&mut engaged, now + 20 * MS);
    }
}

/// A server may listen for long before it speaks.
#[test]
fn acknowledgements_take_nothing_of_what_may_be_sent() {
    let mut now = Instant::now();
    let mut engaged = engaged(now);
    let mut sacks = 0;
    for number in 0..600 * 30 {
        now += MS * 5 / 3;
        assert!(engaged.inbound(now, &data(number)).is_ok());
        sacks += said(&mut engaged, now).len();
    }
    assert!(sacks >= 600 * 15, "{sacks}");
    for _ in 0..10 {
        assert_eq!(engaged.room(now), Ok(()));
        engaged.send(Bytes::from(vec![7; 1_000]), None);
        assert!(said(&mut engaged, now).contains(&kind::DATA));
    }
    assert!(engaged.pace.rate(now) > 400_000.0, "{}", engaged.pace.rate(now));
}
