//! Texts into both sides of the signalling.

use std::time::{Duration, Instant};

use net_signal::{Answerer, Candidate, Input, Limits, Message, Offerer, Output, answerer};

/// Between two texts; no text has this byte.
const SEPARATOR: u8 = 0xff;
const LIMITS: Limits = Limits {
    max_message_size: 1_000,
    max_messages: 4,
    max_messages_per_sec: 10,
    answer_timeout: Duration::from_secs(10),
};

/// The first byte is the time between two texts, in units of 20 ms; the texts follow.
///
/// # Panics
/// If either side breaks a promise: the order of what it says, its bounds, or that what it read
/// is what it would write.
pub fn run(data: &[u8]) {
    let Some((pause, rest)) = data.split_first() else { return };
    let texts: Vec<_> =
        rest.split(|byte| *byte == SEPARATOR).map(String::from_utf8_lossy).collect();
    let pause = Duration::from_millis(20) * u32::from(*pause);
    texts.iter().for_each(|text| round_trip(text));
    negotiate(&texts, pause);
    answer(&texts, pause);
}

fn round_trip(text: &str) {
    if let Ok(Some(message)) = Message::parse(text) {
        let again = Message::parse(&message.to_text());
        assert_eq!(again, Ok(Some(message)), "what was read can be written");
    }
}

fn offer(now: Instant) -> Offerer {
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 3000 typ host".into(),
        sdp_mid: "0".into(),
        ..Candidate::default()
    };
    Offerer::offer(now, LIMITS, "v=0 offer".into(), vec![candidate])
}

fn negotiate(texts: &[impl AsRef<str>], pause: Duration) {
    let mut now = Instant::now();
    let mut negotiation = offer(now);
    let (mut sent, mut answers, mut is_refused) = (0, 0, false);
    let mut look = |negotiation: &mut Offerer| {
        loop {
            match negotiation.poll_output() {
                Output::Timeout(at) => return at,
                _ if is_refused => panic!("something after a refusal"),
                Output::Send(_) => sent += 1,
                Output::Answer { sdp, .. } => {
                    answers += 1;
                    check_sdp(&sdp);
                }
                Output::Failed(_) => is_refused = true,
            }
            assert!(sent <= 2 && answers <= 1, "{sent} texts, {answers} answers");
        }
    };
    look(&mut negotiation);
    for text in texts {
        now += pause;
        negotiation.handle_input(now, Input::Text(text.as_ref()));
        look(&mut negotiation);
    }
    now += LIMITS.answer_timeout;
    negotiation.handle_input(now, Input::Timeout);
    assert_eq!(look(&mut negotiation), None, "its time is up");
    assert!(answers == 1 || is_refused, "neither an answer nor a refusal");
}

fn answer(texts: &[impl AsRef<str>], pause: Duration) {
    let mut now = Instant::now();
    let mut answering = Answerer::new(LIMITS);
    let (mut offers, mut sent, mut is_refused) = (0, 0, false);
    for text in texts {
        now += pause;
        answering.handle_input(now, Input::Text(text.as_ref()));
        loop {
            match answering.poll_output() {
                answerer::Output::Timeout(at) => break assert_eq!(at, None),
                _ if is_refused => panic!("something after a refusal"),
                answerer::Output::Offer { sdp, .. } => {
                    offers += 1;
                    check_sdp(&sdp);
                    _ = answering.answer(now, "v=0 answer".into());
                }
                answerer::Output::Send(_) => sent += 1,
                answerer::Output::Failed(_) => is_refused = true,
            }
            assert!(offers <= 1 && sent <= 1, "{offers} offers, {sent} answers");
        }
    }
}

fn check_sdp(sdp: &str) {
    assert!(sdp.starts_with("v=0") && !sdp.contains('\0') && sdp.len() <= LIMITS.max_message_size);
}
