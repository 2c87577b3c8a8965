//! Session descriptions as the answer to an offer.

use std::time::Instant;

use net_rtc::AcceptAnswerError;

use super::rtc_pair::{Side, config, server};

/// The first byte chooses who opens the channel; the rest is the answer.
///
/// # Panics
/// If the endpoint breaks a promise: whatever the answer says, nothing is sent before a check
/// comes; who is refused is closed, once; who is not has his time, and no more.
pub fn run(data: &[u8]) {
    let Some((manners, rest)) = data.split_first() else { return };
    let sdp = String::from_utf8_lossy(rest);
    let mut now = Instant::now();
    let mut side = Side::new(config(server()));
    side.endpoint.offer(now, 0).expect("a free key");
    side.drain();
    let result = match manners & 1 {
        0 => side.endpoint.accept_answer(now, &0, &sdp),
        _ => side.endpoint.accept_answer_negotiated(now, &0, &sdp),
    };
    side.drain();
    assert_eq!(result.is_err(), side.closed.is_some(), "{result:?}, {:?}", side.closed);
    let again = side.endpoint.accept_answer(now, &0, &sdp);
    assert!(matches!(again, Err(AcceptAnswerError::Unexpected | AcceptAnswerError::UnknownPeer)));
    side.drain();
    for _ in 0..MOST_TIMEOUTS {
        let Some(at) = side.wake else { break };
        assert!(at >= now, "time goes on");
        now = at;
        side.wait(now);
    }
    assert!(side.sent.is_empty(), "nobody has shown where he is");
    assert!(side.closed.is_some() && side.endpoint.is_empty(), "it stays");
}

/// More than a peer has to do that hears of nobody.
const MOST_TIMEOUTS: u32 = 2_000;
