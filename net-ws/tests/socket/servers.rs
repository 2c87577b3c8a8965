//! Hostile servers: what they may do to a client.

use std::time::Instant;

use net_ws::{BadResponse, CloseReason, Config, Input, Output, Socket, Violation};

use crate::common::*;

/// A frame as a server sends it.
fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = frame(first, payload);
    let head = masked.len() - payload.len() - 4;
    let mut bytes = [&masked[..head], payload].concat();
    bytes[1] &= 0x7f;
    bytes
}

fn open_client(config: Config) -> (Instant, Socket) {
    let pair = Pair::open(config, 1000);
    (pair.now, pair.client)
}

/// The code of the masked close frame with which a client answers.
fn told(now: Instant, client: &mut Socket) -> u16 {
    let said = written(now, client, 7);
    let [.., mask_high, mask_low, _, _, high, low] = said[..8] else { unreachable!() };
    assert_eq!((said[0], said[1] & 0x80), (0x88, 0x80));
    u16::from_be_bytes([high ^ mask_high, low ^ mask_low])
}

#[test]
fn what_it_must_not_say_ends_the_client_with_the_right_code() {
    let huge = unmasked(0x82, &[0; 65_537]);
    let fragments = [unmasked(0x02, &[0; 40_000]), unmasked(0x00, &[0; 40_000])].concat();
    let nothing = [unmasked(0x01, b""), unmasked(0x00, b"").repeat(64)].concat();
    let cases = [
        (&huge[..10], 1009),
        (&b"\x82\x7f\x80\0\0\0\0\0\0\0"[..], 1009),
        (&fragments, 1009),
        (&nothing, 1008),
        (&frame(0x81, b"masked"), 1002),
        (&unmasked(0xc1, b""), 1002),
        (&unmasked(0x83, b""), 1002),
        (&unmasked(0x89, &[0; 126]), 1002),
        (&unmasked(0x09, b""), 1002),
        (&unmasked(0x80, b""), 1002),
        (&unmasked(0x88, b"\x03\xed"), 1002),
        (&unmasked(0x81, b"\xff"), 1007),
        (&unmasked(0x01, b"\xed\xa0"), 1007),
    ];
    for (number, (bytes, code)) in cases.into_iter().enumerate() {
        for step in [bytes.len(), 1] {
            let (now, mut client) = open_client(Config::default());
            bytes.chunks(step).for_each(|part| client.handle_input(now, Input::Bytes(part)));
            let outputs = drain(&mut client).0;
            let expected = match reason(&outputs) {
                CloseReason::TooLarge => 1009,
                CloseReason::Protocol(Violation::EmptyFragments) => 1008,
                CloseReason::Protocol(violation) => violation.close_code(),
                other => panic!("{number}: {other}"),
            };
            assert_eq!((expected, told(now, &mut client)), (code, code), "{number}");
        }
    }
}

#[test]
fn an_answer_without_end_ends_at_the_limits() {
    let lines = "HTTP/1.1 101 x\r\n".to_owned() + &"A: b\r\n".repeat(125) + "\r\n";
    let long = "x".repeat(32 * 1024 + 1);
    for (answer, expected) in
        [(&long, BadResponse::HeadTooLarge), (&lines, BadResponse::TooManyHeaders)]
    {
        for step in [answer.len(), 1] {
            let now = Instant::now();
            let mut client = Socket::connect(now, Config::default(), "h", "/").unwrap();
            written(now, &mut client, 1000);
            for part in answer.as_bytes().chunks(step) {
                client.handle_input(now, Input::Bytes(part));
            }
            let outputs =
                [Output::Closed(CloseReason::BadResponse(expected.clone())), Output::Finished];
            assert_eq!(drain(&mut client).0, outputs);
        }
    }
}

#[test]
fn a_byte_every_100_ms_is_too_slow() {
    let start = Instant::now();
    let mut client = Socket::connect(start, Config::default(), "h", "/").unwrap();
    for tick in 0..50 {
        client.handle_input(start + secs(f64::from(tick) * 0.1), Input::Bytes(b"x"));
        assert_eq!(drain(&mut client), (vec![], Some(start + secs(5.0))));
    }
    client.handle_input(start + secs(5.0), Input::Bytes(b"x"));
    let expected = [Output::Closed(CloseReason::UpgradeTimeout), Output::Finished];
    assert_eq!(drain(&mut client).0, expected);
}

#[test]
fn a_ping_flood_of_a_server_that_never_reads() {
    let (now, mut client) = open_client(Config { send_buffer: 10_000, ..Config::default() });
    let flood = unmasked(0x89, &[b'x'; 125]).repeat(100);
    for _ in 0..1000 {
        client.handle_input(now, Input::Bytes(&flood));
        assert!(drain(&mut client).0.is_empty());
    }
    assert!(client.buffered_amount() < 10_000 + 131, "{}", client.buffered_amount());
}

#[test]
fn a_server_that_never_answers_a_goodbye_or_never_hangs_up() {
    for says_goodbye in [false, true] {
        let (now, mut client) = open_client(Config::default());
        client.close(now, 1000, "");
        written(now, &mut client, 1000);
        if says_goodbye {
            client.handle_input(now, Input::Bytes(&unmasked(0x88, b"\x03\xe8")));
        }
        assert_eq!(
            drain(&mut client),
            (vec![Output::Closed(CloseReason::Local)], Some(now + secs(2.0)))
        );
        client.handle_input(now + secs(1.9), Input::Bytes(&unmasked(0x82, &[0; 1000])));
        assert_eq!(drain(&mut client).0, []);
        client.handle_input(now + secs(2.0), Input::Timeout);
        assert_eq!(drain(&mut client), (vec![Output::Finished], None));
    }
}
