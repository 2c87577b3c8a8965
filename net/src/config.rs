//! Every setting and every bound, with its unit and default.

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
pub use net_rtc::{Congestion, DataPathMode, DtlsRole, DtlsVersions, HandshakeOptions, Repair};

use crate::AcceptHook;

/// Settings of a [`Server`](crate::Server). The defaults suit a public game server; change one
/// with `Config { peers: 64, ..Config::default() }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses that browsers are told for WebRTC before those that are bound, for a server that
    /// clients see at others, as behind the 1:1 NAT of most clouds. Each is an IP address, or one
    /// with a port. Default none. Clients from public addresses are told of public ones only, if
    /// there are any, and clients of the same private network of the private ones besides.
    pub public_addrs: Vec<PublicAddr>,

    /// Addresses that one offer names. Default 8, at least 1. Where there are more, no public one
    /// makes room for a private one, nor the last of IPv4 or IPv6, and the one that the client's
    /// websocket came in on is always named.
    pub max_candidates: usize,

    /// UDP sockets, one for each address of this machine, where a wildcard address is bound.
    /// Default 32, at least 1 and at most 1,024. Where there are more addresses, those stay
    /// without one that are the least likely to be of use, and are told to nobody.
    pub max_udp_sockets: usize,

    /// Largest message either way, on either path, in bytes. Default 64 KiB. An unreliable
    /// message above about 1,000 bytes takes several packets, and one lost packet loses it all:
    /// 16 KiB are the practical maximum on paths with loss.
    pub max_message_size: usize,

    /// Reliable messages of one peer that wait to be written, in bytes. Default 16 MiB, for a
    /// world that is sent in one go. Past it `try_send` gives `Full`, and `send_reliable` closes
    /// the peer as `SlowConsumer`. One whole message is always admitted. Until it is written a
    /// message counts its bytes, and 80 more until the loop has taken it.
    pub reliable_send_buffer: usize,

    /// The same for all peers together, in bytes. Default 2 GiB. Half of it is divided among
    /// [`peers`](Config::max_peers), and each always has its part, 1 MiB with the defaults; the other
    /// half is for those for which more waits, whoever comes first. A message that is broadcast
    /// counts for each peer, though its payload is there once.
    pub total_reliable_send_buffer: usize,

    /// How long a peer may take too little of the reliable messages that wait for it. Default
    /// 30 s. In each such time it must take all that waited at its beginning, or as much as
    /// [`min_reliable_bitrate`](Config::min_reliable_bitrate) makes; else it is closed as
    /// `SlowConsumer`. A peer at which nothing waits is not judged. At half the time the log
    /// warns.
    pub reliable_send_timeout: Duration,

    /// Least rate at which a peer must take the reliable messages that wait, in bits a second,
    /// over the whole of [`reliable_send_timeout`](Config::reliable_send_timeout). Default
    /// 16,000, which is 60,000 bytes in 30 s. With 0 a single byte will do.
    pub min_reliable_bitrate: u32,

    /// Unreliable messages of one peer that wait to be sent, in bytes. Default 128 KiB. Past it
    /// the first in line is dropped and counted. One whole message is always admitted. A message
    /// counts as 64 bytes at least.
    pub unreliable_send_buffer: usize,

    /// How long an unreliable message may wait to be sent. Default 100 ms. Past it the message
    /// is dropped and counted. Once messages to a peer have waited without a break for that
    /// long, more is sent than the path takes: then a message that a newer one has followed may
    /// wait a fifth of it, until there is a break and none has been dropped as too old for that
    /// long.
    pub unreliable_max_age: Duration,

    /// Unreliable messages of one peer that may wait for missing pieces, in whole messages' worth
    /// of [`max_message_size`](Config::max_message_size). Default 2, at least 1. Past it the oldest
    /// pieces are dropped: their message is lost.
    pub max_partial_messages: usize,

    /// Who carries unreliable messages. Default: our own data plane. `DataPathMode::PlainSctp` is plain
    /// SCTP as other stacks do it, which makes messages seconds old once packets are lost.
    pub data_path: DataPathMode,

    /// How the sending rate of unreliable messages is found. Default: by delay and loss.
    pub congestion: Congestion,

    /// Least that one peer may be sent of unreliable messages, whatever the path says, in bits a
    /// second of SCTP packets. Default 64,000, and never less than two packets a round trip. It
    /// is given up only when most of what is sent has been lost for 10 s.
    pub min_bitrate: u32,

    /// Most that one peer is sent of unreliable messages, in bits a second of SCTP packets.
    /// Default 4,000,000.
    pub max_bitrate: u32,

    /// Whether unreliable messages ride again in later packets, in case they were lost.
    /// Default: while loss is seen.
    pub repair: Repair,

    /// With plain SCTP: bytes of one peer that may wait inside it, for its window or for their
    /// acknowledgement. Default 16 KiB. What waits there grows old. One whole message is always
    /// admitted.
    pub sctp_send_buffer: usize,

    /// The first TSN of the server's side, for tests of its wrap-around. Default `None`: chance
    /// decides.
    #[doc(hidden)]
    pub initial_tsn: Option<u32>,

    /// Peers that may be open at once. Default 1,024; one more is refused as `Limit`.
    pub max_peers: usize,

    /// The same for one address: an IPv4 address, or the first 64 bits of an IPv6 one. Default
    /// 64.
    pub max_peers_per_ip: usize,

    /// The same for one address of this machine or of a private network, where everyone may
    /// come from one address, as through a proxy. Default: no bound but [`peers`](Config::max_peers).
    /// What a trusted proxy says to be private counts as any other address.
    pub max_peers_per_private_ip: usize,

    /// Connections that may be on their way to open at once. Default 1,024. One address may have
    /// all of this room while no other address needs it. For one more connection the address with
    /// the most on their way gives one up, if it has more than that of the new one. Else the one
    /// that has not taken its next step for half a second ends; if there is none, the new one is
    /// refused. Both are told on the websocket, with close code 1013, "try again later". As many
    /// again may be in the closing handshake, for [`close_timeout`](Config::close_timeout), or wait
    /// for their request to be told so; past that the one that was refused first is dropped.
    pub max_handshakes: usize,

    /// Those of one address that do not count as its own in this, once their datagrams have come
    /// through: they never give way. Default 8.
    pub max_protected_handshakes_per_ip: usize,

    /// The same for one address of this machine or of a private network. Default 32.
    pub max_protected_handshakes_per_private_ip: usize,

    /// Proxies in front of the TCP port, whose `X-Forwarded-For` is believed: the right-most
    /// address in it that is not one of theirs is the client's, in
    /// [`PeerInfo::remote`](crate::PeerInfo::remote), in refusals and for the bounds by address.
    /// Default none: anyone could write anything there, and it is ignored. As in
    /// `vec!["127.0.0.1/32".parse()?, "10.0.0.0/8".parse()?]`; an
    /// address alone is `IpNet::from(ip)`.
    ///
    /// The proxy must set or append that header. Caddy, HAProxy with `option forwardfor`, Traefik
    /// and Envoy do; nginx does with
    /// `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for`, which its documented stanza
    /// for websockets leaves out; proxies of TLS alone, as stunnel, hitch and nginx's `stream`,
    /// never do. Without it all clients count as one address, the proxy's.
    pub trusted_proxies: Vec<IpNet>,

    /// Whether [`trusted_proxies`](Config::trusted_proxies) begin each connection with a header of
    /// the PROXY protocol, version 1 or 2, which names the client: for proxies that do not speak
    /// HTTP, such as balancers of TCP. Default `false`. Then a connection of theirs without one
    /// is refused. From others it is never taken.
    pub proxy_protocol: bool,

    /// Whose pages may connect: origins as browsers send them, `scheme://host[:port]`, compared
    /// whole (RFC 6454 §6.2). Default `None`: everyone's. A page of another origin is told so with
    /// close code 1008, before any offer; a client without an origin gets 403. Pages from a file
    /// or in a sandboxed frame, anyone's, send `null`, which is let in only if it is in the
    /// list. It keeps other sites' pages away, not programs: they send what they like.
    pub allowed_origins: Option<Vec<String>>,

    /// Whether clients that send no `Origin`, as no browser does, are let in where
    /// [`origins`](Config::allowed_origins) is a list. Default `false`.
    pub allow_missing_origin: bool,

    /// Says who may become a peer, and what is to be known of him. Default `None`: everyone
    /// that the other settings let in.
    pub accept: Option<AcceptHook>,

    /// Threads on which [`accept`](Config::accept) is asked, at least 1. Default 4: so many
    /// requests are thought about at once.
    pub accept_threads: usize,

    /// Requests that may wait for one of them; their addresses take turns. Default 256. For one
    /// more the last of the address that has the most of them is refused as `Limit`, with close
    /// code 1013 or, without an origin, with 503. One that leaves, or has waited too long, is not
    /// asked about any more.
    pub accept_queue_len: usize,

    /// What makes the data channel open sooner, each to be switched off on its own. Default:
    /// everything. A client for which it does not work is offered
    /// [`HandshakeOptions::COMPATIBLE`] when it asks for that.
    pub handshake: HandshakeOptions,

    /// From the TCP connection to the end of the websocket's upgrade, the verdict of
    /// [`accept`](Config::accept) included. Default 5 s.
    pub upgrade_timeout: Duration,

    /// From the offer to the answer. Default 10 s.
    pub answer_timeout: Duration,

    /// From the answer to the open data channel. Default 15 s.
    pub connect_timeout: Duration,

    /// Silence on UDP, in datagrams that prove to be the peer's own, after which it is `Lost`.
    /// Default 20 s.
    pub idle_timeout: Duration,

    /// The same silence after which nothing unreliable is sent to the peer but four probes a
    /// second, so that its return is noticed at once. Default 10 s. What would be sent is
    /// dropped as too old.
    pub probe_after: Duration,

    /// How often datagrams from unknown addresses are tried on peers that may have moved, in
    /// trials a second over all peers: once for peers of the same IP address, and once more for
    /// peers that have just fallen silent. One costs some microseconds. Default 1,000; 0 leaves
    /// it to the browser's connectivity checks, seconds apart, to find a peer again.
    pub max_trial_decryptions_per_sec: u32,

    /// STUN Binding requests without credentials (RFC 8489) that the UDP port answers for each
    /// connection between its offer and its `Open`; only to the IP address that its websocket
    /// comes from. A Firefox that hides its own addresses connects only if it finds a STUN server, and
    /// this can be one. Chromium needs none, and must not be told of it: it takes nothing else from
    /// the address of a STUN server. Default 32; 0 answers none. An answer has 32 bytes, over IPv6 44, a request at least 20.
    pub max_stun_responses: u32,

    /// The same for all connections together, a second. Default 1,000.
    pub max_stun_responses_per_sec: u32,

    /// Reliable messages that a client may send before `Open`, in bytes. Default 64 KiB. They
    /// are delivered after `Open`. Past the bound a client that has not answered the offer is
    /// refused as `Limit`; the websocket of one that has is not read until it is open, because
    /// the client's end of the channel opens before ours.
    pub max_preopen_bytes: usize,

    /// The same, in messages. Default 64.
    pub max_preopen_messages: usize,

    /// Longest signalling text that is read, in bytes. Default 16 KiB. A longer one before the
    /// client's answer is refused; after it no text is read.
    pub max_signal_message_size: usize,

    /// Texts that a connection may send before its answer, those that look like candidates not
    /// counted. Default 8; one more is refused.
    pub max_signal_messages: usize,

    /// Texts of any kind that a connection may send in one second, for as long as it lives.
    /// Default 50; one more ends it, as `Limit`.
    pub max_signal_messages_per_sec: usize,

    /// Longest head of a request, in bytes. Default 32 KiB: browsers send all cookies of a host
    /// to each of its ports. Of a longer one a page is told on its websocket, others are answered
    /// 431. A connection holds about as much until its request is whole, and all that are
    /// [`max_handshakes`](Config::max_handshakes) together 32 MiB at most.
    pub max_request_head_size: usize,

    /// Header lines of such a head. Default and maximum 124: browsers send about 15, and proxies
    /// add theirs. One more is refused in the same way.
    pub max_request_headers: usize,

    /// Silence on the websocket after which a ping is sent. Default 15 s.
    pub ping_interval: Duration,

    /// Silence on the websocket after which the peer is `Lost`. Default 35 s. Linux gives up the
    /// TCP connection after the same time without an acknowledgement of what was sent, or
    /// [`reliable_send_timeout`](Config::reliable_send_timeout) if that is longer. Time in
    /// which the websocket was not read, or the server was stopped, does not count.
    pub pong_timeout: Duration,

    /// From the beginning of a goodbye on the websocket, or from the last bytes that the peer took
    /// of what was accepted, to its end: time to write that, and to hear the answer. Default 2 s;
    /// in all no more than [`reliable_send_timeout`](Config::reliable_send_timeout).
    pub close_timeout: Duration,

    /// Addresses that the datagrams of one peer are taken from. Default 16. A further one takes
    /// the place of one that has been silent for 30 s, or of any but the current once what comes
    /// from there decrypts; else it is not heard.
    pub max_remote_addrs: usize,

    /// Work of one turn of the loop, after which what is left waits for the next, in the order
    /// in which it came. Default 4 ms. Each kind of work has a share of it, and goes on at least
    /// by one piece however short it is.
    pub max_iteration_time: Duration,

    /// Datagrams that are taken in one turn, if there is time for so many. Default 1,024, at
    /// least 1.
    pub max_datagrams_per_iteration: u32,

    /// Connections that are accepted in one turn, if there is time for so many. Default 256, at
    /// least 1.
    pub max_accepts_per_iteration: u32,

    /// What is read of one websocket in one turn, in bytes. Default 4 KiB, at least 1: so much
    /// of a client that sends without end goes before the others have their turn.
    pub max_read_bytes_per_iteration: usize,

    /// Lines of one kind that are written to the log in one second. Default 10. The rest is
    /// counted, and the number written with the next one.
    pub max_log_lines_per_sec: u32,

    /// Events that wait for the application. Default 65,536. Past it unreliable messages are
    /// dropped, the oldest first, and websockets are not read, so that their senders wait.
    /// `Open` and `Closed` are always kept.
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

/// Not to be reached over the internet: RFC 1918, RFC 6598, RFC 3927, RFC 4193, and this machine.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let carrier = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || carrier
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// At most `max` of these, in their order. The first ones stay, except that what is needed goes
/// before the public ones, these before the private ones, and that of each family at least one
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
            // Whether it may is decided here.
            await_decision: true,
            max_message_size: self.max_message_size.max(self.max_signal_message_size),
            // The mailbox holds the application to `reliable_send_buffer`; what the websocket adds,
            // headers and pongs, must not turn an accepted message away.
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

/// An address that browsers are told: an IP address, with the bound port unless it has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicAddr {
    /// The address.
    pub ip: IpAddr,
    /// The UDP port; `None` is the one that is bound.
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
    /// Most memory that one peer can take, in bytes, whatever it does: about 17.4 MiB with the
    /// defaults. Of these 16 MiB are unsent reliable messages
    /// ([`reliable_send_buffer`](Config::reliable_send_buffer)), which for all peers together are no more than
    /// [`total_reliable_send_buffer`](Config::total_reliable_send_buffer); so `peers` of them can
    /// take that, and 1.4 MiB each. It is the bound of each queue and what its smallest items
    /// cost: besides, pieces of one message that arrives (three times
    /// [`max_message_size`](Config::max_message_size)), and what
    /// [`net_rtc::Config::most_memory_per_peer`] has: unsent unreliable messages, pieces, what is
    /// known of what was sent. Not in it, because no peer can make more of it: the C heap of its
    /// DTLS session (8 KB measured), and unreliable messages that the application has handed over
    /// since the last turn of the loop, [`unreliable_send_buffer`](Config::unreliable_send_buffer) at most. Events that
    /// wait for the application are bounded for all peers together
    /// ([`event_queue_bytes`](Config::event_queue_bytes)).
    pub fn max_memory_per_peer(&self) -> usize {
        let (backlog, message) =
            (self.reliable_send_buffer, self.max_message_size.max(self.max_signal_message_size));
        let websocket = backlog.saturating_add(message.saturating_mul(3));
        // Before it is open: its head as bytes or as headers, both for a moment, and what came
        // behind it.
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
