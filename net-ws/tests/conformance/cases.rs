//! The table.

use net_ws::Message;

use super::common::*;
use super::text::{self, words};
use super::{Case, End, Verdict};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The first fragment of a text, one in the middle, and the last.
const BEGIN: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

pub(super) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for part in [lengths, pings, reserved, fragments, strays, texts, goodbyes, codes, limits] {
        part(&mut |name, frames, expected| {
            all.push(Case { name, bytes: frames.concat(), expected });
        });
    }
    all
}

type Add<'a> = &'a mut dyn FnMut(String, &[Vec<u8>], Verdict);

fn messages(messages: impl Into<Vec<Message>>) -> Verdict {
    Verdict { messages: messages.into(), ..Verdict::default() }
}

fn closed(code: u16) -> Verdict {
    Verdict { end: End::Closed(Some(code)), ..Verdict::default() }
}

impl Verdict {
    fn pongs(self, pongs: &[&[u8]]) -> Verdict {
        Verdict { pongs: pongs.iter().map(|pong| pong.to_vec()).collect(), ..self }
    }

    fn closed(self, code: u16) -> Verdict {
        Verdict { end: End::Closed(Some(code)), ..self }
    }
}

/// §5.2: each way to write a length, at its bounds.
fn lengths(add: Add<'_>) {
    for size in [0, 1, 125, 126, 127, 128, 65_534, 65_535, 65_536] {
        let long = "x".repeat(size);
        add(format!("text of {size}"), &[frame(TEXT, long.as_bytes())], messages([text(&long)]));
        let Message::Binary(bytes) = binary(size) else { unreachable!() };
        add(format!("binary of {size}"), &[frame(BINARY, &bytes)], messages([binary(size)]));
    }
    let many: Vec<_> = (0..1000).map(|i| frame(TEXT, i.to_string().as_bytes())).collect();
    let expected: Vec<_> = (0..1000).map(|i| text(&i.to_string())).collect();
    add("a thousand small ones".into(), &many, messages(expected));
}

/// §5.5.2, §5.5.3: a ping's payload comes back; a pong nobody asked for is nothing.
fn pings(add: Add<'_>) {
    let none = Verdict::default;
    for payload in [&b""[..], b"hello", b"\0\xff\xfe\xfd", &[0xfe; 125]] {
        let (len, expected) = (payload.len(), none().pongs(&[payload]));
        add(format!("ping of {len}"), &[frame(PING, payload)], expected);
        add(format!("pong of {len}"), &[frame(PONG, payload)], none());
    }
    for (name, first) in [("ping", PING), ("pong", PONG), ("close", CLOSE)] {
        add(format!("{name} of 126"), &[frame(first, &[1; 126])], closed(1002));
    }
    let ten: Vec<_> = (0..10).map(|i| frame(PING, &[i])).collect();
    let payloads: Vec<_> = (0..10).map(|i| [i]).collect();
    let payloads: Vec<_> = payloads.iter().map(|payload| &payload[..]).collect();
    add("ten pings".into(), &ten, none().pongs(&payloads));
    let pong_first = [frame(PONG, b"unasked"), frame(PING, b"asked")];
    add("a pong, then a ping".into(), &pong_first, none().pongs(&[b"asked"]));
}

/// §5.2: reserved bits and opcodes, alone and behind a good message. §5.1: no mask.
fn reserved(add: Add<'_>) {
    let mut bad = |name: String, first: u8, payload: &[u8]| {
        add(name.clone(), &[frame(first, payload)], closed(1002));
        let behind = [frame(TEXT, b"good"), frame(first, payload), frame(PING, b"late")];
        add(format!("{name} behind a text"), &behind, messages([text("good")]).closed(1002));
    };
    for bits in 1..8 {
        for (name, first) in [("text", TEXT), ("binary", BINARY), ("ping", PING), ("close", CLOSE)]
        {
            bad(format!("reserved bits {bits} of a {name}"), first | bits << 4, b"");
        }
    }
    for opcode in (3..8).chain(11..16) {
        bad(format!("opcode {opcode}"), 0x80 | opcode, b"");
        bad(format!("opcode {opcode} with a payload"), 0x80 | opcode, b"payload");
    }
    for first in [TEXT, BINARY, PING, CLOSE] {
        add(format!("{first:#x} without a mask"), &[vec![first, 2, 3, 0xe8]], closed(1002));
    }
}

/// §5.4: fragments, and control frames between them.
fn fragments(add: Add<'_>) {
    let two = [frame(BEGIN, b"one"), frame(LAST, b"two")];
    add("two fragments".into(), &two, messages([text("onetwo")]));
    let binary = [frame(0x02, b"\xff"), frame(MORE, b"\xfe"), frame(LAST, b"\xfd")];
    let expected = messages([Message::Binary((&b"\xff\xfe\xfd"[..]).into())]);
    add("three of a binary".into(), &binary, expected);
    let pinged = [frame(BEGIN, b"one"), frame(PING, b"p"), frame(MORE, b""), frame(PING, b"q")];
    let pinged = [&pinged[..], &[frame(PONG, b""), frame(LAST, b"two")]].concat();
    let expected = messages([text("onetwo")]).pongs(&[b"p", b"q"]);
    add("pings between fragments".into(), &pinged, expected);
    for empty in 1..8 {
        let part = |bit: u8, word: &'static str| if empty & bit == 0 { word } else { "" };
        let words = [part(1, "a"), part(2, "b"), part(4, "c")];
        let [one, two, three] = words.map(str::as_bytes);
        let bytes = [frame(BEGIN, one), frame(MORE, two), frame(LAST, three)];
        add(format!("empty fragments {empty}"), &bytes, messages([text(&words.concat())]));
    }
    let left = [frame(BEGIN, b"one"), frame(CLOSE, &1000u16.to_be_bytes()), frame(LAST, b"two")];
    add("a goodbye between fragments".into(), &left, closed(1000));
    for (name, first) in [("ping", PING), ("pong", PONG), ("close", CLOSE)] {
        let halves = [frame(first & 0x0f, b""), frame(LAST, b"")];
        add(format!("a {name} in fragments"), &halves, closed(1002));
    }
}

/// §5.4: fragments of nothing, and a message inside another.
fn strays(add: Add<'_>) {
    for (name, first) in [("last", LAST), ("middle", MORE)] {
        for payload in [&b""[..], b"of nothing"] {
            let bytes = [frame(first, payload), frame(TEXT, b"late")];
            add(format!("a {name} fragment of {payload:?}"), &bytes, closed(1002));
            let bytes = [frame(BEGIN, b"a"), frame(LAST, b"b"), frame(first, payload)];
            let expected = messages([text("ab")]).closed(1002);
            add(format!("a {name} fragment of {payload:?} behind a message"), &bytes, expected);
        }
    }
    for first in [TEXT, BINARY, BEGIN, 0x02] {
        let bytes = [frame(BEGIN, b"a"), frame(first, b"b"), frame(LAST, b"c")];
        add(format!("{first:#x} between fragments"), &bytes, closed(1002));
    }
}

/// §8.1: text is UTF-8, whole and in fragments of one byte.
fn texts(add: Add<'_>) {
    for (name, bytes) in words() {
        let expected = match std::str::from_utf8(&bytes) {
            Ok(word) => messages([text(word)]),
            Err(_) => closed(1007),
        };
        assert_eq!(expected.end == End::Open, text::is_good(&name), "{name}");
        add(name.clone(), &[frame(TEXT, &bytes)], expected.clone());
        let mut parts: Vec<_> = bytes.iter().map(|byte| frame(MORE, &[*byte])).collect();
        parts.insert(0, frame(BEGIN, b""));
        parts.push(frame(LAST, b""));
        add(format!("{name} in fragments"), &parts, expected);
    }
    // Not before its last fragment can this one be judged; the next at once.
    add("half a character so far".into(), &[frame(BEGIN, b"\xf0\x9f")], Verdict::default());
    add("never a character".into(), &[frame(BEGIN, b"a\xf8")], closed(1007));
    let binary = [frame(BINARY, b"\xff\xc0\x80")];
    let expected = messages([Message::Binary((&b"\xff\xc0\x80"[..]).into())]);
    add("a binary is no text".into(), &binary, expected);
}

/// §5.5.1: the goodbye is answered, and nothing behind it counts.
fn goodbyes(add: Add<'_>) {
    let empty = Verdict { end: End::Closed(None), ..Verdict::default() };
    add("a goodbye without a code".into(), &[frame(CLOSE, b"")], empty);
    add("half a code".into(), &[frame(CLOSE, b"\x03")], closed(1002));
    let bye = || close_frame(1000, "bye");
    add(
        "a goodbye behind a text".into(),
        &[frame(TEXT, b"a"), bye()],
        messages([text("a")]).closed(1000),
    );
    add("two goodbyes".into(), &[bye(), bye()], closed(1000));
    for first in [TEXT, PING, 0x83] {
        add(format!("{first:#x} behind a goodbye"), &[bye(), frame(first, b"a")], closed(1000));
    }
    for (len, code) in [(0, 1000), (1, 1000), (123, 1000), (124, 1002)] {
        let reason = "x".repeat(len);
        add(format!("a reason of {len}"), &[close_frame(1000, &reason)], closed(code));
    }
    let bad = [b"\x03\xe8".as_slice(), b"bad \xed\xa0\x80"].concat();
    add("a reason that is no text".into(), &[frame(CLOSE, &bad)], closed(1007));
}

/// §7.4: which codes may be sent; they come back. 1012 to 1014 were registered after the RFC, and
/// tungstenite does not know the last, which is of gateways.
fn codes(add: Add<'_>) {
    let good = (1000..=1003).chain(1007..=1013).chain([3000, 3999, 4000, 4999]);
    for code in good {
        add(format!("code {code}"), &[close_frame(code, "")], closed(code));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        add(format!("code {code}"), &[close_frame(code, "")], closed(1002));
    }
}

/// Our own limit of 64 KiB, in one piece and in many.
fn limits(add: Add<'_>) {
    let over = [0; 65_537];
    add("65,537 bytes".into(), &[frame(BINARY, &over)], closed(1009));
    for size in [64, 1000, 16_384, 65_536] {
        let parts = |bytes: &[u8]| {
            let mut parts: Vec<_> = bytes.chunks(size).map(|part| frame(MORE, part)).collect();
            parts[0][0] = 0x02;
            parts.push(frame(LAST, b""));
            parts
        };
        let whole = messages([Message::Binary(over[1..].to_vec().into())]);
        add(format!("65,536 bytes in fragments of {size}"), &parts(&over[1..]), whole);
        add(format!("65,537 bytes in fragments of {size}"), &parts(&over), closed(1009));
    }
}
