//! What sockets hold and what hostile bytes make them allocate, counted by the allocator.

// Helpers of tests are tests, too.
#![allow(clippy::unwrap_used)]

#[path = "../socket/common.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod common;
mod counting;

use std::time::Instant;

use bytes::Bytes;
use common::*;
use counting::{Cost, cost};
use net_ws::{
    BadRequest, BadResponse, CloseReason, Config, Input, Message, Output, Socket, Violation,
};

const KIB: usize = 1024;

fn kib(bytes: isize) -> isize {
    bytes / KIB.cast_signed()
}

#[test]
fn a_broadcast_is_held_once_however_many_have_it_in_their_backlog() {
    const PEERS: usize = 1000;
    const MESSAGES: usize = 20;
    let now = Instant::now();
    let mut servers: Vec<_> = (0..PEERS).map(|_| open_server(now, Config::default())).collect();
    let ((), cost) = cost(|| {
        for _ in 0..MESSAGES {
            let message = Bytes::from(vec![7; 16 * KIB]);
            for server in &mut servers {
                server.send(now, Message::Binary(message.clone())).unwrap();
            }
        }
    });
    let bound = MESSAGES * 16 * KIB + PEERS * 4 * KIB;
    assert!(cost.held < bound.cast_signed(), "{} KiB", kib(cost.held));

    // Each counts all of it, and writes all of it.
    for server in &mut servers {
        assert_eq!(server.buffered_amount(), MESSAGES * (16 * KIB + 4));
    }
    let sent = frames(&written(now, &mut servers[0], 1000));
    assert!(sent == vec![(0x82, vec![7; 16 * KIB]); MESSAGES]);
}

#[test]
fn a_shared_message_counts_in_each_backlog() {
    let now = Instant::now();
    let message = Message::Binary(vec![7; 10 * KIB].into());
    let mut server = open_server(now, Config { send_buffer: 40 * KIB, ..Config::default() });
    for _ in 0..3 {
        server.send(now, message.clone()).unwrap();
    }
    server.send(now, message.clone()).unwrap_err();
    server.advance(now, 10 * KIB + 4);
    server.send(now, message).unwrap();
}

#[test]
fn an_idle_socket_is_small() {
    let now = Instant::now();
    let (server, cost) = cost(|| open_server(now, Config::default()));
    assert!(cost.held + size_of_val(&server).cast_signed() < 8 * 1024, "{cost:?}");
}

/// What an open server spends on these bytes, fed `times` times, and what it then says.
fn spent(bytes: &[u8], times: usize) -> (Socket, Cost) {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let ((), cost) =
        cost(|| (0..times).for_each(|_| server.handle_input(now, Input::Bytes(bytes))));
    (server, cost)
}

fn closed(server: &mut Socket) -> CloseReason {
    reason(&drain(server).0)
}

#[test]
fn t03_a_head_of_20_mb_is_not_kept() {
    let now = Instant::now();
    let line = format!("A: {}\r\n", "x".repeat(1000));
    let lines = line.repeat(20_000);
    for piece in [lines.len(), 1000, 1] {
        let mut server = Socket::accept(now, Config::default());
        let head = [b"GET / HTTP/1.1\r\n", lines.as_bytes()].concat();
        let ((), cost) = cost(|| {
            head.chunks(piece).for_each(|part| server.handle_input(now, Input::Bytes(part)));
        });
        let why = BadRequest::HeadTooLarge { limit: 32 * KIB, cookie_bytes: 0 };
        assert_eq!(closed(&mut server), CloseReason::BadRequest(why));
        assert!(cost.most < 52 * 1024, "{piece}: {cost:?}");
    }
}

/// What `Config::max_request_head_size` says of a socket until its upgrade, whichever way its head goes on,
/// and also while what is over the limit is read. While it grows the half is there twice.
#[test]
fn t03_a_half_request_holds_its_longest_head_and_no_more() {
    let now = Instant::now();
    let config = Config { await_decision: true, ..Config::default() };
    let (short, long) = ("A: b\r\n".repeat(80_000), format!("Cookie: {}", "x".repeat(480_000)));
    for lines in [short, long] {
        let head = [b"GET / HTTP/1.1\r\n", lines.as_bytes()].concat();
        for piece in [4 * KIB, 100, 1] {
            let mut server = Socket::accept(now, config.clone());
            let mut feed = |bytes: &[u8]| {
                let parts = bytes.chunks(piece);
                cost(|| parts.for_each(|part| server.handle_input(now, Input::Bytes(part)))).1
            };
            let (within, over) = head.split_at(config.max_request_head_size);
            let (within, over) = (feed(within), feed(over));
            assert!(within.most < 50 * 1024 && within.held <= 32 * 1024, "{piece}: {within:?}");
            assert!(over.most < 12 * 1024 && over.held < 0, "{piece}: {over:?}");
            assert!(drain(&mut server).0.is_empty(), "it is still read");
        }
    }
}

#[test]
fn t07_nothing_is_allocated_for_an_announced_16_mib() {
    let (mut server, cost) = spent(&frame_announcing(0x82, 16 << 20, b""), 1);
    assert!(cost.taken < KIB, "{cost:?}");
    assert_eq!(closed(&mut server), CloseReason::TooLarge);
}

#[test]
fn t07_nor_does_the_largest_legal_announcement_take_more_than_its_message() {
    let (mut server, cost) = spent(&frame_announcing(0x82, 65_536, b""), 1);
    assert!(cost.taken < 80 * KIB, "{cost:?}");
    assert!(drain(&mut server).0.is_empty());
}

#[test]
fn t08_nothing_is_allocated_for_an_announced_2_to_the_63() {
    for len in [1 << 63, u64::MAX] {
        let (mut server, cost) = spent(&frame_announcing(0x82, len, b""), 1);
        assert!(cost.taken < KIB, "{cost:?}");
        assert_eq!(closed(&mut server), CloseReason::TooLarge);
    }
}

#[test]
fn t09_endless_fragments_end_at_the_limit() {
    for size in [1, 125, 5_000] {
        let now = Instant::now();
        let mut server = open_server(now, Config::default());
        let part = frame(0x00, &vec![b'x'; size]);
        let ((), cost) = cost(|| {
            server.handle_input(now, Input::Bytes(&frame(0x01, b"x")));
            for _ in 0..70_000 {
                server.handle_input(now, Input::Bytes(&part));
            }
        });
        assert!(cost.most < 3 * 64 * 1024 + 16 * 1024, "{size}: {cost:?}");
        assert_eq!(closed(&mut server), CloseReason::TooLarge);
    }
}

#[test]
fn t09_endless_empty_fragments_end_and_cost_nothing() {
    let (mut server, cost) = spent(&[frame(0x01, b""), frame(0x00, b"").repeat(65)].concat(), 1000);
    assert!(cost.most < 16 * 1024, "{cost:?}");
    assert_eq!(closed(&mut server), CloseReason::Protocol(Violation::EmptyFragments));
}

#[test]
fn t11_pings_of_a_client_that_never_reads_are_bounded() {
    let flood = frame(0x89, &[b'x'; 125]).repeat(128);
    let (mut server, cost) = spent(&flood, 2000); // 33 MB
    let config = Config::default();
    assert!(drain(&mut server).0.is_empty(), "it is still open");
    assert!(server.buffered_amount() <= config.send_buffer + 512);
    let most = config.send_buffer + config.send_buffer / 8;
    assert!(cost.most < most.cast_signed(), "{} KiB", kib(cost.most));
}

#[test]
fn t11_nor_does_it_help_to_ask_for_large_messages_back() {
    // As an echo would: each message is a part of the buffer it was read into.
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let bytes = [frame(0x82, &[7; 4 * KIB]), frame(0x8a, &[7; 125]).repeat(28)].concat();
    let ((), cost) = cost(|| {
        loop {
            server.handle_input(now, Input::Bytes(&bytes));
            let Output::Message(message) = server.poll_output() else { panic!() };
            if server.send(now, message).is_err() {
                return;
            }
        }
    });
    let most = 3 * Config::default().send_buffer;
    assert!(cost.most < most.cast_signed(), "{} KiB", kib(cost.most));
}

/// What an open client spends on what a server says.
fn spent_by_client(bytes: &[u8], times: usize) -> (Socket, Cost) {
    let mut pair = Pair::open(Config::default(), 1000);
    let ((), cost) = cost(|| {
        (0..times).for_each(|_| pair.client.handle_input(pair.now, Input::Bytes(bytes)));
    });
    (pair.client, cost)
}

#[test]
fn a_hostile_server_makes_a_client_hold_no_more() {
    let now = Instant::now();
    let mut client = Socket::connect(now, Config::default(), "h", "/").unwrap();
    let head = "HTTP/1.1 101 x\r\n".to_owned() + &"A: b\r\n".repeat(4 << 20);
    let ((), cost) = cost(|| client.handle_input(now, Input::Bytes(head.as_bytes())));
    assert!(cost.most < 52 * 1024, "{cost:?}");
    assert_eq!(closed(&mut client), CloseReason::BadResponse(BadResponse::HeadTooLarge));

    let (mut client, cost) = spent_by_client(b"\x82\x7f\x80\0\0\0\0\0\0\0", 1);
    assert!(cost.taken < KIB, "{cost:?}");
    assert_eq!(closed(&mut client), CloseReason::TooLarge);

    let ping = [&[0x89, 125][..], &[b'x'; 125]].concat();
    let (mut client, cost) = spent_by_client(&ping.repeat(128), 2000);
    assert!(drain(&mut client).0.is_empty());
    assert!(cost.most < 1200 * 1024, "{cost:?}");
}
