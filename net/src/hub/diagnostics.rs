//! Why a connection did not become a peer, in words, and what to set.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use net_rtc::HandshakeProgress;
use net_ws::BadRequest;

use crate::admission::NoVerdict;
use crate::hub::close_cause::{Ending, Full, Scope};
use crate::hub::origin::BadOrigin;
use crate::hub::reachability::{Reach, Words};
use crate::{CloseReason, Config, Stage};

/// Who leaves sooner than this may have had reasons of his own: nothing is suggested.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to try where the way is open and the two sides do not understand each other.
const TRY_COMPATIBLE: &str = "does it open with Config::connecting = Connecting::COMPATIBLE?";

/// Where a client has a certificate of its own.
const ECDSA: &str = "leave certificates in its RTCConfiguration away, or make them with ECDSA and \
                     P-256; other libraries have a setting for it";

/// Where the page has the offer and no answer comes.
const ANSWER_IT: &str = "the page must answer it, as net.js does; Config::answer_timeout. \
                         Chromium 87 to 94 cannot, unless Config::connecting = \
                         Connecting::COMPATIBLE";

/// What is known of a connection that ends before it is a peer.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) config: &'a Config,
    pub(super) reach: &'a Reach,
    /// Where the websocket comes from.
    pub(super) remote: IpAddr,
    /// The addresses that its offer named.
    pub(super) offered: &'a [SocketAddr],
    /// Since it connected.
    pub(super) age: Duration,
    /// How far it came.
    pub(super) came: Came,
}

/// How far a connection came that is no peer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is connected; its request may be whole.
    Connected,
    /// The application is asked whether it may become a peer.
    Asked,
    /// It has the offer, and this was heard since.
    Offered(HandshakeProgress),
}

impl Came {
    pub(super) fn evidence(self) -> Option<HandshakeProgress> {
        match self {
            Came::Connected | Came::Asked => None,
            Came::Offered(evidence) => Some(evidence),
        }
    }
}

impl Case<'_> {
    /// How far it came.
    pub(super) fn stage(&self, ending: &Ending) -> Stage {
        use net_rtc::CloseReason as Rtc;
        match (ending, self.came) {
            (Ending::Full(Full::Early), Came::Offered(evidence)) => evidence.stage.into(),
            (Ending::Full(_) | Ending::Origin(_), _) | (_, Came::Asked) => Stage::Accept,
            (Ending::WebRtc(Rtc::HandshakeTimeout(stage) | Rtc::Failed(stage, _)), _) => {
                (*stage).into()
            }
            (_, Came::Connected) => Stage::Upgrade,
            (_, Came::Offered(evidence)) => evidence.stage.into(),
        }
    }

    /// Why, and what to do.
    pub(super) fn words(&self, ending: &Ending) -> Words {
        match ending {
            Ending::ProxyHeader => Words::new("no PROXY protocol header from a trusted proxy").set(
                "switch it on in the proxy (HAProxy: send-proxy-v2), or Config::proxy_protocol off",
            ),
            Ending::Full(full) => self.full(*full),
            Ending::Origin(bad) => origin(bad),
            Ending::Unwanted { reason, .. } => Words::new(reason.clone()),
            Ending::NoVerdict(none) => self.no_verdict(*none),
            Ending::Other(CloseReason::Shutdown) => Words::new("the server stopped"),
            Ending::Other(reason) => Words::new(reason.to_string()),
            Ending::Signalling(refusal) => self.signalling(refusal),
            Ending::Websocket(reason) => self.websocket(reason),
            Ending::WebRtc(reason) => self.webrtc(reason),
        }
    }

    fn signalling(&self, refusal: &net_signal::Error) -> Words {
        match refusal {
            net_signal::Error::AnswerTimeout => {
                let time = seconds(self.config.answer_timeout);
                Words::new(format!("no answer to the offer within {time}")).set(ANSWER_IT)
            }
            net_signal::Error::MessageTooLong { .. } => {
                Words::new(refusal.to_string()).set("raise Config::signal_bytes")
            }
            net_signal::Error::TooManyMessages { .. } => {
                Words::new(refusal.to_string()).set("raise Config::signal_texts")
            }
            net_signal::Error::RateExceeded { .. } => {
                Words::new(refusal.to_string()).set("raise Config::signal_texts_per_second")
            }
            other => Words::new(other.to_string()),
        }
    }

    fn websocket(&self, reason: &net_ws::CloseReason) -> Words {
        use net_ws::CloseReason as Ws;
        match reason {
            Ws::BadRequest(why) => request(why),
            Ws::UpgradeTimeout => {
                let time = seconds(self.config.upgrade_timeout);
                Words::new(format!("no whole websocket request within {time}"))
                    .set("a port scan or a very slow client; Config::upgrade_timeout")
            }
            Ws::TooLarge => {
                Words::new("a message over the limit").set("raise Config::message_bytes")
            }
            Ws::Remote { .. } | Ws::Eof | Ws::TimedOut => self.left(),
            other => Words::new(other.to_string()),
        }
    }

    fn webrtc(&self, reason: &net_rtc::CloseReason) -> Words {
        use net_rtc::CloseReason as Rtc;
        match reason {
            Rtc::HandshakeTimeout(_) => self.stuck(),
            Rtc::Remote | Rtc::IdleTimeout => self.left(),
            Rtc::Failed(net_rtc::WebRtcStage::Answer, cause) => Words::new(cause.clone())
                .set("the answer must be that of a browser, unchanged, to this offer"),
            // DTLS gives up by itself. That nothing came back says more than that.
            Rtc::Failed(_, _)
                if self.came.evidence().is_some_and(|heard| heard.dtls_datagrams == 0) =>
            {
                self.stuck()
            }
            Rtc::Failed(_, cause)
                if self.came.evidence().is_some_and(|it| it.unsupported_certificate) =>
            {
                Words::new(cause.clone()).set(ECDSA)
            }
            Rtc::Failed(_, cause) => Words::new(cause.clone()).set(TRY_COMPATIBLE),
            other => Words::new(other.to_string()),
        }
    }

    /// The client did not wait for the end. If it waited long, it was stuck.
    fn left(&self) -> Words {
        let after = seconds(self.age);
        let evidence = match self.came {
            Came::Connected => {
                return Words::new("the client left before its request was whole");
            }
            Came::Asked => {
                let cause = format!("the client left after {after}: no verdict of Config::accept");
                return Words::new(cause);
            }
            Came::Offered(evidence) => evidence,
        };
        let stuck = match evidence.stage {
            net_rtc::WebRtcStage::Answer => Words::new("no answer to the offer").set(ANSWER_IT),
            _ => self.stuck(),
        };
        let cause = format!("the client left after {after}: {}", stuck.cause);
        let setting = stuck.setting.filter(|_| self.age >= PATIENCE);
        Words { cause, setting }
    }

    /// What an answered connection waits for in vain.
    fn stuck(&self) -> Words {
        let port = self.reach.port();
        let Came::Offered(evidence) = self.came else {
            return Words::new("the upgrade is not done");
        };
        match (evidence.last_check_from, evidence) {
            (None, HandshakeProgress { bad_integrity: 1.., .. }) => {
                Words::new(format!("checks reached UDP {port}, with a wrong password only"))
                    .set("the answer must be to this very offer")
            }
            (None, _) => self.reach.unreached(self.remote, self.offered, self.config),
            (Some(_), HandshakeProgress { dtls_datagrams: 0, is_peer_controlled: true, .. }) => {
                Words::new("the client's checks are in the controlled role, as this server is")
                    .set("to an ICE-lite offer a client must control (RFC 8445, 6.1.1)")
            }
            (Some(from), HandshakeProgress { dtls_datagrams: 0, .. }) => Words::new(format!(
                "checks from {} reached UDP {port}, nothing came back after our answers",
                from.ip()
            ))
            .set(format!("is outbound UDP from port {port} open? If so, {TRY_COMPATIBLE}")),
            (Some(_), HandshakeProgress { stage, sctp_received: false, .. })
                if stage <= net_rtc::WebRtcStage::Dtls =>
            {
                Words::new("the DTLS handshake began and did not end").set(format!(
                    "are datagrams of 1,200 bytes lost, as in a tunnel? If not, {TRY_COMPATIBLE}"
                ))
            }
            (Some(_), HandshakeProgress { sctp_received: false, .. }) => {
                Words::new("DTLS is up, and no SCTP packet came").set(TRY_COMPATIBLE)
            }
            (Some(_), _) => {
                let time = seconds(self.config.connect_timeout);
                Words::new(format!("the channel was not open within {time}"))
                    .set("much loss, or a very slow path? Config::connect_timeout")
            }
        }
    }
}

/// A time as people say it.
fn seconds(time: Duration) -> String {
    let tenths = (time.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

impl Case<'_> {
    pub(crate) fn full(&self, full: Full) -> Words {
        match full {
            Full::Peers(Scope::All) => {
                Words::new(format!("the server is full: {} peers", self.config.peers))
                    .set("raise Config::peers")
            }
            Full::Peers(scope) => {
                let peers = scope.peers(self.config);
                Words::new(format!("{peers} peers have this address already")).set(match scope {
                    Scope::LocalAddress => through_a_proxy("peers_per_local"),
                    _ => "raise Config::peers_per_address".to_owned(),
                })
            }
            Full::HalfOpen(scope) => Words::new(self.others(scope)).set(more_half_open(scope)),
            Full::GaveWay(scope) => {
                Words::new(format!("gave way to a newer one: {}", self.others(scope)))
                    .set(more_half_open(scope))
            }
            Full::Early => Words::new("too many messages before the answer")
                .set("wait for the open channel, or raise Config::early_bytes or early_messages"),
        }
    }

    pub(crate) fn no_verdict(&self, none: NoVerdict) -> Words {
        match none {
            NoVerdict::Busy => {
                let queue = self.config.accept_queue;
                Words::new(format!("{queue} others wait for a verdict of Config::accept"))
                    .set("is what it asks slow? Config::accept_threads, accept_queue")
            }
            NoVerdict::Late => {
                let time = seconds(self.config.upgrade_timeout);
                Words::new(format!("no verdict of Config::accept within {time}"))
                    .set("is what it asks slow? Config::accept_threads, upgrade_timeout")
            }
            NoVerdict::Panicked => Words::new("Config::accept panicked")
                .set("the panic's message says where; refuse with Verdict::refuse instead"),
        }
    }

    fn others(&self, scope: Scope) -> String {
        let half_open = self.config.half_open;
        match scope {
            Scope::All => format!("{half_open} others are on their way to open"),
            _ => format!("{half_open} others are on their way to open, most from this address"),
        }
    }
}

/// A request that is no websocket's.
pub(crate) fn request(why: &BadRequest) -> Words {
    match why {
        BadRequest::Tls => Words::new("a TLS hello (https or wss) on a port without TLS")
            .set("use ws://, or put a TLS proxy in front and connect to that"),
        BadRequest::Upgrade => {
            Words::new("a websocket's request without Upgrade or Connection: Upgrade")
                .set("a proxy must pass Upgrade and Connection headers on")
        }
        BadRequest::WebSocketVersion => Words::new("a websocket's request without its version, 13")
            .set("a proxy must pass the Sec-WebSocket headers on"),
        BadRequest::HttpVersion => Words::new("HTTP/1.0, which has no websockets")
            .set("a proxy must speak HTTP/1.1 (nginx: proxy_http_version 1.1)"),
        BadRequest::Http2 => Words::new("HTTP/2 without TLS on a port for HTTP/1.1").set(
            "let the proxy speak HTTP/1.1 to this port (Envoy: without http2_protocol_options)",
        ),
        BadRequest::ProxyProtocol { version } => Words::new(format!(
            "a PROXY protocol header, version {version}, before the request"
        ))
        .set(
            "switch it off in the proxy (HAProxy: without send-proxy, nginx: proxy_protocol off), \
             or set Config::trusted_proxies and proxy_protocol",
        ),
        BadRequest::MissingKey => Words::new("an upgrade without Sec-WebSocket-Key").set(
            "a proxy that takes websockets over HTTP/2 (RFC 8441) must add one, or offer its \
             clients HTTP/1.1 only",
        ),
        BadRequest::HeadTooLarge { limit, cookie_bytes: 0 } => {
            Words::new(format!("the head is over Config::head_bytes ({limit})"))
                .set("raise Config::head_bytes")
        }
        BadRequest::HeadTooLarge { limit, cookie_bytes: cookies } => Words::new(format!(
            "the head is over Config::head_bytes ({limit}), {cookies} bytes of it cookies: clear \
             the site's cookies"
        ))
        .set("or raise Config::head_bytes: cookies of a host go to all of its ports"),
        BadRequest::TooManyHeaders { limit } => {
            Words::new(format!("the head has over {limit} header lines (Config::head_headers)"))
                .set("do proxies add many? Config::head_headers can be 124 at most")
        }
        other => Words::new(other.to_string()),
    }
}

/// A page that is not in the list.
pub(crate) fn origin(bad: &BadOrigin) -> Words {
    match bad {
        BadOrigin::Absent => {
            Words::new("no Origin header").set("a program? Config::originless lets those in")
        }
        BadOrigin::Several => Words::new("several Origin headers"),
        BadOrigin::Foreign(origin) => {
            let words = Words::new(format!("the origin {origin} is not allowed"));
            match origin.as_str() {
                "null" => words.set("a page from a file, or in a sandbox? Serve it over http"),
                _ => words.set("if it is a page of yours, add it to Config::origins"),
            }
        }
    }
}

/// How there is room for more on their way to open.
fn more_half_open(scope: Scope) -> String {
    match scope {
        Scope::All | Scope::Address => "raise Config::half_open".to_owned(),
        Scope::LocalAddress => through_a_proxy("half_open"),
    }
}

/// Where a local address has too many: perhaps it is everyone's.
fn through_a_proxy(what: &str) -> String {
    format!(
        "do they come through a proxy? Then set Config::trusted_proxies; or raise Config::{what}"
    )
}

#[cfg(test)]
mod tests {
    use net_rtc::{CloseReason as Rtc, WebRtcStage as Reached};
    use net_ws::{BadRequest, CloseReason as Ws};

    use super::*;
    use crate::admission::NoVerdict;
    use crate::hub::close_cause::Scope;
    use crate::hub::origin::BadOrigin;

    const SECOND: Duration = Duration::from_secs(1);

    /// What is said of an end of a client from 198.51.100.7, `age` after it connected.
    fn said(
        age: Duration,
        evidence: Option<HandshakeProgress>,
        ending: impl Into<Ending>,
    ) -> (Stage, String, String) {
        said_at(age, evidence.map_or(Came::Connected, Came::Offered), ending)
    }

    fn said_at(age: Duration, came: Came, ending: impl Into<Ending>) -> (Stage, String, String) {
        let config = Config::default();
        let reach = Reach::new(vec!["203.0.113.5:3000".parse().unwrap()], vec![]);
        let remote = "198.51.100.7".parse().unwrap();
        let offered = reach.candidates(remote, None, config.max_candidates);
        let case = Case { config: &config, reach: &reach, remote, offered: &offered, age, came };
        let ending = ending.into();
        let (stage, Words { cause, setting }) = (case.stage(&ending), case.words(&ending));
        let told = format!("{stage}: {cause}");
        assert!(told.len() <= 123, "{} bytes do not fit a close frame: {told}", told.len());
        (stage, cause, setting.unwrap_or_default())
    }

    /// The same of a connection whose answer is in and that took too long.
    fn stuck(evidence: HandshakeProgress) -> (Stage, String, String) {
        said(15 * SECOND, Some(evidence), Rtc::HandshakeTimeout(evidence.stage))
    }

    fn checked(stage: Reached) -> HandshakeProgress {
        let checked_from = Some("198.51.100.9:777".parse().unwrap());
        HandshakeProgress {
            stun_checks: 20,
            last_check_from: checked_from,
            ..HandshakeProgress::new(stage)
        }
    }

    #[track_caller]
    fn assert_says(said: (Stage, String, String), stage: Stage, cause: &str, setting: &str) {
        assert_eq!((said.0, said.1.as_str()), (stage, cause));
        assert!(said.2.contains(setting), "{}", said.2);
        assert_eq!(said.2.is_empty(), setting.is_empty(), "{}", said.2);
    }

    #[test]
    fn no_check_came() {
        let said = stuck(HandshakeProgress::new(Reached::Ice));
        assert_says(said, Stage::Ice, "no check reached UDP 3000", "firewall");
    }

    #[test]
    fn checks_came_and_nothing_after_our_answers() {
        let cause =
            "checks from 198.51.100.9 reached UDP 3000, nothing came back after our answers";
        let setting = "is outbound UDP from port 3000 open?";
        assert_says(stuck(checked(Reached::Ice)), Stage::Ice, cause, setting);
        assert_says(stuck(checked(Reached::Dtls)), Stage::Dtls, cause, setting);
    }

    #[test]
    fn only_checks_with_a_wrong_password_came() {
        let evidence =
            HandshakeProgress { bad_integrity: 3, ..HandshakeProgress::new(Reached::Ice) };
        let cause = "checks reached UDP 3000, with a wrong password only";
        assert_says(stuck(evidence), Stage::Ice, cause, "this very offer");
    }

    #[test]
    fn dtls_and_the_channel_did_not_end() {
        let dtls = HandshakeProgress { dtls_datagrams: 4, ..checked(Reached::Dtls) };
        let cause = "the DTLS handshake began and did not end";
        assert_says(stuck(dtls), Stage::Dtls, cause, "1,200 bytes");
        let up = HandshakeProgress { stage: Reached::Channel, ..dtls };
        let cause = "DTLS is up, and no SCTP packet came";
        assert_says(stuck(up), Stage::Channel, cause, "Connecting::COMPATIBLE");
        let cause = "the channel was not open within 15 s";
        let late = HandshakeProgress { sctp_received: true, ..up };
        assert_says(stuck(late), Stage::Channel, cause, "Config::connect_timeout");
    }

    #[test]
    fn a_client_that_does_not_control_ice_is_told_so() {
        let evidence = HandshakeProgress { is_peer_controlled: true, ..checked(Reached::Ice) };
        let cause = "the client's checks are in the controlled role, as this server is";
        assert_says(stuck(evidence), Stage::Ice, cause, "must control");
    }

    #[test]
    fn an_unfit_certificate_asks_for_no_other_form() {
        let cause = "the client refused DTLS (alert 40); is its certificate RSA? It must be ECDSA";
        let evidence = HandshakeProgress {
            dtls_datagrams: 1,
            unsupported_certificate: true,
            ..checked(Reached::Dtls)
        };
        let heard = said(SECOND, Some(evidence), Rtc::Failed(Reached::Dtls, cause.into()));
        assert!(!heard.2.contains("COMPATIBLE"), "{}", heard.2);
        assert_says(heard, Stage::Dtls, cause, "ECDSA and P-256");
    }

    #[test]
    fn what_failed_says_itself_why() {
        let failed = |cause: &str| Rtc::Failed(Reached::Dtls, cause.into());
        let evidence = HandshakeProgress { dtls_datagrams: 4, ..checked(Reached::Dtls) };
        let heard = said(SECOND, Some(evidence), failed("certificate mismatch"));
        assert_says(heard, Stage::Dtls, "certificate mismatch", "Connecting::COMPATIBLE");
        let cause =
            "checks from 198.51.100.9 reached UDP 3000, nothing came back after our answers";
        let unheard = said(SECOND, Some(checked(Reached::Dtls)), failed("timeout"));
        assert_says(unheard, Stage::Dtls, cause, "outbound UDP");
    }

    #[test]
    fn a_bad_answer_and_none() {
        let failed = Rtc::Failed(Reached::Answer, "no a=fingerprint: line".into());
        let evidence = Some(HandshakeProgress::new(Reached::Answer));
        let bad = said(SECOND, evidence, failed);
        assert_says(bad, Stage::Answer, "no a=fingerprint: line", "unchanged");
        let none = said(10 * SECOND, evidence, net_signal::Error::AnswerTimeout);
        let cause = "no answer to the offer within 10 s";
        assert_says(none, Stage::Answer, cause, "net.js does; Config::answer_timeout");
        assert!(ANSWER_IT.ends_with("Config::connecting = Connecting::COMPATIBLE"));
        let words = net_signal::Error::UnexpectedOffer;
        assert_says(said(SECOND, evidence, words.clone()), Stage::Answer, &words.to_string(), "");
        let words = net_signal::Error::TooManyMessages { limit: 8 };
        let many = said(SECOND, evidence, words.clone());
        assert_says(many, Stage::Answer, &words.to_string(), "Config::signal_texts");
    }

    #[test]
    fn requests_that_are_no_websocket() {
        const PROXY_1: BadRequest = BadRequest::ProxyProtocol { version: 1 };
        const PROXY_2: BadRequest = BadRequest::ProxyProtocol { version: 2 };
        let cases = [
            (BadRequest::Tls, "a TLS hello (https or wss) on a port without TLS", "use ws://"),
            (
                BadRequest::Upgrade,
                "a websocket's request without Upgrade or Connection: Upgrade",
                "a proxy must pass Upgrade",
            ),
            (
                BadRequest::WebSocketVersion,
                "a websocket's request without its version, 13",
                "a proxy must pass",
            ),
            (BadRequest::HttpVersion, "HTTP/1.0, which has no websockets", "proxy_http_version"),
            (BadRequest::Method, "the method must be GET", ""),
            (BadRequest::Http2, "HTTP/2 without TLS on a port for HTTP/1.1", "HTTP/1.1 to this"),
            (PROXY_1, "a PROXY protocol header, version 1, before the request", "HAProxy"),
            (PROXY_2, "a PROXY protocol header, version 2, before the request", "HAProxy"),
            (BadRequest::MissingKey, "an upgrade without Sec-WebSocket-Key", "HTTP/2"),
            (
                BadRequest::HeadTooLarge { limit: 32_768, cookie_bytes: 1_000_000 },
                "the head is over Config::head_bytes (32768), 1000000 bytes of it cookies: clear \
                 the site's cookies",
                "Config::head_bytes",
            ),
            (
                BadRequest::HeadTooLarge { limit: 32_768, cookie_bytes: 0 },
                "the head is over Config::head_bytes (32768)",
                "Config::head_bytes",
            ),
            (
                BadRequest::TooManyHeaders { limit: 124 },
                "the head has over 124 header lines (Config::head_headers)",
                "proxies",
            ),
        ];
        for (why, cause, setting) in cases {
            let said = said(SECOND, None, Ws::BadRequest(why));
            assert_says(said, Stage::Upgrade, cause, setting);
        }
        let cause = "no PROXY protocol header from a trusted proxy";
        let said_of = said(SECOND, None, Ending::ProxyHeader);
        assert_says(said_of, Stage::Upgrade, cause, "Config::proxy_protocol");
        let late = said(5 * SECOND, None, Ws::UpgradeTimeout);
        let cause = "no whole websocket request within 5 s";
        assert_says(late, Stage::Upgrade, cause, "Config::upgrade_timeout");
    }

    #[test]
    fn an_origin_that_is_not_in_the_list() {
        let cases = [
            (BadOrigin::Absent, "no Origin header", "Config::originless"),
            (BadOrigin::Several, "several Origin headers", ""),
            (BadOrigin::Foreign("null".into()), "the origin null is not allowed", "over http"),
            (
                BadOrigin::Foreign("http://a".into()),
                "the origin http://a is not allowed",
                "origins",
            ),
        ];
        for (bad, cause, setting) in cases {
            assert_says(said(SECOND, None, bad), Stage::Accept, cause, setting);
        }
        said(SECOND, None, BadOrigin::Foreign("x".repeat(64)));
    }

    #[test]
    fn what_is_full_names_its_bound() {
        let peers =
            said(SECOND, Some(HandshakeProgress::new(Reached::Answer)), Full::Peers(Scope::All));
        assert_says(peers, Stage::Accept, "the server is full: 1024 peers", "Config::peers");
        let peers = said(SECOND, None, Full::Peers(Scope::Address));
        let cause = "64 peers have this address already";
        assert_says(peers, Stage::Accept, cause, "Config::peers_per_address");
        let half = said(Duration::ZERO, None, Full::HalfOpen(Scope::All));
        let cause = "1024 others are on their way to open";
        assert_says(half, Stage::Accept, cause, "Config::half_open");
        let half = said(SECOND, None, Full::GaveWay(Scope::LocalAddress));
        let cause = "gave way to a newer one: \
            1024 others are on their way to open, most from this address";
        assert_says(half, Stage::Accept, cause, "Config::trusted_proxies");
        let early = said(SECOND, Some(HandshakeProgress::new(Reached::Answer)), Full::Early);
        let cause = "too many messages before the answer";
        assert_says(early, Stage::Answer, cause, "Config::early_bytes");
    }

    #[test]
    fn who_leaves_soon_is_asked_nothing_and_who_waited_was_stuck() {
        let left = |age, stage| said(age, Some(HandshakeProgress::new(stage)), Ws::Eof);
        let soon = left(SECOND / 3, Reached::Ice);
        let cause = "the client left after 0.3 s: no check reached UDP 3000";
        assert_says(soon, Stage::Ice, cause, "");
        let late = left(15 * SECOND, Reached::Ice);
        let cause = "the client left after 15 s: no check reached UDP 3000";
        assert_says(late, Stage::Ice, cause, "firewall");
        let unanswered = left(9 * SECOND, Reached::Answer);
        let cause = "the client left after 9 s: no answer to the offer";
        assert_says(unanswered, Stage::Answer, cause, "Connecting::COMPATIBLE");
        let before = said(SECOND, None, Ws::Eof);
        assert_says(before, Stage::Upgrade, "the client left before its request was whole", "");
    }

    #[test]
    fn what_becomes_of_a_question() {
        let asked = |ending: Ending| said_at(SECOND, Came::Asked, ending);
        let unwanted = Ending::Unwanted { status: 403, reason: "no ticket".into() };
        assert_says(asked(unwanted), Stage::Accept, "no ticket", "");
        let cause = "no verdict of Config::accept within 5 s";
        assert_says(asked(NoVerdict::Late.into()), Stage::Accept, cause, "accept_threads");
        let cause = "256 others wait for a verdict of Config::accept";
        assert_says(asked(NoVerdict::Busy.into()), Stage::Accept, cause, "accept_queue");
        let cause = "Config::accept panicked";
        assert_says(asked(NoVerdict::Panicked.into()), Stage::Accept, cause, "Verdict::refuse");
        let cause = "the client left after 1 s: no verdict of Config::accept";
        assert_says(asked(Ws::Eof.into()), Stage::Accept, cause, "");
        assert_says(asked(CloseReason::Shutdown.into()), Stage::Accept, "the server stopped", "");
    }

    #[test]
    fn a_server_that_stops_says_so() {
        let said = said(SECOND, None, CloseReason::Shutdown);
        assert_says(said, Stage::Upgrade, "the server stopped", "");
    }
}
