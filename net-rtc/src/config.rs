//! What can be set, and the bound of every queue.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::peer::outbox::MAX_SCTP_MESSAGE_SIZE;
use crate::peer::{path, send_queue};
use crate::sctp;

/// What an open peer takes of which nothing waits (57 KiB measured).
const BASE_MEMORY_PER_PEER: usize = 60 * 1024;

/// Settings of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The addresses at which datagrams arrive: those that the caller's sockets are bound to.
    /// No default: an endpoint without one cannot be reached. Wildcards are of no use here.
    pub local_addrs: Vec<SocketAddr>,

    /// The addresses that offers name as host candidates, most wanted first, for example the
    /// public side of a 1:1 NAT, unless [`OfferOptions::candidates`](crate::OfferOptions) says
    /// others. Empty, the default, means those of `local`.
    pub announced_addrs: Vec<SocketAddr>,

    /// Largest message either way, in bytes. Default 64 KiB. Above about 1,100 bytes a message
    /// travels in several packets, and one lost packet loses all of it. Where plain SCTP carries
    /// the data, 64 KiB is the most that is sent.
    pub max_message_size: usize,

    /// Messages of one peer that wait to be sent, in bytes. Default 128 KiB. Past it the first
    /// in line is dropped; one whole message is always admitted. A message counts as 64 bytes
    /// at least.
    pub unreliable_send_buffer: usize,

    /// How long a message may wait to be sent. Default 100 ms. Past it the message is dropped.
    /// Once messages have waited without a break for that long, more is sent than the path
    /// takes: then a message that a newer one has followed may wait a fifth of it, until there
    /// is a break and none has been dropped as too old for that long.
    pub unreliable_max_age: Duration,

    /// Where plain SCTP carries the data: bytes that may wait inside it, for its window or for
    /// their acknowledgement. Default 16 KiB. What waits there grows old; what waits in front
    /// of it is dropped in time. One whole message is always admitted.
    pub sctp_send_buffer: usize,

    /// Messages that a peer may send ahead of its channel's acknowledgement, in bytes. Default
    /// 64 KiB. They are delivered after `Open`; past the bound they are dropped. A message counts
    /// as 64 bytes at least.
    pub max_preopen_bytes: usize,

    /// Messages of one peer that may wait for missing pieces, in whole messages' worth of
    /// [`message_bytes`](Config::message_bytes). Default 2, at least 1. Past it the oldest pieces
    /// are dropped: their message is lost.
    pub max_partial_messages: usize,

    /// What makes a connection open sooner. Default: everything.
    pub handshake: HandshakeOptions,

    /// From the answer to the open channel. Default 15 s, then the peer closes as `Timeout`.
    pub connect_timeout: Duration,

    /// Silence of an open peer, in datagrams that prove to be its own, after which it is `Lost`.
    /// Default 20 s. Everything that DTLS decrypts counts; connectivity checks do not, for they
    /// may be replayed.
    pub idle_timeout: Duration,

    /// The same silence after which the peer is probed four times a second, so that its return is
    /// noticed at once; other stacks answer by themselves. Default 10 s. If no connectivity check
    /// has come for as long either, nothing else is sent, and what would be is dropped as too old.
    pub probe_after: Duration,

    /// Addresses that one peer is heard from. Default 16. A further one takes the place of one
    /// that has been silent for 30 s, or, once what comes from there decrypts, of any other than
    /// the current; else it is not heard.
    pub max_remote_addrs: usize,

    /// How often records from unknown addresses are tried on peers that may have moved, in
    /// trials a second over all peers of this endpoint: once for peers of the same IP address,
    /// and once more for peers that have just fallen silent. One costs some microseconds.
    /// Default 1,000; 0 leaves it to connectivity checks to find a peer again.
    pub max_trial_decryptions_per_sec: u32,

    /// Binding requests without credentials (RFC 8489), as to a STUN server, that are answered for
    /// each peer between its offer and its open channel; only where
    /// [`OfferOptions::remote`](crate::OfferOptions::remote) says that it is. A browser that hides
    /// its own addresses needs one answer. Default 32; 0 answers none. A request has 20 bytes or
    /// more, the answer 32, over IPv6 44.
    pub max_stun_responses: u32,

    /// The same for all peers together, a second. Default 1,000.
    pub max_stun_responses_per_sec: u32,

    /// Longest session description that is read, in bytes. Default 16 KiB.
    pub max_sdp_size: usize,

    /// Who carries the channel's data. Default: our own data plane.
    pub data_path: DataPathMode,

    /// How the plane's sending rate is found. Default: by delay and loss.
    pub congestion: Congestion,

    /// Least that one peer may be sent whatever the path says, in bits a second of SCTP
    /// packets. Default 64,000. Never less than two packets a round trip; given up only when
    /// most of what is sent has been lost for 10 s (RFC 8084).
    pub min_bitrate: u32,

    /// Most that one peer is sent, in bits a second of SCTP packets. Default 4,000,000.
    pub max_bitrate: u32,

    /// Whether messages ride again in later packets, in case they were lost. Default: while
    /// loss is seen.
    pub repair: Repair,

    /// How many channels a peer may have. Default: the one. With `Several` all data is carried
    /// by plain SCTP.
    pub channels: Channels,

    /// The first TSN of this side, for tests of its wrap-around. Default `None`: chance decides.
    pub initial_tsn: Option<u32>,

    /// For tests: plain SCTP that never learns that the other side wants an acknowledgement at
    /// once (RFC 7053), as stacks that do not know of it. Default false.
    #[doc(hidden)]
    pub ignore_immediate_flag: bool,

    /// For tests: plain SCTP that tells of data that came twice (RFC 9260 §6.2), as browsers do
    /// and the library does not. Default false.
    #[doc(hidden)]
    pub report_dup_tsns: bool,

    /// Seed for ICE credentials, and for what DTLS draws beside its keys. `None`, the default,
    /// takes the system's randomness; anything else is for tests, for whoever knows it can speak
    /// for every peer.
    pub seed: Option<u64>,
}

/// Who carries the channel's data once it is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPathMode {
    /// Our own plane: a message leaves at once or not at all, loss delays nothing, and latency
    /// is that of the path. The peer needs to know nothing of it.
    #[default]
    LowLatency,
    /// Plain SCTP as every other stack does it: its congestion control queues before the first
    /// transmission, so that loss makes even "unreliable" messages seconds old.
    PlainSctp,
}

/// How the plane finds the rate at which a path can be sent to (RFC 8085 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// By the delay that our own packets build up, and by loss that rises with our own rate.
    #[default]
    DelayBased,
    /// By loss that rises with our own rate alone: additive increase, multiplicative decrease.
    LossBased,
}

/// Whether a message rides again in later packets, under its old TSN, in case its first packet
/// was lost. The other side takes it once. It costs bytes, never packets, and no message waits
/// for it.
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

/// How many channels a peer may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// The one that the offering side opens. A peer that opens another is closed.
    #[default]
    One,
    /// As many as the peer opens (RFC 8832). Messages of all are received alike; ours are sent
    /// on the first.
    Several,
}

impl Config {
    /// The defaults, for sockets that are bound to these addresses.
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

    /// Most memory that one peer of an endpoint can take, in bytes, whatever it does: about
    /// 1.1 MiB with the defaults, more where plain SCTP carries the data. Beside a fixed part it
    /// is, for each queue, its bound and what the bookkeeping of its smallest items costs. The C
    /// heap of the cryptography is not in it, nor are datagrams and events that
    /// [`Endpoint::poll_output`](crate::Endpoint::poll_output) has not given out.
    pub fn max_memory_per_peer(&self) -> usize {
        let before = self.max_preopen_bytes.saturating_mul(2);
        let waiting =
            send_queue::max_memory(self.unreliable_send_buffer.max(self.max_message_size));
        let carried = sctp::max_memory(self);
        BASE_MEMORY_PER_PEER
            + path::max_memory(self.max_remote_addrs)
            + before.max(waiting.saturating_add(carried))
    }

    /// Whole messages' worth of what waits for missing pieces.
    pub(crate) fn max_partial_messages(&self) -> usize {
        self.max_partial_messages.max(1)
    }

    /// Whether our own plane carries the data.
    pub(crate) fn effective_data_path(&self) -> DataPathMode {
        match self.channels {
            Channels::One => self.data_path,
            Channels::Several => DataPathMode::PlainSctp,
        }
    }

    /// The longest message that can be sent.
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

/// What saves round trips and waiting while a peer connects. All of it is on by default, and
/// all of it is in the open: a peer that does not know of something connects without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeOptions {
    /// Whether the first connectivity check counts as a nomination (RFC 8445 §8.1.1), which
    /// Chromium sends up to a second later. Only for checks that come from
    /// [`OfferOptions::remote`], because we send there. Default true.
    pub auto_nomination: bool,

    /// Which versions of DTLS are spoken. Default: 1.3 with all that know it. In both, both sides'
    /// certificates are ECDSA, as those of browsers are; a peer whose own is RSA is refused.
    pub dtls_versions: DtlsVersions,

    /// Who begins DTLS. Default: we do, which saves waiting for the other side to.
    pub dtls_role: DtlsRole,

    /// Whether the offer carries the SCTP handshake (`a=sctp-init`,
    /// draft-hancke-tsvwg-snap), so that two that know it save its two round trips. Default
    /// true.
    pub snap: bool,

    /// Whether a client may say in its answer that it opens the channel itself, as stream 0,
    /// without the handshake of RFC 8832. Default true.
    pub negotiated: bool,

    /// Whether connectivity checks that overtake the answer are served when it comes. Off, they
    /// are served a timer later. Default true.
    pub early_checks: bool,

    /// After how long the first packet of a handshake, DTLS or SCTP, is sent again if nothing
    /// comes back; doubles each time. Default 275 ms. `None`: 1 s for DTLS, 3 s for SCTP.
    pub initial_rto: Option<Duration>,

    /// Whether all peers share one DTLS configuration. Off, each makes its own, which takes a
    /// millisecond. Default true.
    pub shared_dtls_config: bool,
}

/// Which versions of DTLS are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsVersions {
    /// DTLS 1.3 (RFC 9147), which saves a round trip, or 1.2, as the other side can.
    #[default]
    Auto,
    /// DTLS 1.2 alone (RFC 6347).
    Only12,
}

/// Who begins DTLS (RFC 8842 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsRole {
    /// We do: `a=setup:active`.
    #[default]
    Active,
    /// The other side may choose, and browsers choose to begin: `a=setup:actpass`, the one
    /// form that RFC 8842 §5.2 knows for an offer.
    ActPass,
}

impl HandshakeOptions {
    /// The form for a peer that did not get through DTLS: nothing that a strict
    /// implementation, or a box between, could take amiss. What is lost is still resent soon.
    pub const COMPATIBLE: HandshakeOptions = HandshakeOptions {
        auto_nomination: false,
        dtls_versions: DtlsVersions::Only12,
        dtls_role: DtlsRole::ActPass,
        snap: false,
        ..HandshakeOptions::ALL
    };

    /// Nothing at all, as str0m does it alone.
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

/// What an offer is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferOptions {
    /// The address that the other side has proved to be its own, for example by the TCP
    /// connection that the offer travels over. Default `None`: none, so that the path must be
    /// nominated by the other side.
    pub remote: Option<IpAddr>,

    /// The addresses that this offer names as host candidates, most wanted first. Empty, the
    /// default, means those of [`Config::announce`](crate::Config::announce).
    pub candidates: Vec<SocketAddr>,

    /// How to connect, if not as [`Config::connecting`](crate::Config::connecting) says; of it
    /// `resend` and `shared_dtls` are those of the endpoint anyway. Default `None`.
    pub handshake: Option<HandshakeOptions>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By how much the memory of a peer grows where more may wait.
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
        // Two messages, and what 250 pieces of each cost.
        let pieces = growth(|c| c.max_message_size += 64_000) - 2 * 64_000;
        assert!((2 * 250 * 64..=2 * 250 * 256).contains(&pieces), "{pieces}");
        let plain = growth(|c| {
            c.data_path = DataPathMode::PlainSctp;
        });
        assert!((1_500_000..2_500_000).contains(&plain), "a window of 1 MiB in 4,096 chunks");
        assert_eq!(growth(|c| c.max_preopen_bytes = 10_000_000), 20_000_000 - carried());
    }

    /// What is counted of a peer that is open, and not before.
    fn carried() -> usize {
        let config = Config::new(Vec::new());
        config.max_memory_per_peer()
            - BASE_MEMORY_PER_PEER
            - path::max_memory(config.max_remote_addrs)
    }
}
