//! Bytes from the first one on into the server side of a websocket, cut anywhere.

use std::time::{Duration, Instant};

use net_ws::{Config, Socket};

use super::socket_life::{Life, Stage};

/// Whether the upgrade waits for a verdict.
const HELD: u8 = 1;
/// Whether the verdict is good.
const ADMITTED: u8 = 2;

/// The first byte says what the server does, the second how the rest is cut.
///
/// # Panics
/// If the socket breaks a promise: the order of its outputs, its bounds, one answer for one
/// request however it is cut, an end by time alone.
pub fn run(data: &[u8]) {
    let Some(([manners, step], bytes)) = data.split_first_chunk::<2>() else { return };
    let whole = live(*manners, bytes, usize::MAX);
    let cut = live(*manners, bytes, 1 + usize::from(*step));
    assert_eq!(outcome(&whole), outcome(&cut), "it matters how the bytes are cut");
    check_answer(&whole);
}

fn live(manners: u8, bytes: &[u8], step: usize) -> Life {
    let now = Instant::now();
    let config = Config {
        await_decision: manners & HELD != 0,
        max_request_head_size: 1_024,
        max_message_size: 1_024,
        send_buffer: 4_096,
        ..Config::default()
    };
    let mut life = Life::new(now, Socket::accept(now, config.clone()), config, true);
    bytes.chunks(step).for_each(|part| life.feed(part));
    if life.stage == Stage::Upgraded && manners & HELD != 0 {
        match manners & ADMITTED != 0 {
            true => life.socket.accept_upgrade(now, Some("chat")),
            false => life.socket.reject_upgrade(now, 403, 1008, "no"),
        }
        life.look();
    }
    if life.stage == Stage::Plain && manners & ADMITTED != 0 {
        life.socket.respond(now, 200, "fine");
        life.look();
    }
    life.write_all();
    life.wait(Duration::from_secs(5));
    life.write_all();
    life.finish();
    life
}

/// What the peer and the application see.
fn outcome(life: &Life) -> (String, &[u8]) {
    (format!("{:?} {:?}", life.messages, life.reason), &life.written)
}

/// Who gets an answer gets it in HTTP, and what is no upgrade is no 101.
fn check_answer(life: &Life) {
    let Some(first) = life.written.get(..12) else {
        return assert!(life.written.is_empty(), "half an answer");
    };
    assert!(first.starts_with(b"HTTP/1.1 "), "{first:?}");
    let status = &first[9..];
    assert!(
        [b"101", b"200"].contains(&status.try_into().expect("3 digits"))
            || matches!(status[0], b'4' | b'5'),
        "{status:?}"
    );
    assert!(status == b"101" || life.messages.is_empty());
}
