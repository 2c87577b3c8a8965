//! What honest pages meet in real browsers that is no fault of the server's: memory that the
//! platform does not send, no WebRTC, policies, websockets held back, no address, the local
//! network's permission. The page is told what it is.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::Ipv4Addr;
use std::process::Command;

use net::{CloseReason, Config};
use net_tests::browser::Kind::{self, Chromium, Firefox};
use net_tests::browser::Life::{Ended, Opened};
use net_tests::browser::{Answerer, Browser, Site, Stage, closed_port};
use serde_json::Value;

/// The address of this machine that Firefox uses; see `tests/lib/private-network`.
const HERE: &str = "198.51.100.1";
/// One of a private network.
const PRIVATE: &str = "10.0.0.3";

/// Each scenario in both browsers.
macro_rules! in_both_browsers {
    ($($scenario:ident)*) => {
        mod chromium {
            $(#[test]
            #[ignore = "needs Chromium and Firefox: run tests/all"]
            fn $scenario() {
                super::$scenario(super::Chromium);
            })*
        }
        mod firefox {
            $(#[test]
            #[ignore = "needs Chromium and Firefox: run tests/all"]
            fn $scenario() {
                super::$scenario(super::Firefox);
            })*
        }
    };
}

in_both_browsers! {
    eight_bytes_in_any_buffer_arrive_and_a_message_too_long_ends_nothing
    without_webrtc_no_websocket_is_opened
    a_policy_is_named_at_once
    a_port_that_browsers_refuse_is_named
    a_link_to_a_download_is_not_the_servers_doing
    a_browser_without_an_address_is_told_so
}

fn eight_bytes_in_any_buffer_arrive_and_a_message_too_long_ends_nothing(kind: Kind) {
    let mut stage = Stage::open(kind, "buffers.html");
    let report = stage.report();
    assert_eq!(report["isolated"], true, "{report:#}");
    let seen = report["seen"].as_object().unwrap();
    assert_eq!(seen.len(), 24, "{report:#}");
    for (form, outcome) in seen {
        let arrived = outcome["said"] == true && outcome["sevens"] == 8;
        assert!(arrived, "{form}: {outcome}");
    }
    for path in ["sendReliable", "sendUnreliable"] {
        let words = report["over"][path].as_str().unwrap_or_default();
        assert!(words.starts_with("RangeError") && words.contains("65536"), "{report:#}");
    }
    assert_eq!((&report["maxMessageSize"], &report["open"]), (&65_536.into(), &true.into()));
    stage.answerer.expect(&[Opened(0), Ended(0)]);
    assert_eq!(stage.answerer.close_reason(0), Some(CloseReason::ClosedByPeer));
}

fn without_webrtc_no_websocket_is_opened(kind: Kind) {
    let report = Stage::open(kind, "needs.html").report();
    assert_needs_told(&report, 12);
    assert_eq!(report["then"]["stage"], "connected", "{report:#}");
    assert_eq!(report["sockets"], 0, "until RTCPeerConnection was back: {report:#}");
    let worker = report["seen"]["worker"]["reason"].as_str().unwrap_or_default();
    assert!(worker.contains("workers have none"), "{report:#}");
}

#[test]
#[ignore = "needs Chromium and Firefox: run tests/all"]
fn a_preference_that_takes_webrtc_away_is_told() {
    let stage =
        |url: &str| Browser::firefox_with(url, &[("media.peerconnection.enabled", "false")]);
    let report = Stage::before(answerer(), "needs.html", stage).report();
    assert_needs_told(&report, 2);
    assert_eq!(report["sockets"], 0, "{report:#}");
}

#[track_caller]
fn assert_needs_told(report: &Value, cases: usize) {
    let seen = report["seen"].as_object().unwrap();
    assert_eq!(seen.len(), cases, "{report:#}");
    for (case, outcome) in seen {
        assert_eq!(
            (&outcome["name"], &outcome["stage"]),
            (&"ConnectError".into(), &"webrtc".into()),
            "{case}: {outcome}"
        );
        assert!(outcome["took"].as_f64() < Some(100.0), "{case}: {outcome}");
        let words = outcome["reason"].as_str().unwrap_or_default();
        assert!(words.contains("RTCPeerConnection"), "{case}: {words}");
    }
}

fn a_policy_is_named_at_once(kind: Kind) {
    let mut stage = Stage::open(kind, "barred.html");
    let seen = &stage.report()["seen"];
    let port = stage.answerer.address().port();
    let words = format!(
        "the page's Content-Security-Policy forbids it: connect-src must allow ws://127.0.0.1:{port}"
    );
    assert_eq!((&seen["stage"], &seen["reason"]), (&"websocket".into(), &words.into()));
    assert!(seen["took"].as_f64() < Some(1_000.0), "{seen}");
}

fn a_port_that_browsers_refuse_is_named(kind: Kind) {
    let closed = closed_port();
    let report = Stage::open(kind, &format!("ports.html?closed={closed}")).report();
    for port in ["6000", "5060", "10080"] {
        assert_says(&report["seen"][port], "websocket", &format!("browsers refuse port {port}"));
    }
    assert_says(&report["seen"][closed.to_string()], "websocket", "is the server running");
}

fn a_link_to_a_download_is_not_the_servers_doing(kind: Kind) {
    let report = Stage::open(kind, "download.html").report();
    assert_eq!(report["marked"], "open", "{report:#}");
    match kind {
        Chromium => assert_eq!(report["plain"], "open", "{report:#}"),
        Firefox => {
            assert_eq!(
                (&report["plain"]["code"], &report["plain"]["by"]),
                (&1001.into(), &"network".into())
            );
            let words = report["plain"]["reason"].as_str().unwrap_or_default();
            assert!(words.contains("download"), "{report:#}");
        }
    }
}

/// On a machine with nothing but loopback the browsers use no address.
fn a_browser_without_an_address_is_told_so(kind: Kind) {
    let alone = NoNetwork::here();
    let report = Stage::open(kind, "local.html").report();
    drop(alone);
    assert_says(&report["seen"], "ice", "this browser has no address for WebRTC");
}

/// As extensions for privacy set it: it is chance whether one attempt connects.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn a_firefox_that_hides_its_addresses_connects() {
    let hidden = [
        ("media.peerconnection.ice.default_address_only", "true"),
        ("media.peerconnection.ice.no_host", "true"),
    ];
    let answerer = Answerer::on((HERE.parse::<Ipv4Addr>().unwrap(), 0), Config::default());
    let page = format!("local.html?host={HERE}&timeout=15000");
    let report = Stage::before(answerer, &page, |url| Browser::firefox_with(url, &hidden)).report();
    assert_eq!(report["seen"]["stage"], "connected", "{report:#}");
}

/// Firefox says that DTLS failed, before it says that ICE did.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn udp_that_does_not_arrive_is_no_fault_of_dtls() {
    let public_addrs = vec!["198.51.100.77:9".parse().unwrap()];
    let nowhere = Config { public_addrs, max_candidates: 1, ..Config::default() };
    let report = Stage::with(Firefox, "connect.html?timeout=14500", nowhere).report();
    let words = report["reason"].as_str().unwrap_or_default();
    assert_eq!(report["stage"], "ice", "{report:#}");
    assert!(words.starts_with("no answer from UDP 198.51.100.77:9"), "{report:#}");
    assert!(words.contains("WSL2") && !words.contains("public_addr"), "{report:#}");
}

/// Firefox delays new websockets to a host after some that ended badly.
#[test]
#[ignore = "needs Chromium and Firefox: run tests/all"]
fn a_websocket_that_firefox_holds_back_is_not_a_dead_server() {
    let port = closed_port();
    let site = Site::new();
    let url = site.url(&format!("held.html?timeout=3500&port={port}"));
    let _browser = Browser::firefox(&url);
    let patience = std::time::Duration::from_secs(90);
    assert_eq!(site.report(patience)["ok"], true, "{}", site.log());
    let _server = Answerer::on((Ipv4Addr::LOCALHOST, port), Config::default());
    let report = site.report(patience);
    assert_says(&report["seen"], "websocket", "within 3500 ms: it answers HTTP");
    assert_says(&report["seen"], "websocket", "Firefox");
}

/// Headless Chromium answers each question for the local network with no.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn a_permission_for_the_local_network_that_is_missing_is_named() {
    let loopback = Loopback::with(PRIVATE);
    for (host, only, stage) in [(HERE, PRIVATE, "ice"), (PRIVATE, "", "websocket")] {
        let answerer = Answerer::on((Ipv4Addr::UNSPECIFIED, 0), Config::default());
        let port = answerer.address().port();
        let browser = |url: &str| {
            let site = url.split('/').nth(2).unwrap();
            let public = format!("--ip-address-space-overrides={site}=public,{HERE}:{port}=public");
            Browser::start_with(Chromium, url, &[CHECKS, &public])
        };
        let report =
            Stage::before(answerer, &format!("local.html?host={host}&only={only}"), browser)
                .report();
        assert_says(&report["seen"], stage, "It may be in the local network");
        assert_says(&report["seen"], stage, "local-network: denied");
        assert!(report["seen"]["took"].as_f64() < Some(2_000.0), "{report:#}");
    }
    drop(loopback);
}

const CHECKS: &str = "--enable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebRTC,\
                      LocalNetworkAccessChecksWebSockets";

/// An address of this machine, taken away again.
struct Loopback(&'static str);

impl Loopback {
    fn with(address: &'static str) -> Loopback {
        ip(&["address", "add", &format!("{address}/32"), "dev", "lo"]);
        Loopback(address)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        ip(&["address", "delete", &format!("{}/32", self.0), "dev", "lo"]);
    }
}

/// This machine without its LAN, see `tests/lib/private-network`.
struct NoNetwork;

impl NoNetwork {
    fn here() -> NoNetwork {
        ip(&["-4", "address", "flush", "dev", "lan0"]);
        NoNetwork
    }
}

impl Drop for NoNetwork {
    fn drop(&mut self) {
        ip(&["address", "add", &format!("{HERE}/24"), "dev", "lan0"]);
        ip(&["route", "add", "default", "via", "198.51.100.254", "dev", "lan0"]);
    }
}

fn ip(arguments: &[&str]) {
    assert!(Command::new("ip").args(arguments).status().unwrap().success(), "{arguments:?}");
}

fn answerer() -> Answerer {
    Answerer::on((Ipv4Addr::LOCALHOST, 0), Config::default())
}

#[track_caller]
fn assert_says(seen: &Value, stage: &str, words: &str) {
    assert_eq!(seen["stage"], stage, "{seen}");
    let reason = seen["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(words), "{words}: {reason}");
}
