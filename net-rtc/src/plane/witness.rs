//! What a peer's word of duplicates tells of the packets before.

use super::flight::{Care, First};

/// So many copies a peer must have had without ever telling of one that came twice. Then it
/// never will.
const UNTOLD: u32 = 64;

/// Whether the peer tells of chunks that came twice, as it should (RFC 9260 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// So many it could have told of, and has not.
    Unproven(u32),
    Proven,
}

impl Witness {
    /// What a SACK whose newest chunk left in packet `newest` says of a chunk's first packet.
    pub(super) fn judge(
        &mut self,
        care: Care,
        newest: Option<u32>,
        came_twice: impl Fn() -> bool,
    ) -> First {
        let (Care::Copied { packet: copy, .. }, Some(newest)) = (care, newest) else {
            return First::Arrived;
        };
        match newest.wrapping_sub(copy) as i32 {
            // The copy had not arrived yet.
            ..0 => First::Arrived,
            0 if came_twice() => First::Arrived,
            0 => self.missed(),
            // The SACK that would have told is lost.
            1.. => First::Unknown,
        }
    }

    fn missed(&mut self) -> First {
        match self {
            Witness::Proven => First::Lost,
            Witness::Unproven(UNTOLD..) => First::Doubtful,
            Witness::Unproven(count) => {
                *count += 1;
                First::Unknown
            }
        }
    }
}
