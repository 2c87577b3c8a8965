//! At the TCP port, before the upgrade and after: scripts for rows 1-5, 14, 15, 18 and 19.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::http::{BINARY, FIN, REQUEST, frame, head};
use super::script::Step;

/// Says nothing.
pub(super) fn silent(_: &mut StdRng) -> Vec<Step> {
    Vec::new()
}

/// A byte of a good request every 100 ms.
pub(super) fn slow_upgrade(_: &mut StdRng) -> Vec<Step> {
    let pace = Duration::from_millis(100);
    let bytes = REQUEST.bytes();
    bytes.flat_map(|byte| [Step::Write(vec![byte]), Step::Wait(pace)]).collect()
}

/// One header that goes on and on: 20 MB in all, if it is let.
pub(super) fn endless_header(random: &mut StdRng) -> Vec<Step> {
    let chunk = *[1_000, 8_192, 65_537].choose(random).expect("not empty");
    vec![
        Step::Write(b"GET / HTTP/1.1\r\nX: ".to_vec()),
        Step::Burst(vec![b'a'; chunk]),
        Step::Wait(Duration::from_millis(5)),
        Step::GoTo(1),
    ]
}

/// More lines than anybody needs.
pub(super) fn many_headers(random: &mut StdRng) -> Vec<Step> {
    let lines = random.random_range(125..300);
    let headers: String = (0..lines).map(|line| format!("X-{line}: 1\r\n")).collect();
    let (first, rest) = REQUEST.split_once("\r\n").expect("lines");
    vec![Step::Write(format!("{first}\r\n{headers}{rest}").into_bytes())]
}

/// What is no request for a websocket.
pub(super) fn malformed(random: &mut StdRng) -> Vec<Step> {
    let replaced = |from: &str, to: &str| REQUEST.replacen(from, to, 1).into_bytes();
    let requests = [
        replaced("GET", "POST"),
        replaced("HTTP/1.1", "HTTP/1.0"),
        replaced("Upgrade: websocket\r\n", ""),
        replaced("Version: 13", "Version: 8"),
        replaced("ZQ==", "ZQ="),
        replaced("Host: game.example\r\n", ""),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        vec![0xff; 300],
    ];
    vec![Step::Write(requests.choose(random).expect("not empty").clone())]
}

/// A request and a message in one segment, which is allowed; nothing follows.
pub(super) fn eager(_: &mut StdRng) -> Vec<Step> {
    vec![Step::Write([REQUEST.as_bytes(), &frame(FIN | BINARY, b"early")].concat())]
}

/// Ends its half at any time, and waits.
pub(super) fn half_close(random: &mut StdRng) -> Vec<Step> {
    let part = random.random_range(0..=REQUEST.len());
    vec![
        Step::Write(REQUEST.as_bytes()[..part].to_vec()),
        Step::Wait(Duration::from_millis(random.random_range(0..200))),
        Step::End,
    ]
}

/// Tears the connection down, at once or within a frame.
pub(super) fn reset(random: &mut StdRng) -> Vec<Step> {
    if random.random() {
        return vec![Step::Reset];
    }
    let mut frame = head(FIN | BINARY, 1_000);
    frame.resize(random.random_range(1..1_000), 0);
    let request = Step::Write(REQUEST.as_bytes().to_vec());
    vec![request, Step::Heard, Step::Write(frame), Step::Reset]
}

/// Gives a reason to be closed, and takes no notice.
pub(super) fn deaf_to_close(_: &mut StdRng) -> Vec<Step> {
    vec![
        Step::Write(REQUEST.as_bytes().to_vec()),
        Step::Heard,
        Step::Write(frame(FIN | 3, b"")),
        Step::Wait(Duration::from_millis(10)),
        Step::Write(frame(FIN | BINARY, b"go on")),
        Step::GoTo(3),
    ]
}

/// Asks, and says no more.
pub(super) fn one_of_many(_: &mut StdRng) -> Vec<Step> {
    vec![Step::Write(REQUEST.as_bytes().to_vec())]
}
