use std::time::{Duration, Instant};

use net_ws::{CloseReason, Config, Input, Message, Output, SlowConsumer, Socket};

use crate::common::*;

#[test]
fn t01_a_silent_stranger_goes_without_a_word() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config::default());
    assert_eq!(drain(&mut server), (vec![], Some(now + secs(5.0))));
    server.handle_input(now + secs(4.99), Input::Timeout);
    assert_eq!(drain(&mut server).0, []);
    server.handle_input(now + secs(5.0), Input::Timeout);
    let expected = [Output::Closed(CloseReason::UpgradeTimeout), Output::Finished];
    assert_eq!(drain(&mut server), (expected.to_vec(), None));
    assert_eq!(server.buffered_amount(), 0);
}

#[test]
fn t02_a_byte_every_100_ms_is_too_slow_and_told_so() {
    let start = Instant::now();
    let mut server = Socket::accept(start, Config::default());
    for (tick, byte) in request().bytes().enumerate().take(51) {
        let now = start + secs(tick as f64 * 0.1);
        server.handle_input(now, Input::Bytes(&[byte]));
        if tick < 50 {
            assert_eq!(drain(&mut server), (vec![], Some(start + secs(5.0))));
        }
    }
    let answer = written(start, &mut server, 1);
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    let expected = [Output::Closed(CloseReason::UpgradeTimeout), Output::Finished];
    assert_eq!(drain(&mut server).0, expected);
}

#[test]
fn a_client_without_an_answer_gives_up() {
    let now = Instant::now();
    let mut client = Socket::connect(now, Config::default(), "h", "/").unwrap();
    client.handle_input(now + secs(5.0), Input::Timeout);
    let expected = [Output::Closed(CloseReason::UpgradeTimeout), Output::Finished];
    assert_eq!(drain(&mut client), (expected.to_vec(), None));
    assert!(client.outgoing().is_empty());
}

/// Follows the socket's own timeouts until it is finished: when pings went out, and the end.
fn sit_out(start: Instant, socket: &mut Socket) -> (Vec<Duration>, Vec<Output>, Duration) {
    let (mut pings, mut outputs, mut now) = (vec![], vec![], start);
    loop {
        let (new, at) = drain(socket);
        outputs.extend(new);
        let Some(at) = at else { return (pings, outputs, now - start) };
        now = at;
        socket.handle_input(now, Input::Timeout);
        if !written(now, socket, 100).is_empty() {
            pings.push(now - start);
        }
    }
}

#[test]
fn pings_and_then_death_on_both_sides() {
    let pair = Pair::open(Config::default(), 1000);
    let start = pair.now;
    for mut socket in [pair.client, pair.server] {
        let (pings, outputs, end) = sit_out(start, &mut socket);
        assert_eq!(pings, [secs(15.0), secs(30.0)]);
        assert_eq!(outputs, [Output::Closed(CloseReason::TimedOut), Output::Finished]);
        assert_eq!(end, secs(35.0));
    }
}

#[test]
fn any_byte_is_life_and_so_is_an_excuse() {
    let start = Instant::now();
    let mut server = open_server(start, Config::default());
    // Half a frame head is life, too.
    server.handle_input(start + secs(14.0), Input::Bytes(&[0x81]));
    assert_eq!(drain(&mut server).1, Some(start + secs(29.0)));
    server.handle_input(start + secs(29.0), Input::Timeout);
    assert_eq!(frames(&written(start, &mut server, 100)), [(0x89, vec![])]);
    server.reset_idle_timer(start + secs(40.0));
    server.handle_input(start + secs(50.0), Input::Timeout);
    assert_eq!(drain(&mut server), (vec![], Some(start + secs(65.0))));
    assert_eq!(frames(&written(start, &mut server, 100)), [(0x89, vec![])], "it hears of us");
    server.handle_input(start + secs(50.0), Input::Bytes(b""));
    assert_eq!(drain(&mut server).1, Some(start + secs(65.0)));
    server.handle_input(start + secs(74.0), Input::Timeout);
    assert_eq!(drain(&mut server), (vec![], Some(start + secs(75.0))));
}

#[test]
fn t69_a_stop_puts_every_deadline_off() {
    let start = Instant::now();
    let mut upgrading = Socket::accept(start, Config::default());
    upgrading.extend_deadlines(start + secs(60.0), secs(60.0));
    assert_eq!(drain(&mut upgrading), (vec![], Some(start + secs(65.0))));
    let mut open = open_server(start, Config::default());
    open.extend_deadlines(start + secs(60.0), secs(60.0));
    open.handle_input(start + secs(94.0), Input::Timeout);
    assert_eq!(drain(&mut open), (vec![], Some(start + secs(95.0))));
    open.handle_input(start + secs(95.0), Input::Timeout);
    assert_eq!(drain(&mut open).0, [Output::Closed(CloseReason::TimedOut), Output::Finished]);
    let mut closing = open_server(start, Config::default());
    closing.close(start, 1000, "");
    drain(&mut closing);
    closing.extend_deadlines(start + secs(60.0), secs(60.0));
    assert_eq!(drain(&mut closing), (vec![], Some(start + secs(62.0))));
}

#[test]
fn bytes_that_come_late_still_save_the_peer() {
    let start = Instant::now();
    let mut server = open_server(start, Config::default());
    server.handle_input(start + secs(60.0), Input::Bytes(&frame(0x8a, b"")));
    server.handle_input(start + secs(60.0), Input::Timeout);
    assert_eq!(drain(&mut server), (vec![], Some(start + secs(75.0))));
}

#[test]
fn a_ping_is_answered_in_time() {
    let mut pair = Pair::open(Config::default(), 1);
    for round in 1..10 {
        pair.now += secs(15.0);
        pair.server.handle_input(pair.now, Input::Timeout);
        pair.run();
        assert_eq!(drain(&mut pair.server), (vec![], Some(pair.now + secs(15.0))), "{round}");
        assert!(pair.take_client().is_empty());
    }
}

#[test]
fn a_full_backlog_gets_no_pings() {
    let start = Instant::now();
    let mut server = open_server(start, Config { send_buffer: 100, ..Config::default() });
    server.send(start, binary(200)).unwrap();
    let before = server.buffered_amount();
    server.handle_input(start + secs(15.0), Input::Timeout);
    assert_eq!(server.buffered_amount(), before);
    assert_eq!(drain(&mut server).1, Some(start + secs(30.0)));
}

#[test]
fn never_is_never() {
    let config = Config {
        upgrade_timeout: Duration::MAX,
        ping_interval: Duration::MAX,
        pong_timeout: Duration::MAX,
        close_timeout: Duration::MAX,
        ..Config::default()
    };
    let start = Instant::now();
    let mut server = open_server(start, config);
    server.handle_input(start + secs(1e9), Input::Timeout);
    assert!(drain(&mut server).0.is_empty());
    server.close(start, 1000, "");
    server.handle_input(start + secs(1e9), Input::Timeout);
    assert_eq!(drain(&mut server).0, [Output::Closed(CloseReason::Local)]);
}

/// A server for which 100,000 bytes wait, and what became of it when `taken` bytes were taken in
/// each second of a minute.
fn with_taken(taken: usize) -> Vec<(u32, Output)> {
    let start = Instant::now();
    let mut server =
        open_server(start, Config { ping_interval: Duration::MAX, ..Config::default() });
    (0..2).for_each(|_| server.send(start, Message::Binary(vec![7; 50_000].into())).unwrap());
    let mut seen = Vec::new();
    for second in 1..=60 {
        let now = start + Duration::from_secs(second.into());
        server.reset_idle_timer(now);
        server.handle_input(now, Input::Timeout);
        server.advance(now, taken);
        seen.extend(drain(&mut server).0.into_iter().map(|output| (second, output)));
    }
    seen
}

#[test]
fn t13_who_takes_too_little_is_named_and_then_closed() {
    for taken in [0, 1, 500] {
        let slow = |second: u32| {
            let taken = (second as usize - 1) * taken;
            SlowConsumer {
                written: taken,
                elapsed: Duration::from_secs(second.into()),
                buffered: 100_008 - taken,
            }
        };
        let seen = with_taken(taken);
        let expected = [
            (15, Output::SlowConsumer(slow(15))),
            (30, Output::Closed(CloseReason::SlowConsumer(slow(30)))),
            (32, Output::Finished),
        ];
        assert_eq!(seen, expected, "{taken} bytes a second");
    }
}

#[test]
fn who_takes_enough_is_not_slow_however_much_waits() {
    for taken in [2_070, 10_000, usize::MAX / 2] {
        assert_eq!(with_taken(taken), [], "{taken} bytes a second");
    }
}

/// The time begins when something begins to wait, and a stop of the server is not the peer's.
#[test]
fn what_was_taken_whole_begins_anew_and_a_stop_does_not_count() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let mut server =
        open_server(start, Config { ping_interval: Duration::MAX, ..Config::default() });
    server.send(at(0), Message::Binary(vec![7; 50_000].into())).unwrap();
    server.advance(at(29), usize::MAX);
    server.send(at(29), Message::Binary(vec![7; 50_000].into())).unwrap();
    server.reset_idle_timer(at(43));
    server.handle_input(at(43), Input::Timeout);
    assert_eq!(drain(&mut server), (vec![], Some(at(44))));
    server.extend_deadlines(at(103), Duration::from_secs(60));
    server.handle_input(at(103), Input::Timeout);
    assert_eq!(drain(&mut server), (vec![], Some(at(104))));
    server.handle_input(at(119), Input::Timeout);
    assert!(matches!(drain(&mut server).0[..], [Output::Closed(CloseReason::SlowConsumer(_))]));
}
