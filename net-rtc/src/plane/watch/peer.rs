//! The other end of an association.

use crate::plane::packet::Init;

/// What the peer says of itself.
///
/// ```text
///   Unknown --INIT--> Proposed --COOKIE ECHO--> Settled
///      '--------------- INIT ACK -----------------^
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) enum Peer {
    Unknown,
    /// Another INIT may still say something else.
    Proposed(Init),
    /// For good. A browser that begins the association too, or repeats what seemed lost, may
    /// say more; the library would close the association for that (RFC 9260 §5.2.2 would not).
    Settled(Init),
}

impl Peer {
    pub(super) fn init(self) -> Option<Init> {
        match self {
            Peer::Unknown => None,
            Peer::Proposed(init) | Peer::Settled(init) => Some(init),
        }
    }

    pub(super) fn settled(self) -> Peer {
        self.init().map_or(Peer::Unknown, Peer::Settled)
    }
}
