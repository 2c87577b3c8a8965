//! Human-readable cause of a failed connection, and a configuration hint.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use net_rtc::HandshakeProgress;
use net_ws::BadRequest;

use crate::admission::HookError;
use crate::hub::close_cause::{CloseCause, LimitHit, LimitScope};
use crate::hub::origin::BadOrigin;
use crate::hub::reachability::{Explanation, UdpAddrs};
use crate::{CloseReason, Config, HandshakeStage};

/// Minimum age of a connection for a hint: a client that leaves earlier may have left on purpose.
const MIN_AGE_FOR_HINT: Duration = Duration::from_secs(3);

/// Hint where datagrams arrive but the handshake fails.
const COMPATIBLE_HINT: &str = "does it open with Config::handshake = HandshakeOptions::COMPATIBLE?";

/// Hint for a client with a certificate of its own.
const ECDSA_HINT: &str = "leave certificates in its RTCConfiguration away, or make them with ECDSA and \
                     P-256; other libraries have a setting for it";

/// Hint where the page got the offer and does not answer.
const ANSWER_HINT: &str = "the page must answer it, as net.js does; Config::answer_timeout. \
                         Chromium 87 to 94 cannot, unless Config::handshake = \
                         HandshakeOptions::COMPATIBLE";

/// Evidence about a connection that ends before it is a peer.
#[derive(Debug)]
pub(super) struct FailureContext<'a> {
    pub(super) config: &'a Config,
    pub(super) udp_addrs: &'a UdpAddrs,
    /// The IP address of the websocket.
    pub(super) remote: IpAddr,
    /// The candidates of its offer.
    pub(super) offered_addrs: &'a [SocketAddr],
    /// Time since it connected.
    pub(super) age: Duration,
    /// Its progress.
    pub(super) progress: ConnectProgress,
}

/// Progress of a connection that is not a peer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectProgress {
    /// Connected; its request may be complete.
    Connected,
    /// The admission hook is deciding.
    AwaitingDecision,
    /// The offer was sent, with this progress since.
    Offered(HandshakeProgress),
}

impl ConnectProgress {
    pub(super) fn handshake_progress(self) -> Option<HandshakeProgress> {
        match self {
            ConnectProgress::Connected | ConnectProgress::AwaitingDecision => None,
            ConnectProgress::Offered(evidence) => Some(evidence),
        }
    }
}

impl FailureContext<'_> {
    /// Returns the stage at which it failed.
    pub(super) fn stage(&self, ending: &CloseCause) -> HandshakeStage {
        use net_rtc::CloseReason as Rtc;
        match (ending, self.progress) {
            (CloseCause::Limit(LimitHit::PreOpen), ConnectProgress::Offered(evidence)) => {
                evidence.stage.into()
            }
            (CloseCause::Limit(_) | CloseCause::Origin(_), _)
            | (_, ConnectProgress::AwaitingDecision) => HandshakeStage::Accept,
            (CloseCause::WebRtc(Rtc::HandshakeTimeout(stage) | Rtc::Failed(stage, _)), _) => {
                (*stage).into()
            }
            (_, ConnectProgress::Connected) => HandshakeStage::Upgrade,
            (_, ConnectProgress::Offered(evidence)) => evidence.stage.into(),
        }
    }

    /// Returns the cause and a hint.
    pub(super) fn explain(&self, ending: &CloseCause) -> Explanation {
        match ending {
            CloseCause::ProxyHeader => Explanation::new(
                "no PROXY protocol header from a trusted proxy",
            )
            .with_hint(
                "switch it on in the proxy (HAProxy: send-proxy-v2), or Config::proxy_protocol off",
            ),
            CloseCause::Limit(full) => self.explain_limit(*full),
            CloseCause::Origin(bad) => explain_bad_origin(bad),
            CloseCause::Rejected { reason, .. } => Explanation::new(reason.clone()),
            CloseCause::HookError(none) => self.explain_hook_error(*none),
            CloseCause::Other(CloseReason::Shutdown) => Explanation::new("the server stopped"),
            CloseCause::Other(reason) => Explanation::new(reason.to_string()),
            CloseCause::Signalling(refusal) => self.explain_signalling(refusal),
            CloseCause::Websocket(reason) => self.explain_websocket(reason),
            CloseCause::WebRtc(reason) => self.explain_webrtc(reason),
        }
    }

    fn explain_signalling(&self, refusal: &net_signal::Error) -> Explanation {
        match refusal {
            net_signal::Error::AnswerTimeout => {
                let time = format_seconds(self.config.answer_timeout);
                Explanation::new(format!("no answer to the offer within {time}"))
                    .with_hint(ANSWER_HINT)
            }
            net_signal::Error::MessageTooLong { .. } => Explanation::new(refusal.to_string())
                .with_hint("raise Config::max_signal_message_size"),
            net_signal::Error::TooManyMessages { .. } => {
                Explanation::new(refusal.to_string()).with_hint("raise Config::max_signal_messages")
            }
            net_signal::Error::RateExceeded { .. } => Explanation::new(refusal.to_string())
                .with_hint("raise Config::max_signal_messages_per_sec"),
            other => Explanation::new(other.to_string()),
        }
    }

    fn explain_websocket(&self, reason: &net_ws::CloseReason) -> Explanation {
        use net_ws::CloseReason as Ws;
        match reason {
            Ws::BadRequest(why) => explain_bad_request(why),
            Ws::UpgradeTimeout => {
                let time = format_seconds(self.config.upgrade_timeout);
                Explanation::new(format!("no whole websocket request within {time}"))
                    .with_hint("a port scan or a very slow client; Config::upgrade_timeout")
            }
            Ws::TooLarge => Explanation::new("a message over the limit")
                .with_hint("raise Config::max_message_size"),
            Ws::Remote { .. } | Ws::Eof | Ws::TimedOut => self.explain_client_left(),
            other => Explanation::new(other.to_string()),
        }
    }

    fn explain_webrtc(&self, reason: &net_rtc::CloseReason) -> Explanation {
        use net_rtc::CloseReason as Rtc;
        match reason {
            Rtc::HandshakeTimeout(_) => self.explain_stall(),
            Rtc::Remote | Rtc::IdleTimeout => self.explain_client_left(),
            Rtc::Failed(net_rtc::WebRtcStage::Answer, cause) => Explanation::new(cause.clone())
                .with_hint("the answer must be that of a browser, unchanged, to this offer"),
            // DTLS gives up by itself. The absence of a response is the more specific cause.
            Rtc::Failed(_, _)
                if self
                    .progress
                    .handshake_progress()
                    .is_some_and(|heard| heard.dtls_datagrams == 0) =>
            {
                self.explain_stall()
            }
            Rtc::Failed(_, cause)
                if self
                    .progress
                    .handshake_progress()
                    .is_some_and(|it| it.unsupported_certificate) =>
            {
                Explanation::new(cause.clone()).with_hint(ECDSA_HINT)
            }
            Rtc::Failed(_, cause) => Explanation::new(cause.clone()).with_hint(COMPATIBLE_HINT),
            other => Explanation::new(other.to_string()),
        }
    }

    /// Explains a client that left before the end. After a long wait it was stuck.
    fn explain_client_left(&self) -> Explanation {
        let after = format_seconds(self.age);
        let evidence = match self.progress {
            ConnectProgress::Connected => {
                return Explanation::new("the client left before its request was whole");
            }
            ConnectProgress::AwaitingDecision => {
                let cause = format!("the client left after {after}: no verdict of Config::accept");
                return Explanation::new(cause);
            }
            ConnectProgress::Offered(evidence) => evidence,
        };
        let stuck = match evidence.stage {
            net_rtc::WebRtcStage::Answer => {
                Explanation::new("no answer to the offer").with_hint(ANSWER_HINT)
            }
            _ => self.explain_stall(),
        };
        let cause = format!("the client left after {after}: {}", stuck.cause);
        let setting = stuck.hint.filter(|_| self.age >= MIN_AGE_FOR_HINT);
        Explanation { cause, hint: setting }
    }

    /// Explains what an answered connection waits for in vain.
    fn explain_stall(&self) -> Explanation {
        let port = self.udp_addrs.port();
        let ConnectProgress::Offered(evidence) = self.progress else {
            return Explanation::new("the upgrade is not done");
        };
        match (evidence.last_check_from, evidence) {
            (None, HandshakeProgress { bad_integrity: 1.., .. }) => {
                Explanation::new(format!("checks reached UDP {port}, with a wrong password only"))
                    .with_hint("the answer must be to this very offer")
            }
            (None, _) => {
                self.udp_addrs.explain_unreachable(self.remote, self.offered_addrs, self.config)
            }
            (Some(_), HandshakeProgress { dtls_datagrams: 0, is_peer_controlled: true, .. }) => {
                Explanation::new(
                    "the client's checks are in the controlled role, as this server is",
                )
                .with_hint("to an ICE-lite offer a client must control (RFC 8445, 6.1.1)")
            }
            (Some(from), HandshakeProgress { dtls_datagrams: 0, .. }) => Explanation::new(format!(
                "checks from {} reached UDP {port}, nothing came back after our answers",
                from.ip()
            ))
            .with_hint(format!("is outbound UDP from port {port} open? If so, {COMPATIBLE_HINT}")),
            (Some(_), HandshakeProgress { stage, sctp_received: false, .. })
                if stage <= net_rtc::WebRtcStage::Dtls =>
            {
                Explanation::new("the DTLS handshake began and did not end").with_hint(format!(
                    "are datagrams of 1,200 bytes lost, as in a tunnel? If not, {COMPATIBLE_HINT}"
                ))
            }
            (Some(_), HandshakeProgress { sctp_received: false, .. }) => {
                Explanation::new("DTLS is up, and no SCTP packet came").with_hint(COMPATIBLE_HINT)
            }
            (Some(_), _) => {
                let time = format_seconds(self.config.connect_timeout);
                Explanation::new(format!("the channel was not open within {time}"))
                    .with_hint("much loss, or a very slow path? Config::connect_timeout")
            }
        }
    }
}

/// Formats a duration in seconds.
fn format_seconds(time: Duration) -> String {
    let tenths = (time.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

impl FailureContext<'_> {
    pub(crate) fn explain_limit(&self, full: LimitHit) -> Explanation {
        match full {
            LimitHit::Peers(LimitScope::All) => {
                Explanation::new(format!("the server is full: {} peers", self.config.max_peers))
                    .with_hint("raise Config::max_peers")
            }
            LimitHit::Peers(scope) => {
                let peers = scope.max_peers(self.config);
                Explanation::new(format!("{peers} peers have this address already")).with_hint(
                    match scope {
                        LimitScope::PrivateIp => trusted_proxies_hint("max_peers_per_private_ip"),
                        _ => "raise Config::max_peers_per_ip".to_owned(),
                    },
                )
            }
            LimitHit::Handshakes(scope) => {
                Explanation::new(self.other_handshakes(scope)).with_hint(max_handshakes_hint(scope))
            }
            LimitHit::Evicted(scope) => Explanation::new(format!(
                "gave way to a newer one: {}",
                self.other_handshakes(scope)
            ))
            .with_hint(max_handshakes_hint(scope)),
            LimitHit::PreOpen => Explanation::new("too many messages before the answer").with_hint(
                "wait for the open channel, or raise Config::max_preopen_bytes or max_preopen_messages",
            ),
        }
    }

    pub(crate) fn explain_hook_error(&self, none: HookError) -> Explanation {
        match none {
            HookError::QueueFull => {
                let queue = self.config.accept_queue_len;
                Explanation::new(format!("{queue} others wait for a verdict of Config::accept"))
                    .with_hint("is what it asks slow? Config::accept_threads, accept_queue_len")
            }
            HookError::TimedOut => {
                let time = format_seconds(self.config.upgrade_timeout);
                Explanation::new(format!("no verdict of Config::accept within {time}"))
                    .with_hint("is what it asks slow? Config::accept_threads, upgrade_timeout")
            }
            HookError::Panicked => Explanation::new("Config::accept panicked")
                .with_hint("the panic's message says where; refuse with Decision::reject instead"),
        }
    }

    fn other_handshakes(&self, scope: LimitScope) -> String {
        let half_open = self.config.max_handshakes;
        match scope {
            LimitScope::All => format!("{half_open} others are on their way to open"),
            _ => format!("{half_open} others are on their way to open, most from this address"),
        }
    }
}

/// Explains a request that is not a valid websocket request.
pub(crate) fn explain_bad_request(why: &BadRequest) -> Explanation {
    match why {
        BadRequest::Tls => Explanation::new("a TLS hello (https or wss) on a port without TLS")
            .with_hint("use ws://, or put a TLS proxy in front and connect to that"),
        BadRequest::Upgrade => {
            Explanation::new("a websocket's request without Upgrade or Connection: Upgrade")
                .with_hint("a proxy must pass Upgrade and Connection headers on")
        }
        BadRequest::WebSocketVersion => {
            Explanation::new("a websocket's request without its version, 13")
                .with_hint("a proxy must pass the Sec-WebSocket headers on")
        }
        BadRequest::HttpVersion => Explanation::new("HTTP/1.0, which has no websockets")
            .with_hint("a proxy must speak HTTP/1.1 (nginx: proxy_http_version 1.1)"),
        BadRequest::Http2 => Explanation::new("HTTP/2 without TLS on a port for HTTP/1.1")
            .with_hint(
                "let the proxy speak HTTP/1.1 to this port (Envoy: without http2_protocol_options)",
            ),
        BadRequest::ProxyProtocol { version } => Explanation::new(format!(
            "a PROXY protocol header, version {version}, before the request"
        ))
        .with_hint(
            "switch it off in the proxy (HAProxy: without send-proxy, nginx: proxy_protocol off), \
             or set Config::trusted_proxies and proxy_protocol",
        ),
        BadRequest::MissingKey => Explanation::new("an upgrade without Sec-WebSocket-Key")
            .with_hint(
                "a proxy that takes websockets over HTTP/2 (RFC 8441) must add one, or offer its \
             clients HTTP/1.1 only",
            ),
        BadRequest::HeadTooLarge { limit, cookie_bytes: 0 } => {
            Explanation::new(format!("the head is over Config::max_request_head_size ({limit})"))
                .with_hint("raise Config::max_request_head_size")
        }
        BadRequest::HeadTooLarge { limit, cookie_bytes: cookies } => Explanation::new(format!(
            "the head is over Config::max_request_head_size ({limit}), {cookies} bytes of it cookies: clear \
             the site's cookies"
        ))
        .with_hint("or raise Config::max_request_head_size: cookies of a host go to all of its ports"),
        BadRequest::TooManyHeaders { limit } => Explanation::new(format!(
            "the head has over {limit} header lines (Config::max_request_headers)"
        ))
        .with_hint("do proxies add many? Config::max_request_headers can be 124 at most"),
        other => Explanation::new(other.to_string()),
    }
}

/// Explains an origin that is not in the list.
pub(crate) fn explain_bad_origin(bad: &BadOrigin) -> Explanation {
    match bad {
        BadOrigin::Missing => Explanation::new("no Origin header")
            .with_hint("a program? Config::allow_missing_origin lets those in"),
        BadOrigin::Multiple => Explanation::new("several Origin headers"),
        BadOrigin::NotAllowed(origin) => {
            let words = Explanation::new(format!("the origin {origin} is not allowed"));
            match origin.as_str() {
                "null" => {
                    words.with_hint("a page from a file, or in a sandbox? Serve it over http")
                }
                _ => words.with_hint("if it is a page of yours, add it to Config::allowed_origins"),
            }
        }
    }
}

/// Hint on raising the limits of pending connections.
fn max_handshakes_hint(scope: LimitScope) -> String {
    match scope {
        LimitScope::All | LimitScope::Ip => "raise Config::max_handshakes".to_owned(),
        LimitScope::PrivateIp => trusted_proxies_hint("max_handshakes"),
    }
}

/// Hint for a local address with too many connections, which may be a proxy's.
fn trusted_proxies_hint(what: &str) -> String {
    format!(
        "do they come through a proxy? Then set Config::trusted_proxies; or raise Config::{what}"
    )
}

#[cfg(test)]
mod tests {
    use net_rtc::{CloseReason as Rtc, WebRtcStage as Reached};
    use net_ws::{BadRequest, CloseReason as Ws};

    use super::*;
    use crate::admission::HookError;
    use crate::hub::close_cause::LimitScope;
    use crate::hub::origin::BadOrigin;

    const SECOND: Duration = Duration::from_secs(1);

    /// The explanation for a client from 198.51.100.7 that ends `age` after it connected.
    fn said(
        age: Duration,
        evidence: Option<HandshakeProgress>,
        ending: impl Into<CloseCause>,
    ) -> (HandshakeStage, String, String) {
        said_at(age, evidence.map_or(ConnectProgress::Connected, ConnectProgress::Offered), ending)
    }

    fn said_at(
        age: Duration,
        came: ConnectProgress,
        ending: impl Into<CloseCause>,
    ) -> (HandshakeStage, String, String) {
        let config = Config::default();
        let reach = UdpAddrs::new(vec!["203.0.113.5:3000".parse().unwrap()], vec![]);
        let remote = "198.51.100.7".parse().unwrap();
        let offered = reach.candidates(remote, None, config.max_candidates);
        let case = FailureContext {
            config: &config,
            udp_addrs: &reach,
            remote,
            offered_addrs: &offered,
            age,
            progress: came,
        };
        let ending = ending.into();
        let (stage, Explanation { cause, hint: setting }) =
            (case.stage(&ending), case.explain(&ending));
        let told = format!("{stage}: {cause}");
        assert!(told.len() <= 123, "{} bytes do not fit a close frame: {told}", told.len());
        (stage, cause, setting.unwrap_or_default())
    }

    /// The same for an answered connection that timed out.
    fn stuck(evidence: HandshakeProgress) -> (HandshakeStage, String, String) {
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
    fn assert_says(
        said: (HandshakeStage, String, String),
        stage: HandshakeStage,
        cause: &str,
        setting: &str,
    ) {
        assert_eq!((said.0, said.1.as_str()), (stage, cause));
        assert!(said.2.contains(setting), "{}", said.2);
        assert_eq!(said.2.is_empty(), setting.is_empty(), "{}", said.2);
    }

    #[test]
    fn no_check_came() {
        let said = stuck(HandshakeProgress::new(Reached::Ice));
        assert_says(said, HandshakeStage::Ice, "no check reached UDP 3000", "firewall");
    }

    #[test]
    fn checks_came_and_nothing_after_our_answers() {
        let cause =
            "checks from 198.51.100.9 reached UDP 3000, nothing came back after our answers";
        let setting = "is outbound UDP from port 3000 open?";
        assert_says(stuck(checked(Reached::Ice)), HandshakeStage::Ice, cause, setting);
        assert_says(stuck(checked(Reached::Dtls)), HandshakeStage::Dtls, cause, setting);
    }

    #[test]
    fn only_checks_with_a_wrong_password_came() {
        let evidence =
            HandshakeProgress { bad_integrity: 3, ..HandshakeProgress::new(Reached::Ice) };
        let cause = "checks reached UDP 3000, with a wrong password only";
        assert_says(stuck(evidence), HandshakeStage::Ice, cause, "this very offer");
    }

    #[test]
    fn dtls_and_the_channel_did_not_end() {
        let dtls = HandshakeProgress { dtls_datagrams: 4, ..checked(Reached::Dtls) };
        let cause = "the DTLS handshake began and did not end";
        assert_says(stuck(dtls), HandshakeStage::Dtls, cause, "1,200 bytes");
        let up = HandshakeProgress { stage: Reached::Channel, ..dtls };
        let cause = "DTLS is up, and no SCTP packet came";
        assert_says(stuck(up), HandshakeStage::Channel, cause, "HandshakeOptions::COMPATIBLE");
        let cause = "the channel was not open within 15 s";
        let late = HandshakeProgress { sctp_received: true, ..up };
        assert_says(stuck(late), HandshakeStage::Channel, cause, "Config::connect_timeout");
    }

    #[test]
    fn a_client_that_does_not_control_ice_is_told_so() {
        let evidence = HandshakeProgress { is_peer_controlled: true, ..checked(Reached::Ice) };
        let cause = "the client's checks are in the controlled role, as this server is";
        assert_says(stuck(evidence), HandshakeStage::Ice, cause, "must control");
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
        assert_says(heard, HandshakeStage::Dtls, cause, "ECDSA and P-256");
    }

    #[test]
    fn what_failed_says_itself_why() {
        let failed = |cause: &str| Rtc::Failed(Reached::Dtls, cause.into());
        let evidence = HandshakeProgress { dtls_datagrams: 4, ..checked(Reached::Dtls) };
        let heard = said(SECOND, Some(evidence), failed("certificate mismatch"));
        assert_says(
            heard,
            HandshakeStage::Dtls,
            "certificate mismatch",
            "HandshakeOptions::COMPATIBLE",
        );
        let cause =
            "checks from 198.51.100.9 reached UDP 3000, nothing came back after our answers";
        let unheard = said(SECOND, Some(checked(Reached::Dtls)), failed("timeout"));
        assert_says(unheard, HandshakeStage::Dtls, cause, "outbound UDP");
    }

    #[test]
    fn a_bad_answer_and_none() {
        let failed = Rtc::Failed(Reached::Answer, "no a=fingerprint: line".into());
        let evidence = Some(HandshakeProgress::new(Reached::Answer));
        let bad = said(SECOND, evidence, failed);
        assert_says(bad, HandshakeStage::Answer, "no a=fingerprint: line", "unchanged");
        let none = said(10 * SECOND, evidence, net_signal::Error::AnswerTimeout);
        let cause = "no answer to the offer within 10 s";
        assert_says(none, HandshakeStage::Answer, cause, "net.js does; Config::answer_timeout");
        assert!(ANSWER_HINT.ends_with("Config::handshake = HandshakeOptions::COMPATIBLE"));
        let words = net_signal::Error::UnexpectedOffer;
        assert_says(
            said(SECOND, evidence, words.clone()),
            HandshakeStage::Answer,
            &words.to_string(),
            "",
        );
        let words = net_signal::Error::TooManyMessages { limit: 8 };
        let many = said(SECOND, evidence, words.clone());
        assert_says(
            many,
            HandshakeStage::Answer,
            &words.to_string(),
            "Config::max_signal_messages",
        );
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
                "the head is over Config::max_request_head_size (32768), 1000000 bytes of it cookies: clear \
                 the site's cookies",
                "Config::max_request_head_size",
            ),
            (
                BadRequest::HeadTooLarge { limit: 32_768, cookie_bytes: 0 },
                "the head is over Config::max_request_head_size (32768)",
                "Config::max_request_head_size",
            ),
            (
                BadRequest::TooManyHeaders { limit: 124 },
                "the head has over 124 header lines (Config::max_request_headers)",
                "proxies",
            ),
        ];
        for (why, cause, setting) in cases {
            let said = said(SECOND, None, Ws::BadRequest(why));
            assert_says(said, HandshakeStage::Upgrade, cause, setting);
        }
        let cause = "no PROXY protocol header from a trusted proxy";
        let said_of = said(SECOND, None, CloseCause::ProxyHeader);
        assert_says(said_of, HandshakeStage::Upgrade, cause, "Config::proxy_protocol");
        let late = said(5 * SECOND, None, Ws::UpgradeTimeout);
        let cause = "no whole websocket request within 5 s";
        assert_says(late, HandshakeStage::Upgrade, cause, "Config::upgrade_timeout");
    }

    #[test]
    fn an_origin_that_is_not_in_the_list() {
        let cases = [
            (BadOrigin::Missing, "no Origin header", "Config::allow_missing_origin"),
            (BadOrigin::Multiple, "several Origin headers", ""),
            (BadOrigin::NotAllowed("null".into()), "the origin null is not allowed", "over http"),
            (
                BadOrigin::NotAllowed("http://a".into()),
                "the origin http://a is not allowed",
                "origins",
            ),
        ];
        for (bad, cause, setting) in cases {
            assert_says(said(SECOND, None, bad), HandshakeStage::Accept, cause, setting);
        }
        said(SECOND, None, BadOrigin::NotAllowed("x".repeat(64)));
    }

    #[test]
    fn what_is_full_names_its_bound() {
        let peers = said(
            SECOND,
            Some(HandshakeProgress::new(Reached::Answer)),
            LimitHit::Peers(LimitScope::All),
        );
        assert_says(
            peers,
            HandshakeStage::Accept,
            "the server is full: 1024 peers",
            "Config::max_peers",
        );
        let peers = said(SECOND, None, LimitHit::Peers(LimitScope::Ip));
        let cause = "64 peers have this address already";
        assert_says(peers, HandshakeStage::Accept, cause, "Config::max_peers_per_ip");
        let half = said(Duration::ZERO, None, LimitHit::Handshakes(LimitScope::All));
        let cause = "1024 others are on their way to open";
        assert_says(half, HandshakeStage::Accept, cause, "Config::max_handshakes");
        let half = said(SECOND, None, LimitHit::Evicted(LimitScope::PrivateIp));
        let cause = "gave way to a newer one: \
            1024 others are on their way to open, most from this address";
        assert_says(half, HandshakeStage::Accept, cause, "Config::trusted_proxies");
        let early = said(SECOND, Some(HandshakeProgress::new(Reached::Answer)), LimitHit::PreOpen);
        let cause = "too many messages before the answer";
        assert_says(early, HandshakeStage::Answer, cause, "Config::max_preopen_bytes");
    }

    #[test]
    fn who_leaves_soon_is_asked_nothing_and_who_waited_was_stuck() {
        let left = |age, stage| said(age, Some(HandshakeProgress::new(stage)), Ws::Eof);
        let soon = left(SECOND / 3, Reached::Ice);
        let cause = "the client left after 0.3 s: no check reached UDP 3000";
        assert_says(soon, HandshakeStage::Ice, cause, "");
        let late = left(15 * SECOND, Reached::Ice);
        let cause = "the client left after 15 s: no check reached UDP 3000";
        assert_says(late, HandshakeStage::Ice, cause, "firewall");
        let unanswered = left(9 * SECOND, Reached::Answer);
        let cause = "the client left after 9 s: no answer to the offer";
        assert_says(unanswered, HandshakeStage::Answer, cause, "HandshakeOptions::COMPATIBLE");
        let before = said(SECOND, None, Ws::Eof);
        assert_says(
            before,
            HandshakeStage::Upgrade,
            "the client left before its request was whole",
            "",
        );
    }

    #[test]
    fn what_becomes_of_a_question() {
        let asked = |ending: CloseCause| said_at(SECOND, ConnectProgress::AwaitingDecision, ending);
        let unwanted = CloseCause::Rejected { status: 403, reason: "no ticket".into() };
        assert_says(asked(unwanted), HandshakeStage::Accept, "no ticket", "");
        let cause = "no verdict of Config::accept within 5 s";
        assert_says(
            asked(HookError::TimedOut.into()),
            HandshakeStage::Accept,
            cause,
            "accept_threads",
        );
        let cause = "256 others wait for a verdict of Config::accept";
        assert_says(
            asked(HookError::QueueFull.into()),
            HandshakeStage::Accept,
            cause,
            "accept_queue_len",
        );
        let cause = "Config::accept panicked";
        assert_says(
            asked(HookError::Panicked.into()),
            HandshakeStage::Accept,
            cause,
            "Decision::reject",
        );
        let cause = "the client left after 1 s: no verdict of Config::accept";
        assert_says(asked(Ws::Eof.into()), HandshakeStage::Accept, cause, "");
        assert_says(
            asked(CloseReason::Shutdown.into()),
            HandshakeStage::Accept,
            "the server stopped",
            "",
        );
    }

    #[test]
    fn a_server_that_stops_says_so() {
        let said = said(SECOND, None, CloseReason::Shutdown);
        assert_says(said, HandshakeStage::Upgrade, "the server stopped", "");
    }
}
