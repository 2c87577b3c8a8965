//! What makes a connection open sooner, each to be switched off on its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What saves round trips and waiting while a peer connects. All of it is on by default, and
/// all of it is in the open: a peer that does not know of something connects without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connecting {
    /// Whether the first connectivity check counts as a nomination (RFC 8445 §8.1.1), which
    /// Chromium sends up to a second later. Only for checks that come from
    /// [`OfferOptions::remote`], because we send there. Default true.
    pub self_nomination: bool,

    /// Which versions of DTLS are spoken. Default: 1.3 with all that know it. In both, both sides'
    /// certificates are ECDSA, as those of browsers are; a peer whose own is RSA is refused.
    pub dtls: DtlsVersions,

    /// Who begins DTLS. Default: we do, which saves waiting for the other side to.
    pub setup: Setup,

    /// Whether the offer carries the SCTP handshake (`a=sctp-init`,
    /// draft-hancke-tsvwg-snap), so that two that know it save its two round trips. Default
    /// true.
    pub snap: bool,

    /// Whether a client may say in its answer that it opens the channel itself, as stream 0,
    /// without the handshake of RFC 8832. Default true.
    pub negotiated: bool,

    /// Whether connectivity checks that overtake the answer are served when it comes. Off, they
    /// are served a timer later. Default true.
    pub early_checks: bool,

    /// After how long the first packet of a handshake, DTLS or SCTP, is sent again if nothing
    /// comes back; doubles each time. Default 275 ms. `None`: 1 s for DTLS, 3 s for SCTP.
    pub resend: Option<Duration>,

    /// Whether all peers share one DTLS configuration. Off, each makes its own, which takes a
    /// millisecond. Default true.
    pub shared_dtls: bool,
}

/// Which versions of DTLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsVersions {
    /// DTLS 1.3 (RFC 9147), which saves a round trip, or 1.2, as the other side can.
    #[default]
    Auto,
    /// DTLS 1.2 alone (RFC 6347).
    Only12,
}

/// Who begins DTLS (RFC 8842 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setup {
    /// We do: `a=setup:active`.
    #[default]
    Active,
    /// The other side may choose, and browsers choose to begin: `a=setup:actpass`, the one
    /// form that RFC 8842 §5.2 knows for an offer.
    ActPass,
}

impl Connecting {
    /// The form for a peer that did not get through DTLS: nothing that a strict
    /// implementation, or a box between, could take amiss. What is lost is still resent soon.
    pub const COMPATIBLE: Connecting = Connecting {
        self_nomination: false,
        dtls: DtlsVersions::Only12,
        setup: Setup::ActPass,
        snap: false,
        ..Connecting::ALL
    };

    /// Nothing at all, as str0m does it alone.
    pub const STOCK: Connecting = Connecting {
        self_nomination: false,
        dtls: DtlsVersions::Only12,
        setup: Setup::ActPass,
        snap: false,
        negotiated: false,
        early_checks: false,
        resend: None,
        shared_dtls: false,
    };

    const ALL: Connecting = Connecting {
        self_nomination: true,
        dtls: DtlsVersions::Auto,
        setup: Setup::Active,
        snap: true,
        negotiated: true,
        early_checks: true,
        resend: Some(Duration::from_millis(275)),
        shared_dtls: true,
    };
}

impl Default for Connecting {
    fn default() -> Connecting {
        Connecting::ALL
    }
}

/// What an offer is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferOptions {
    /// The address that the other side has proved to be its own, for example by the TCP
    /// connection that the offer travels over. Default `None`: none, so that the path must be
    /// nominated by the other side.
    pub remote: Option<IpAddr>,

    /// The addresses that this offer names as host candidates, most wanted first. Empty, the
    /// default, means those of [`Config::announce`](crate::Config::announce).
    pub candidates: Vec<SocketAddr>,

    /// How to connect, if not as [`Config::connecting`](crate::Config::connecting) says; of it
    /// `resend` and `shared_dtls` are those of the endpoint anyway. Default `None`.
    pub connecting: Option<Connecting>,
}
