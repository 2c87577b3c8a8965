//! What RFC 6455 says of frames, case by case: our socket's verdict, however the bytes are cut,
//! and that of tungstenite's own `WebSocket`.
//!
//! The Autobahn suite asks more over real connections, where there is Python 2.7 (see
//! `tests/tests/autobahn.rs`). This one runs always.

// Helpers of tests are tests, too.
#![allow(clippy::unwrap_used)]

#[path = "../socket/common.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod common;

mod cases;
mod text;
mod theirs;

use std::time::Instant;

use common::*;
use net_ws::{Config, Input, Message, Output};

/// Bytes of a client, and what a server makes of them.
struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: Verdict,
}

/// What a server makes of a client's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Verdict {
    messages: Vec<Message>,
    pongs: Vec<Vec<u8>>,
    end: End,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum End {
    /// It waits for more.
    #[default]
    Open,
    /// It says goodbye with this code, or without.
    Closed(Option<u16>),
}

/// What our socket makes of bytes that arrive in pieces of these sizes, over and over.
fn ours(bytes: &[u8], sizes: &[usize]) -> Verdict {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let (mut verdict, mut said, mut rest) = (Verdict::default(), Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min(*size));
        server.handle_input(now, Input::Bytes(piece));
        let messages = drain(&mut server).0.into_iter().filter_map(|output| match output {
            Output::Message(message) => Some(message),
            _ => None,
        });
        verdict.messages.extend(messages);
        said.extend(written(now, &mut server, usize::MAX));
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    verdict.hear(&said);
    verdict
}

impl Verdict {
    /// Takes note of what a server says.
    fn hear(&mut self, bytes: &[u8]) {
        for (first, payload) in frames(bytes) {
            match first {
                0x8a => self.pongs.push(payload),
                0x88 => self.end = End::Closed(code(&payload)),
                _ => panic!("{first:#x}"),
            }
        }
    }
}

fn code(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}

#[test]
fn our_verdict_is_the_rfcs_however_the_bytes_are_cut() {
    for Case { name, bytes, expected } in cases::all() {
        for sizes in [&[usize::MAX][..], &[1], &[2], &[5, 1, 3], &[4096], &[7, 1000, 1, 1, 250]] {
            let verdict = ours(&bytes, sizes);
            assert!(verdict == expected, "{name} {sizes:?}: {verdict:?}, not {expected:?}");
        }
    }
}

#[test]
fn so_is_theirs() {
    for Case { name, bytes, expected } in cases::all() {
        let verdict = theirs::verdict(&bytes);
        assert!(verdict == expected, "{name}: {verdict:?}, not {expected:?}");
    }
}

#[test]
fn no_part_of_the_table_is_lost() {
    assert_eq!(cases::all().len(), 685);
}
