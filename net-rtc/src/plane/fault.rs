//! Why a peer must end.

/// Why the plane ends a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer did what no honest one does.
    Offence(&'static str),
    /// The peer ends the association, in order or at once (RFC 9260 §9).
    Shutdown,
    /// DTLS did not take a packet.
    Dtls(String),
    /// The peer refused our DTLS, or has nothing that ours takes, and it is its certificate.
    Certificate(String),
}
