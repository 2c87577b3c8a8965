//! Texts from somebody who means harm: none may panic, or get more out of a
//! machine than one refusal.

use std::time::{Duration, Instant};

use net_signal::{Answerer, Error, Input, Limits, Message, Offerer, Output, ParseError, answerer};

/// Well-formed texts to mutate.
const SEEDS: [&str; 12] = [
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n",
    r#"{"type":"offer","sdp":"v=0\r\n"}"#,
    r#"{"type":"answer","sdp":"v=0\r\n"}"#,
    r#"{"type":"answer","sdp":"v=0\u0020\ud83d\ude00","negotiated":true}"#,
    r#"{"sdp":"v=0\r\n"}"#,
    r#"{"type":"ice","candidate":{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"u"}}"#,
    r#"{"type":"candidate","candidate":"candidate:1","sdpMid":null}"#,
    r#"{"candidate":"candidate:1","sdpMLineIndex":65535}"#,
    r#"{"type":"ice","candidate":null}"#,
    r#"{"type":"weather","sdp":[1e999,{"a":[[[]]]}]}"#,
    "null",
    "{}",
];

/// Bytes that matter to a parser of JSON.
const SPICE: &[u8] = b"{}[]\",:\\u0d8enulltrue-+.1 \n\0\x7f\xff\xc3";

/// A xorshift generator: the same seed draws the same texts.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn text(&mut self) -> String {
        let mut bytes = match self.below(4) {
            0 => self.noise(),
            _ => self.pick(&SEEDS).as_bytes().to_vec(),
        };
        for _ in 0..self.below(6) {
            self.mutate(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A line of a conversation, which well-formed texts keep going.
    fn line(&mut self) -> String {
        match self.below(2) {
            0 => self.text(),
            _ => self.pick(&SEEDS).to_string(),
        }
    }

    fn noise(&mut self) -> Vec<u8> {
        (0..self.below(64)).map(|_| *self.pick(SPICE)).collect()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, *self.pick(SPICE)),
            2 => bytes.insert(at, self.next() as u8),
            3 => bytes.extend_from_within(at..),
            _ => drop(bytes.drain(at..(at + 1).min(bytes.len()))),
        }
    }
}

fn negotiation(now: Instant) -> Offerer {
    let mut server = Offerer::offer(now, Limits::default(), "v=0".into(), vec![]);
    drain(&mut server);
    server
}

fn drain(server: &mut Offerer) -> Vec<Output> {
    std::iter::from_fn(|| match server.poll_output() {
        Output::Timeout(_) => None,
        output => Some(output),
    })
    .collect()
}

fn outputs_of(text: &str) -> Vec<Output> {
    let now = Instant::now();
    let mut server = negotiation(now);
    server.handle_input(now, Input::Text(text));
    drain(&mut server)
}

#[test]
fn t23_hostile_texts_are_refused() {
    let nested = "[".repeat(10_000);
    let huge = "{".repeat(16 * 1024 + 1);
    for text in [
        "",
        "{",
        "[]",
        "1e999",
        "\0",
        "\"\\ud800\"",
        &nested,
        &huge,
        &format!("{{\"a\":{nested}"),
        &format!("{{\"type\":\"answer\",\"sdp\":{nested}"),
        r#"{"type":"answer","sdp":"v=0","sdp":"v=0"}"#,
        r#"{"type":"answer","sdp":"v=0\ud800"}"#,
        r#"{"type":"answer","sdp":"v=0\u0000"}"#,
        "{\"type\":\"answer\",\"sdp\":\"v=0\0\"}",
        r#"{"type":"answer","sdp":1e999}"#,
    ] {
        let outputs = outputs_of(text);
        assert!(
            matches!(
                outputs[..],
                [Output::Failed(Error::Malformed(_) | Error::MessageTooLong { .. })]
            ),
            "{text:.60}: {outputs:?}"
        );
    }
}

#[test]
fn t23_a_hostile_candidate_is_dropped_unread() {
    let nested = "[".repeat(10_000);
    for text in
        [&format!("{{\"type\":\"ice\",\"candidate\":{nested}"), &"{\"candidate\":".repeat(1_000)]
    {
        assert_eq!(outputs_of(text), [], "{text:.60}");
    }
}

#[test]
fn t23_what_is_unknown_may_be_as_wild_as_json_can_be() {
    let nested = "[".repeat(8_000) + &"]".repeat(8_000);
    for text in [
        &format!("{{\"type\":\"weather\",\"a\":{nested}}}"),
        &format!("{{\"a\":{nested}}}"),
        r#"{"type":"weather","a":1e999,"a":"\ud800"}"#,
    ] {
        assert_eq!(outputs_of(text), [], "{text:.60}");
    }
    let answer = format!("{{\"type\":\"answer\",\"sdp\":\"v=0\",\"a\":{nested}}}");
    assert!(matches!(outputs_of(&answer)[..], [Output::Answer { .. }]));
}

#[test]
fn t24_a_hundred_thousand_texts_a_second_get_one_refusal() {
    let start = Instant::now();
    let mut server = negotiation(start);
    let mut outputs = Vec::new();
    for i in 0..100_000 {
        let now = start + Duration::from_micros(i * 10);
        server.handle_input(now, Input::Text("null"));
        outputs.extend(drain(&mut server));
    }
    assert_eq!(outputs, [Output::Failed(Error::RateExceeded { limit: 50 })]);
}

#[test]
fn t25_an_empty_or_huge_sdp_is_refused() {
    let empty = outputs_of(r#"{"type":"answer","sdp":""}"#);
    let refusal = Error::Malformed(ParseError::BadSdp);
    assert_eq!(empty, [Output::Failed(refusal)]);
    let line = format!("v=0\r\ns={}", "x".repeat(16 * 1024));
    let (bytes, limit) = (line.len(), 16 * 1024);
    let refusal = Error::MessageTooLong { bytes, limit };
    assert_eq!(outputs_of(&line), [Output::Failed(refusal)]);
}

#[test]
fn t26_a_hundred_thousand_candidates_lead_to_nothing_and_the_answer_to_an_answer() {
    let start = Instant::now();
    let mut server = negotiation(start);
    let text = |i: u64| {
        let address = ["255.255.255.255", "169.254.169.254", "x.local"][i as usize % 3];
        format!(
            r#"{{"type":"ice","candidate":{{"candidate":"candidate:{i} 1 udp 1 {address} 0 typ host"}}}}"#
        )
    };
    let at = |i: u64| start + Duration::from_millis(i * 20);
    for i in 0..100_000 {
        server.handle_input(at(i), Input::Text(&text(i)));
        assert_eq!(drain(&mut server), [], "{i}");
    }
    server.handle_input(at(100_000), Input::Text("v=0"));
    let outputs = drain(&mut server);
    assert!(matches!(outputs[..], [Output::Answer { .. }]), "{outputs:?}");
}

#[test]
fn random_texts_never_panic_and_what_is_read_can_be_written() {
    let mut random = Random(0x5eed_0001);
    let (mut read, mut failed) = (0, 0);
    for _ in 0..200_000 {
        let text = random.text();
        match Message::parse(&text) {
            Ok(Some(message)) => {
                read += 1;
                let written = message.to_text();
                assert_eq!(Message::parse(&written), Ok(Some(message)), "{text}");
            }
            Ok(None) => {}
            Err(error) => {
                failed += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    // Otherwise the texts are not what this test is about.
    assert!(read > 10_000 && failed > 10_000, "{read} {failed}");
}

#[test]
fn random_conversations_keep_the_grammar() {
    let mut random = Random(0x5eed_0002);
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..5_000 {
        let outputs = conversation(&mut random);
        answered += outputs.iter().filter(|o| is_answer(o)).count();
        refused += outputs.iter().filter(|o| !is_answer(o)).count();
        // At most an answer, then at most a refusal, then nothing.
        assert!(
            matches!(
                outputs[..],
                [] | [Output::Answer { .. } | Output::Failed(_)]
                    | [Output::Answer { .. }, Output::Failed(_)]
            ),
            "{outputs:?}"
        );
    }
    // Otherwise the conversations are not what this test is about.
    assert!(answered > 500 && refused > 500, "{answered} {refused}");
}

#[test]
fn random_texts_to_a_client_keep_the_grammar() {
    let mut random = Random(0x5eed_0003);
    let mut offered = 0;
    for _ in 0..5_000 {
        let outputs = monologue(&mut random);
        let offers = matches!(outputs.first(), Some(answerer::Output::Offer { .. }));
        offered += usize::from(offers);
        assert!(
            matches!(
                outputs[..],
                [] | [answerer::Output::Offer { .. } | answerer::Output::Failed(_)]
                    | [answerer::Output::Offer { .. }, answerer::Output::Failed(_)]
            ),
            "{outputs:?}"
        );
    }
    assert!(offered > 300, "{offered}");
}

fn is_answer(output: &Output) -> bool {
    matches!(output, Output::Answer { .. })
}

/// What random inputs get out of a server.
fn conversation(random: &mut Random) -> Vec<Output> {
    let mut now = Instant::now();
    let mut server = negotiation(now);
    let mut outputs = Vec::new();
    for _ in 0..random.below(20) {
        now += Duration::from_millis(random.below(2_000) as u64);
        let text = random.line();
        let input = *random.pick(&[Input::Text(&text), Input::Text(&text), Input::Timeout]);
        server.handle_input(now, input);
        outputs.extend(drain(&mut server));
    }
    outputs
}

/// What random inputs get out of a client.
fn monologue(random: &mut Random) -> Vec<answerer::Output> {
    let now = Instant::now();
    let mut client = Answerer::new(Limits::default());
    for _ in 0..random.below(20) {
        client.handle_input(now, Input::Text(&random.line()));
    }
    std::iter::from_fn(|| match client.poll_output() {
        answerer::Output::Timeout(_) => None,
        output => Some(output),
    })
    .collect()
}
