//! What becomes of a packet between SCTP and DTLS.

use super::packet::{Builder, Chunk, Header, chunks};

/// What becomes of a packet on its way between SCTP and DTLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes on as it is.
    Pass,
    /// This goes on instead.
    Replace(Vec<u8>),
    /// Nothing goes on.
    Swallow,
}

impl Passage {
    /// What was written goes on, and an empty packet does not.
    pub(super) fn of(builder: Builder) -> Passage {
        if builder.is_empty() { Passage::Swallow } else { Passage::Replace(builder.finish()) }
    }

    /// A packet goes on with each of its chunks written anew.
    pub(super) fn rewrite(
        packet: &[u8],
        mut write: impl FnMut(&mut Builder, &Chunk<'_>),
    ) -> Passage {
        let Some(header) = Header::parse(packet) else { return Passage::Pass };
        let mut builder = Builder::new(header);
        chunks(packet).for_each(|chunk| write(&mut builder, &chunk));
        Passage::of(builder)
    }

    /// What goes on of this packet has another place to pass.
    pub(super) fn then(self, packet: &[u8], next: impl FnOnce(&[u8]) -> Passage) -> Passage {
        match self {
            Passage::Pass => next(packet),
            Passage::Replace(other) => match next(&other) {
                Passage::Pass => Passage::Replace(other),
                passage => passage,
            },
            Passage::Swallow => Passage::Swallow,
        }
    }

    /// What goes on of this packet.
    pub(crate) fn rest<'a>(&'a self, packet: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Passage::Pass => Some(packet),
            Passage::Replace(other) => Some(other),
            Passage::Swallow => None,
        }
    }
}

impl From<Option<Vec<u8>>> for Passage {
    /// What goes on in place of a packet, if something else does.
    fn from(other: Option<Vec<u8>>) -> Passage {
        other.map_or(Passage::Pass, Passage::Replace)
    }
}
