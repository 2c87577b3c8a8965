//! What of the configuration the plane goes by.

use super::held::Room;
use crate::{Channels, Config, Congestion, Repair};

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) channels: Channels,
    pub(super) message_bytes: usize,
    pub(super) partial_messages: usize,
    /// What plain SCTP may have to hold.
    pub(super) room: Room,
    pub(super) congestion: Congestion,
    /// In bits a second.
    pub(super) least_rate: u32,
    pub(super) most_rate: u32,
    pub(super) repair: Repair,
    /// Whether an empty text is a sign of life and no message.
    pub(super) signs: bool,
    /// Whether plain SCTP is not asked for acknowledgements at once, for tests.
    pub(super) deaf: bool,
    /// Whether plain SCTP tells of data that came twice, for tests.
    pub(super) witness: bool,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Settings {
        let Config {
            channels,
            message_bytes,
            congestion,
            least_rate,
            most_rate,
            repair,
            deaf,
            witness,
            ..
        } = *config;
        Settings {
            channels,
            message_bytes,
            partial_messages: config.partial_messages(),
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
