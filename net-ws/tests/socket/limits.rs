use std::time::Instant;

use net_ws::{CloseReason, Config, Input, Message, Output, SendError, Socket, Violation};

use crate::common::*;

/// What an open server makes of these bytes: why it closed and what it said.
fn fatal(config: Config, bytes: &[u8]) -> (CloseReason, u16) {
    let now = Instant::now();
    let mut server = open_server(now, config);
    server.handle_input(now, Input::Bytes(bytes));
    let outputs = drain(&mut server).0;
    (reason(&outputs), goodbye(&written(now, &mut server, 7)).0)
}

#[test]
fn t07_an_announced_size_is_enough_to_be_refused() {
    for len in [65_537, 16 << 20] {
        let head = frame_announcing(0x82, len, b"");
        assert_eq!(fatal(Config::default(), &head), (CloseReason::TooLarge, 1009), "{len}");
    }
}

#[test]
fn t08_so_is_an_absurd_one() {
    for len in [1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX] {
        for first in [0x82, 0x81, 0x02, 0x01] {
            let head = frame_announcing(first, len, b"");
            assert_eq!(fatal(Config::default(), &head), (CloseReason::TooLarge, 1009), "{len}");
        }
        let continued = [frame(0x02, b"a"), frame_announcing(0x00, len, b"")].concat();
        assert_eq!(fatal(Config::default(), &continued), (CloseReason::TooLarge, 1009), "{len}");
    }
}

#[test]
fn t09_fragments_count_together() {
    let config = Config { max_message_size: 100, ..Config::default() };
    let whole = [frame(0x02, &[0; 60]), frame(0x80, &[0; 40])].concat();
    let over = [frame(0x02, &[0; 60]), frame(0x00, &[0; 41])].concat();
    let now = Instant::now();
    let mut server = open_server(now, config.clone());
    server.handle_input(now, Input::Bytes(&whole));
    assert!(
        matches!(&drain(&mut server).0[..], [Output::Message(message)] if message.len() == 100)
    );
    assert_eq!(fatal(config, &over), (CloseReason::TooLarge, 1009));
}

#[test]
fn t09_empty_fragments_end() {
    let config = Config { max_empty_fragments: 3, ..Config::default() };
    let expected = (CloseReason::Protocol(Violation::EmptyFragments), 1008);
    let endless = [frame(0x01, b""), frame(0x00, b"").repeat(100_000)].concat();
    assert_eq!(fatal(config.clone(), &endless), expected);

    // What came whole before them still counts, and the bound is exact.
    let now = Instant::now();
    let mut server = open_server(now, config);
    let some = [frame(0x81, b"a"), frame(0x01, b""), frame(0x00, b"").repeat(2), frame(0x80, b"b")];
    server.handle_input(now, Input::Bytes(&[some.concat(), some.concat(), endless].concat()));
    let outputs = drain(&mut server).0;
    assert_eq!(outputs[..4], ["a", "b", "a", "b"].map(|one| Output::Message(text(one))));
    assert_eq!(reason(&outputs), expected.0);
}

#[test]
fn a_message_over_the_limit_comes_back() {
    let now = Instant::now();
    let mut server = open_server(now, Config { max_message_size: 10, ..Config::default() });
    assert_eq!(server.send(now, binary(11)), Err(SendError::TooLarge(binary(11))));
    assert_eq!(
        server.send(now, text("12345678901")).unwrap_err().into_message(),
        text("12345678901")
    );
    assert_eq!(server.buffered_amount(), 0);
    assert_eq!(server.send(now, binary(10)), Ok(()));
}

#[test]
fn the_backlog_is_exact_and_changes_nothing() {
    let config = Config { send_buffer: 1000, ..Config::default() };
    let now = Instant::now();
    let mut server = open_server(now, config);
    server.send(now, binary(100)).unwrap();
    server.send(now, binary(1000 - 102 - 4)).unwrap();
    assert_eq!(server.buffered_amount(), 1000);
    assert_eq!(server.send(now, text("")), Err(SendError::Full(text(""))));
    server.advance(now, 1);
    assert!(matches!(server.send(now, text("")), Err(SendError::Full(_))));
    server.advance(now, 1);
    assert_eq!(server.send(now, text("")), Ok(()));
    assert_eq!(frames(&[&[0x82, 100], &written(now, &mut server, 3)[..]].concat()).len(), 3);
}

#[test]
fn an_empty_backlog_takes_one_whole_message() {
    for open in [open_server, open_client] {
        let now = Instant::now();
        let mut socket = open(now, Config { send_buffer: 1000, ..Config::default() });
        socket.send(now, binary(65_536)).unwrap();
        assert!(matches!(socket.send(now, text("")), Err(SendError::Full(_))));
    }
}

fn open_client(now: Instant, config: Config) -> Socket {
    let mut pair = Pair::open(config, 1000);
    pair.client.reset_idle_timer(now);
    pair.client
}

#[test]
fn t11_a_ping_flood_of_a_client_that_never_reads() {
    let config = Config { send_buffer: 10_000, ..Config::default() };
    let now = Instant::now();
    let mut server = open_server(now, config);
    let flood = frame(0x89, &[b'x'; 125]).repeat(100);
    for _ in 0..1000 {
        server.handle_input(now, Input::Bytes(&flood));
        assert!(drain(&mut server).0.is_empty());
    }
    assert!(server.buffered_amount() < 10_000 + 127, "{}", server.buffered_amount());

    // The last ping is answered when there is room again, and those between are not.
    server.handle_input(now, Input::Bytes(&frame(0x89, b"last")));
    let pongs = frames(&written(now, &mut server, 100));
    assert_eq!(pongs.last(), Some(&(0x8a, b"last".to_vec())));
    assert!(pongs.len() <= 81, "{}", pongs.len());
}

#[test]
fn before_and_after_it_is_open_nothing_is_sent() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config::default());
    assert_eq!(server.send(now, text("a")), Err(SendError::Closed(text("a"))));
    let mut client = Socket::connect(now, Config::default(), "h", "/").unwrap();
    assert_eq!(client.send(now, text("a")), Err(SendError::Closed(text("a"))));
    let mut server = open_server(now, Config::default());
    server.close(now, 1000, "");
    let backlog = server.buffered_amount();
    let message = Message::Text("a".into());
    assert_eq!(server.send(now, message.clone()), Err(SendError::Closed(message)));
    assert_eq!(server.buffered_amount(), backlog);
}

#[test]
fn what_a_client_masks_with_counts_too() {
    let now = Instant::now();
    let mut client = open_client(now, Config { send_buffer: 1000, ..Config::default() });
    client.send(now, binary(100)).unwrap();
    let left = 1000 - client.buffered_amount();
    assert_eq!(left, 1000 - 106);
    assert!(matches!(client.send(now, binary(left - 7)), Err(SendError::Full(_))));
    assert_eq!(client.send(now, binary(left - 8)), Ok(()));
    assert_eq!(client.buffered_amount(), 1000);
}

/// Where the backlog is full, nothing of our own is added: neither a pong nor a ping.
#[test]
fn at_the_very_bound_nothing_is_added() {
    let now = Instant::now();
    for bytes in [999, 1000] {
        let config = Config { send_buffer: 1000, ..Config::default() };
        let mut server = open_server(now, config);
        server.send(now, binary(bytes - 4)).unwrap();
        server.handle_input(now, Input::Bytes(&frame(0x89, b"ping")));
        let pong = if bytes == 1000 { 0 } else { 6 };
        assert_eq!(server.buffered_amount(), bytes + pong);
        server.handle_input(now + secs(15.0), Input::Timeout);
        assert_eq!(server.buffered_amount(), bytes + pong, "it is full by now");
    }
}
