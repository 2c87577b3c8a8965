//! What goes through the door: inputs, outputs, events and why a peer ended.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

/// What the caller hands to [`Endpoint::handle_input`](crate::Endpoint::handle_input).
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A datagram that a socket received.
    Datagram {
        /// Who sent it.
        source: SocketAddr,
        /// The address of [`Config::local`](crate::Config::local) at which it arrived.
        destination: SocketAddr,
        /// Its payload.
        contents: &'a [u8],
    },
    /// The time of the last [`Output::Timeout`] has come. Earlier or later is harmless.
    Timeout,
}

/// What [`Endpoint::poll_output`](crate::Endpoint::poll_output) gives.
#[derive(Debug)]
pub enum Output<K> {
    /// Send this datagram.
    Transmit(Transmit),
    /// Something happened to the peer with this key.
    Event(K, Event),
    /// Nothing more for now; call `handle_input` with [`Input::Timeout`] at this time, if any.
    Timeout(Option<Instant>),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The local address to send from.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// The payload.
    pub contents: Vec<u8>,
}

/// What happens to a peer: `Open` at most once, then `Received` any number of times, and
/// `Closed` exactly once, also for a peer that never opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel is open: a message sent now can arrive.
    Open,
    /// A message arrived.
    Received(Bytes),
    /// The peer is gone and its key is free.
    Closed(CloseReason),
}

/// Why a peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the channel or the connection.
    Remote,
    /// [`Endpoint::close`](crate::Endpoint::close) was called.
    Local,
    /// Nothing was heard from the other side for too long.
    IdleTimeout,
    /// This stage was not passed in time.
    HandshakeTimeout(WebRtcStage),
    /// This stage failed, with the cause in words.
    Failed(WebRtcStage, String),
    /// The other side asked for more than it may have.
    Limit(&'static str),
    /// The machine of this peer has panicked: a fault of this library, which hurts nobody else.
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

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebRtcStage {
    /// The session description of the other side.
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

/// How far a peer came, and what was heard of it on the way: enough to say why it did not open.
/// See [`Endpoint::evidence`](crate::Endpoint::evidence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeProgress {
    /// The stage that it is at, or that it ended at.
    pub stage: WebRtcStage,
    /// Connectivity checks that came with the right password (RFC 8445 §7.3).
    pub stun_checks: u32,
    /// Where the last of them came from.
    pub last_check_from: Option<SocketAddr>,
    /// Connectivity checks for this peer with a wrong password. Anyone can send such.
    pub bad_integrity: u32,
    /// Datagrams with DTLS records (RFC 9147), from an address that a check has proved.
    pub dtls_datagrams: u32,
    /// Whether the last check said that its sender is in the controlled role (RFC 8445 §7.1.1).
    /// So is an ICE-lite offerer, and then no side nominates a path.
    pub is_peer_controlled: bool,
    /// Whether DTLS ended over the peer's certificate: both sides' must be ECDSA.
    pub unsupported_certificate: bool,
    /// Whether DTLS has decrypted an SCTP packet (RFC 8261).
    pub sctp_received: bool,
}

impl HandshakeProgress {
    /// At a stage, with nothing heard.
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

    /// Counts a datagram that reached the peer. The first byte tells which kind it is
    /// (RFC 7983 §7).
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

    /// Counts a check whose password is wrong.
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

/// How one message is sent. The default is what [`Endpoint::send`](crate::Endpoint::send) does:
/// no key, and repaired as [`Config::repair`](crate::Config::repair) says.
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
    /// A newer message with the same key takes the place of an older one that has not left.
    /// Default `None`: nothing takes its place.
    pub key: Option<u64>,

    /// Whether the message rides again in later packets, in case it was lost. Default `None`:
    /// with a key it does not, because a newer message makes good for it; without one
    /// [`Config::repair`](crate::Config::repair) decides.
    pub repair: Option<bool>,
}

impl SendOptions {
    /// A message of which only the newest matters, among those with the same key.
    #[must_use]
    pub const fn latest(key: u64) -> SendOptions {
        SendOptions { key: Some(key), repair: None }
    }

    /// The same with this said about repair, whatever the key and the configuration say: `true`
    /// for what happens once, as events and inputs, `false` for what is soon out of date.
    #[must_use = "it gives the changed options, and leaves these as they are"]
    pub const fn repair(self, repair: bool) -> SendOptions {
        SendOptions { repair: Some(repair), ..self }
    }

    /// What the plane is told; `None` leaves it to the configuration.
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

    /// What a server has heard of a client that did not open, if the network loses this.
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
