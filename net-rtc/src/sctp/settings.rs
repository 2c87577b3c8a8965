//! Settings and errors of the data path.

use crate::sctp::quota::QuotaLimits;
use crate::sctp::{reassembly, redundancy, sender};
use crate::{Channels, Config, Congestion, Repair};

/// Part of [`Config`] that the data path uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataPathSettings {
    pub(crate) channels: Channels,
    pub(crate) max_message_size: usize,
    pub(crate) max_partial_messages: usize,
    /// Receive buffer limits of SCTP.
    pub(crate) quota_limits: QuotaLimits,
    pub(crate) congestion: Congestion,
    /// In bits per second.
    pub(crate) min_bitrate: u32,
    pub(crate) max_bitrate: u32,
    pub(crate) repair: Repair,
    /// Whether an empty text is a keepalive and no message.
    pub(crate) accept_keepalives: bool,
    /// Whether SCTP ignores requests for immediate SACKs (RFC 7053), for tests.
    pub(crate) ignore_immediate_flag: bool,
    /// Whether SCTP reports duplicate TSNs, for tests.
    pub(crate) report_dup_tsns: bool,
}

impl DataPathSettings {
    pub(crate) fn from_config(config: &Config) -> DataPathSettings {
        let Config {
            channels,
            max_message_size,
            congestion,
            min_bitrate,
            max_bitrate,
            repair,
            ignore_immediate_flag,
            report_dup_tsns,
            ..
        } = *config;
        DataPathSettings {
            channels,
            max_message_size,
            max_partial_messages: config.max_partial_messages(),
            quota_limits: QuotaLimits::from_config(config),
            congestion,
            min_bitrate,
            max_bitrate,
            repair,
            accept_keepalives: false,
            ignore_immediate_flag,
            report_dup_tsns,
        }
    }
}

/// Reason for which the data path closes a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataPathError {
    /// The peer violated the protocol.
    ProtocolViolation(&'static str),
    /// The peer closed the association, by SHUTDOWN or ABORT (RFC 9260 §9).
    Shutdown,
    /// DTLS did not take a packet.
    Dtls(String),
    /// DTLS failed because of the peer's certificate: the peer refused our DTLS, or offered nothing
    /// that ours supports.
    Certificate(String),
}

/// Returns the most memory in bytes that a peer's received data and the record of sent data can
/// take: in an association, or in SCTP where it carries the data instead.
pub(crate) fn max_memory(config: &Config) -> usize {
    let pieces = reassembly::max_memory(config.max_message_size, config.max_partial_messages());
    let engaged = [pieces, sender::MAX_MEMORY, redundancy::MAX_MEMORY];
    let plain = [
        QuotaLimits::from_config(config).max_memory(),
        config.sctp_send_buffer,
        config.max_message_size,
    ];
    let sum = |parts: [usize; 3]| parts.into_iter().fold(0, usize::saturating_add);
    sum(engaged).max(sum(plain))
}
