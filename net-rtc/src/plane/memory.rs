//! What a peer's data can take.

use super::held::Room;
use super::{assembly, repair, sender};
use crate::Config;

/// Most memory that what a peer sends, and what is known of what it was sent, can take: by the
/// plane, or by the SCTP that a peer may have carry it instead.
pub(crate) fn most_memory(config: &Config) -> usize {
    let pieces = assembly::most_memory(config.message_bytes, config.partial_messages());
    let engaged = [pieces, sender::MEMORY, repair::MEMORY];
    let plain = [Room::of(config).memory(), config.sctp_bytes, config.message_bytes];
    let sum = |parts: [usize; 3]| parts.into_iter().fold(0, usize::saturating_add);
    sum(engaged).max(sum(plain))
}
