//! What of the configuration the plane goes by.

use crate::sctp::quota::Room;
use crate::sctp::{reassembly, redundancy, sender};
use crate::{Channels, Config, Congestion, Repair};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) channels: Channels,
    pub(crate) message_bytes: usize,
    pub(crate) partial_messages: usize,
    /// What plain SCTP may have to hold.
    pub(crate) room: Room,
    pub(crate) congestion: Congestion,
    /// In bits a second.
    pub(crate) least_rate: u32,
    pub(crate) most_rate: u32,
    pub(crate) repair: Repair,
    /// Whether an empty text is a sign of life and no message.
    pub(crate) signs: bool,
    /// Whether plain SCTP is not asked for acknowledgements at once, for tests.
    pub(crate) deaf: bool,
    /// Whether plain SCTP tells of data that came twice, for tests.
    pub(crate) witness: bool,
}

impl Settings {
    pub(crate) fn of(config: &Config) -> Settings {
        let Config {
            channels,
            max_message_size: message_bytes,
            congestion,
            min_bitrate: least_rate,
            max_bitrate: most_rate,
            repair,
            ignore_immediate_flag: deaf,
            report_dup_tsns: witness,
            ..
        } = *config;
        Settings {
            channels,
            message_bytes,
            partial_messages: config.max_partial_messages(),
            room: Room::of(config),
            congestion,
            least_rate,
            most_rate,
            repair,
            signs: false,
            deaf,
            witness,
        }
    }
}

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

/// Most memory that what a peer sends, and what is known of what it was sent, can take: by the
/// plane, or by the SCTP that a peer may have carry it instead.
pub(crate) fn most_memory(config: &Config) -> usize {
    let pieces = reassembly::most_memory(config.max_message_size, config.max_partial_messages());
    let engaged = [pieces, sender::MEMORY, redundancy::MEMORY];
    let plain = [Room::of(config).memory(), config.sctp_send_buffer, config.max_message_size];
    let sum = |parts: [usize; 3]| parts.into_iter().fold(0, usize::saturating_add);
    sum(engaged).max(sum(plain))
}
