use std::time::Instant;

use net_ws::{CloseReason, Config, Input, Output, Violation};

use crate::common::*;

/// How an open server says goodbye to these bytes, whole and byte by byte.
fn goodbye_to(bytes: &[u8]) -> (CloseReason, u16) {
    let answers = [bytes.len(), 1].map(|step| {
        let now = Instant::now();
        let mut server = open_server(now, Config::default());
        bytes.chunks(step).for_each(|part| server.handle_input(now, Input::Bytes(part)));
        let outputs = drain(&mut server).0;
        assert!(!outputs.iter().any(|output| matches!(output, Output::Message(_))));
        (reason(&outputs), goodbye(&written(now, &mut server, 1)).0)
    });
    assert_eq!(answers[0], answers[1]);
    answers[0].clone()
}

#[test]
fn t10_bad_frames_are_1002() {
    let cases: [(&str, Vec<u8>); 13] = [
        ("unmasked", vec![0x81, 1, b'a']),
        ("unmasked ping", vec![0x89, 0]),
        ("rsv1", frame(0xc1, b"a")),
        ("rsv2", frame(0xa1, b"a")),
        ("rsv3", frame(0x91, b"a")),
        ("opcode 3", frame(0x83, b"a")),
        ("opcode 11", frame(0x8b, b"a")),
        ("long ping", frame(0x89, &[0; 126])),
        ("fragmented ping", frame(0x09, b"a")),
        ("fragmented close", frame(0x08, b"")),
        ("nothing to continue", frame(0x80, b"a")),
        ("message in a message", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
        ("half a close code", frame(0x88, b"a")),
    ];
    for (name, bytes) in cases {
        let (reason, code) = goodbye_to(&bytes);
        assert!(matches!(reason, CloseReason::Protocol(Violation::Frame(_))), "{name}: {reason}");
        assert_eq!(code, 1002, "{name}");
    }
}

#[test]
fn t10_close_codes_that_must_not_be_sent() {
    for sent in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let (reason, code) = goodbye_to(&close_frame(sent, "why"));
        assert_eq!(reason, CloseReason::Protocol(Violation::CloseCode(sent)));
        assert_eq!(code, 1002);
    }
}

#[test]
fn t10_bad_text_is_1007() {
    for bytes in [
        frame(0x81, b"\xff"),
        frame(0x81, b"\xc3"),
        frame(0x81, b"\xed\xa0\x80"),
        [frame(0x01, b"\xc3"), frame(0x80, b"x")].concat(),
        [frame(0x01, b"a"), frame(0x80, b"\xc3")].concat(),
        frame(0x88, b"\x03\xe8\xff"),
    ] {
        assert_eq!(goodbye_to(&bytes), (CloseReason::Protocol(Violation::Utf8), 1007));
    }
}

#[test]
fn t10_bad_text_fails_at_its_fragment_and_not_at_the_messages_end() {
    for bytes in [
        frame(0x01, b"\xff"),
        [frame(0x01, b"a\xce"), frame(0x00, b"\xba\xed\xa0")].concat(),
        [frame(0x01, b"\xf4"), frame(0x00, b"\x90")].concat(),
    ] {
        assert_eq!(goodbye_to(&bytes), (CloseReason::Protocol(Violation::Utf8), 1007), "{bytes:?}");
    }
}

#[test]
fn messages_before_the_fault_arrive() {
    let now = Instant::now();
    let mut server = open_server(now, Config::default());
    let bytes = [frame(0x81, b"good"), frame(0x83, b"bad"), frame(0x81, b"late")].concat();
    server.handle_input(now, Input::Bytes(&bytes));
    let outputs = drain(&mut server).0;
    assert!(
        matches!(&outputs[..], [Output::Message(one), Output::Closed(_)] if *one == text("good"))
    );
}

#[test]
fn a_server_must_not_mask() {
    let mut pair = Pair::open(Config::default(), 1000);
    pair.client.handle_input(pair.now, Input::Bytes(&frame(0x81, b"a")));
    let closed = reason(&drain(&mut pair.client).0);
    assert!(matches!(closed, CloseReason::Protocol(Violation::Frame(_))));
    pair.run();
    let CloseReason::Remote { code, .. } = reason(&pair.take_server()) else { panic!() };
    assert_eq!(code, 1002);
}

#[test]
fn reasons_read_as_words() {
    let (reason, _) = goodbye_to(&close_frame(1005, ""));
    assert_eq!(reason.to_string(), "the peer broke the protocol: close code 1005 must not be sent");
}
