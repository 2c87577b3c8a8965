use std::time::Instant;

use net_ws::{Config, Input, Message, Output, Socket};

use crate::common::*;

#[test]
fn all_lengths_both_ways_in_any_steps() {
    for step in [1, 5, 4096, 1 << 20] {
        let mut pair = Pair::open(Config::default(), step);
        let mut messages: Vec<_> =
            [0, 1, 125, 126, 127, 4095, 65_535, 65_536].into_iter().map(binary).collect();
        messages.extend([text(""), text("grüß dich 🙂"), text(&"é".repeat(32_768))]);
        for message in &messages {
            pair.client.send(pair.now, message.clone()).unwrap();
            pair.server.send(pair.now, message.clone()).unwrap();
        }
        pair.run();
        let expected: Vec<_> = messages.into_iter().map(Output::Message).collect();
        assert!(pair.take_client() == expected && pair.take_server() == expected, "{step}");
    }
}

#[test]
fn a_server_frame_is_head_and_payload() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    server.send(now, text("hi")).unwrap();
    server.send(now, Message::Binary(vec![7; 200].into())).unwrap();
    assert_eq!(server.buffered_amount(), 4 + 204);
    let bytes = written(now, &mut server, 1);
    assert_eq!(&bytes[..8], b"\x81\x02hi\x82\x7e\0\xc8");
    assert_eq!(bytes.len(), 208);
}

#[test]
fn fragments_with_pings_between_them() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let parts = ["grü", "", "ß"].map(str::as_bytes);
    // The first cut goes through a character.
    let bytes = [
        frame(0x01, &parts[0][..3]),
        frame(0x89, b"ping"),
        frame(0x00, &parts[0][3..]),
        frame(0x00, parts[1]),
        frame(0x8a, b"unasked"),
        frame(0x80, parts[2]),
    ];
    server.handle_input(now, Input::Bytes(&bytes.concat()));
    assert_eq!(drain(&mut server).0, [Output::Message(text("grüß"))]);
    assert_eq!(frames(&written(now, &mut server, 9)), [(0x8a, b"ping".to_vec())]);
}

#[test]
fn many_small_fragments_make_one_message() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let mut bytes = frame(0x02, b"x");
    bytes.extend(frame(0x00, b"x").repeat(65_534));
    bytes.extend(frame(0x80, b"x"));
    server.handle_input(now, Input::Bytes(&bytes));
    assert_eq!(drain(&mut server).0, [Output::Message(Message::Binary(vec![b'x'; 65_536].into()))]);
}

#[test]
fn a_socket_may_live_in_any_thread() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Socket>();
    check::<Output>();
}
