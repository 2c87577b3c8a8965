//! Configuration: settings, defaults, and the bound of every queue.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::peer::channel_writer::MAX_SCTP_MESSAGE_SIZE;
use crate::peer::{path, send_queue};
use crate::sctp;

/// Memory of an open peer with empty queues, in bytes (57 KiB measured).
const BASE_MEMORY_PER_PEER: usize = 60 * 1024;

/// Settings of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Local addresses at which datagrams arrive: those that the caller's sockets are bound to. No
    /// default: an endpoint without one cannot be reached. Must not be wildcard addresses.
    pub local_addrs: Vec<SocketAddr>,

    /// Host candidates of the offers, in order of preference, for example the public address of a
    /// 1:1 NAT; [`OfferOptions::candidates`](crate::OfferOptions) overrides them. Default: empty,
    /// which means [`local_addrs`](Config::local_addrs).
    pub announced_addrs: Vec<SocketAddr>,

    /// Maximum message size in both directions, in bytes. Default 64 KiB. Above about 1,100 bytes a
    /// message takes several packets, and is lost with any one of them. With plain SCTP at most 64
    /// KiB are sent.
    pub max_message_size: usize,

    /// Bound of one peer's send queue, in bytes. Default 128 KiB. Above it the oldest message is
    /// dropped; one message is always admitted. A message counts as at least 64 bytes.
    pub unreliable_send_buffer: usize,

    /// Maximum age of a queued message. Default 100 ms; older messages are dropped. When the queue
    /// has not been empty for that long, the path is overloaded: a message that a newer one has
    /// followed then expires after a fifth of this time, until the queue has been empty once and no
    /// message has expired for this time.
    pub unreliable_max_age: Duration,

    /// With plain SCTP: bound of the data inside SCTP that awaits its window or its
    /// acknowledgement, in bytes. Default 16 KiB. Data inside SCTP does not expire; messages in the
    /// send queue in front of it do. One message is always admitted.
    pub sctp_send_buffer: usize,

    /// Bound of the messages that a peer sends before its channel is acknowledged (RFC 8832 §6), in
    /// bytes. Default 64 KiB. They are delivered after `Open`; above the bound they are dropped. A
    /// message counts as at least 64 bytes.
    pub max_preopen_bytes: usize,

    /// Bound of one peer's incomplete messages, in multiples of
    /// [`max_message_size`](Config::max_message_size). Default 2, at least 1. Above it the oldest
    /// fragments are dropped, and their message is lost.
    pub max_partial_messages: usize,

    /// Handshake optimisations. Default: all.
    pub handshake: HandshakeOptions,

    /// Handshake timeout, from the answer to the open channel. Default 15 s. Then the peer closes
    /// with [`HandshakeTimeout`](crate::CloseReason::HandshakeTimeout).
    pub connect_timeout: Duration,

    /// Idle timeout of an open peer, after which it closes with
    /// [`IdleTimeout`](crate::CloseReason::IdleTimeout). Default 20 s. Every datagram that DTLS
    /// decrypts resets it; connectivity checks do not, because they can be replayed.
    pub idle_timeout: Duration,

    /// Idle time after which the peer gets a path challenge every 250 ms, so that its return is
    /// noticed at once; every SCTP implementation answers these. Default 10 s. If no connectivity
    /// check has arrived for as long either, nothing else is sent, and queued messages expire.
    pub probe_after: Duration,

    /// Bound of one peer's table of remote addresses. Default 16. A new address evicts one that has
    /// been silent for 30 s or, once a record from it decrypts, any except the active one;
    /// otherwise its datagrams are ignored.
    pub max_remote_addrs: usize,

    /// Trial decryptions per second of records from unknown addresses, over all peers of this
    /// endpoint: this many on peers of the same IP address, and this many on peers that have
    /// recently fallen silent. One takes some microseconds. Default 1,000. With 0, only
    /// connectivity checks find a peer that has moved.
    pub max_trial_decryptions_per_sec: u32,

    /// STUN Binding requests without credentials (RFC 8489) that are answered for each peer between
    /// its offer and its open channel, from the address in
    /// [`OfferOptions::remote`](crate::OfferOptions::remote). A browser that hides its own
    /// addresses needs one response. Default 32; 0 disables responses. A request has 20 bytes or
    /// more, the response 32, over IPv6 44.
    pub max_stun_responses: u32,

    /// STUN responses per second over all peers. Default 1,000.
    pub max_stun_responses_per_sec: u32,

    /// Maximum size of a session description that is read, in bytes. Default 16 KiB.
    pub max_sdp_size: usize,

    /// Data path of the open channel. Default [`LowLatency`](DataPathMode::LowLatency).
    pub data_path: DataPathMode,

    /// Congestion control of the low-latency data path. Default
    /// [`DelayBased`](Congestion::DelayBased).
    pub congestion: Congestion,

    /// Minimum sending rate of one peer, in bits per second of SCTP packets. Default 64,000. Never
    /// less than two packets per round trip; undercut only when most of the data sent has been lost
    /// for 10 s (circuit breaker, RFC 8084).
    pub min_bitrate: u32,

    /// Maximum sending rate of one peer, in bits per second of SCTP packets. Default 4,000,000.
    pub max_bitrate: u32,

    /// Redundant copies of messages in later packets, in case of loss. Default: while packets are
    /// being lost.
    pub repair: Repair,

    /// Number of channels that a peer may have. Default [`One`](Channels::One). With `Several`
    /// plain SCTP carries all data.
    pub channels: Channels,

    /// Initial TSN of this side, for tests of its wrap-around. Default `None`: random.
    pub initial_tsn: Option<u32>,

    /// For tests: plain SCTP ignores the I bit, by which a sender asks for an immediate SACK (RFC
    /// 7053), like stacks that do not implement it. Default false.
    #[doc(hidden)]
    pub ignore_immediate_flag: bool,

    /// For tests: plain SCTP reports duplicate TSNs (RFC 9260 §6.2), as browsers do and the library
    /// does not. Default false.
    #[doc(hidden)]
    pub report_dup_tsns: bool,

    /// Seed of the ICE credentials and of the random numbers of DTLS other than its keys. Default
    /// `None`: the system's randomness. Other values are for tests only: anyone who knows the seed
    /// can impersonate every peer.
    pub seed: Option<u64>,
}

/// Data path of an open channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPathMode {
    /// Low-latency data path: a message leaves at once or not at all, loss delays no later message,
    /// and latency is that of the path. Works with any peer.
    #[default]
    LowLatency,
    /// Plain SCTP (RFC 9260): its congestion control queues messages before their first
    /// transmission, so that under loss even "unreliable" messages arrive seconds late.
    PlainSctp,
}

/// Congestion control of the low-latency data path (RFC 8085 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Reacts to the queuing delay that our own packets cause, and to loss that grows with our own
    /// rate.
    #[default]
    DelayBased,
    /// Reacts only to loss that grows with our own rate: additive increase, multiplicative
    /// decrease.
    LossBased,
}

/// When messages get redundant copies in later packets: never, while packets are lost, or always.
/// A copy has the same TSN. The receiver delivers it once. They take bytes, but never extra packets, and delay no
/// message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// Never.
    Off,
    /// While packets are being lost.
    #[default]
    WhileLossy,
    /// Always.
    On,
}

/// Number of channels that a peer may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One, opened by the offerer. A peer that opens another is closed.
    #[default]
    One,
    /// As many as the peer opens (RFC 8832). Messages of all are received; ours are sent on the
    /// first.
    Several,
}

impl Config {
    /// Returns the defaults, for sockets that are bound to these addresses.
    pub fn new(local_addrs: Vec<SocketAddr>) -> Config {
        Config {
            local_addrs,
            announced_addrs: Vec::new(),
            max_message_size: 64 * 1024,
            unreliable_send_buffer: 128 * 1024,
            unreliable_max_age: Duration::from_millis(100),
            sctp_send_buffer: 16 * 1024,
            max_preopen_bytes: 64 * 1024,
            max_partial_messages: 2,
            handshake: HandshakeOptions::default(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(20),
            probe_after: Duration::from_secs(10),
            max_remote_addrs: 16,
            max_trial_decryptions_per_sec: 1_000,
            max_stun_responses: 32,
            max_stun_responses_per_sec: 1_000,
            max_sdp_size: 16 * 1024,
            data_path: DataPathMode::LowLatency,
            congestion: Congestion::DelayBased,
            min_bitrate: 64_000,
            max_bitrate: 4_000_000,
            repair: Repair::WhileLossy,
            channels: Channels::One,
            initial_tsn: None,
            ignore_immediate_flag: false,
            report_dup_tsns: false,
            seed: None,
        }
    }

    /// Returns the maximum memory of one peer, in bytes, whatever it sends: about 1.1 MiB with the
    /// defaults, more with plain SCTP. It is a fixed part plus, for each queue, its bound and the
    /// bookkeeping of its smallest items. Not included: the C heap of the cryptography, and
    /// datagrams and events that [`Endpoint::poll_output`](crate::Endpoint::poll_output) has not
    /// returned yet.
    pub fn max_memory_per_peer(&self) -> usize {
        let before = self.max_preopen_bytes.saturating_mul(2);
        let waiting =
            send_queue::max_memory(self.unreliable_send_buffer.max(self.max_message_size));
        let carried = sctp::max_memory(self);
        BASE_MEMORY_PER_PEER
            + path::max_memory(self.max_remote_addrs)
            + before.max(waiting.saturating_add(carried))
    }

    /// Bound of the incomplete messages, in multiples of the maximum message size.
    pub(crate) fn max_partial_messages(&self) -> usize {
        self.max_partial_messages.max(1)
    }

    /// Data path in effect: always plain SCTP with several channels.
    pub(crate) fn effective_data_path(&self) -> DataPathMode {
        match self.channels {
            Channels::One => self.data_path,
            Channels::Several => DataPathMode::PlainSctp,
        }
    }

    /// Maximum size of a message that can be sent, in bytes.
    pub(crate) fn max_outgoing_message_size(&self) -> usize {
        match self.effective_data_path() {
            DataPathMode::LowLatency => self.max_message_size,
            DataPathMode::PlainSctp => self.max_message_size.min(MAX_SCTP_MESSAGE_SIZE),
        }
    }

    pub(crate) fn host_candidates(&self) -> &[SocketAddr] {
        if self.announced_addrs.is_empty() { &self.local_addrs } else { &self.announced_addrs }
    }
}

/// Handshake optimisations. All are on by default, and all are negotiated: a peer that does not
/// support one connects without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeOptions {
    /// Whether the first connectivity check counts as a nomination (RFC 8445 §8.1.1), which
    /// Chromium sends up to a second later. Only for checks that come from
    /// [`OfferOptions::remote`], because we send there. Default true.
    pub auto_nomination: bool,

    /// DTLS versions. Default: 1.3 with peers that support it. In both versions both certificates
    /// are ECDSA, as those of browsers are by default; a peer with an RSA certificate is rejected.
    pub dtls_versions: DtlsVersions,

    /// DTLS role in our offer. Default [`Active`](DtlsRole::Active), which saves the wait for the
    /// other side's ClientHello.
    pub dtls_role: DtlsRole,

    /// Whether the offer carries the SCTP INIT (`a=sctp-init`, draft-hancke-tsvwg-snap); two sides
    /// that support it save SCTP's two round trips. Default true.
    pub snap: bool,

    /// Whether a client may state in its answer that it opens the channel itself, as stream 0,
    /// without the handshake of RFC 8832. Default true.
    pub negotiated: bool,

    /// Whether connectivity checks that arrive before the answer are processed as soon as it
    /// arrives. If false, they are processed one timer later. Default true.
    pub early_checks: bool,

    /// Initial retransmission timeout of handshake packets, DTLS and SCTP; doubles with each
    /// retransmission. Default 275 ms. `None`: 1 s for DTLS, 3 s for SCTP.
    pub initial_rto: Option<Duration>,

    /// Whether all peers share one DTLS configuration. If false, each makes its own, which takes a
    /// millisecond. Default true.
    pub shared_dtls_config: bool,
}

/// DTLS versions to negotiate: 1.2, 1.3 or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsVersions {
    /// DTLS 1.3 (RFC 9147), which saves a round trip, or 1.2, as the other side supports.
    #[default]
    Auto,
    /// DTLS 1.2 only (RFC 6347).
    Only12,
}

/// DTLS role that our offer proposes (RFC 8842 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsRole {
    /// DTLS client: `a=setup:active`.
    #[default]
    Active,
    /// Chosen by the answerer, and browsers choose to be the client: `a=setup:actpass`, the only
    /// form that RFC 8842 §5.2 allows in an offer.
    ActPass,
}

impl HandshakeOptions {
    /// Options for a peer whose DTLS handshake failed: only what strict implementations and
    /// middleboxes accept. Retransmission stays fast.
    pub const COMPATIBLE: HandshakeOptions = HandshakeOptions {
        auto_nomination: false,
        dtls_versions: DtlsVersions::Only12,
        dtls_role: DtlsRole::ActPass,
        snap: false,
        ..HandshakeOptions::ALL
    };

    /// No optimisation: the defaults of str0m.
    pub const STR0M_DEFAULTS: HandshakeOptions = HandshakeOptions {
        auto_nomination: false,
        dtls_versions: DtlsVersions::Only12,
        dtls_role: DtlsRole::ActPass,
        snap: false,
        negotiated: false,
        early_checks: false,
        initial_rto: None,
        shared_dtls_config: false,
    };

    const ALL: HandshakeOptions = HandshakeOptions {
        auto_nomination: true,
        dtls_versions: DtlsVersions::Auto,
        dtls_role: DtlsRole::Active,
        snap: true,
        negotiated: true,
        early_checks: true,
        initial_rto: Some(Duration::from_millis(275)),
        shared_dtls_config: true,
    };
}

impl Default for HandshakeOptions {
    fn default() -> HandshakeOptions {
        HandshakeOptions::ALL
    }
}

/// Options of one offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferOptions {
    /// Validated IP address of the other side, for example from the TCP connection that carries the
    /// offer. Default `None`: the other side must nominate the path.
    pub remote: Option<IpAddr>,

    /// Host candidates of this offer, in order of preference. Default: empty, which means
    /// [`Config::announced_addrs`](crate::Config::announced_addrs).
    pub candidates: Vec<SocketAddr>,

    /// Handshake options of this peer in place of [`Config::handshake`](crate::Config::handshake);
    /// `initial_rto` and `shared_dtls_config` are always those of the endpoint. Default `None`.
    pub handshake: Option<HandshakeOptions>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Increase of the memory bound of a peer by this change.
    fn growth(change: fn(&mut Config)) -> usize {
        let mut config = Config::new(Vec::new());
        let before = config.max_memory_per_peer();
        change(&mut config);
        config.max_memory_per_peer() - before
    }

    #[test]
    fn the_memory_of_a_peer_is_each_bound_and_its_smallest_items() {
        let all = Config::new(Vec::new()).max_memory_per_peer();
        assert!((1_000_000..1_300_000).contains(&all), "{all}: about 1.1 MiB are promised");
        let message = 228;
        assert_eq!(growth(|c| c.unreliable_send_buffer += 64_000), 64_000 + 1_000 * message);
        assert_eq!(growth(|c| c.max_remote_addrs += 100), 100 * 352);
        // Two messages, and the overhead of 250 fragments of each.
        let pieces = growth(|c| c.max_message_size += 64_000) - 2 * 64_000;
        assert!((2 * 250 * 64..=2 * 250 * 256).contains(&pieces), "{pieces}");
        let plain = growth(|c| {
            c.data_path = DataPathMode::PlainSctp;
        });
        assert!((1_500_000..2_500_000).contains(&plain), "a window of 1 MiB in 4,096 chunks");
        assert_eq!(growth(|c| c.max_preopen_bytes = 10_000_000), 20_000_000 - carried());
    }

    /// The part of the bound that counts only for an open peer.
    fn carried() -> usize {
        let config = Config::new(Vec::new());
        config.max_memory_per_peer()
            - BASE_MEMORY_PER_PEER
            - path::max_memory(config.max_remote_addrs)
    }
}
