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
use counting::cost;
use net_ws::{Config, Message};

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
        assert_eq!(server.backlog(), MESSAGES * (16 * KIB + 4));
    }
    let sent = frames(&written(now, &mut servers[0], 1000));
    assert!(sent == vec![(0x82, vec![7; 16 * KIB]); MESSAGES]);
}

#[test]
fn a_shared_message_counts_in_each_backlog() {
    let now = Instant::now();
    let message = Message::Binary(vec![7; 10 * KIB].into());
    let mut server = open_server(now, Config { backlog_bytes: 40 * KIB, ..Config::default() });
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
