//! UDP sockets: round-robin receiving, and sending from a given source address.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Type};

use crate::hub::Transmit;
use crate::stats::{Counters, add};

/// Size of the receive buffer; no legitimate datagram is longer.
const RECV_BUFFER_SIZE: usize = 2_048;
/// Maximum consecutive errors of a socket before it is paused. A single error concerns one datagram
/// that could not be delivered, and not the socket.
const MAX_CONSECUTIVE_ERRORS: u32 = 64;
/// Duration of the pause.
const ERROR_BACKOFF: Duration = Duration::from_millis(10);

/// Datagram socket, abstracted for tests.
pub(super) trait DatagramSocket {
    fn receive(&mut self, now: Instant, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    fn send(&self, contents: &[u8], destination: SocketAddr) -> io::Result<usize>;
    /// Returns the number of datagrams that the system dropped because the buffer was full, as far
    /// as it reports that.
    fn overflow_count(&self) -> u64;
}

/// All UDP sockets of the server.
#[derive(Debug)]
pub(super) struct UdpSockets<S> {
    sockets: Vec<BoundSocket<S>>,
    /// Next socket in the rotation.
    next_index: usize,
    recv_buffer: Vec<u8>,
    /// The addresses of this machine, for [`SourceFilter::OwnAddrs`].
    own_addrs: HashSet<IpAddr>,
}

/// Socket with its state.
#[derive(Debug)]
struct BoundSocket<S> {
    /// Number of its mio token.
    slot: usize,
    socket: S,
    local_addr: SocketAddr,
    source_filter: SourceFilter,
    readiness: Readiness,
    consecutive_errors: u32,
    /// Overflow count reported so far.
    reported_overflow: u64,
}

/// Received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) contents: &'a [u8],
}

/// Result of one receive call on a UDP socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recv<'a> {
    Datagram(Datagram<'a>),
    /// The datagram was ignored; there may be more.
    Ignored,
    /// No socket has a datagram now.
    WouldBlock,
}

impl<S: DatagramSocket> UdpSockets<S> {
    pub(super) fn new() -> UdpSockets<S> {
        UdpSockets {
            sockets: Vec::new(),
            next_index: 0,
            recv_buffer: vec![0; RECV_BUFFER_SIZE],
            own_addrs: HashSet::new(),
        }
    }

    /// Returns the lowest number that no socket has.
    pub(super) fn free_slot(&self) -> usize {
        let is_free = |number: &usize| self.sockets.iter().all(|port| port.slot != *number);
        (0..).find(is_free).expect("there are fewer sockets than numbers")
    }

    /// Adds a socket, with this number in its mio token.
    pub(super) fn insert(&mut self, number: usize, udp: UdpBinding<S>) {
        let UdpBinding { socket, local_addr: local, source_filter: admits } = udp;
        let (ready, errors, overflowed) = (Readiness::Ready, 0, 0);
        self.sockets.push(BoundSocket {
            slot: number,
            socket,
            local_addr: local,
            source_filter: admits,
            readiness: ready,
            consecutive_errors: errors,
            reported_overflow: overflowed,
        });
    }

    /// Removes the socket at this address, and returns it.
    pub(super) fn remove(&mut self, local: SocketAddr) -> Option<S> {
        let index = self.sockets.iter().position(|port| port.local_addr == local)?;
        Some(self.sockets.remove(index).socket)
    }

    /// Updates the addresses of this machine.
    pub(super) fn set_own_addrs(&mut self, own: impl Iterator<Item = IpAddr>) {
        self.own_addrs = own.collect();
    }

    /// Records that mio reported it readable.
    pub(super) fn on_readable(&mut self, number: usize) {
        let mut sockets = self.sockets.iter_mut();
        if let Some(port) = sockets.find(|port| port.slot == number) {
            port.readiness = Readiness::Ready;
        }
    }

    /// Returns when a datagram may be available.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.sockets.iter().filter_map(|port| port.readiness.next_timeout(now)).min()
    }

    /// Receives a datagram from the next socket in the rotation.
    pub(super) fn recv(&mut self, now: Instant, counters: &Counters) -> Recv<'_> {
        let Some(index) = self.next_ready(now) else { return Recv::WouldBlock };
        self.next_index = index + 1;
        let port = &mut self.sockets[index];
        match port.socket.receive(now, &mut self.recv_buffer) {
            Ok((length, source)) => {
                add(&counters.datagrams_received, 1);
                (port.readiness, port.consecutive_errors) = (Readiness::Ready, 0);
                let (destination, contents) = (port.local_addr, &self.recv_buffer[..length]);
                let is_admitted = match port.source_filter {
                    SourceFilter::Any => true,
                    SourceFilter::OwnAddrs => self.own_addrs.contains(&source.ip().to_canonical()),
                };
                match is_admitted {
                    true => Recv::Datagram(Datagram { source, destination, contents }),
                    false => Recv::Ignored,
                }
            }
            Err(error) => {
                port.on_recv_error(now, &error);
                Recv::Ignored
            }
        }
    }

    /// Sends a datagram from its source address. One that the system does not accept is lost, like
    /// one lost on the path.
    pub(super) fn send(&self, transmit: &Transmit, counters: &Counters) {
        let port = self.sockets.iter().find(|port| port.local_addr == transmit.source);
        let Some(port) = port else {
            log::trace!("{} has no socket any more", transmit.source);
            add(&counters.datagrams_send_failed, 1);
            return;
        };
        match port.socket.send(&transmit.contents, transmit.destination) {
            Ok(_) => add(&counters.datagrams_sent, 1),
            Err(error) => {
                log::trace!("sending to {}: {error}", transmit.destination);
                add(&counters.datagrams_send_failed, 1);
            }
        }
    }

    /// Adds the datagrams that the system dropped since the last call to the counters.
    pub(super) fn count_overflow(&mut self, counters: &Counters) {
        for port in &mut self.sockets {
            let overflowed = port.socket.overflow_count();
            add(&counters.datagrams_recv_dropped, overflowed - port.reported_overflow);
            port.reported_overflow = overflowed;
        }
    }

    /// Returns the next socket in the rotation that may have a datagram.
    fn next_ready(&self, now: Instant) -> Option<usize> {
        let count = self.sockets.len();
        let mut round = (0..count).map(|ahead| (self.next_index + ahead) % count);
        round.find(|index| self.sockets[*index].readiness.is_ready(now))
    }
}

impl<S> BoundSocket<S> {
    fn on_recv_error(&mut self, now: Instant, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                (self.readiness, self.consecutive_errors) = (Readiness::NotReady, 0)
            }
            io::ErrorKind::Interrupted => {}
            _ => {
                log::debug!("receiving at {}: {error}", self.local_addr);
                self.consecutive_errors += 1;
                if self.consecutive_errors >= MAX_CONSECUTIVE_ERRORS {
                    (self.readiness, self.consecutive_errors) =
                        (Readiness::RetryAt(now + ERROR_BACKOFF), 0);
                }
            }
        }
    }
}

/// Whether a socket may be read: edge-triggered readiness, or a retry at a later time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    NotReady,
    /// The socket failed without a readiness event to come: it is retried at this time.
    RetryAt(Instant),
}

impl Readiness {
    /// Returns when the socket may have a datagram.
    pub(super) fn next_timeout(self, now: Instant) -> Option<Instant> {
        match self {
            Readiness::Ready => Some(now),
            Readiness::NotReady => None,
            Readiness::RetryAt(at) => Some(at),
        }
    }

    /// Returns whether the socket may have a datagram now.
    pub(super) fn is_ready(self, now: Instant) -> bool {
        self.next_timeout(now).is_some_and(|at| at <= now)
    }
}

#[cfg(target_os = "linux")]
use crate::driver::udp_sockets::linux::RxOverflow;

/// UDP socket that counts receive buffer overflows (on Linux).
#[derive(Debug)]
pub(crate) struct OverflowUdpSocket {
    udp: UdpSocket,
    #[cfg(target_os = "linux")]
    overflow: RxOverflow,
}

impl OverflowUdpSocket {
    /// Wraps a bound, non-blocking socket.
    pub(super) fn new(udp: std::net::UdpSocket) -> OverflowUdpSocket {
        OverflowUdpSocket {
            #[cfg(target_os = "linux")]
            overflow: RxOverflow::enable(&udp),
            udp: UdpSocket::from_std(udp),
        }
    }

    /// Returns the socket for registration with mio.
    pub(super) fn mio_source(&mut self) -> &mut impl Source {
        &mut self.udp
    }
}

impl DatagramSocket for OverflowUdpSocket {
    #[cfg(target_os = "linux")]
    fn receive(&mut self, now: Instant, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.overflow.is_due(now) {
            true => self.overflow.recv_from(now, &self.udp, buffer),
            false => self.udp.recv_from(buffer),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn receive(&mut self, _: Instant, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.udp.recv_from(buffer)
    }

    fn send(&self, contents: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.udp.send_to(contents, destination)
    }

    #[cfg(target_os = "linux")]
    fn overflow_count(&self) -> u64 {
        self.overflow.dropped
    }

    #[cfg(not(target_os = "linux"))]
    fn overflowed(&self) -> u64 {
        0
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::io::IoSliceMut;
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use mio::net::UdpSocket;
    use nix::cmsg_space;
    use nix::sys::socket::sockopt::RxqOvfl;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};

    /// Interval of checks of the overflow count.
    const OVERFLOW_CHECK_INTERVAL: Duration = Duration::from_secs(1);

    /// Receive buffer overflow count of the system, an ancillary message of datagrams
    /// (`SO_RXQ_OVFL`). It is checked at intervals, because a plain receive is cheaper.
    #[derive(Debug)]
    pub(super) struct RxOverflow {
        next_check: Option<Instant>,
        /// The system's count wraps around at 2^32; this does not.
        pub(super) dropped: u64,
    }

    impl RxOverflow {
        pub(super) fn enable(udp: &std::net::UdpSocket) -> RxOverflow {
            if let Err(error) = setsockopt(udp, RxqOvfl, &1) {
                log::debug!("SO_RXQ_OVFL: {error}");
            }
            RxOverflow { next_check: None, dropped: 0 }
        }

        pub(super) fn is_due(&self, now: Instant) -> bool {
            self.next_check.is_none_or(|due| due <= now)
        }

        pub(super) fn recv_from(
            &mut self,
            now: Instant,
            udp: &UdpSocket,
            buffer: &mut [u8],
        ) -> io::Result<(usize, SocketAddr)> {
            let (length, source, count) = udp.try_io(|| recv_with_overflow(udp, buffer))?;
            self.next_check = Some(now + OVERFLOW_CHECK_INTERVAL);
            if let Some(count) = count {
                self.dropped += u64::from(count.wrapping_sub(self.dropped as u32));
            }
            source.map(|source| (length, source)).ok_or(io::ErrorKind::InvalidData.into())
        }
    }

    fn recv_with_overflow(
        udp: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Option<SocketAddr>, Option<u32>)> {
        let mut space = cmsg_space!(u32);
        let mut slices = [IoSliceMut::new(buffer)];
        let (fd, flags) = (udp.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut space), flags)?;
        let count = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::RxqOvfl(count) => Some(count),
            _ => None,
        });
        Ok((message.bytes, message.address.as_ref().and_then(to_socket_addr), count))
    }

    fn to_socket_addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sends more than fits before anything is received; the next datagram reports the number lost.
    #[test]
    fn t62_what_the_system_drops_is_known_with_the_next_datagram() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let to = udp.local_addr().unwrap();
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut socket = OverflowUdpSocket::new(udp);
        let mut buffer = [0; 2_048];
        let mut now = Instant::now();
        let mut sent = 0;
        for _ in 0..2 {
            for _ in 0..2_000 {
                other.send_to(&[7; 1_000], to).unwrap();
                sent += 1;
            }
            let mut received = 0;
            while let Ok((length, source)) = socket.receive(now, &mut buffer) {
                assert_eq!((length, source), (1_000, other.local_addr().unwrap()));
                received += 1;
            }
            sent -= received;
            now += Duration::from_secs(1);
        }
        other.send_to(&[7; 1_000], to).unwrap();
        socket.receive(now, &mut buffer).unwrap();
        assert!(sent > 0, "nothing was dropped");
        assert_eq!(socket.overflow_count(), sent);
    }
}

/// Buffer size of UDP sockets for bursts, in bytes; the system may give less.
const UDP_SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// UDP socket and its source filter.
#[derive(Debug)]
pub(crate) struct UdpBinding<S = OverflowUdpSocket> {
    pub(crate) socket: S,
    pub(crate) local_addr: SocketAddr,
    pub(crate) source_filter: SourceFilter,
}

/// Source addresses of which a socket accepts datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceFilter {
    Any,
    /// Only this machine's own addresses: the socket accompanies a loopback listener and must not
    /// admit other machines.
    OwnAddrs,
}

impl UdpBinding {
    /// Binds a socket at this address, for a server that listens at `listens`. Beside a loopback
    /// listener any port will do.
    pub(super) fn bind_for_listener(
        listens: SocketAddr,
        address: SocketAddr,
    ) -> io::Result<UdpBinding> {
        if !listens.ip().is_loopback() || address.ip().is_loopback() {
            return UdpBinding::bind(address, SourceFilter::Any);
        }
        UdpBinding::bind(address, SourceFilter::OwnAddrs)
            .or_else(|_| UdpBinding::bind((address.ip(), 0).into(), SourceFilter::OwnAddrs))
    }

    fn bind(address: SocketAddr, admits: SourceFilter) -> io::Result<UdpBinding> {
        let socket =
            socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Smaller buffers than requested are not an error.
        _ = socket.set_recv_buffer_size(UDP_SOCKET_BUFFER);
        _ = socket.set_send_buffer_size(UDP_SOCKET_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(UdpBinding {
            socket: OverflowUdpSocket::new(socket),
            local_addr: local,
            source_filter: admits,
        })
    }
}

#[cfg(test)]
mod socket_tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    /// Scripted socket.
    #[derive(Default)]
    struct Script {
        receives: VecDeque<io::Result<&'static str>>,
        sends: RefCell<VecDeque<io::Result<usize>>>,
        asked: u32,
        overflowed: u64,
    }

    impl DatagramSocket for Script {
        fn receive(&mut self, _: Instant, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.asked += 1;
            let blocked = || Err(io::ErrorKind::WouldBlock.into());
            let contents = self.receives.pop_front().unwrap_or_else(blocked)?;
            buffer[..contents.len()].copy_from_slice(contents.as_bytes());
            Ok((contents.len(), address(9)))
        }

        fn send(&self, contents: &[u8], _: SocketAddr) -> io::Result<usize> {
            self.sends.borrow_mut().pop_front().unwrap_or(Ok(contents.len()))
        }

        fn overflow_count(&self) -> u64 {
            self.overflowed
        }
    }

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 3000).into()
    }

    fn datagrams(scripts: Vec<Script>) -> UdpSockets<Script> {
        let mut datagrams = UdpSockets::new();
        for socket in scripts {
            let number = datagrams.free_slot();
            let local = address(number as u8);
            datagrams.insert(
                number,
                UdpBinding { socket, local_addr: local, source_filter: SourceFilter::Any },
            );
        }
        datagrams
    }

    fn hears(contents: &[&'static str]) -> Script {
        Script { receives: contents.iter().map(|text| Ok(*text)).collect(), ..Script::default() }
    }

    fn all(datagrams: &mut UdpSockets<Script>, now: Instant) -> Vec<(u8, String)> {
        let counters = Counters::default();
        let mut heard = Vec::new();
        loop {
            match datagrams.recv(now, &counters) {
                Recv::WouldBlock => return heard,
                Recv::Ignored => {}
                Recv::Datagram(datagram) => {
                    let SocketAddr::V4(local) = datagram.destination else { unreachable!() };
                    let text = String::from_utf8_lossy(datagram.contents).into_owned();
                    heard.push((local.ip().octets()[3], text));
                }
            }
        }
    }

    #[test]
    fn sockets_take_turns() {
        let mut datagrams = datagrams(vec![hears(&["a", "b", "c"]), hears(&["d"]), hears(&[])]);
        let expected = [(0, "a"), (1, "d"), (0, "b"), (0, "c")];
        let now = Instant::now();
        assert_eq!(all(&mut datagrams, now), expected.map(|(at, text)| (at, text.to_owned())));
        assert_eq!(datagrams.next_timeout(now), None);
        datagrams.on_readable(1);
        assert_eq!(datagrams.next_timeout(now), Some(now));
    }

    #[test]
    fn t59_whatever_a_send_fails_with_is_a_loss() {
        let now = Instant::now();
        let errors = [libc_like::EINVAL, libc_like::EACCES, libc_like::EPERM]
            .into_iter()
            .chain([libc_like::ENETUNREACH, libc_like::EMSGSIZE, libc_like::ENOBUFS])
            .map(|code| Err(io::Error::from_raw_os_error(code)))
            .chain([Err(io::ErrorKind::WouldBlock.into())]);
        let socket = Script { sends: RefCell::new(errors.collect()), ..hears(&["still"]) };
        let mut datagrams = datagrams(vec![socket]);
        let counters = Counters::default();
        for _ in 0..8 {
            let transmit = Transmit {
                source: address(0),
                destination: address(9),
                contents: b"hello".to_vec(),
            };
            datagrams.send(&transmit, &counters);
        }
        let counts = [&counters.datagrams_send_failed, &counters.datagrams_sent];
        assert_eq!(counts.map(|count| count.load(Relaxed)), [7, 1]);
        assert_eq!(all(&mut datagrams, now), [(0, "still".to_owned())]);
    }

    #[test]
    fn t60_errors_while_receiving_lose_no_datagram_and_do_not_spin() {
        let now = Instant::now();
        let refused = || Err(io::ErrorKind::ConnectionRefused.into());
        let mut socket = hears(&["a"]);
        socket.receives.extend([refused(), refused(), Err(io::ErrorKind::Interrupted.into())]);
        socket.receives.push_back(Ok("b"));
        socket.receives.extend((0..1_000).map(|_| refused()));
        socket.receives.push_back(Ok("c"));
        let mut datagrams = datagrams(vec![socket]);
        let heard = |datagrams: &mut UdpSockets<Script>, now| {
            all(datagrams, now).into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(heard(&mut datagrams, now), ["a", "b"]);
        let asked = datagrams.sockets[0].socket.asked;
        assert!(asked < 5 + 2 * MAX_CONSECUTIVE_ERRORS, "it is left alone: {asked}");
        assert_eq!(datagrams.next_timeout(now), Some(now + ERROR_BACKOFF));
        let mut later = now;
        let found = (0..100).find_map(|_| {
            later += ERROR_BACKOFF;
            heard(&mut datagrams, later).pop()
        });
        assert_eq!(found.as_deref(), Some("c"), "nothing is lost for it");
    }

    #[test]
    fn t70_interruptions_are_no_errors() {
        let now = Instant::now();
        let mut socket = hears(&[]);
        let interrupted = || Err(io::ErrorKind::Interrupted.into());
        socket.receives.extend((0..3 * MAX_CONSECUTIVE_ERRORS).map(|_| interrupted()));
        socket.receives.push_back(Ok("still"));
        assert_eq!(all(&mut datagrams(vec![socket]), now), [(0, "still".to_owned())]);
    }

    #[test]
    fn t62_what_overflows_is_counted_once() {
        let mut datagrams = datagrams(vec![hears(&[]), hears(&[])]);
        let counters = Counters::default();
        let counted = || counters.datagrams_recv_dropped.load(Relaxed);
        datagrams.count_overflow(&counters);
        assert_eq!(counted(), 0);
        datagrams.sockets[0].socket.overflowed = 3;
        datagrams.sockets[1].socket.overflowed = 4;
        datagrams.count_overflow(&counters);
        datagrams.count_overflow(&counters);
        assert_eq!(counted(), 7);
    }

    #[test]
    fn a_socket_that_is_gone_leaves_its_number_and_the_others_go_on() {
        let mut datagrams = datagrams(vec![hears(&["a"]), hears(&["b"]), hears(&["c"])]);
        let counters = Counters::default();
        datagrams.sockets[1].socket.overflowed = 5;
        datagrams.count_overflow(&counters);
        assert!(datagrams.remove(address(1)).is_some());
        assert!(datagrams.remove(address(1)).is_none());
        assert_eq!(datagrams.free_slot(), 1);
        datagrams.on_readable(1);
        assert_eq!(all(&mut datagrams, Instant::now()), [(0, "a".into()), (2, "c".into())]);
        datagrams.count_overflow(&counters);
        let transmit =
            Transmit { source: address(1), destination: address(9), contents: b"gone".to_vec() };
        datagrams.send(&transmit, &counters);
        let counts = [&counters.datagrams_recv_dropped, &counters.datagrams_send_failed];
        assert_eq!(counts.map(|count| count.load(Relaxed)), [5, 1]);
    }

    #[test]
    fn beside_loopback_only_this_machine_is_heard_as_it_is_now() {
        let mut datagrams = UdpSockets::new();
        let admits = SourceFilter::OwnAddrs;
        datagrams.insert(
            0,
            UdpBinding {
                socket: hears(&["a", "b", "c"]),
                local_addr: address(0),
                source_filter: admits,
            },
        );
        let (now, counters) = (Instant::now(), Counters::default());
        assert_eq!(datagrams.recv(now, &counters), Recv::Ignored);
        datagrams.set_own_addrs([address(9).ip()].into_iter());
        assert!(matches!(datagrams.recv(now, &counters), Recv::Datagram(_)));
        datagrams.set_own_addrs([address(8).ip()].into_iter());
        assert_eq!(datagrams.recv(now, &counters), Recv::Ignored);
    }

    /// Linux error numbers; on other systems they are other errors, which is fine.
    mod libc_like {
        pub(super) const EPERM: i32 = 1;
        pub(super) const EACCES: i32 = 13;
        pub(super) const EINVAL: i32 = 22;
        pub(super) const EMSGSIZE: i32 = 90;
        pub(super) const ENETUNREACH: i32 = 101;
        pub(super) const ENOBUFS: i32 = 105;
    }
}
