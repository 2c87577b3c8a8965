//! What a packet of the opening waits for.

use crate::plane::packet::{Chunk, Data, Sack, dcep, kind, protocol};
use crate::plane::tsn::Tsn;

/// What ends the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To our HEARTBEAT: anything.
    Word,
    /// To our INIT.
    InitAck,
    /// To our INIT ACK.
    CookieEcho,
    /// To our COOKIE ECHO.
    CookieAck,
    /// To our COOKIE ACK: any data, or a SACK.
    Talk,
    /// To our OPEN (RFC 8832): a SACK for this TSN.
    Open(Tsn),
    /// To our ACK of the peer's OPEN: a SACK for this TSN.
    Ack(Tsn),
}

impl Answer {
    /// What a chunk of ours asks for.
    pub(super) fn to(chunk: &Chunk<'_>) -> Option<Answer> {
        match chunk.kind {
            kind::HEARTBEAT => Some(Answer::Word),
            kind::INIT => Some(Answer::InitAck),
            kind::INIT_ACK => Some(Answer::CookieEcho),
            kind::COOKIE_ECHO => Some(Answer::CookieAck),
            kind::COOKIE_ACK => Some(Answer::Talk),
            kind::DATA => match Data::parse(chunk)? {
                Data { protocol: protocol::DCEP, tsn, payload: [dcep::OPEN, ..], .. } => {
                    Some(Answer::Open(tsn))
                }
                Data { protocol: protocol::DCEP, tsn, .. } => Some(Answer::Ack(tsn)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a chunk of the peer's is it, or something that comes later.
    pub(super) fn is_in(self, chunk: &Chunk<'_>) -> bool {
        if self == Answer::Word {
            return true;
        }
        let step = match chunk.kind {
            kind::ABORT | kind::SHUTDOWN | kind::SHUTDOWN_ACK => return true,
            kind::INIT_ACK => 0,
            kind::COOKIE_ECHO | kind::COOKIE_ACK => 2,
            kind::DATA | kind::SACK | kind::FORWARD_TSN => 3,
            _ => return false,
        };
        match self {
            Answer::Word | Answer::InitAck => true,
            Answer::CookieEcho | Answer::CookieAck => step >= 2,
            Answer::Talk => step >= 3,
            Answer::Open(tsn) | Answer::Ack(tsn) => chunk.kind == kind::SACK && covers(chunk, tsn),
        }
    }
}

fn covers(chunk: &Chunk<'_>, tsn: Tsn) -> bool {
    let Some(sack) = Sack::parse(chunk) else { return false };
    tsn <= sack.cumulative || sack.gaps().any(|(from, to)| from <= tsn && tsn <= to)
}
