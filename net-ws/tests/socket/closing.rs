use std::time::{Duration, Instant};

use net_ws::{CloseReason, Config, Input, Message, Output};

use crate::common::*;

fn by_peer(code: u16, reason: &str) -> CloseReason {
    CloseReason::Remote { code, reason: reason.to_owned() }
}

#[test]
fn either_side_says_goodbye() {
    for step in [1, 1000] {
        let mut pair = Pair::open(Config::default(), step);
        pair.server.send(pair.now, text("before")).unwrap();
        pair.server.close(pair.now, 1001, "bye");
        pair.run();
        let closed = [Output::Closed(CloseReason::Local), Output::Finished];
        assert_eq!(pair.take_server(), closed);
        let heard = [
            Output::Message(text("before")),
            Output::Closed(by_peer(1001, "bye")),
            Output::Finished,
        ];
        assert_eq!(pair.take_client(), heard);

        let mut pair = Pair::open(Config::default(), step);
        pair.client.close(pair.now, 3000, "done");
        pair.run();
        assert_eq!(pair.take_client(), closed);
        assert_eq!(pair.take_server(), [Output::Closed(by_peer(3000, "done")), Output::Finished]);
    }
}

#[test]
fn both_at_once() {
    let mut pair = Pair::open(Config::default(), 1);
    pair.client.close(pair.now, 1000, "c");
    pair.server.close(pair.now, 1000, "s");
    pair.run();
    let closed = [Output::Closed(CloseReason::Local), Output::Finished];
    assert_eq!((pair.take_client(), pair.take_server()), (closed.to_vec(), closed.to_vec()));
}

#[test]
fn t18_a_peer_that_never_answers_or_never_reads_is_gone_in_two_seconds() {
    for reads in [true, false] {
        let now = Instant::now();
        let mut server = open_server(now, Config::default());
        server.send(now, binary(60_000)).unwrap();
        server.close(now, 1000, "");
        if reads {
            assert_eq!(goodbye(&written(now, &mut server, 999)).0, 1000);
        }
        let (outputs, at) = drain(&mut server);
        assert_eq!(outputs, [Output::Closed(CloseReason::Local)]);
        assert_eq!(at, Some(now + secs(2.0)));
        server.handle_input(now + secs(1.9), Input::Bytes(&frame(0x81, b"more")));
        assert_eq!(drain(&mut server), (vec![], at));
        server.handle_input(now + secs(2.0), Input::Timeout);
        assert_eq!(drain(&mut server), (vec![Output::Finished], None));
        assert!(server.outgoing().is_empty());
    }
}

#[test]
fn t18_a_peer_that_says_goodbye_and_never_reads_is_gone_too() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    server.handle_input(now, Input::Bytes(&close_frame(1000, "")));
    assert_eq!(
        drain(&mut server),
        (vec![Output::Closed(by_peer(1000, ""))], Some(now + secs(2.0)))
    );
    server.handle_input(now + secs(2.0), Input::Timeout);
    assert_eq!(drain(&mut server).0, [Output::Finished]);
}

#[test]
fn the_peer_is_answered_with_its_own_code() {
    let now = Instant::now();
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut server = open_server(now, Config::default());
        server.handle_input(now, Input::Bytes(&close_frame(code, "because")));
        assert_eq!(goodbye(&written(now, &mut server, 1)), (code, String::new()));
        let closed = [Output::Closed(by_peer(code, "because")), Output::Finished];
        assert_eq!(drain(&mut server).0, closed);
    }
}

#[test]
fn nothing_that_follows_a_close_frame_counts() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let bytes = [close_frame(1000, ""), frame(0x81, b"late"), vec![0xff; 99], close_frame(1, "")];
    server.handle_input(now, Input::Bytes(&bytes.concat()));
    assert_eq!(goodbye(&written(now, &mut server, 99)).0, 1000);
    assert_eq!(drain(&mut server).0, [Output::Closed(by_peer(1000, "")), Output::Finished]);
}

#[test]
fn what_came_before_the_last_word_can_still_be_answered() {
    let now = Instant::now();
    let lasts =
        [(close_frame(1000, ""), 1000), (frame(0x83, b""), 1002), (frame(0x89, &[0; 126]), 1002)];
    for (last, code) in lasts {
        let mut server = open_server(now, Config::default());
        let bytes = [frame(0x81, b"one"), frame(0x81, b"two"), last, frame(0x81, b"late")].concat();
        server.handle_input(now, Input::Bytes(&bytes));
        server.handle_input(now, Input::Timeout);
        for question in ["one", "two"] {
            assert_eq!(server.poll_output(), Output::Message(text(question)));
            server.send(now, text(question)).unwrap();
        }
        assert!(matches!(server.poll_output(), Output::Closed(_)));
        server.send(now, text("late")).unwrap_err();
        let said = frames(&written(now, &mut server, 99));
        let words: Vec<_> = said.iter().map(|(first, payload)| (*first, &payload[..])).collect();
        assert_eq!(words[..2], [(0x81, &b"one"[..]), (0x81, b"two")]);
        assert_eq!((words.len(), words[2].0), (3, 0x88));
        assert_eq!(words[2].1[..2], u16::to_be_bytes(code));
    }
}

#[test]
fn a_last_word_that_is_not_polled_yet_counts() {
    let now = Instant::now();
    type Next = fn(&mut net_ws::Socket, Instant);
    let nexts: [Next; 4] = [
        |server, now| server.handle_input(now, Input::Timeout),
        |server, now| server.handle_input(now, Input::Bytes(&frame(0x81, b"late"))),
        |server, now| server.handle_input(now, Input::End),
        |server, now| server.close(now, 1001, "too late"),
    ];
    for next in nexts {
        let mut server = open_server(now, Config::default());
        let bytes = [frame(0x81, b"one"), close_frame(3000, "bye")].concat();
        server.handle_input(now, Input::Bytes(&bytes));
        next(&mut server, now + secs(1.0));
        let (outputs, at) = drain(&mut server);
        assert_eq!(reason(&outputs), by_peer(3000, "bye"));
        assert!(!outputs.contains(&Output::Message(text("late"))));
        // The time to say goodbye began with the peer's.
        assert!(at.is_none_or(|at| at == now + secs(2.0)));
    }
}

#[test]
fn no_message_comes_after_close() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    server.handle_input(now, Input::Bytes(&frame(0x81, b"not polled yet")));
    server.close(now, 1000, "");
    let bytes = [frame(0x81, b"late"), frame(0x89, b"late"), close_frame(1000, "")].concat();
    server.handle_input(now, Input::Bytes(&bytes));
    assert_eq!(goodbye(&written(now, &mut server, 99)).0, 1000);
    assert_eq!(drain(&mut server).0, [Output::Closed(CloseReason::Local), Output::Finished]);
}

#[test]
fn the_peers_goodbye_is_found_behind_half_a_frame() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let long = frame(0x82, &[0x88; 300]);
    server.handle_input(now, Input::Bytes(&long[..150]));
    server.close(now, 1000, "");
    written(now, &mut server, 99);
    server.handle_input(now, Input::Bytes(&long[150..]));
    assert_eq!(drain(&mut server).0, [Output::Closed(CloseReason::Local)]);
    server.handle_input(now, Input::Bytes(&close_frame(1000, "")));
    assert_eq!(drain(&mut server).0, [Output::Finished]);
}

#[test]
fn noise_behind_the_peers_goodbye_does_not_hide_it() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    server.close(now, 1000, "");
    written(now, &mut server, 99);
    let noise = frame_announcing(0x82, 1 << 40, b"");
    server.handle_input(now, Input::Bytes(&[close_frame(1000, ""), noise].concat()));
    assert_eq!(drain(&mut server).0, [Output::Closed(CloseReason::Local), Output::Finished]);
}

#[test]
fn after_a_fault_the_peer_may_still_say_goodbye() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let huge = vec![0; 100_000];
    server.handle_input(now, Input::Bytes(&frame(0x82, &huge)[..50_000]));
    assert_eq!(goodbye(&written(now, &mut server, 99)).0, 1009);
    assert_eq!(drain(&mut server).0, [Output::Closed(CloseReason::TooLarge)]);
    server.handle_input(now, Input::Bytes(&frame(0x82, &huge)[50_000..]));
    assert_eq!(drain(&mut server).0, []);
    server.handle_input(now, Input::Bytes(&close_frame(1009, "")));
    assert_eq!(drain(&mut server).0, [Output::Finished]);
}

#[test]
fn t15_the_stream_may_end_at_any_byte() {
    let now = Instant::now();
    let head = request();
    let whole = [head.as_bytes(), &frame(0x81, b"abc")].concat();
    for cut in 0..whole.len() {
        let mut server = net_ws::Socket::accept(now, Config::default());
        server.handle_input(now, Input::Bytes(&whole[..cut]));
        server.handle_input(now, Input::End);
        server.handle_input(now, Input::End);
        let (outputs, at) = drain(&mut server);
        let begin = usize::from(cut >= head.len());
        assert_eq!(outputs[begin..], [Output::Closed(CloseReason::Eof), Output::Finished]);
        assert_eq!(at, None);
        assert!(server.outgoing().is_empty());
    }
}

#[test]
fn a_long_reason_is_cut_and_a_bad_code_replaced() {
    let now = Instant::now();
    for code in [1005, 1006, 1015, 0] {
        let mut server = open_server(now, Config::default());
        server.close(now, code, &"ü".repeat(100));
        server.close(now, 1001, "again");
        assert_eq!(goodbye(&written(now, &mut server, 99)), (1000, "ü".repeat(61)));
    }
}

#[test]
fn a_client_leaves_the_stream_to_the_server() {
    let mut pair = Pair::open(Config::default(), 1000);
    pair.server.close(pair.now, 1000, "");
    let bytes = written(pair.now, &mut pair.server, 1000);
    pair.client.handle_input(pair.now, Input::Bytes(&bytes));
    written(pair.now, &mut pair.client, 1000);
    let (outputs, at) = drain(&mut pair.client);
    assert_eq!((outputs.len(), at), (1, Some(pair.now + secs(2.0))));
    pair.client.handle_input(pair.now, Input::End);
    assert_eq!(drain(&mut pair.client).0, [Output::Finished]);
}

/// 100,000 bytes wait when one side says goodbye, and so many are taken each second.
#[test]
fn what_was_accepted_goes_out_as_long_as_it_is_taken() {
    for (taken, lasts) in [(0, 2), (3_000, 30), (5_000, 23), (20_000, 8)] {
        let start = Instant::now();
        let mut server = open_server(start, Config::default());
        (0..2).for_each(|_| server.send(start, Message::Binary(vec![7; 50_000].into())).unwrap());
        server.close(start, 1000, "enough");
        let second = (1..100).find(|second| {
            let now = start + Duration::from_secs(*second);
            server.advance(now, taken);
            server.handle_input(now, Input::Timeout);
            server.is_finished()
        });
        assert_eq!(second, Some(lasts), "{taken} bytes a second");
    }
}
