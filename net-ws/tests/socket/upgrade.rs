use std::time::Instant;

use net_ws::{BadRequest, BadResponse, CloseReason, Config, Input, Output, Socket};

use crate::common::*;

/// What a server makes of these bytes: its outputs and its answer.
fn serve(bytes: &[u8]) -> (Vec<Output>, String) {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config::default());
    server.handle_input(now, Input::Bytes(bytes));
    let answer = String::from_utf8_lossy(&written(now, &mut server, usize::MAX)).into_owned();
    (drain(&mut server).0, answer)
}

/// A refused request: `Closed` and `Finished` as soon as the answer is out.
fn refused(bytes: &[u8]) -> (BadRequest, String) {
    let (outputs, answer) = serve(bytes);
    let [Output::Closed(CloseReason::BadRequest(why)), Output::Finished] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nConnection: close"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    assert!(answer.starts_with(&format!("HTTP/1.1 {} ", why.status())), "{answer}");
    (why.clone(), answer)
}

fn changed(from: &str, to: &str) -> Vec<u8> {
    assert!(request().contains(from));
    request().replacen(from, to, 1).into_bytes()
}

#[test]
fn the_example_of_the_rfc() {
    let (outputs, answer) = serve(request().as_bytes());
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let request = upgraded(&outputs);
    assert_eq!((request.path(), request.query()), ("/p", Some("q=1")));
    assert_eq!(request.header("ORIGIN"), Some("https://o"));
    assert!(request.headers().any(|header| header == ("host", "h")));
    assert_eq!(request.values("origin").collect::<Vec<_>>(), [b"https://o"]);
    assert_eq!(request.values("cookie").count(), 0);
    assert_eq!(outputs.len(), 1);
}

#[test]
fn t05_byte_by_byte_with_frames_behind() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config::default());
    let bytes = [request().as_bytes(), &frame(0x81, b"a"), &frame(0x82, b"b")].concat();
    bytes.iter().for_each(|byte| server.handle_input(now, Input::Bytes(&[*byte])));
    let outputs = drain(&mut server).0;
    assert!(
        matches!(&outputs[..], [Output::Upgraded(_), Output::Message(a), Output::Message(_)] if *a == text("a"))
    );
}

#[test]
fn t05_request_and_frames_in_one_segment() {
    let bytes = [request().as_bytes(), &frame(0x81, b"first"), &frame(0x88, b"")].concat();
    let now = Instant::now();
    let mut server = Socket::accept(now, Config::default());
    server.handle_input(now, Input::Bytes(&bytes));
    let outputs = drain(&mut server).0;
    assert_eq!(outputs[1], Output::Message(text("first")));
    assert_eq!(reason(&outputs), CloseReason::Remote { code: 1005, reason: String::new() });
    let answer = written(now, &mut server, usize::MAX);
    assert!(answer.ends_with(b"\r\n\r\n\x88\0"), "{answer:?}");
    assert_eq!(drain(&mut server).0, [Output::Finished]);
}

const PROXY_1: BadRequest = BadRequest::ProxyProtocol { version: 1 };
const PROXY_2: BadRequest = BadRequest::ProxyProtocol { version: 2 };

/// A good request behind a proxy's header.
fn proxied(header: &[u8]) -> Vec<u8> {
    [header, request().as_bytes()].concat()
}

#[test]
fn header_lists_may_have_several_lines_and_members() {
    for bytes in [
        changed("keep-alive, Upgrade", "keep-alive\r\nConnection: Upgrade"),
        changed("keep-alive, Upgrade", "keep-alive,\tUpgrade\t"),
        changed("keep-alive, Upgrade", "\u{e9}\r\nconnection: ,,UPGRADE"),
        changed("Upgrade: websocket", "Upgrade: h2c, websocket"),
        changed("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: WebSocket"),
        changed("GET /", "\r\n\r\nGET /"),
        changed("\r\nHost", "\nHost"),
        changed("Origin", "Content-Length: 0\r\nOrigin"),
    ] {
        let (outputs, answer) = serve(&bytes);
        assert!(matches!(outputs[..], [Output::Upgraded(_)]), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    }
    for bytes in [
        changed("keep-alive, Upgrade", "keep-alive\r\nConnection: Upgrade-Insecure-Requests"),
        changed("Upgrade: websocket", "Upgrade: h2c, websocket2"),
    ] {
        assert_eq!(refused(&bytes).0, BadRequest::Upgrade);
    }
}

fn held() -> Config {
    Config { await_decision: true, ..Config::default() }
}

/// What a server that is asked about everything makes of these bytes.
fn serve_held(bytes: &[u8]) -> (Socket, Vec<Output>) {
    let mut server = Socket::accept(Instant::now(), held());
    server.handle_input(Instant::now(), Input::Bytes(bytes));
    let outputs = drain(&mut server).0;
    (server, outputs)
}

#[test]
fn a_plain_request_is_shown_and_answered() {
    let requests = [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/healthz"),
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD", "/healthz"),
        ("GET / HTTP/1.1\r\n\r\n", "GET", "/"),
        ("GET /healthz HTTP/1.0\r\n\r\n", "GET", "/healthz"),
        ("OPTIONS * HTTP/1.0\n\n", "OPTIONS", "*"),
        ("GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/healthz"),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST", "/a"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET", "/"),
    ];
    for (bytes, method, path) in requests {
        let (mut server, outputs) = serve_held(bytes.as_bytes());
        let [Output::PlainHttp(request)] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((request.method(), request.path()), (method, path));
        let now = Instant::now();
        server.accept_upgrade(now, None);
        server.reject_upgrade(now, 403, 1008, "");
        assert_eq!(server.buffered_amount(), 0, "it is no websocket");
        server.respond(now, 200, "fine");
        let answer = String::from_utf8(written(now, &mut server, 7)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.ends_with("\r\n\r\nfine\n"), method != "HEAD", "{answer}");
        let outputs = drain(&mut server).0;
        assert_eq!(outputs, [Output::Closed(CloseReason::Responded), Output::Finished]);
    }
}

#[test]
fn a_plain_request_that_is_not_answered_times_out() {
    let (mut server, _) = serve_held(b"GET / HTTP/1.0\r\n\r\n");
    server.handle_input(Instant::now() + secs(5.1), Input::Timeout);
    let answer = String::from_utf8(written(Instant::now(), &mut server, 99)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

/// It is a proxy's work, and refused with words for it.
#[test]
fn a_websockets_request_without_its_upgrade_is_no_plain_one() {
    for from in ["Upgrade: websocket\r\n", "Connection: keep-alive, Upgrade\r\n"] {
        let (_, outputs) = serve_held(&changed(from, ""));
        assert_eq!(reason(&outputs), CloseReason::BadRequest(BadRequest::Upgrade));
    }
    let (_, outputs) = serve_held(&changed("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(reason(&outputs), CloseReason::BadRequest(BadRequest::HttpVersion));
}

#[test]
fn one_byte_that_is_no_ascii_hides_no_header() {
    let line = "Cookie: city=Z\u{fc}rich; ticket=x\r\nX-Name: J\u{f6}rg";
    let (outputs, _) = serve(&changed("Origin: https://o", line));
    let request = upgraded(&outputs);
    assert_eq!(request.header("cookie"), Some("city=Z\u{fc}rich; ticket=x"));
    assert!(request.headers().any(|header| header == ("x-name", "J\u{f6}rg")));
    let mut latin = changed("https://o", "a, ?b ,c");
    let at = latin.iter().rposition(|byte| *byte == b'?').unwrap();
    latin[at] = 0xfc;
    let (outputs, _) = serve(&latin);
    let request = upgraded(&outputs);
    assert_eq!(request.header("origin"), None);
    assert_eq!(request.list("origin").collect::<Vec<_>>(), [&b"a"[..], b"\xfcb", b"c"]);
}

#[test]
fn a_head_of_22_kib_of_cookies_and_one_of_100_lines_open() {
    let cookies = (0..8).map(|n| format!("c{n}={}", "x".repeat(2_812))).collect::<Vec<_>>();
    let cookies = format!("Cookie: {}", cookies.join("; "));
    assert!(cookies.len() > 22 * 1024);
    let lines = "X-Forwarded-Thing: 1\r\n".repeat(94) + "A: b";
    for line in [cookies, lines] {
        assert!(matches!(serve(&changed("Origin: https://o", &line)).0[..], [Output::Upgraded(_)]));
    }
}

#[test]
fn a_browser_over_a_limit_can_be_told_on_the_websocket() {
    let cookies = format!("Cookie: {}\r\nOrigin: https://o", "x".repeat(100_000));
    let lines = "A: b\r\n".repeat(200) + "Origin: https://o";
    let limit = held().max_request_head_size;
    for (line, expected) in [
        (cookies, BadRequest::HeadTooLarge { limit, cookie_bytes: 100_009 }),
        (lines, BadRequest::TooManyHeaders { limit: held().max_request_headers }),
    ] {
        let bytes = [&changed("Origin: https://o", &line)[..], &frame(0x81, b"hello")].concat();
        for step in [1, 1_000, bytes.len()] {
            let now = Instant::now();
            let mut server = Socket::accept(now, held());
            bytes.chunks(step).for_each(|part| server.handle_input(now, Input::Bytes(part)));
            let outputs = drain(&mut server).0;
            let [Output::Oversized(request, why)] = &outputs[..] else { panic!("{outputs:?}") };
            assert_eq!((request.header("origin"), why), (Some("https://o"), &expected));
            server.accept_upgrade(now, None);
            server.close(now, 1008, &why.to_string());
            let answer = written(now, &mut server, usize::MAX);
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 101 "));
            assert_eq!(goodbye(&answer[end + 4..]), (1008, why.to_string()));
        }
    }
    // What goes on and on is refused in the end, and what is no websocket's at its own.
    for (bytes, status) in [
        (changed("https://o", &"x".repeat(1 << 20)), "431 "),
        (
            b"GET / HTTP/1.1\r\n"
                .iter()
                .copied()
                .chain([b'x'; 40_000])
                .chain(*b"\r\n\r\n")
                .collect(),
            "431 ",
        ),
    ] {
        let (mut server, outputs) = serve_held(&bytes);
        let expected = CloseReason::BadRequest(BadRequest::HeadTooLarge { limit, cookie_bytes: 0 });
        assert_eq!(reason(&outputs), expected);
        let answer = String::from_utf8(written(Instant::now(), &mut server, 99)).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[test]
fn t04_each_bad_request_is_told_what_to_change() {
    let cases = [
        (changed("GET", "POST"), BadRequest::Method, 405),
        (changed("HTTP/1.1", "HTTP/1.0"), BadRequest::HttpVersion, 400),
        (changed("Upgrade: websocket\r\n", ""), BadRequest::Upgrade, 400),
        (changed("Upgrade: websocket", "Upgrade: h2c"), BadRequest::Upgrade, 400),
        (changed("keep-alive, Upgrade", "keep-alive"), BadRequest::Upgrade, 400),
        (changed("Version: 13", "Version: 8"), BadRequest::WebSocketVersion, 426),
        (changed("Sec-WebSocket-Version: 13\r\n", ""), BadRequest::WebSocketVersion, 426),
        (changed("ZQ==", "ZQ="), BadRequest::InvalidKey, 400),
        (changed("Sec-WebSocket-Key", "X"), BadRequest::MissingKey, 400),
        (changed("Host: h\r\n", ""), BadRequest::Host, 400),
        (changed("Host: h\r\n", "Host: h\r\nHost: i\r\n"), BadRequest::Host, 400),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), BadRequest::Tls, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), BadRequest::Http2, 400),
        (proxied(b"PROXY TCP4 198.51.100.7 203.0.113.1 5 3000\r\n"), PROXY_1, 400),
        (proxied(b"PROXY UNKNOWN\r\n"), PROXY_1, 400),
        (
            proxied(
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xcb\0\x71\x01\0\x05\x0b\xb8",
            ),
            PROXY_2,
            400,
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), PROXY_2, 400),
    ];
    for (bytes, expected, status) in cases {
        let (why, answer) = refused(&bytes);
        assert_eq!(why, expected);
        assert_eq!(why.status(), status);
        assert_eq!(
            answer.contains("Sec-WebSocket-Version: 13"),
            status == 426 || why == BadRequest::WebSocketVersion
        );
    }
}

#[test]
fn repeated_and_odd_values_are_seen() {
    let bytes = changed("Origin: https://o\r\n", "Origin: a\r\nORIGIN: \u{e9}\r\n");
    let (outputs, _) = serve(&bytes);
    let values: Vec<_> = upgraded(&outputs).values("Origin").collect();
    assert_eq!(values, [&b"a"[..], "\u{e9}".as_bytes()]);
}

#[test]
fn t04_what_is_not_http() {
    for bytes in
        [&b"\0\r\n\r\n"[..], b"SSH-2.0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\0: a\r\n\r\n"]
    {
        assert!(matches!(refused(bytes).0, BadRequest::Syntax(_)), "{bytes:?}");
    }
}

#[test]
fn t03_heads_have_limits() {
    let config = Config::default();
    let too_many = BadRequest::TooManyHeaders { limit: config.max_request_headers };
    let too_long =
        BadRequest::HeadTooLarge { limit: config.max_request_head_size, cookie_bytes: 0 };
    let lines = |count| changed("Origin: https://o\r\n", &"A: b\r\n".repeat(count));
    assert!(matches!(serve(&lines(config.max_request_headers - 5)).0[..], [Output::Upgraded(_)]));
    assert_eq!(refused(&lines(config.max_request_headers - 4)).0, too_many);
    assert_eq!(refused(&lines(200)).0, too_many);

    let fill = config.max_request_head_size - request().len() + "https://o".len();
    let long = |len| changed("https://o", &"x".repeat(len));
    assert_eq!(long(fill).len(), config.max_request_head_size);
    assert!(matches!(serve(&long(fill)).0[..], [Output::Upgraded(_)]));
    assert_eq!(refused(&long(fill + 1)).0, too_long);
    assert_eq!(refused(&long(65_537)).0, too_long);
    assert_eq!(refused(&long(20 << 20)).0, too_long);
}

#[test]
fn t03_an_endless_head_ends_at_the_limit() {
    let now = Instant::now();
    let limit = Config::default().max_request_head_size;
    let too_long = BadRequest::HeadTooLarge { limit, cookie_bytes: 0 };
    let mut server = Socket::accept(now, Config::default());
    for taken in 1.. {
        server.handle_input(now, Input::Bytes(b"x"));
        if let Output::Closed(reason) = server.poll_output() {
            assert_eq!(reason, CloseReason::BadRequest(too_long));
            assert_eq!(taken, Config::default().max_request_head_size + 1);
            return;
        }
    }
}

#[test]
fn a_held_upgrade_waits_for_the_verdict() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config { await_decision: true, ..Config::default() });
    server.handle_input(
        now,
        Input::Bytes(&[request().as_bytes(), &frame(0x81, b"ea")[..5]].concat()),
    );
    server.handle_input(now, Input::Bytes(&frame(0x81, b"ea")[5..]));
    assert!(matches!(drain(&mut server).0[..], [Output::Upgraded(_)]));
    assert_eq!(server.buffered_amount(), 0);
    assert!(server.send(now, text("no")).is_err());
    server.accept_upgrade(now, Some("chat"));
    assert_eq!(drain(&mut server).0, [Output::Message(text("ea"))]);
    let answer = String::from_utf8(written(now, &mut server, usize::MAX)).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("sec-websocket-protocol: chat\r\n")
    );
    server.reject_upgrade(now, 403, 1008, "too late");
    assert_eq!(server.buffered_amount(), 0);
}

#[test]
fn a_held_upgrade_is_refused_or_times_out() {
    type Verdict = fn(&mut Socket, Instant);
    let cases: [(Verdict, &str, CloseReason); 3] = [
        (
            |s, now| s.reject_upgrade(now, 403, 1008, "you may not"),
            "403 Forbidden",
            CloseReason::Local,
        ),
        (
            |s, now| s.handle_input(now + secs(5.0), Input::Timeout),
            "503 Service Unavailable",
            CloseReason::UpgradeTimeout,
        ),
        (
            |s, now| s.handle_input(now, Input::Bytes(&[0; 65_537])),
            "400 Bad Request",
            CloseReason::BadRequest(BadRequest::EarlyData),
        ),
    ];
    for (verdict, status, expected) in cases {
        let now = Instant::now();
        let mut server = Socket::accept(now, Config { await_decision: true, ..Config::default() });
        server.handle_input(now, Input::Bytes(program_request().as_bytes()));
        verdict(&mut server, now);
        let answer = String::from_utf8(written(now, &mut server, 1)).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let outputs = drain(&mut server).0;
        assert!(matches!(outputs[..], [Output::Upgraded(_), Output::Closed(_), Output::Finished]));
        assert_eq!(reason(&outputs), expected);
    }
}

/// The request of a program, which names no origin.
fn program_request() -> String {
    request().replace("Origin: https://o\r\n", "")
}

/// A browser's request, which offers subprotocols.
fn browser_request() -> String {
    let more = "Origin: https://o\r\nSec-WebSocket-Protocol: chat, v2\r\n";
    request().replace("Origin: https://o\r\n", more)
}

#[test]
fn a_browser_is_refused_on_the_websocket() {
    type Verdict = fn(&mut Socket, Instant);
    let cases: [(Verdict, u16, &str, CloseReason); 3] = [
        (
            |s, now| s.reject_upgrade(now, 403, 1008, "you may not"),
            1008,
            "you may not",
            CloseReason::Local,
        ),
        (|s, now| s.close(now, 1001, "going away"), 1001, "going away", CloseReason::Local),
        (
            |s, now| s.handle_input(now + secs(5.0), Input::Timeout),
            1013,
            "no verdict in time",
            CloseReason::UpgradeTimeout,
        ),
    ];
    for (verdict, code, words, expected) in cases {
        let now = Instant::now();
        let mut server = Socket::accept(now, Config { await_decision: true, ..Config::default() });
        server.handle_input(now, Input::Bytes(browser_request().as_bytes()));
        // Neither a message nor a violation that came early changes the words.
        server.handle_input(now, Input::Bytes(&frame(0x82, b"early")));
        server.handle_input(now, Input::Bytes(&[0xff; 10]));
        verdict(&mut server, now);
        let outputs = drain(&mut server).0;
        assert!(matches!(outputs[..], [Output::Upgraded(_), Output::Closed(_)]), "{outputs:?}");
        assert_eq!(reason(&outputs), expected);
        let answer = written(now, &mut server, 1);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("sec-websocket-protocol: chat\r\n"), "{head}");
        let close = [&[0x88, 2 + words.len() as u8][..], &code.to_be_bytes(), words.as_bytes()];
        assert_eq!(&answer[end..], close.concat());
        assert!(!server.is_finished(), "its close frame is awaited");
        server.handle_input(now + secs(8.0), Input::Timeout);
        assert!(server.is_finished(), "and not for long");
    }
}

#[test]
fn a_close_frame_that_came_before_the_verdict_is_the_answer_to_ours() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config { await_decision: true, ..Config::default() });
    let early = [browser_request().as_bytes(), &frame(0x88, &1000u16.to_be_bytes())].concat();
    server.handle_input(now, Input::Bytes(&early));
    server.reject_upgrade(now, 403, 1008, "no");
    written(now, &mut server, usize::MAX);
    assert!(server.is_finished());
}

#[test]
fn closing_a_held_upgrade_is_for_any_client_on_the_websocket() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config { await_decision: true, ..Config::default() });
    server.handle_input(now, Input::Bytes(program_request().as_bytes()));
    server.close(now, 1013, "full");
    assert!(written(now, &mut server, usize::MAX).starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn closing_before_the_upgrade_is_http() {
    let now = Instant::now();
    let mut server = Socket::accept(now, Config::default());
    server.handle_input(now, Input::Bytes(b"GET / HT"));
    server.close(now, 1013, "full, try later");
    assert_eq!(drain(&mut server).0, [Output::Closed(CloseReason::Local)]);
    let answer = String::from_utf8(written(now, &mut server, usize::MAX)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nfull, try later\n"));
    assert_eq!(drain(&mut server).0, [Output::Finished]);
}

#[test]
fn both_sides_upgrade_in_any_steps() {
    for step in [1, 3, 1000] {
        let mut pair = Pair::new(Config::default(), step);
        pair.run();
        let server = pair.take_server();
        let client = pair.take_client();
        assert_eq!(upgraded(&server).header("host"), Some("h:1"));
        assert_eq!(upgraded(&client).query(), Some("q=1"));
    }
}

#[test]
fn a_client_reports_a_refusal() {
    let mut pair = Pair::new(Config { max_request_head_size: 60, ..Config::default() }, 1000);
    pair.run();
    assert_eq!(reason(&pair.take_client()), CloseReason::BadResponse(BadResponse::HeadTooLarge));
    let mut pair = Pair::new(Config { await_decision: true, ..Config::default() }, 1000);
    pair.run();
    pair.server.reject_upgrade(pair.now, 403, 1008, "no");
    pair.run();
    assert_eq!(reason(&pair.take_client()), CloseReason::Rejected { status: 403 });
}

#[test]
fn so_much_may_come_before_the_verdict() {
    let now = Instant::now();
    for (bytes, is_refused) in [(1000, false), (1001, true)] {
        let config = Config { await_decision: true, max_message_size: 1000, ..Config::default() };
        let mut server = Socket::accept(now, config);
        server.handle_input(now, Input::Bytes(request().as_bytes()));
        server.handle_input(now, Input::Bytes(&vec![0; bytes]));
        let outputs = drain(&mut server).0;
        assert_eq!(outputs.iter().any(|output| matches!(output, Output::Closed(_))), is_refused);
    }
}
