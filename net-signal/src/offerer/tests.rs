//! Tests of the offerer against client texts.

use crate::ParseError;
use crate::offerer::*;

const ANSWER: &str = r#"{"type":"answer","sdp":"v=0 answer"}"#;
const CANDIDATE: &str = r#"{"type":"ice","candidate":{"candidate":"candidate:1"}}"#;

/// An offerer whose offer has been sent.
struct Fixture {
    now: Instant,
    server: Offerer,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(Limits::default())
    }

    fn with(limits: Limits) -> Fixture {
        let now = Instant::now();
        let mut server = Offerer::offer(now, limits, "v=0 offer".into(), vec![]);
        drain(&mut server);
        Fixture { now, server }
    }

    /// Returns the outputs of a client text, without the timeout.
    fn text(&mut self, text: &str) -> Vec<Output> {
        self.server.handle_input(self.now, Input::Text(text));
        drain(&mut self.server).0
    }

    fn timeout(&mut self, after: Duration) -> Vec<Output> {
        let now = self.now + after;
        self.server.handle_input(now, Input::Timeout);
        drain(&mut self.server).0
    }
}

fn drain(server: &mut Offerer) -> (Vec<Output>, Option<Instant>) {
    let mut outputs = Vec::new();
    loop {
        match server.poll_output() {
            Output::Timeout(at) => return (outputs, at),
            output => outputs.push(output),
        }
    }
}

fn answer() -> Output {
    Output::Answer { sdp: "v=0 answer".into(), negotiated: false }
}

#[test]
fn the_offer_is_followed_by_its_candidates() {
    let now = Instant::now();
    let candidates: Vec<Candidate> = ["candidate:1", "candidate:2"]
        .map(|line| Candidate { candidate: line.into(), ..Candidate::default() })
        .into();
    let sdp = "v=0 offer".to_string();
    let mut server = Offerer::offer(now, Limits::default(), sdp.clone(), candidates.clone());
    let messages = [
        Message::Offer { sdp, negotiated: false },
        Message::Candidate(Some(candidates[0].clone())),
        Message::Candidate(Some(candidates[1].clone())),
    ];
    let texts = messages.map(|message| Output::Send(message.to_text()));
    let (outputs, timeout) = drain(&mut server);
    assert_eq!(outputs, texts);
    assert_eq!(timeout, Some(now + Duration::from_secs(10)));
}

#[test]
fn an_answer_ends_the_timeout() {
    let mut table = Fixture::new();
    assert_eq!(table.text(ANSWER), [answer()]);
    assert_eq!(table.server.poll_output(), Output::Timeout(None));
    assert_eq!(table.timeout(Duration::from_secs(3_600)), []);
}

#[test]
fn a_bare_answer_and_a_negotiated_one() {
    assert_eq!(Fixture::new().text("v=0 answer"), [answer()]);
    let negotiated = r#"{"type":"answer","sdp":"v=0","negotiated":true}"#;
    let expected = Output::Answer { sdp: "v=0".into(), negotiated: true };
    assert_eq!(Fixture::new().text(negotiated), [expected]);
}

#[test]
fn an_offer_may_say_that_it_takes_a_negotiated_answer() {
    let offer = |make: fn(_, _, _, _) -> Offerer| {
        let (limits, sdp) = (Limits::default(), "v=0".to_string());
        drain(&mut make(Instant::now(), limits, sdp, vec![])).0
    };
    let plain = r#"{"type":"offer","sdp":"v=0"}"#.to_string();
    assert_eq!(offer(Offerer::offer), [Output::Send(plain)]);
    let negotiated = r#"{"type":"offer","sdp":"v=0","negotiated":true}"#.to_string();
    assert_eq!(offer(Offerer::offer_negotiated), [Output::Send(negotiated)]);
}

#[test]
fn the_answer_timeout_strikes_at_its_time() {
    let mut table = Fixture::new();
    let limit = Limits::default().answer_timeout;
    assert_eq!(table.timeout(limit - Duration::from_nanos(1)), []);
    assert_eq!(table.timeout(limit), [Output::Failed(Error::AnswerTimeout)]);
    assert_eq!(table.text(ANSWER), []);
}

#[test]
fn an_answer_after_a_stall_is_accepted() {
    let mut table = Fixture::new();
    table.now += Duration::from_secs(60);
    assert_eq!(table.text(ANSWER), [answer()]);
}

#[test]
fn a_timeout_beyond_all_time_is_none() {
    let mut table = Fixture::with(Limits { answer_timeout: Duration::MAX, ..Limits::default() });
    assert_eq!(table.server.poll_output(), Output::Timeout(None));
    assert_eq!(table.timeout(Duration::from_secs(3_600)), []);
    assert_eq!(table.text(ANSWER), [answer()]);
}

/// Texts that are allowed after the answer.
const LATE: [&str; 14] = [
    r#"{"type":"ping"}"#,
    "ping",
    "2",
    "\"ping\"",
    r#"["ping"]"#,
    "",
    r#"{"type":"chat","candidate":"me"}"#,
    r#"{"type":"chat","sdp":"x"}"#,
    r#"{"type":1,"t":5}"#,
    ANSWER,
    "v=0 other",
    r#"{"type":"offer","sdp":"v=0"}"#,
    r#"{"type":"answer","sdp":null}"#,
    r#"{"candidate""#,
];

#[test]
fn after_the_answer_one_text_a_second_of_any_content_ends_nothing() {
    for text in LATE.into_iter().chain([&*"x".repeat(60_000)]) {
        let mut table = Fixture::new();
        assert_eq!(table.text(ANSWER), [answer()]);
        for second in 0..600 {
            table.now += Duration::from_secs(1);
            assert_eq!(table.text(text), [], "{text:.40} after {second} s");
        }
    }
}

#[test]
fn after_the_answer_only_a_rate_ends_it() {
    for text in LATE {
        let mut table = Fixture::new();
        table.text(ANSWER);
        for _ in 1..50 {
            assert_eq!(table.text(text), []);
        }
        let refused = [Output::Failed(Error::RateExceeded { limit: 50 })];
        assert_eq!(table.text(text), refused, "{text}");
    }
}

#[test]
fn two_answers_in_one_drain_are_one() {
    let mut table = Fixture::new();
    table.server.handle_input(table.now, Input::Text(ANSWER));
    assert_eq!(table.text(ANSWER), [answer()]);
}

#[test]
fn an_offer_from_the_client_is_refused() {
    let offer = r#"{"type":"offer","sdp":"v=0"}"#;
    let refused = [Output::Failed(Error::UnexpectedOffer)];
    let mut table = Fixture::new();
    assert_eq!(table.text(offer), refused);
}

#[test]
fn after_a_refusal_nothing_happens() {
    let mut table = Fixture::new();
    table.text("{");
    for text in [ANSWER, CANDIDATE, "{", "null"] {
        assert_eq!(table.text(text), [], "{text}");
    }
    assert_eq!(table.timeout(Duration::from_secs(60)), []);
    assert_eq!(table.server.poll_output(), Output::Timeout(None));
}

#[test]
fn candidates_before_and_after_the_answer_are_ignored() {
    let mut table = Fixture::new();
    assert_eq!(table.text(CANDIDATE), []);
    assert_eq!(table.text("null"), []);
    assert_eq!(table.text(ANSWER), [answer()]);
    assert_eq!(table.text(CANDIDATE), []);
    assert_eq!(table.text("null"), []);
}

#[test]
fn a_candidate_may_hold_anything_before_and_after_the_answer() {
    let init = |fields: &str| format!(r#"{{"candidate":"candidate:1",{fields}}}"#);
    let candidates = [
        init(r#""sdpMLineIndex":"0""#),
        init(r#""sdpMLineIndex":0.0"#),
        init(r#""sdpMLineIndex":-1"#),
        init(r#""sdpMLineIndex":1e999"#),
        init(r#""sdpMid":0"#),
        init(r#""sdpMid":0,"sdpMid":0"#),
        "[]".into(),
        "7".into(),
        "{".into(),
    ];
    for inner in candidates {
        let forms = [
            format!(r#"{{"type":"ice","candidate":{inner}}}"#),
            format!(r#"{{"type":"candidate","candidate":{inner}}}"#),
            format!(r#"{{"type":"candidate","candidate":{inner},"x":"{}"}}"#, "y".repeat(20_000)),
            format!(r#"{{"candidate":{inner}}}"#),
            format!(r#"{{"type":5,"candidate":{inner}}}"#),
            inner.clone(),
        ];
        for text in forms.iter().filter(|text| text.contains("candidate")) {
            let mut table = Fixture::new();
            assert_eq!(table.text(text), [], "{text:.80}");
            assert_eq!(table.text(ANSWER), [answer()]);
            assert_eq!(table.text(text), [], "{text:.80}");
        }
    }
    // With an `sdp` it is parsed; by its type it is still a candidate.
    let text = r#"{"type":"candidate","candidate":[],"sdpMLineIndex":"0","sdp":7}"#;
    let mut table = Fixture::new();
    assert_eq!(table.text(text), []);
    assert_eq!(table.text(ANSWER), [answer()]);
}

#[test]
fn unknown_types_are_ignored_and_count_until_the_answer() {
    let mut table = Fixture::new();
    for _ in 0..8 {
        assert_eq!(table.text(r#"{"type":"weather"}"#), []);
    }
    let refused = Output::Failed(Error::TooManyMessages { limit: 8 });
    assert_eq!(table.text(r#"{"type":"weather"}"#), [refused]);
}

#[test]
fn before_the_answer_garbage_and_long_texts_are_refused() {
    let malformed = Error::Malformed(ParseError::NotAMessage);
    assert_eq!(Fixture::new().text("garbage"), [Output::Failed(malformed)]);
    let long = "x".repeat(16 * 1024 + 1);
    let (bytes, limit) = (long.len(), 16 * 1024);
    let refused = [Output::Failed(Error::MessageTooLong { bytes, limit })];
    assert_eq!(Fixture::new().text(&long), refused);
}
