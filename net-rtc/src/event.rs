//! Inputs, outputs and events of an endpoint, and close reasons.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

/// Input of [`Endpoint::handle_input`](crate::Endpoint::handle_input).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram that a socket received.
    Datagram {
        /// Remote address.
        source: SocketAddr,
        /// Local address at which it arrived, one of
        /// [`Config::local_addrs`](crate::Config::local_addrs).
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// The time of the last [`Output::Timeout`] is reached. An early or late call is harmless.
    Timeout,
}

/// Output of [`Endpoint::poll_output`](crate::Endpoint::poll_output).
#[derive(Debug)]
pub enum Output<K> {
    /// Send this datagram.
    Transmit(Transmit),
    /// An event of the peer with this key.
    Event(K, Event),
    /// No more output; call `handle_input` with [`Input::Timeout`] at this time, if any.
    Timeout(Option<Instant>),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Local address.
    pub source: SocketAddr,
    /// Remote address.
    pub destination: SocketAddr,
    /// The payload.
    pub contents: Vec<u8>,
}

/// Event of a peer: `Open` at most once, then `Received` any number of times, and `Closed` exactly
/// once, also for a peer that never opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel is open: a message sent now can arrive.
    Open,
    /// A message arrived.
    Received(Bytes),
    /// The peer is closed and its key is free.
    Closed(CloseReason),
}

/// Reason why a peer was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the channel or the connection.
    Remote,
    /// [`Endpoint::close`](crate::Endpoint::close) was called.
    Local,
    /// No datagram of the other side was decrypted for
    /// [`Config::idle_timeout`](crate::Config::idle_timeout).
    IdleTimeout,
    /// The handshake timed out at this stage.
    HandshakeTimeout(WebRtcStage),
    /// The connection failed at this stage, with this error message.
    Failed(WebRtcStage, String),
    /// The other side exceeded this limit.
    Limit(&'static str),
    /// The state machine of this peer panicked: a bug in this library. Other peers are not
    /// affected.
    Panicked,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Remote => f.write_str("closed by the peer"),
            CloseReason::Local => f.write_str("closed by us"),
            CloseReason::IdleTimeout => f.write_str("nothing heard any more"),
            CloseReason::HandshakeTimeout(stage) => write!(f, "{stage} took too long"),
            CloseReason::Failed(stage, cause) => write!(f, "{stage} failed: {cause}"),
            CloseReason::Limit(what) => write!(f, "limit: {what}"),
            CloseReason::Panicked => f.write_str("a fault of this side"),
        }
    }
}

/// How far a connection is: ICE, DTLS, SCTP or the data channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebRtcStage {
    /// The session description of the other side is awaited.
    Answer,
    /// Connectivity checks (RFC 8445).
    Ice,
    /// The DTLS handshake (RFC 6347).
    Dtls,
    /// The SCTP association and its data channel (RFC 8831, RFC 8832).
    Channel,
    /// The channel is open.
    Open,
}

impl fmt::Display for WebRtcStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WebRtcStage::Answer => "answer",
            WebRtcStage::Ice => "ice",
            WebRtcStage::Dtls => "dtls",
            WebRtcStage::Channel => "channel",
            WebRtcStage::Open => "open",
        })
    }
}

/// Progress of a peer's handshake and the counts of what it received: enough to diagnose a peer
/// that did not open. See [`Endpoint::handshake_progress`](crate::Endpoint::handshake_progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeProgress {
    /// Current stage, or the stage at which the peer was closed.
    pub stage: WebRtcStage,
    /// Connectivity checks with the right password (RFC 8445 §7.3).
    pub stun_checks: u32,
    /// Source of the last of these.
    pub last_check_from: Option<SocketAddr>,
    /// Connectivity checks for this peer with a wrong password. Anyone can send these.
    pub bad_integrity: u32,
    /// Datagrams with DTLS records (RFC 9147) from an address that has sent a valid check.
    pub dtls_datagrams: u32,
    /// Whether the sender of the last check is in the controlled role (RFC 8445 §7.1.1), as an
    /// ICE-lite offerer is; then neither side nominates a path.
    pub is_peer_controlled: bool,
    /// Whether DTLS failed because of the peer's certificate: both must be ECDSA.
    pub unsupported_certificate: bool,
    /// Whether DTLS has decrypted an SCTP packet (RFC 8261).
    pub sctp_received: bool,
}

impl HandshakeProgress {
    /// Progress at this stage with all counts 0.
    pub fn new(stage: WebRtcStage) -> HandshakeProgress {
        HandshakeProgress {
            stage,
            stun_checks: 0,
            last_check_from: None,
            bad_integrity: 0,
            dtls_datagrams: 0,
            is_peer_controlled: false,
            unsupported_certificate: false,
            sctp_received: false,
        }
    }

    /// Counts a datagram of the peer. The first byte distinguishes STUN and DTLS (RFC 7983 §7).
    pub(crate) fn on_datagram(&mut self, source: SocketAddr, datagram: &[u8]) {
        match datagram.first() {
            Some(0) => {
                self.stun_checks = self.stun_checks.saturating_add(1);
                self.last_check_from = Some(source);
                self.is_peer_controlled = has_ice_controlled(datagram);
            }
            Some(20..=63) => self.dtls_datagrams = self.dtls_datagrams.saturating_add(1),
            _ => {}
        }
    }

    /// Counts a check with a wrong password.
    pub(crate) fn on_bad_integrity(&mut self) {
        self.bad_integrity = self.bad_integrity.saturating_add(1);
    }
}

/// Whether a check has the attribute ICE-CONTROLLED (RFC 8445 §16.1).
fn has_ice_controlled(check: &[u8]) -> bool {
    const HEADER: usize = 20;
    const ICE_CONTROLLED: [u8; 2] = [0x80, 0x29];
    let mut rest = check.get(HEADER..).unwrap_or_default();
    while let [high, low, length @ ..] = rest
        && let Some(length) = length.first_chunk().map(|length| u16::from_be_bytes(*length))
    {
        if [*high, *low] == ICE_CONTROLLED {
            return true;
        }
        let size = 4 + usize::from(length).next_multiple_of(4);
        rest = rest.get(size..).unwrap_or_default();
    }
    false
}

/// Options of one message. The default is that of [`Endpoint::send`](crate::Endpoint::send): no
/// key, and redundancy as in [`Config::repair`](crate::Config::repair).
///
/// ```
/// use net_rtc::SendOptions;
///
/// let snapshot = SendOptions::latest(7);                // the newest state of entity 7
/// let input = SendOptions::default().repair(true);      // something that happens once
/// assert_eq!((snapshot.key, input.repair), (Some(7), Some(true)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SendOptions {
    /// Key by which a newer message supersedes an older one that is still queued. Default `None`:
    /// never superseded.
    pub key: Option<u64>,

    /// Whether redundant copies of the message are sent in later packets, in case of loss. Default
    /// `None`: not with a key, because a newer message follows anyway; without one
    /// [`Config::repair`](crate::Config::repair) decides.
    pub repair: Option<bool>,
}

impl SendOptions {
    /// Options for a message of which only the newest with this key matters.
    #[must_use]
    pub const fn latest(key: u64) -> SendOptions {
        SendOptions { key: Some(key), repair: None }
    }

    /// Sets redundancy for this message, whatever the key and the configuration are: `true` for
    /// messages that are sent once, like events and inputs, `false` for those that are soon out of
    /// date.
    #[must_use = "it gives the changed options, and leaves these as they are"]
    pub const fn repair(self, repair: bool) -> SendOptions {
        SendOptions { repair: Some(repair), ..self }
    }

    /// Redundancy of this message; `None` leaves it to the configuration.
    pub(crate) fn repair_override(self) -> Option<bool> {
        self.repair.or(self.key.map(|_| false))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::data_channel::{CLIENT, LossFn, Pair};
    use crate::{CloseReason, Event};

    /// The server's progress with a client that did not open, with these datagrams lost.
    fn heard(loss: LossFn) -> HandshakeProgress {
        let mut pair = Pair::new();
        pair.loss = loss;
        let mut pair = pair.signal();
        pair.run(Duration::from_secs(60));
        let evidence = pair.server.endpoint.handshake_progress(&1).expect("the last that ended");
        let closed = Event::Closed(CloseReason::HandshakeTimeout(evidence.stage));
        assert_eq!(pair.server.events, [closed]);
        evidence
    }

    #[test]
    fn nothing_is_heard_where_nothing_arrives() {
        assert_eq!(heard(|_, _| true), HandshakeProgress::new(WebRtcStage::Ice));
    }

    #[test]
    fn checks_alone_are_heard_where_nothing_comes_back() {
        let heard = heard(|_, datagram| datagram[0] != 0);
        assert!(heard.stun_checks > 3, "{heard:?}");
        assert_eq!(heard.last_check_from.map(|from| from.to_string()).as_deref(), Some(CLIENT));
        assert_eq!((heard.dtls_datagrams, heard.sctp_received), (0, false));
    }

    #[test]
    fn the_role_is_what_the_last_check_says() {
        let check = |controlling| {
            let (id, mut bytes) = (str0m::ice::TransId::new(), vec![0; 500]);
            let check =
                str0m::ice::StunMessage::binding_request("a:b", id, controlling, 1, 2, false);
            let password = Some(&b"password"[..]);
            let length = check.to_bytes(password, &mut bytes, crate::dtls::sha1_hmac).unwrap();
            bytes[..length].to_vec()
        };
        let source = SocketAddr::from(([192, 0, 2, 7], 1));
        let mut evidence = HandshakeProgress::new(WebRtcStage::Ice);
        for controlling in [false, true, false] {
            evidence.on_datagram(source, &check(controlling));
            assert_eq!(evidence.is_peer_controlled, !controlling);
            for length in 0..check(controlling).len() {
                has_ice_controlled(&check(controlling)[..length]);
            }
        }
    }

    #[test]
    fn of_an_open_peer_everything_is_heard() {
        let pair = Pair::open();
        let heard = pair.server.endpoint.handshake_progress(&1).expect("it is here");
        assert_eq!((heard.stage, heard.sctp_received), (WebRtcStage::Open, true));
        assert!(heard.stun_checks > 0 && heard.dtls_datagrams > 0, "{heard:?}");
        assert_eq!(pair.server.endpoint.handshake_progress(&2), None);
    }

    #[test]
    fn each_kind_of_datagram_is_counted_as_what_it_is() {
        let [first, second] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, 7], port)));
        let mut evidence = HandshakeProgress::new(WebRtcStage::Ice);
        for (source, byte) in
            [(first, 0), (second, 0), (first, 1), (first, 22), (first, 63), (first, 128)]
        {
            evidence.on_datagram(source, &[byte, 9]);
        }
        evidence.on_datagram(first, &[]);
        evidence.on_bad_integrity();
        let expected = HandshakeProgress {
            stun_checks: 2,
            last_check_from: Some(second),
            bad_integrity: 1,
            dtls_datagrams: 2,
            ..HandshakeProgress::new(WebRtcStage::Ice)
        };
        assert_eq!(evidence, expected);
    }
}

#[cfg(test)]
mod options_tests {
    use super::*;

    #[test]
    fn a_key_asks_for_no_repair_unless_told() {
        let wanted = SendOptions::repair_override;
        assert_eq!(wanted(SendOptions::default()), None);
        assert_eq!(wanted(SendOptions::latest(1)), Some(false));
        assert_eq!(wanted(SendOptions::latest(1).repair(true)), Some(true));
        assert_eq!(wanted(SendOptions::default().repair(false)), Some(false));
    }
}
