//! What is said in place of a good answer: rows 23-32.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::http::{REQUEST, text};
use super::script::Step;

/// The answer of a browser that nobody is behind.
const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:\
    10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:passive\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";

/// Waits for the upgrade and sends these texts, all at once.
fn says(texts: impl IntoIterator<Item = String>) -> Vec<Step> {
    let all: Vec<u8> = texts.into_iter().flat_map(|say| text(&say)).collect();
    vec![Step::Write(REQUEST.as_bytes().to_vec()), Step::Heard, Step::Write(all)]
}

fn choose(random: &mut StdRng, texts: &[String]) -> String {
    texts.choose(random).expect("not empty").clone()
}

/// JSON that is none, or too much of it.
pub(super) fn garbage(random: &mut StdRng) -> Vec<Step> {
    let texts = [
        "{".into(),
        "[]".into(),
        "[".repeat(10_000),
        format!("{{\"type\":\"answer\",\"sdp\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        r#"{"type":"answer","sdp":1e999}"#.into(),
        r#"{"type":"answer","sdp":"v=0","sdp":"v=1","type":"offer"}"#.into(),
        "\0".into(),
        r#"{"type":"answer","sdp":"v=0\u0000"}"#.into(),
        r#"{"type":"answer","sdp":"v=0\ud800"}"#.into(),
        "x".repeat(16 * 1024 + 1),
    ];
    says([choose(random, &texts)])
}

/// Texts as fast as they go.
pub(super) fn text_flood(random: &mut StdRng) -> Vec<Step> {
    let texts =
        [r#"{"type":"ice","candidate":{}}"#.into(), r#"{"type":"chat"}"#.into(), "null".into()];
    let burst = text(&choose(random, &texts)).repeat(1_000);
    let mut steps = says([]);
    steps.extend([Step::Burst(burst), Step::Wait(Duration::from_millis(10)), Step::GoTo(3)]);
    steps
}

/// Session descriptions that are none.
pub(super) fn garbage_sdp(random: &mut StdRng) -> Vec<Step> {
    let mut noise = || (0..500).map(|_| random.random_range(' '..'~')).collect::<String>();
    let texts = [
        "v=0\r\n".into(),
        format!("v=0\r\n{}", noise()),
        format!("v=0\r\na={}\r\n", "x".repeat(16_000)),
        format!("v=0\r\n{}", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n".repeat(300)),
        ANSWER.replace("\r\n", "\r"),
        ANSWER.replace('=', ":"),
        ANSWER.replace("application", "audio"),
        ANSWER.repeat(2),
    ];
    says([choose(random, &texts)])
}

/// A good answer with as many candidates as it can carry, then more of them one by one, which
/// name those who asked for nothing.
pub(super) fn candidates(random: &mut StdRng) -> Vec<Step> {
    let port = *[0, 1, 80, 65_535].choose(random).expect("not empty");
    let hosts = ["255.255.255.255", "169.254.169.254", "192.0.2.77", "6c7.local", "::1", "x"];
    let line = |nth: usize| {
        let host = hosts[nth % hosts.len()];
        format!("candidate:{nth} 1 udp 1 {host} {port} typ host")
    };
    let lines: String = (0..200).map(|nth| format!("a={}\r\n", line(nth))).collect();
    let trickled = |nth| format!(r#"{{"type":"ice","candidate":{{"candidate":"{}"}}}}"#, line(nth));
    let mut steps = says([format!("{ANSWER}{lines}")]);
    steps.extend((0..2_000).flat_map(|nth| {
        [Step::Wait(Duration::from_millis(25)), Step::Write(text(&trickled(nth)))]
    }));
    steps
}

/// What is not its turn to say.
pub(super) fn out_of_turn(random: &mut StdRng) -> Vec<Step> {
    let answer = ANSWER.to_owned();
    let offer = format!(r#"{{"type":"offer","sdp":"{}"}}"#, ANSWER.replace("\r\n", "\\r\\n"));
    let texts = [vec![answer.clone(), answer.clone()], vec![offer.clone()], vec![answer, offer]];
    let texts = texts.choose(random).expect("not empty").clone();
    if random.random() {
        return says(texts);
    }
    // With the request: before the offer can have come.
    let all: Vec<u8> = texts.iter().flat_map(|say| text(say)).collect();
    vec![Step::Write([REQUEST.as_bytes(), &all].concat())]
}

/// Answers that lack something, or want what cannot be.
pub(super) fn bad_answer(random: &mut StdRng) -> Vec<Step> {
    let texts = [
        ANSWER.replace("a=fingerprint", "a=fingerprnit"),
        ANSWER.replace("sha-256 00", "sha-256 zz"),
        ANSWER.replace("sha-256", "rot-13"),
        ANSWER.replace("a=ice-ufrag", "a=ice-ufarg"),
        ANSWER.replace("a=ice-pwd", "a=ice-pdw"),
        ANSWER.replace("a=mid:0", "a=mid:seven").replace("BUNDLE 0", "BUNDLE seven"),
        format!("{ANSWER}a=ice-lite\r\n"),
        ANSWER.replace("setup:passive", "setup:holdconn"),
        ANSWER.replace("setup:passive", "setup:active"),
        format!("{ANSWER}a=sctp-init:AAAA\r\n"),
    ];
    says([choose(random, &texts)])
}

/// Says nothing to the offer.
pub(super) fn never_answers(_: &mut StdRng) -> Vec<Step> {
    says([])
}

/// Answers well, and sends no datagram.
pub(super) fn no_udp(_: &mut StdRng) -> Vec<Step> {
    says([ANSWER.to_owned()])
}
