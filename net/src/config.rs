//! Server configuration: settings and limits, with units and defaults.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
pub use net_rtc::{Congestion, DataPathMode, DtlsRole, DtlsVersions, HandshakeOptions, Repair};

use crate::AcceptHook;

/// Settings of a [`Server`](crate::Server). The defaults suit a public game server; change one with
/// `Config { max_peers: 64, ..Config::default() }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Advertised addresses: ICE host candidates placed before those of the bound addresses, for a
    /// server that clients reach at other addresses, such as behind the 1:1 NAT of most clouds.
    /// Each is an IP address, or one with a port. Default none. Clients at public addresses get
    /// public candidates only, if there are any; clients of the same private network also get the
    /// private ones.
    pub public_addrs: Vec<PublicAddr>,

    /// Maximum number of candidates in one offer. Default 8, at least 1. Above it, a private
    /// address never displaces a public one, at least one address of each family (IPv4, IPv6)
    /// stays, and the address on which the client's websocket arrived is always included.
    pub max_candidates: usize,

    /// Maximum number of UDP sockets, one per address of this machine, where a wildcard address is
    /// bound. Default 32, at least 1 and at most 1,024. Above it, the addresses least likely to be
    /// useful get no socket and are not advertised.
    pub max_udp_sockets: usize,

    /// Largest message in either direction, on either path, in bytes. Default 64 KiB. An unreliable
    /// message above about 1,000 bytes takes several packets, and one lost packet loses it all:
    /// 16 KiB is the practical maximum on paths with loss.
    pub max_message_size: usize,

    /// Send buffer for the unsent reliable messages of one peer, in bytes. Default 16 MiB, enough
    /// for a whole world in one go. Above it `try_send` returns `Full`, and `send_reliable` closes
    /// the peer as `SlowConsumer`. One whole message is always admitted. A message counts its bytes
    /// until it is written, plus 80 more until the event loop has taken it.
    pub reliable_send_buffer: usize,

    /// Send buffer for the unsent reliable messages of all peers together, in bytes. Default 2 GiB.
    /// Half of it is divided among [`max_peers`](Config::max_peers): each peer always has its
    /// share, 1 MiB with the defaults. The other half is shared, first come, first served, by the
    /// peers that need more. A broadcast message counts once per peer, though its payload is stored
    /// once.
    pub total_reliable_send_buffer: usize,

    /// Period over which the drain rate of a peer's reliable messages is judged. Default 30 s. In
    /// each such period the peer must take all that was queued at its beginning, or as much as
    /// [`min_reliable_bitrate`](Config::min_reliable_bitrate) requires; else it is closed as
    /// `SlowConsumer`. A peer with nothing queued is not judged. A warning is logged at half the
    /// time.
    pub reliable_send_timeout: Duration,

    /// Minimum rate at which a peer must take queued reliable messages, in bits per second,
    /// averaged over [`reliable_send_timeout`](Config::reliable_send_timeout). Default 16,000,
    /// which is 60,000 bytes in 30 s. With 0 a single byte is enough.
    pub min_reliable_bitrate: u32,

    /// Send buffer for the unsent unreliable messages of one peer, in bytes. Default 128 KiB. Above
    /// it the first message in the queue is dropped and counted. One whole message is always
    /// admitted. A message counts as at least 64 bytes.
    pub unreliable_send_buffer: usize,

    /// Maximum time that an unreliable message waits to be sent. Default 100 ms. An older message
    /// is dropped and counted. Once messages to a peer have been queued without a break for that
    /// long, more is sent than the path carries: then a message that a newer one has followed may
    /// wait a fifth of it, until the queue has been empty once and none has been dropped as too old
    /// for that long.
    pub unreliable_max_age: Duration,

    /// Reassembly buffer for the incomplete unreliable messages of one peer, in multiples of
    /// [`max_message_size`](Config::max_message_size). Default 2, at least 1. Above it the oldest
    /// fragments are dropped, and their message is lost.
    pub max_partial_messages: usize,

    /// Transport of unreliable messages. Default: the data path of this library.
    /// `DataPathMode::PlainSctp` is plain SCTP as other stacks do it, which makes messages seconds
    /// old once packets are lost.
    pub data_path: DataPathMode,

    /// Congestion control of unreliable messages. Default: by delay and loss.
    pub congestion: Congestion,

    /// Minimum sending rate of unreliable messages to one peer, whatever congestion control says,
    /// in bits per second of SCTP packets. Default 64,000, and never less than two packets per
    /// round trip. It is given up only when most of what is sent has been lost for 10 s.
    pub min_bitrate: u32,

    /// Maximum sending rate of unreliable messages to one peer, in bits per second of SCTP packets.
    /// Default 4,000,000.
    pub max_bitrate: u32,

    /// Redundant retransmission: whether unreliable messages are repeated in later packets, in case
    /// they were lost. Default: while loss is seen.
    pub repair: Repair,

    /// With plain SCTP: bytes of one peer inside the SCTP association that wait for its window or
    /// for their acknowledgement. Default 16 KiB. Messages that wait there grow old. One whole
    /// message is always admitted.
    pub sctp_send_buffer: usize,

    /// First TSN of the server's side, for tests of its wrap-around. Default `None`: random.
    #[doc(hidden)]
    pub initial_tsn: Option<u32>,

    /// Maximum number of open peers. Default 1,024; one more is refused as `Limit`.
    pub max_peers: usize,

    /// Maximum number of open peers per address: an IPv4 address, or an IPv6 /64 prefix. Default
    /// 64.
    pub max_peers_per_ip: usize,

    /// Maximum number of open peers per address of this machine or of a private network, where all
    /// clients may share one address, as through a proxy. Default: no limit but
    /// [`max_peers`](Config::max_peers). A private address that a trusted proxy names counts as any
    /// other address.
    pub max_peers_per_private_ip: usize,

    /// Maximum number of pending connections, which are not open yet. Default 1,024. One address
    /// may use all of it while no other address needs it. When it is full, the address with the most
    /// pending connections loses one to a new connection, if it has more than that of the new one.
    /// Otherwise a connection that has made no progress for half a second is closed; if there is
    /// none, the new one is refused. Both get close code 1013, "try again later", on the websocket.
    /// Up to as many more may be in the closing handshake, for
    /// [`close_timeout`](Config::close_timeout), or wait for their request to be refused; above
    /// that the one refused first is dropped.
    pub max_handshakes: usize,

    /// Connections of one address that are never evicted under
    /// [`max_handshakes`](Config::max_handshakes) once their datagrams have been authenticated.
    /// Default 8.
    pub max_protected_handshakes_per_ip: usize,

    /// The same for one address of this machine or of a private network. Default 32.
    pub max_protected_handshakes_per_private_ip: usize,

    /// Trusted proxies in front of the TCP port, whose `X-Forwarded-For` is believed: the
    /// right-most address in it that is not one of theirs is the client's, in
    /// [`PeerInfo::remote`](crate::PeerInfo::remote), in connect failures and for the limits per
    /// address. Default none: the header is ignored, because any client can forge it. For example
    /// `vec!["127.0.0.1/32".parse()?, "10.0.0.0/8".parse()?]`; a single address is
    /// `IpNet::from(ip)`.
    ///
    /// The proxy must set or append that header. Caddy, HAProxy with `option forwardfor`, Traefik
    /// and Envoy do; nginx does with `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for`,
    /// which its documented stanza for websockets leaves out; TLS-only proxies such as stunnel,
    /// hitch and nginx's `stream` never do. Without it all clients count as one address, the
    /// proxy's.
    pub trusted_proxies: Vec<IpNet>,

    /// Whether [`trusted_proxies`](Config::trusted_proxies) begin each connection with a PROXY
    /// protocol header, version 1 or 2, which names the client: for proxies that do not speak HTTP,
    /// such as TCP load balancers. Default `false`. If `true`, a connection from a trusted proxy
    /// without the header is refused. From other addresses the header is never accepted.
    pub proxy_protocol: bool,

    /// Allowed origins of pages, as browsers send them, `scheme://host[:port]`, compared whole (RFC
    /// 6454 §6.2). Default `None`: all. A page of another origin gets close code 1008, before any
    /// offer; a client without an origin gets 403. Any page from a file or in a sandboxed frame
    /// sends `null`, which is accepted only if it is in the list. The list keeps other sites' pages
    /// away, not programs, which can send any origin.
    pub allowed_origins: Option<Vec<String>>,

    /// Whether clients that send no `Origin`, as no browser does, are accepted where
    /// [`allowed_origins`](Config::allowed_origins) is a list. Default `false`.
    pub allow_missing_origin: bool,

    /// Admission hook: accepts or rejects each client; its value is kept as
    /// [`PeerInfo::user_data`](crate::PeerInfo::user_data). Default `None`: accepts every client
    /// that the other settings admit.
    pub accept: Option<AcceptHook>,

    /// Worker threads that run [`accept`](Config::accept), at least 1. Default 4: the number of
    /// requests decided at the same time.
    pub accept_threads: usize,

    /// Maximum number of requests that wait for a worker thread; addresses are served round-robin.
    /// Default 256. When it is full, the last request of the address with the most of them is
    /// refused as `Limit`, with close code 1013 or, without an origin, with 503. A request whose
    /// client left or that waited too long is not passed to the hook.
    pub accept_queue_len: usize,

    /// Optimisations that make the data channel open sooner, each of which can be switched off on
    /// its own. Default: all. A client for which they do not work is offered
    /// [`HandshakeOptions::COMPATIBLE`] when it asks for that.
    pub handshake: HandshakeOptions,

    /// Maximum time from the TCP connection to the end of the websocket's upgrade, the decision of
    /// [`accept`](Config::accept) included. Default 5 s.
    pub upgrade_timeout: Duration,

    /// Maximum time from the offer to the answer. Default 10 s.
    pub answer_timeout: Duration,

    /// Maximum time from the answer to the open data channel. Default 15 s.
    pub connect_timeout: Duration,

    /// Idle timeout on UDP: time without authenticated datagrams of the peer after which it is
    /// `Lost`. Default 20 s.
    pub idle_timeout: Duration,

    /// The same silence after which nothing unreliable is sent to the peer but four probes per
    /// second, so that its return is noticed at once. Default 10 s. Messages sent meanwhile are
    /// dropped as too old.
    pub probe_after: Duration,

    /// Rate limit on trial decryptions that match datagrams from unknown addresses to peers that
    /// may have moved, per second over all peers: one trial for peers of the same IP address, and
    /// one for peers that have just fallen silent. One costs some microseconds. Default 1,000; with
    /// 0 a moved peer is found only by the browser's connectivity checks, seconds apart.
    pub max_trial_decryptions_per_sec: u32,

    /// STUN Binding requests without credentials (RFC 8489) that the UDP port answers for each
    /// connection between its offer and its `Open`, only to the IP address of its websocket. A
    /// Firefox that hides its own addresses connects only if it finds a STUN server, and this can
    /// be one. Chromium needs none, and must not be configured with it: it takes nothing else from
    /// the address of a STUN server. Default 32; 0 answers none. A response has 32 bytes, over IPv6
    /// 44, a request at least 20.
    pub max_stun_responses: u32,

    /// The same for all connections together, per second. Default 1,000.
    pub max_stun_responses_per_sec: u32,

    /// Reliable messages that a client may send before `Open`, in bytes. Default 64 KiB. They are
    /// delivered after `Open`. Above the limit a client that has not answered the offer is refused
    /// as `Limit`; the websocket of a client that has answered is not read until it is open,
    /// because the client's end of the channel opens before the server's.
    pub max_preopen_bytes: usize,

    /// The same, in messages. Default 64.
    pub max_preopen_messages: usize,

    /// Maximum length of a signalling message, in bytes. Default 16 KiB. A longer one before the
    /// client's answer is refused; after the answer no text is read.
    pub max_signal_message_size: usize,

    /// Maximum number of signalling messages before the client's answer, those that look like
    /// candidates not counted. Default 8; one more is refused.
    pub max_signal_messages: usize,

    /// Maximum number of text messages of any kind per second on one connection, during its whole
    /// life. Default 50; one more closes it, as `Limit`.
    pub max_signal_messages_per_sec: usize,

    /// Maximum size of an HTTP request head, in bytes. Default 32 KiB: browsers send all cookies of
    /// a host to each of its ports. For a longer head a page gets a close code on its websocket,
    /// other clients get 431. A connection holds about as much until its request is complete, and
    /// all [`max_handshakes`](Config::max_handshakes) connections together at most 32 MiB.
    pub max_request_head_size: usize,

    /// Maximum number of header lines of such a head. Default and maximum 124: browsers send about
    /// 15, and proxies add theirs. One more is refused in the same way.
    pub max_request_headers: usize,

    /// Silence on the websocket after which a ping is sent (RFC 6455 §5.5.2). Default 15 s.
    pub ping_interval: Duration,

    /// Silence on the websocket after which the peer is `Lost`. Default 35 s. Linux gives up the
    /// TCP connection after the same time without an acknowledgement of sent data
    /// (`TCP_USER_TIMEOUT`), or [`reliable_send_timeout`](Config::reliable_send_timeout) if that is
    /// longer. Time in which the websocket was not read, or the server was stopped, does not count.
    pub pong_timeout: Duration,

    /// Maximum time of the websocket's closing handshake, from its start or from the last bytes
    /// that the peer took of the messages accepted before: time to write those, and to receive the
    /// close frame. Default 2 s; in all no more than
    /// [`reliable_send_timeout`](Config::reliable_send_timeout).
    pub close_timeout: Duration,

    /// Maximum number of remote addresses from which the datagrams of one peer are accepted.
    /// Default 16. A further address replaces one that has been silent for 30 s, or any but the
    /// current one once a datagram from it decrypts; else its datagrams are ignored.
    pub max_remote_addrs: usize,

    /// Time budget of one iteration of the event loop, after which the remaining work waits for the
    /// next, in order of arrival. Default 4 ms. Each kind of work has a share of it, and advances
    /// by at least one item however short it is.
    pub max_iteration_time: Duration,

    /// Maximum number of datagrams received in one iteration, within its time budget. Default
    /// 1,024, at least 1.
    pub max_datagrams_per_iteration: u32,

    /// Maximum number of connections accepted in one iteration, within its time budget. Default
    /// 256, at least 1.
    pub max_accepts_per_iteration: u32,

    /// Maximum number of bytes read from one websocket in one iteration. Default 4 KiB, at least 1:
    /// a client that sends without end gets this much before the others are served.
    pub max_read_bytes_per_iteration: usize,

    /// Maximum number of log lines of one kind per second. Default 10. The rest is counted, and the
    /// number logged with the next line.
    pub max_log_lines_per_sec: u32,

    /// Maximum number of events that wait for the application. Default 65,536. Above it unreliable
    /// messages are dropped, the oldest first, and websockets are not read, so that TCP flow
    /// control stops their senders. `Open` and `Closed` are always kept.
    pub event_queue_len: usize,

    /// The same, in bytes of messages. Default 64 MiB.
    pub event_queue_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            public_addrs: Vec::new(),
            max_candidates: 8,
            max_udp_sockets: 32,
            max_message_size: 64 * 1024,
            reliable_send_buffer: 16 * 1024 * 1024,
            total_reliable_send_buffer: 2 * 1024 * 1024 * 1024,
            reliable_send_timeout: Duration::from_secs(30),
            min_reliable_bitrate: 16_000,
            unreliable_send_buffer: 128 * 1024,
            unreliable_max_age: Duration::from_millis(100),
            max_partial_messages: 2,
            data_path: DataPathMode::LowLatency,
            congestion: Congestion::DelayBased,
            min_bitrate: 64_000,
            max_bitrate: 4_000_000,
            repair: Repair::WhileLossy,
            sctp_send_buffer: 16 * 1024,
            initial_tsn: None,
            max_peers: 1_024,
            max_peers_per_ip: 64,
            max_peers_per_private_ip: usize::MAX,
            max_handshakes: 1_024,
            max_protected_handshakes_per_ip: 8,
            max_protected_handshakes_per_private_ip: 32,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            allowed_origins: None,
            allow_missing_origin: false,
            accept: None,
            accept_threads: 4,
            accept_queue_len: 256,
            handshake: HandshakeOptions::default(),
            upgrade_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(20),
            probe_after: Duration::from_secs(10),
            max_trial_decryptions_per_sec: 1_000,
            max_stun_responses: 32,
            max_stun_responses_per_sec: 1_000,
            max_preopen_bytes: 64 * 1024,
            max_preopen_messages: 64,
            max_signal_message_size: 16 * 1024,
            max_signal_messages: 8,
            max_signal_messages_per_sec: 50,
            max_request_head_size: 32 * 1024,
            max_request_headers: 124,
            ping_interval: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(35),
            close_timeout: Duration::from_secs(2),
            max_remote_addrs: 16,
            max_iteration_time: Duration::from_millis(4),
            max_datagrams_per_iteration: 1_024,
            max_accepts_per_iteration: 256,
            max_read_bytes_per_iteration: 4 * 1024,
            max_log_lines_per_sec: 10,
            event_queue_len: 65_536,
            event_queue_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Whether an address is not reachable over the internet: RFC 1918, RFC 6598, RFC 3927, RFC 4193,
/// and loopback.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let carrier = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || carrier
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Selects at most `max` addresses, in their order. The first ones stay, except that required ones
/// take precedence over public ones, these over private ones, and at least one of each family
/// stays.
pub(crate) fn select_addrs<T: Copy>(
    max: usize,
    all: Vec<T>,
    ip: impl Fn(&T) -> IpAddr,
    is_needed: impl Fn(&T) -> bool,
) -> Vec<T> {
    if all.len() <= max {
        return all;
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|index| (!is_needed(&all[*index]), is_private(ip(&all[*index]))));
    let (mut kept, left) = (order[..max].to_vec(), &order[max..]);
    let is_ipv6 = |index: &usize| ip(&all[*index]).is_ipv6();
    for family in [false, true] {
        let missing = left.iter().find(|index| is_ipv6(index) == family);
        if let Some(missing) = missing
            && kept.len() > 1
            && kept.iter().all(|index| is_ipv6(index) != family)
        {
            kept.pop();
            kept.push(*missing);
        }
    }
    kept.sort_unstable();
    kept.into_iter().map(|index| all[index]).collect()
}

impl Config {
    pub(crate) fn ws_config(&self) -> net_ws::Config {
        net_ws::Config {
            upgrade_timeout: self.upgrade_timeout,
            max_request_head_size: self.max_request_head_size,
            max_request_headers: self.max_request_headers,
            // The upgrade is held until the decision.
            await_decision: true,
            max_message_size: self.max_message_size.max(self.max_signal_message_size),
            // `PeerSendQueue` enforces `reliable_send_buffer`; what the websocket adds, headers and
            // pongs, must not reject an accepted message.
            send_buffer: self
                .reliable_send_buffer
                .saturating_add(self.max_message_size)
                .saturating_mul(2),
            send_timeout: self.reliable_send_timeout,
            min_send_bitrate: self.min_reliable_bitrate,
            ping_interval: self.ping_interval,
            pong_timeout: self.pong_timeout,
            close_timeout: self.close_timeout,
            ..net_ws::Config::default()
        }
    }

    pub(crate) fn signal_limits(&self) -> net_signal::Limits {
        net_signal::Limits {
            max_message_size: self.max_signal_message_size,
            max_messages: self.max_signal_messages,
            max_messages_per_sec: self.max_signal_messages_per_sec,
            answer_timeout: self.answer_timeout,
        }
    }

    pub(crate) fn rtc_config(
        &self,
        local: Vec<SocketAddr>,
        announce: Vec<SocketAddr>,
    ) -> net_rtc::Config {
        net_rtc::Config {
            announced_addrs: announce,
            max_message_size: self.max_message_size,
            unreliable_send_buffer: self.unreliable_send_buffer,
            unreliable_max_age: self.unreliable_max_age,
            max_partial_messages: self.max_partial_messages,
            data_path: self.data_path,
            congestion: self.congestion,
            min_bitrate: self.min_bitrate,
            max_bitrate: self.max_bitrate,
            repair: self.repair,
            sctp_send_buffer: self.sctp_send_buffer,
            initial_tsn: self.initial_tsn,
            max_preopen_bytes: self.max_preopen_bytes,
            handshake: self.handshake,
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            probe_after: self.probe_after,
            max_remote_addrs: self.max_remote_addrs,
            max_trial_decryptions_per_sec: self.max_trial_decryptions_per_sec,
            max_stun_responses: self.max_stun_responses,
            max_stun_responses_per_sec: self.max_stun_responses_per_sec,
            max_sdp_size: self.max_signal_message_size,
            ..net_rtc::Config::new(local)
        }
    }
}

/// Advertised address: an IP address, with the bound port unless it has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicAddr {
    /// The address.
    pub ip: IpAddr,
    /// The UDP port; `None` is the bound one.
    pub port: Option<u16>,
}

impl PublicAddr {
    pub(crate) fn to_socket_addr(self, bound: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(bound))
    }
}

impl From<IpAddr> for PublicAddr {
    fn from(ip: IpAddr) -> PublicAddr {
        PublicAddr { ip, port: None }
    }
}

impl From<SocketAddr> for PublicAddr {
    fn from(addr: SocketAddr) -> PublicAddr {
        PublicAddr { ip: addr.ip(), port: Some(addr.port()) }
    }
}

impl FromStr for PublicAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<PublicAddr, AddrParseError> {
        text.parse::<SocketAddr>()
            .map(PublicAddr::from)
            .or_else(|_| text.parse::<IpAddr>().map(PublicAddr::from))
    }
}

impl Config {
    /// Upper bound of the memory that one peer can take, in bytes: about 17.4 MiB with the
    /// defaults. Of these 16 MiB are unsent reliable messages
    /// ([`reliable_send_buffer`](Config::reliable_send_buffer)), which for all peers together are
    /// at most [`total_reliable_send_buffer`](Config::total_reliable_send_buffer); so `max_peers`
    /// of them can take that, and 1.4 MiB each. It is the bound of each queue, with the cost of its
    /// smallest items, plus fragments of one arriving message (three times
    /// [`max_message_size`](Config::max_message_size)), plus what
    /// [`net_rtc::Config::max_memory_per_peer`] counts: unsent unreliable messages, fragments,
    /// records of sent packets. Not included, because no peer can increase it: the C heap of its
    /// DTLS session (8 KB measured), and unreliable messages that the application has sent since
    /// the last iteration of the event loop, at most
    /// [`unreliable_send_buffer`](Config::unreliable_send_buffer). Events that wait for the
    /// application are bounded for all peers together
    /// ([`event_queue_bytes`](Config::event_queue_bytes)).
    pub fn max_memory_per_peer(&self) -> usize {
        let (backlog, message) =
            (self.reliable_send_buffer, self.max_message_size.max(self.max_signal_message_size));
        let websocket = backlog.saturating_add(message.saturating_mul(3));
        // Before it is open: the request head as bytes and as headers, both for a moment, and the
        // bytes that follow it.
        let half_open = self.max_request_head_size.saturating_mul(2).saturating_add(message);
        websocket
            .max(half_open)
            .saturating_add(self.rtc_config(Vec::new(), Vec::new()).max_memory_per_peer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn what_cannot_be_reached_from_outside() {
        let private = "10.1.2.3 172.31.0.1 192.168.1.1 100.64.0.1 100.127.255.255 127.0.0.1 ::1 \
                       fd12::1 fe80::1 169.254.1.1";
        let public = "100.63.0.1 100.128.0.1 172.32.0.1 203.0.113.5 2001:db8::1";
        assert!(ips(private).into_iter().all(is_private));
        assert!(!ips(public).into_iter().any(is_private));
    }

    #[test]
    fn no_public_one_makes_room_for_a_private_one_nor_the_last_of_a_family() {
        let cut = |max, all: &str, needed: &str| {
            let needed = ips(needed);
            select_addrs(max, ips(all), |ip| *ip, |ip| needed.contains(ip))
        };
        let all = "10.0.0.1 10.0.0.2 10.0.0.3 203.0.113.1 fd00::1 fd00::2";
        assert_eq!(cut(6, all, ""), ips(all));
        assert_eq!(cut(3, all, ""), ips("10.0.0.1 203.0.113.1 fd00::1"));
        assert_eq!(cut(3, all, "10.0.0.3"), ips("10.0.0.3 203.0.113.1 fd00::1"));
        assert_eq!(cut(3, all, "fd00::2"), ips("10.0.0.1 203.0.113.1 fd00::2"));
        assert_eq!(cut(1, all, ""), ips("203.0.113.1"));
        assert_eq!(cut(0, all, ""), ips(""));
        assert_eq!(cut(2, "2001:db8::1 2001:db8::2 10.0.0.1", ""), ips("2001:db8::1 10.0.0.1"));
    }
}

#[cfg(test)]
mod public_addr_tests {
    use super::*;

    #[test]
    fn a_public_address_has_a_port_or_takes_the_bound_one() {
        let told = |text: &str| text.parse::<PublicAddr>().map(|addr| addr.to_socket_addr(3000));
        assert_eq!(told("203.0.113.5"), Ok("203.0.113.5:3000".parse().unwrap()));
        assert_eq!(told("203.0.113.5:4000"), Ok("203.0.113.5:4000".parse().unwrap()));
        assert_eq!(told("2001:db8::1"), Ok("[2001:db8::1]:3000".parse().unwrap()));
        assert!(told("example.org").is_err());
    }
}
