//! Handshake options, each switched on and off, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::sctp::packet::{DataChunk, Tsn, flag, ppid};
use crate::tests::data_channel::{CLIENT, ONE_WAY, Pair, SERVER, address, config};
use crate::{
    AcceptAnswerError, Config, DataPathMode, DtlsRole, DtlsVersions, Event, HandshakeOptions,
    OfferOptions, WebRtcStage,
};

const ROUND_TRIP: Duration = Duration::from_millis(40);
const STEP: Duration = Duration::from_millis(1);

/// A connection on its way, and what of it is counted from the answer on.
struct ConnectAttempt {
    pair: Pair,
    began: Instant,
    negotiated: bool,
}

impl ConnectAttempt {
    fn new(server: HandshakeOptions, client: HandshakeOptions) -> ConnectAttempt {
        let with = |local, connecting| Config { handshake: connecting, ..config(local) };
        let pair = Pair::with(with(SERVER, server), with(CLIENT, client));
        ConnectAttempt::over(pair, server.negotiated && client.negotiated)
    }

    fn over(pair: Pair, negotiated: bool) -> ConnectAttempt {
        ConnectAttempt { began: pair.now, pair, negotiated }
    }

    fn of(both: HandshakeOptions) -> ConnectAttempt {
        ConnectAttempt::new(both, both)
    }

    /// Offer and answer, at once; the text of the offer.
    fn signal(&mut self) -> String {
        let offer = self.offer();
        self.answer(&offer);
        offer
    }

    fn offer(&mut self) -> String {
        let remote = address(CLIENT).ip();
        let options = OfferOptions { remote: Some(remote), ..Default::default() };
        self.pair.server.endpoint.offer_with(self.pair.now, 1, options).unwrap().sdp
    }

    fn answer(&mut self, offer: &str) {
        let answer = self.make_answer(offer);
        self.take_answer(&answer);
    }

    fn make_answer(&mut self, offer: &str) -> String {
        let (now, client) = (self.pair.now, &mut self.pair.client.endpoint);
        let made = match self.negotiated {
            true => client.accept_offer_negotiated(now, 1, offer),
            false => client.accept_offer(now, 1, offer),
        };
        made.unwrap()
    }

    fn take_answer(&mut self, answer: &str) {
        let (now, server) = (self.pair.now, &mut self.pair.server.endpoint);
        match self.negotiated {
            true => server.accept_answer_negotiated(now, &1, answer).unwrap(),
            false => server.accept_answer(now, &1, answer).unwrap(),
        }
        self.began = now;
    }

    /// How long until the client and the server are open.
    fn open(&mut self) -> [Duration; 2] {
        let mut open = [None; 2];
        while open.contains(&None) {
            self.pair.run(STEP);
            let took = self.pair.now - self.began;
            assert!(took < Duration::from_secs(10), "it does not open");
            for (open, side) in open.iter_mut().zip([&self.pair.client, &self.pair.server]) {
                if side.events.contains(&Event::Open) {
                    open.get_or_insert(took);
                }
            }
        }
        open.map(|took| took.expect("the loop ends then"))
    }
}

/// Round trips from the answer until client and server are open.
fn round_trips(connecting: HandshakeOptions) -> [f64; 2] {
    let mut attempt = ConnectAttempt::of(connecting);
    attempt.signal();
    attempt.open().map(|took| took.as_secs_f64() / ROUND_TRIP.as_secs_f64())
}

/// Without what makes up for much else: we do not begin, and SCTP has a handshake of its own.
const PLAIN: HandshakeOptions =
    HandshakeOptions { auto_nomination: true, ..HandshakeOptions::COMPATIBLE };

/// By how many round trips later the client is open.
fn cost(with: HandshakeOptions, without: HandshakeOptions) -> f64 {
    let ([with, _], [without, _]) = (round_trips(with), round_trips(without));
    without - with
}

#[test]
fn with_everything_it_takes_two_round_trips() {
    let [client, server] = round_trips(HandshakeOptions::default());
    assert!(client <= 2.1, "{client}");
    // The client has to be heard after its DTLS was up.
    assert!(server <= 2.6, "{server}");
}

#[test]
fn without_the_handshake_in_the_offer_it_takes_three() {
    let connecting = HandshakeOptions { snap: false, ..HandshakeOptions::default() };
    let [client, server] = round_trips(connecting);
    assert!((2.9..=3.1).contains(&client), "{client}");
    assert!((3.4..=3.6).contains(&server), "{server}");
}

/// libdatachannel's answers repeat every line of the offer's media section that it does not know.
#[test]
fn an_answer_that_repeats_our_handshake_has_none_in_it() {
    let client = HandshakeOptions { snap: false, ..HandshakeOptions::default() };
    let mut attempt = ConnectAttempt::new(HandshakeOptions::default(), client);
    let offer = attempt.offer();
    let ours = offer.lines().find(|line| line.starts_with("a=sctp-init:")).unwrap();
    let answer = attempt.make_answer(&offer);
    assert!(!answer.contains("a=sctp-init:"), "{answer}");
    attempt.take_answer(&format!("{answer}{ours}\r\n"));
    attempt.open();
}

#[test]
fn dtls_1_2_costs_a_round_trip() {
    let with = HandshakeOptions { dtls_versions: DtlsVersions::Auto, ..PLAIN };
    let cost = cost(with, HandshakeOptions { dtls_versions: DtlsVersions::Only12, ..PLAIN });
    assert!((0.9..=1.1).contains(&cost), "{cost}");
}

#[test]
fn t45_dtls_is_of_the_version_that_both_know() {
    for (server, client, expected) in [
        (DtlsVersions::Auto, DtlsVersions::Auto, 13),
        (DtlsVersions::Auto, DtlsVersions::Only12, 12),
        (DtlsVersions::Only12, DtlsVersions::Auto, 12),
    ] {
        for setup in [DtlsRole::Active, DtlsRole::ActPass] {
            let with = |dtls| HandshakeOptions {
                dtls_versions: dtls,
                dtls_role: setup,
                ..HandshakeOptions::default()
            };
            let mut attempt = ConnectAttempt::new(with(server), with(client));
            attempt.signal();
            attempt.open();
            assert_eq!(attempt.pair.server.endpoint.dtls_version(&1), Some(expected));
        }
    }
}

#[test]
fn who_begins_dtls_is_in_offer_and_answer() {
    for (setup, said) in [(DtlsRole::Active, "active"), (DtlsRole::ActPass, "actpass")] {
        let mut attempt = ConnectAttempt::of(HandshakeOptions {
            dtls_role: setup,
            ..HandshakeOptions::default()
        });
        let offer = attempt.offer();
        assert!(offer.contains(&format!("a=setup:{said}\r\n")), "{offer}");
        // A browser takes the choice and begins; our own client leaves it to us, whatever is
        // said in its name here, and so nobody does.
        let answer = attempt.make_answer(&offer);
        attempt.take_answer(&answer.replace("a=setup:passive", "a=setup:active"));
        attempt.pair.run(Duration::from_secs(5));
        assert_eq!(attempt.pair.server.endpoint.stage(&1), Some(WebRtcStage::Dtls));
    }
}

#[test]
fn a_channel_with_a_handshake_of_its_own_takes_longer() {
    let both = HandshakeOptions { snap: false, ..HandshakeOptions::default() };
    let [_, with] = round_trips(both);
    let [_, without] = round_trips(HandshakeOptions { negotiated: false, ..both });
    assert!((0.9..=1.1).contains(&(without - with)), "{with} -> {without}");
}

#[test]
fn the_first_check_nominates() {
    let with = HandshakeOptions::default();
    let cost = cost(with, HandshakeOptions { auto_nomination: false, ..with });
    assert!((0.9..=4.0).contains(&cost), "{cost}");
}

#[test]
fn only_a_check_from_where_the_websocket_comes_nominates() {
    let stage_after_a_check = |remote: Option<&str>| {
        let mut attempt = ConnectAttempt::of(HandshakeOptions::default());
        let remote = remote.map(|ip| ip.parse().unwrap());
        let options = OfferOptions { remote, ..Default::default() };
        let offer = attempt.pair.server.endpoint.offer_with(attempt.pair.now, 1, options);
        attempt.answer(&offer.unwrap().sdp);
        attempt.pair.run(ROUND_TRIP / 2 + STEP);
        attempt.pair.server.endpoint.stage(&1)
    };
    assert_eq!(stage_after_a_check(Some("192.0.2.2")), Some(WebRtcStage::Dtls));
    assert_eq!(stage_after_a_check(Some("::ffff:192.0.2.2")), Some(WebRtcStage::Dtls));
    assert_eq!(stage_after_a_check(Some("192.0.2.3")), Some(WebRtcStage::Ice));
    assert_eq!(stage_after_a_check(None), Some(WebRtcStage::Ice));
}

#[test]
fn checks_that_overtake_the_answer_are_served_when_it_comes() {
    for (early_checks, expected) in [(true, WebRtcStage::Dtls), (false, WebRtcStage::Ice)] {
        let mut attempt =
            ConnectAttempt::of(HandshakeOptions { early_checks, ..HandshakeOptions::default() });
        let offer = attempt.offer();
        let answer = attempt.make_answer(&offer);
        attempt.pair.run(ROUND_TRIP);
        attempt.take_answer(&answer);
        assert_eq!(attempt.pair.server.endpoint.stage(&1), Some(expected));
        let [client, _] = attempt.open();
        assert_eq!(client <= ROUND_TRIP * 2 + STEP, early_checks, "{client:?}");
    }
}

#[test]
fn open_waits_until_the_other_end_was_heard() {
    let mut attempt = ConnectAttempt::of(HandshakeOptions::default());
    attempt.signal();
    attempt.pair.run(ROUND_TRIP / 2 * 3 + STEP);
    // DTLS is up here, and SCTP believes that it is, but the client's last flight is under way.
    assert_eq!(attempt.pair.server.endpoint.stage(&1), Some(WebRtcStage::Channel));
    assert_eq!(attempt.pair.server.events, []);
    attempt.pair.server.events.clear();
    let [client, server] = attempt.open();
    assert!(client < server, "{client:?} {server:?}");
}

#[test]
fn every_form_opens_with_every_other() {
    let forms = [
        HandshakeOptions::default(),
        HandshakeOptions::COMPATIBLE,
        HandshakeOptions::STR0M_DEFAULTS,
    ];
    for server in forms {
        for client in forms {
            let mut attempt = ConnectAttempt::new(server, client);
            attempt.signal();
            attempt.open();
            let now = attempt.pair.now;
            attempt.pair.server.events.clear();
            attempt.pair.client.events.clear();
            attempt.pair.server.endpoint.send(now, &1, "down").unwrap();
            attempt.pair.client.endpoint.send(now, &1, "up").unwrap();
            attempt.pair.run(ROUND_TRIP);
            assert_eq!(Pair::received(&mut attempt.pair.client), ["down"], "{server:?} {client:?}");
            assert_eq!(Pair::received(&mut attempt.pair.server), ["up"], "{server:?} {client:?}");
            for side in [&attempt.pair.server, &attempt.pair.client] {
                let path = side.endpoint.path_monitor(&1).expect("it is open").snapshot();
                assert!(path.allowed_rate > 0, "the plane carries it: {server:?} {client:?}");
            }
        }
    }
}

#[test]
fn one_offer_may_take_another_form() {
    let mut attempt = ConnectAttempt::of(HandshakeOptions::default());
    let options =
        OfferOptions { handshake: Some(HandshakeOptions::COMPATIBLE), ..Default::default() };
    let offer = attempt.pair.server.endpoint.offer_with(attempt.pair.now, 1, options).unwrap();
    assert!(offer.sdp.contains("a=setup:actpass\r\n") && !offer.sdp.contains("sctp-init"));
    attempt.answer(&offer.sdp);
    attempt.open();
    assert_eq!(attempt.pair.server.endpoint.dtls_version(&1), Some(12));
}

#[test]
fn a_channel_that_was_not_offered_is_refused() {
    let server = HandshakeOptions { negotiated: false, ..HandshakeOptions::default() };
    let mut attempt = ConnectAttempt::new(server, HandshakeOptions::default());
    let offer = attempt.offer();
    let answer = attempt.make_answer(&offer);
    let result =
        attempt.pair.server.endpoint.accept_answer_negotiated(attempt.pair.now, &1, &answer);
    assert!(matches!(result, Err(AcceptAnswerError::InvalidAnswer(_))), "{result:?}");
}

#[test]
fn a_broken_handshake_in_the_answer_is_refused() {
    for broken in ["a=sctp-init:AQID\r\n", "a=sctp-init:*\r\n", "a=sctp-init:\r\n"] {
        let mut attempt = ConnectAttempt::of(HandshakeOptions::default());
        let offer = attempt.offer();
        let answer = attempt.make_answer(&offer);
        let lines = answer.lines().filter(|line| !line.starts_with("a=sctp-init:"));
        let text: String = lines.map(|line| format!("{line}\r\n")).collect();
        let server = &mut attempt.pair.server.endpoint;
        let result = server.accept_answer(attempt.pair.now, &1, &format!("{text}{broken}"));
        assert!(matches!(result, Err(AcceptAnswerError::InvalidAnswer(_))), "{broken} {result:?}");
    }
}

#[test]
fn an_empty_text_is_a_sign_of_life_of_who_opened_the_channel_itself() {
    const FIRST: u32 = 1_000;
    for data_plane in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        // Who did not has sent an acknowledgement of the channel before.
        for (negotiated, next, expected) in [(true, 0, vec![]), (false, 1, vec![Bytes::new()])] {
            let connecting = HandshakeOptions { negotiated, ..HandshakeOptions::default() };
            let server = Config { handshake: connecting, data_path: data_plane, ..config(SERVER) };
            let client =
                Config { handshake: connecting, initial_tsn: Some(FIRST), ..config(CLIENT) };
            let mut attempt = ConnectAttempt::over(Pair::with(server, client), negotiated);
            attempt.signal();
            attempt.open();
            attempt.pair.server.events.clear();
            attempt.pair.client.endpoint.inject_packet(attempt.pair.now, &1, |builder| {
                let flags = flag::BEGIN | flag::END | flag::UNORDERED;
                let (tsn, protocol) = (Tsn(FIRST + next), ppid::STRING_EMPTY);
                builder.write_data(&DataChunk {
                    flags,
                    tsn,
                    stream_id: 0,
                    ppid: protocol,
                    payload: &[0],
                });
            });
            attempt.pair.run(ROUND_TRIP);
            assert_eq!(Pair::received(&mut attempt.pair.server), expected, "{data_plane:?}");
        }
    }
}

#[test]
fn an_offer_names_the_addresses_of_its_time_or_those_that_are_asked_for() {
    let (old, new) = ("192.0.2.1:3000", "198.51.100.1:3000");
    let named = |offer: &str| -> Vec<SocketAddr> { crate::sdp::candidate_addresses(offer) };
    let mut pair = Pair::new();
    let (now, server) = (pair.now, &mut pair.server.endpoint);
    assert_eq!(named(&server.offer(now, 7).unwrap().sdp), [address(old)]);
    server.set_addresses(vec![address(old), address(new)], vec![address(new)]);
    assert_eq!(named(&server.offer(now, 8).unwrap().sdp), [address(new)]);
    let candidates = vec![address("203.0.113.5:9"), address(old)];
    let options = OfferOptions { candidates: candidates.clone(), ..Default::default() };
    assert_eq!(named(&server.offer_with(now, 9, options).unwrap().sdp), candidates);
    for key in 7..10 {
        server.close(now, &key);
    }
}

#[test]
fn a_peer_connects_to_an_address_that_came_after_the_start() {
    let mut pair = Pair::with(config("198.51.100.1:3000"), config(CLIENT));
    pair.server.endpoint.set_addresses(vec![address(SERVER)], Vec::new());
    let mut pair = pair.signal().opened();
    // And one that has gone since ends nothing at once.
    pair.server.endpoint.set_addresses(Vec::new(), Vec::new());
    pair.inject(address(CLIENT), b"anything");
    pair.run(5 * ONE_WAY);
    assert_eq!(pair.server.endpoint.stage(&1), Some(WebRtcStage::Open));
}
