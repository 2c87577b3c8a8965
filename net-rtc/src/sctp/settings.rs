//! What of the configuration the plane goes by.

use crate::sctp::quota::QuotaLimits;
use crate::sctp::{reassembly, redundancy, sender};
use crate::{Channels, Config, Congestion, Repair};

#[derive(Clone, Copy, Debug)]
pub(crate) struct DataPathSettings {
    pub(crate) channels: Channels,
    pub(crate) max_message_size: usize,
    pub(crate) max_partial_messages: usize,
    /// What plain SCTP may have to hold.
    pub(crate) quota_limits: QuotaLimits,
    pub(crate) congestion: Congestion,
    /// In bits a second.
    pub(crate) min_bitrate: u32,
    pub(crate) max_bitrate: u32,
    pub(crate) repair: Repair,
    /// Whether an empty text is a sign of life and no message.
    pub(crate) accept_keepalives: bool,
    /// Whether plain SCTP is not asked for acknowledgements at once, for tests.
    pub(crate) ignore_immediate_flag: bool,
    /// Whether plain SCTP tells of data that came twice, for tests.
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

/// Why the plane ends a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataPathError {
    /// The peer did what no honest one does.
    ProtocolViolation(&'static str),
    /// The peer ends the association, in order or at once (RFC 9260 §9).
    Shutdown,
    /// DTLS did not take a packet.
    Dtls(String),
    /// The peer refused our DTLS, or has nothing that ours takes, and it is its certificate.
    Certificate(String),
}

/// Most memory that what a peer sends, and what is known of what it was sent, can take: by the
/// plane, or by the SCTP that a peer may have carry it instead.
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
