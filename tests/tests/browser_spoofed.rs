//! Somebody who sees the address of a real browser speaks in its name while it connects. Each
//! forged datagram leaves a raw socket with the browser's own address and port as its source.

use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use net::{Config, ConnectFailure, HandshakeStage};
use net_tests::attack::Spoof;
use net_tests::browser::{Answerer, Browser, Kind, Site};
use net_tests::numbers::tell;
use net_tests::raid::{Raid, Tally};
use serde_json::Value;

/// Time for a browser to start and a page to do its work.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a page may take to be open once its handshake was broken, in milliseconds.
const AGAIN: f64 = 5_000.0;
/// How often it is tried to be faster than a browser.
const TRIES: usize = 5;

/// When the spoofer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Somebody was refused.
    Refused,
    /// The page has reported.
    Reported,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    report: Value,
    refusals: Vec<ConnectFailure>,
    tally: Tally,
}

/// Where we begin DTLS, as in the usual form, nobody else can.
#[test]
#[ignore = "needs Chromium and Firefox, and root: run tests/all"]
fn t36_client_hellos_in_a_browsers_name_break_nothing() {
    assert_breaks_nothing(Spoof::ClientHello);
}

/// The server says that somebody may have spoken in its name, and the page tries again by itself,
/// in a form that withstands it: it does not matter whether the spoofer is still there.
#[test]
#[ignore = "needs Chromium and Firefox, and root: run tests/all"]
fn t36_pieces_of_a_server_hello_in_a_browsers_name_are_soon_over() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        for until in [Until::Refused, Until::Reported] {
            let outcome = broken(kind, Spoof::ServerHello, until);
            outcome.assert_open();
            let how = match until {
                Until::Refused => "until the first refusal",
                Until::Reported => "all the time",
            };
            outcome.tell(&format!("{kind:?}, pieces of ServerHello in its name {how}"));
        }
    }
}

/// These break the compatible form, and browsers that speak DTLS 1.3 do not need it.
#[test]
#[ignore = "needs Chromium and Firefox, and root: run tests/all"]
fn t36_pieces_of_a_certificate_in_a_browsers_name_break_nothing() {
    assert_breaks_nothing(Spoof::Certificate);
}

/// Browsers open in their first attempt while it is said.
#[track_caller]
fn assert_breaks_nothing(spoof: Spoof) {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let outcome = connect(kind, spoof, Until::Reported);
        assert_eq!((outcome.attempts().len(), &outcome.refusals[..]), (1, &[][..]), "{outcome:#?}");
        outcome.assert_open();
        assert!(outcome.tally.forged > 2, "{:?}", outcome.tally);
    }
}

/// Connects until the spoofer was fast enough, and checks how the first attempt ended.
fn broken(kind: Kind, spoof: Spoof, until: Until) -> Outcome {
    for _ in 0..TRIES {
        let outcome = connect(kind, spoof, until);
        if let [first, _, ..] = outcome.attempts() {
            assert_eq!(first["ended"]["code"], 1013, "{outcome:#?}");
            let words = first["ended"]["reason"].as_str().unwrap_or_default();
            assert!(words.starts_with("dtls: "), "{outcome:#?}");
            assert_eq!(
                outcome.refusals.first().map(|first| first.stage),
                Some(HandshakeStage::Dtls)
            );
            return outcome;
        }
    }
    panic!("no handshake was broken")
}

/// A page connects while somebody speaks in its browser's name.
fn connect(kind: Kind, spoof: Spoof, until: Until) -> Outcome {
    let _ = env_logger::builder().is_test(true).try_init();
    // Firefox does not go to 127.0.0.1.
    let host = own_address();
    let answerer = Answerer::on((host, 0), Config::default());
    let mut raid = Raid::begin(answerer.address(), spoof.start(36)).expect("a poll");
    let site = Site::new();
    let port = answerer.address().port();
    let _browser =
        Browser::start(kind, &site.url(&format!("connect.html?host={host}&port={port}")));
    let report = thread::spawn(move || site.report(PATIENCE));
    let goes_on = || until == Until::Reported || answerer.refusals().is_empty();
    let tally = raid.run(|| !report.is_finished() && goes_on()).expect("a poll");
    let report = report.join().expect("a report");
    Outcome { report, refusals: answerer.refusals(), tally }
}

/// That of this machine which is no loopback. Nothing is sent.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    socket.connect("203.0.113.1:9").expect("a route, as tests/lib/private-network has");
    socket.local_addr().expect("it is bound").ip()
}

impl Outcome {
    fn attempts(&self) -> &[Value] {
        self.report["attempts"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The page is open, soon after the first attempt failed if it did, and no websocket had two
    /// offers.
    #[track_caller]
    fn assert_open(&self) {
        assert_eq!(self.report["echoed"], true, "{self:#?}");
        for attempt in self.attempts() {
            assert_eq!(attempt["offers"], 1, "{self:#?}");
        }
        assert!(self.again().is_none_or(|took| took < AGAIN), "{self:#?}");
        let timeout = Config::default().connect_timeout.as_millis() as f64;
        assert!(self.broken().is_none_or(|took| took < timeout), "{self:#?}");
    }

    /// How long the first attempt took until it failed, in milliseconds.
    fn broken(&self) -> Option<f64> {
        let [first, _, ..] = self.attempts() else { return None };
        Some(first["ended"]["at"].as_f64()? - first["began"].as_f64()?)
    }

    /// From there to the open connection.
    fn again(&self) -> Option<f64> {
        let [first, _, ..] = self.attempts() else { return None };
        Some(self.report["opened"].as_f64()? - first["ended"]["at"].as_f64()?)
    }

    fn tell(&self, what: &str) {
        let time = |time: Option<f64>| time.unwrap_or(f64::NAN);
        tell(format_args!(
            "{what}: broken after {:.0} ms, open {:.0} ms later, at attempt {}",
            time(self.broken()),
            time(self.again()),
            self.attempts().len(),
        ));
    }
}
