//! Frames that no honest client sends: rows 7-11.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::http::{BINARY, CLOSE, FIN, PING, REQUEST, TEXT, frame, head};
use super::script::Step;

fn upgraded(then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let request = Step::Write(REQUEST.as_bytes().to_vec());
    [request, Step::Heard].into_iter().chain(then).collect()
}

/// Announces 16 MiB, or 2^63 bytes, and perhaps begins to send them.
pub(super) fn huge(random: &mut StdRng) -> Vec<Step> {
    let first = FIN | [TEXT, BINARY].choose(random).expect("not empty");
    let length = *[1 << 24, 1 << 63, u64::MAX].choose(random).expect("not empty");
    let body = vec![0; random.random_range(0..4_096)];
    upgraded([Step::Write(head(first, length)), Step::Write(body)])
}

/// A message in more and more pieces, empty or not.
pub(super) fn endless_fragments(random: &mut StdRng) -> Vec<Step> {
    let size = *[0, 1, 1_000].choose(random).expect("not empty");
    upgraded([
        Step::Write(frame(BINARY, &[7])),
        Step::Burst(frame(0, &vec![7; size]).repeat(50)),
        Step::Wait(Duration::from_millis(10)),
        Step::GoTo(3),
    ])
}

/// What the protocol forbids.
pub(super) fn forbidden(random: &mut StdRng) -> Vec<Step> {
    upgraded([Step::Write(forbidden_frame(random))])
}

/// One frame, or two, that the protocol forbids.
pub(super) fn forbidden_frame(random: &mut StdRng) -> Vec<u8> {
    let frames = [
        vec![FIN | BINARY, 1, 0],
        frame(FIN | 0x40 | BINARY, b"rsv1"),
        frame(FIN | 0x20 | BINARY, b"rsv2"),
        frame(FIN | 0x10 | TEXT, b"rsv3"),
        frame(FIN | 3, b"an opcode that is none"),
        frame(FIN | 11, b"another"),
        frame(FIN | PING, &[0; 126]),
        frame(PING, b"half a ping"),
        frame(FIN, b"a continuation of nothing"),
        [frame(BINARY, b"begun"), frame(FIN | BINARY, b"begun again")].concat(),
        frame(FIN | CLOSE, &1_005_u16.to_be_bytes()),
        frame(FIN | CLOSE, &[3]),
        frame(FIN | TEXT, b"\xc3\x28"),
        frame(FIN | TEXT, b"\xed\xa0\x80"),
    ];
    frames.choose(random).expect("not empty").clone()
}

/// Pings without end, and reads no answer.
pub(super) fn ping_flood(_: &mut StdRng) -> Vec<Step> {
    upgraded([
        Step::StopReading,
        Step::Burst(frame(FIN | PING, &[9; 125]).repeat(100)),
        Step::Wait(Duration::from_millis(10)),
        Step::GoTo(3),
    ])
}
