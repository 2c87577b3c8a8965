//! Real browsers against a real server, one test for each browser and scenario.
//!
//! The pages are in `pages`; the server answers what they ask for, see
//! `Answerer`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use net::{
    AcceptHook, CloseReason, Config, Decision, DtlsRole, HandshakeOptions, HandshakeStage as Step,
    Request,
};
use net_tests::browser::Life::{Ended, Opened};
use net_tests::browser::{Kind, Stage, closed_port};
use serde_json::Value;

/// Each scenario in both browsers.
macro_rules! in_both_browsers {
    ($($(#[$doc:meta])* $scenario:ident)*) => {
        mod chromium {
            use super::*;
            $($(#[$doc])*
            #[test]
            #[ignore = "needs Chromium and Firefox: run tests/all"]
            fn $scenario() {
                super::$scenario(Kind::Chromium);
            })*
        }
        mod firefox {
            use super::*;
            $($(#[$doc])*
            #[test]
            #[ignore = "needs Chromium and Firefox: run tests/all"]
            fn $scenario() {
                super::$scenario(Kind::Firefox);
            })*
        }
    };
}

in_both_browsers! {
    both_paths_carry_messages
    the_channel_is_unordered_and_never_retransmits
    reliable_messages_arrive_once_each_in_order
    every_size_arrives_on_both_paths
    what_is_sent_at_once_arrives
    an_earlier_client_works_unmodified
    an_earlier_client_that_answers_with_bare_sdp_works
    the_page_closes
    the_page_closes_its_peer_connection
    the_page_closes_its_websocket
    the_page_closes_its_channel
    the_server_closes
    the_server_closes_with_a_code_and_a_reason
    t17_a_tab_is_closed
    a_frame_is_removed
    t17_a_page_is_reloaded
    the_page_opens_the_channel_itself
    a_server_that_opens_the_channel_is_waited_for
    a_failed_handshake_is_tried_again_in_the_compatible_form
    a_stuck_handshake_leaves_time_for_the_compatible_form
    a_browser_that_cannot_answer_gets_the_compatible_form
    a_certificate_that_is_not_ecdsa_is_refused_in_words
    a_full_server_says_so
    a_page_that_is_refused_is_told_why
    a_refusal_that_is_temporary_is_tried_again
    cookies_of_a_site_are_no_hindrance_and_too_many_are_named
    where_no_udp_arrives_both_sides_say_so
    a_server_that_waited_too_long_says_for_what
    a_vain_connect_names_its_stage
    the_client_keeps_its_promises
}

fn both_paths_carry_messages(kind: Kind) {
    let report = run(kind, "echo.html?count=120");
    assert_eq!(report["reliable"]["received"], 120, "{report}");
    let unreliable = report["unreliable"]["received"].as_u64();
    assert!(unreliable >= Some(114), "{report}");
    for path in ["reliable", "unreliable"] {
        assert_eq!(report[path]["wrongPath"], 0, "{report}");
        assert!(report[path]["median"].as_f64() < Some(50.0), "{report}");
    }
}

fn the_channel_is_unordered_and_never_retransmits(kind: Kind) {
    let report = run(kind, "echo.html?count=1");
    assert_eq!(report["channel"]["ordered"], false, "{report}");
    assert_eq!(report["channel"]["maxRetransmits"], 0, "{report}");
    assert_eq!(report["channel"]["binaryType"], "arraybuffer", "{report}");
    assert_eq!(report["socket"]["binaryType"], "arraybuffer", "{report}");
}

fn reliable_messages_arrive_once_each_in_order(kind: Kind) {
    let report = run(kind, "reliable-order.html?count=10000");
    assert_eq!(report["fromServer"], 10_000, "{report}");
    assert_eq!(report["andBack"], 10_000, "{report}");
    assert_eq!(report["extra"], false, "{report}");
}

fn every_size_arrives_on_both_paths(kind: Kind) {
    let report = run(kind, "sizes.html");
    for path in ["reliable", "unreliable"] {
        assert_eq!(report[path]["arrived"], report["sizes"], "{report}");
    }
    // A page that is slow for a moment looks like a queue, and a 64 KiB message may then be too
    // old before its turn comes.
    assert!(report["unreliable"]["retries"].as_u64() <= Some(20), "{report}");
}

/// Messages of 61 packets, of which a browser's socket may hold fewer, and 2 MiB in one go.
fn what_is_sent_at_once_arrives(kind: Kind) {
    let report = run(kind, "long.html?size=65536");
    assert_eq!(report["world"], 40, "{report}");
    assert!(report["long"].as_u64() >= Some(18), "{report}");
}

fn an_earlier_client_works_unmodified(kind: Kind) {
    let report = run(kind, "legacy.html");
    assert!(report["candidates"].as_u64() >= Some(1), "{report}");
    assert_eq!(report["kinds"]["reliable"], "Blob", "{report}");
}

fn an_earlier_client_that_answers_with_bare_sdp_works(kind: Kind) {
    run(kind, "legacy.html?bare");
}

fn the_page_closes(kind: Kind) {
    let closed = ends_by(kind, "net");
    assert_eq!((&closed["by"], &closed["code"]), (&"client".into(), &1000.into()), "{closed}");
}

fn the_page_closes_its_peer_connection(kind: Kind) {
    ends_by(kind, "pc");
}

fn the_page_closes_its_websocket(kind: Kind) {
    ends_by(kind, "ws");
}

fn the_page_closes_its_channel(kind: Kind) {
    ends_by(kind, "channel");
}

/// The page ends its connection in a way of its own; both sides see the end.
fn ends_by(kind: Kind, how: &str) -> Value {
    let mut stage = Stage::open(kind, &format!("close.html?how={how}"));
    let report = stage.report();
    assert_eq!(report["open"], false, "{report}");
    assert_eq!(report["late"], false, "{report}");
    stage.answerer.expect(&[Opened(0), Ended(0)]);
    assert_eq!(stage.answerer.close_reason(0), Some(CloseReason::ClosedByPeer));
    report["closed"].clone()
}

fn the_server_closes(kind: Kind) {
    let mut stage = Stage::open(kind, "close.html?how=server");
    let report = stage.report();
    assert_eq!(report["closed"]["by"], "server", "{report}");
    stage.answerer.expect(&[Opened(0), Ended(0)]);
    assert_eq!(stage.answerer.close_reason(0), Some(CloseReason::ClosedByServer));
}

fn the_server_closes_with_a_code_and_a_reason(kind: Kind) {
    let mut stage = Stage::open(kind, "close.html?how=kick");
    let report = stage.report();
    let closed = serde_json::json!({ "by": "server", "code": 4001, "reason": "idle in Zürich" });
    assert_eq!(report["closed"], closed, "{report}");
    stage.answerer.expect(&[Opened(0), Ended(0)]);
    let reason = CloseReason::ClosedWithCode { code: 4001, reason: "idle in Zürich".into() };
    assert_eq!(stage.answerer.close_reason(0), Some(reason));
}

fn t17_a_tab_is_closed(kind: Kind) {
    vanishes(kind, "tab");
}

fn a_frame_is_removed(kind: Kind) {
    vanishes(kind, "frame");
}

fn vanishes(kind: Kind, how: &str) {
    let mut stage = Stage::open(kind, &format!("close.html?how={how}"));
    stage.report();
    let began = Instant::now();
    stage.answerer.expect(&[Opened(0), Ended(0)]);
    println!("{kind:?}, {how}: closed after {:?}", began.elapsed());
    assert_eq!(stage.answerer.close_reason(0), Some(CloseReason::ClosedByPeer));
}

fn t17_a_page_is_reloaded(kind: Kind) {
    let mut stage = Stage::open(kind, "close.html?how=reload");
    assert_eq!(stage.report()["reloaded"], false);
    assert_eq!(stage.report()["reloaded"], true);
    // Either may be seen first.
    let mut seen = stage.answerer.next(3);
    seen.sort();
    assert_eq!(seen, [Opened(0), Opened(1), Ended(0)]);
}

fn the_page_opens_the_channel_itself(kind: Kind) {
    let report = run(kind, "connect.html");
    let channel = serde_json::json!(
        { "ordered": false, "maxRetransmits": 0, "negotiated": true, "id": 0 }
    );
    assert_eq!(report["channel"], channel, "{report:#}");
    assert_eq!(report["echoed"], true, "{report:#}");
    assert_eq!(report["attempts"][0]["offer"]["negotiated"], true, "{report:#}");
}

fn a_server_that_opens_the_channel_is_waited_for(kind: Kind) {
    let connecting = HandshakeOptions { negotiated: false, ..HandshakeOptions::default() };
    let mut stage =
        Stage::with(kind, "connect.html", Config { handshake: connecting, ..Config::default() });
    let report = stage.report();
    assert_eq!(report["channel"]["negotiated"], false, "{report:#}");
    assert_eq!(report["channel"]["maxRetransmits"], 0, "{report:#}");
    assert_eq!(report["echoed"], true, "{report:#}");
    assert_eq!(report["attempts"][0]["offer"].get("negotiated"), None, "{report:#}");
}

fn a_failed_handshake_is_tried_again_in_the_compatible_form(kind: Kind) {
    let report = run(kind, "connect.html?spoil=fingerprint");
    assert_second_form(&report);
}

fn a_stuck_handshake_leaves_time_for_the_compatible_form(kind: Kind) {
    let connecting =
        HandshakeOptions { dtls_role: DtlsRole::ActPass, ..HandshakeOptions::default() };
    let config = Config { handshake: connecting, ..Config::default() };
    let report = Stage::with(kind, "connect.html?spoil=setup&timeout=6000", config).report();
    assert_second_form(&report);
    let began = |attempt: usize| report["attempts"][attempt]["began"].as_f64().unwrap_or(0.0);
    let second = began(1) - began(0);
    assert!((2_500.0..4_000.0).contains(&second), "half of the time: {second} of 6000 ms");
}

fn a_browser_that_cannot_answer_gets_the_compatible_form(kind: Kind) {
    let report = run(kind, "connect.html?spoil=answer");
    assert_second_form(&report);
}

/// By the client in the usual form, by the server in the other.
fn a_certificate_that_is_not_ecdsa_is_refused_in_words(kind: Kind) {
    let mut stage = Stage::with(kind, "connect.html?rsa", Config::default());
    let report = stage.report();
    assert_eq!(report["stage"], "dtls", "{report:#}");
    for attempt in report["attempts"].as_array().expect("attempts") {
        let reason = attempt["ended"]["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with("dtls: ") && reason.contains("ECDSA"), "{report:#}");
        let [began, ended] = [&attempt["began"], &attempt["ended"]["at"]].map(Value::as_f64);
        assert!(ended.zip(began).is_some_and(|(end, begin)| end - begin < 5_000.0), "{report:#}");
    }
    let setting = stage.refusal().hint.unwrap_or_default();
    assert!(setting.contains("ECDSA") && !setting.contains("COMPATIBLE"), "{setting}");
}

/// The second attempt asked for the compatible form, got it, and the application saw nothing.
fn assert_second_form(report: &Value) {
    assert_eq!(report["echoed"], true, "{report:#}");
    assert_eq!(report["asked"], "none", "{report:#}");
    let attempts = report["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [first, second] = attempts else { panic!("two attempts: {report:#}") };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(!text(&first["url"]).contains("compatible"), "{report:#}");
    assert!(text(&second["url"]).ends_with("?net=compatible"), "{report:#}");
    let (first, second) = (text(&first["offer"]["sdp"]), text(&second["offer"]["sdp"]));
    assert!(first.contains("a=sctp-init"), "{first}");
    assert!(second.contains("a=setup:actpass") && !second.contains("sctp-init"), "{second}");
}

fn a_full_server_says_so(kind: Kind) {
    let mut stage = Stage::with(kind, "connect.html", Config { max_peers: 0, ..Config::default() });
    let report = stage.report();
    assert_eq!((&report["stage"], &report["code"]), (&"accept".into(), &1008.into()), "{report:#}");
    assert_eq!(report["reason"], "the server is full: 0 peers", "{report:#}");
}

fn a_page_that_is_refused_is_told_why(kind: Kind) {
    let origins = Some(vec!["https://game.example".to_owned()]);
    for page in ["connect.html", "connect.html?protocol=chat&protocol=v2"] {
        let hook = |_: &Request| Decision::reject(401, "please log in");
        let accept = Config { accept: Some(AcceptHook::new(hook)), ..Config::default() };
        let (report, attempts) = refused(kind, page, accept);
        assert_eq!((report.as_str(), attempts), ("accept 1008 please log in", 1), "{page}");
    }
    let (report, _) =
        refused(kind, "connect.html", Config { allowed_origins: origins, ..Config::default() });
    assert!(report.starts_with("accept 1008 the origin http://127.0.0.1:"), "{report}");
}

/// At which stage a page was refused, the code and the reason; and how often it tried, each time
/// without an offer.
fn refused(kind: Kind, page: &str, config: Config) -> (String, usize) {
    let report = Stage::with(kind, page, config).report();
    let attempts = report["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(attempts.iter().all(|attempt| attempt["offers"] == 0), "{report:#}");
    assert!(report["took"].as_f64() < Some(3_000.0), "{report:#}");
    let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
    (format!("{} {} {}", text("stage"), report["code"], text("reason")), attempts.len())
}

fn a_refusal_that_is_temporary_is_tried_again(kind: Kind) {
    let saving = AtomicBool::new(true);
    let hook = move |_: &Request| match saving.swap(false, Ordering::Relaxed) {
        true => Decision::reject(503, "the room is being saved"),
        false => Decision::accept(()),
    };
    let accept = Config { accept: Some(AcceptHook::new(hook)), ..Config::default() };
    let report = Stage::with(kind, "connect.html", accept).report();
    assert_eq!(report["echoed"], true, "{report:#}");
    let ended = &report["attempts"][0]["ended"];
    assert_eq!(ended["code"], 1013, "{report:#}");
    assert_eq!(ended["reason"], "accept: the room is being saved", "{report:#}");
    assert_eq!(report["attempts"].as_array().map(Vec::len), Some(2), "{report:#}");
}

/// And texts that are no signalling end no connection.
fn cookies_of_a_site_are_no_hindrance_and_too_many_are_named(kind: Kind) {
    let report = Stage::open(kind, "cookies.html?count=7").report();
    assert_eq!((&report["stage"], &report["closed"]), (&"open".into(), &Value::Null), "{report:#}");
    let mut stage = Stage::open(kind, "cookies.html?count=15");
    let report = stage.report();
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("Config::max_request_head_size (32768), 45") && reason.contains("cookies"),
        "{report:#}"
    );
    let refusal = stage.refusal();
    assert_eq!(refusal.stage, Step::Upgrade, "{refusal}");
    assert!(refusal.cause.contains("clear the site's cookies"), "{refusal}");
}

fn where_no_udp_arrives_both_sides_say_so(kind: Kind) {
    let mut stage = Stage::with(kind, "connect.html?timeout=4000", nowhere());
    let report = stage.report();
    assert_eq!(report["stage"], "ice", "{report:#}");
    let reason = report["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("no answer from UDP 198.51.100.1:9"), "{reason}");
    let refusal = stage.refusal();
    assert_eq!(refusal.stage, Step::Ice, "{refusal}");
    assert!(refusal.cause.starts_with("the client left after "), "{refusal}");
    assert!(refusal.cause.contains("no check reached UDP"), "{refusal}");
    let setting = refusal.hint.unwrap_or_default();
    assert!(setting.contains("is the TCP port forwarded, as by WSL2"), "{setting}");
}

fn a_server_that_waited_too_long_says_for_what(kind: Kind) {
    let config = Config { connect_timeout: Duration::from_secs(1), ..nowhere() };
    let mut stage = Stage::with(kind, "connect.html", config);
    let report = stage.report();
    assert_eq!((&report["stage"], &report["code"]), (&"ice".into(), &1008.into()), "{report:#}");
    assert_eq!(report["reason"], stage.refusal().cause, "{report:#}");
}

/// Announces an address where nothing listens, and no other.
fn nowhere() -> Config {
    let public_addrs = vec!["198.51.100.1:9".parse().expect("an address")];
    Config { public_addrs, max_candidates: 1, ..Config::default() }
}

fn a_vain_connect_names_its_stage(kind: Kind) {
    let closed = closed_port();
    let report = run(kind, &format!("refuse.html?closed={closed}"));
    let stages = [
        ("nothingListens", "websocket"),
        ("badUrl", "websocket"),
        ("neverOpens", "websocket"),
        ("neverOffers", "signalling"),
        ("offersNonsense", "signalling"),
        ("notJson", "signalling"),
        ("refused", "signalling"),
        ("laterForEver", "signalling"),
        ("noUdp", "ice"),
        ("wrongCertificate", "dtls"),
        ("noChannel", "channel"),
    ];
    for (case, stage) in stages {
        assert_eq!(report[case]["stage"], stage, "{case}: {report:#}");
        assert_eq!(report[case]["name"], "ConnectError", "{case}");
        assert!(report[case]["took"].as_f64() < Some(7000.0), "{case}: {report:#}");
    }
    let says = |case: &str, words: &str| {
        let reason = report[case]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(words), "{case}: {reason}");
    };
    says("nothingListens", "is the server running, is its TCP port open?");
    says("neverOpens", "within 300 ms");
    says("neverOffers", "no offer from the server within 300 ms");
    says("noUdp", "if the websocket is forwarded");
    assert_eq!(report["refused"]["code"], 1008);
    assert_eq!(report["laterForEver"]["code"], 1013);
    assert_eq!(report["aborted"]["name"], "TimeoutError");
    assert_eq!(report["laterOnce"]["stage"], "connected", "{report:#}");
    assert_forms(&report["spoofedOnce"], "accept", &[false, true]);
    assert_forms(&report["spoofedForEver"], "dtls", &[false, true, false, true]);
    assert_forms(&report["spoofedAndBusy"], "accept", &[false, true, true, true]);
}

/// In which forms it was tried, the compatible one at once after the other, the others after a
/// pause; and where it failed at last.
fn assert_forms(report: &Value, stage: &str, compatible: &[bool]) {
    assert_eq!((&report["stage"], &report["code"]), (&stage.into(), &1013.into()), "{report:#}");
    let tries = report["forms"].as_array().map(Vec::as_slice).unwrap_or_default();
    let forms: Vec<_> = tries.iter().map(|tried| tried["compatible"] == true).collect();
    assert_eq!(forms, compatible, "{report:#}");
    for pair in tries.windows(2).filter(|pair| pair[0]["compatible"] == true) {
        assert!(pair[1]["after"].as_f64() >= Some(300.0), "busy: {report:#}");
    }
}

fn the_client_keeps_its_promises(kind: Kind) {
    let report = run(kind, "late.html");
    let mut heard: Vec<Value> = (0..50).map(Value::from).collect();
    heard.push("server".into());
    assert_eq!(report["late"]["heard"], Value::from(heard), "{report:#}");
    assert_eq!(report["late"]["atOnce"], 0);
    let full = &report["full"];
    assert!(full["dropped"].as_u64() > Some(0), "{full}");
    assert!(full["largest"].as_u64() <= full["bound"].as_u64(), "{full}");
    assert_eq!(full["alive"], 1000, "{full}");
    let taken = serde_json::json!([true, true, false, false, true, true]);
    assert_eq!(report["blocked"], taken, "{report:#}");
    assert_eq!(report["last"]["told"], "last words", "{report:#}");
    assert_eq!(report["last"]["closes"], 1, "{report:#}");
    let refused = report["wrong"].as_array().map(|all| all.iter().all(|name| name == "TypeError"));
    assert_eq!(refused, Some(true), "{report:#}");
}

/// Opens a page and returns its only report, which must say `ok`.
fn run(kind: Kind, page: &str) -> Value {
    Stage::open(kind, page).report()
}
