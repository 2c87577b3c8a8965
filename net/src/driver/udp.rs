//! One UDP socket, and what its system says was dropped on arrival.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::event::Source;
use mio::net::UdpSocket;

use super::datagrams::DatagramSocket;

#[cfg(target_os = "linux")]
use self::linux::Overflow;

/// See the [module's page](self).
#[derive(Debug)]
pub(crate) struct Socket {
    udp: UdpSocket,
    #[cfg(target_os = "linux")]
    overflow: Overflow,
}

impl Socket {
    /// One that is bound and does not block.
    pub(super) fn new(udp: std::net::UdpSocket) -> Socket {
        Socket {
            #[cfg(target_os = "linux")]
            overflow: Overflow::of(&udp),
            udp: UdpSocket::from_std(udp),
        }
    }

    /// For mio.
    pub(super) fn source(&mut self) -> &mut impl Source {
        &mut self.udp
    }
}

impl DatagramSocket for Socket {
    #[cfg(target_os = "linux")]
    fn receive(&mut self, now: Instant, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.overflow.is_due(now) {
            true => self.overflow.receive(now, &self.udp, buffer),
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
    fn overflowed(&self) -> u64 {
        self.overflow.dropped
    }

    #[cfg(not(target_os = "linux"))]
    fn overflowed(&self) -> u64 {
        0
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use mio::net::UdpSocket;
    use nix::cmsg_space;
    use nix::sys::socket::sockopt::RxqOvfl;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};

    /// How often it is looked at.
    const PERIOD: Duration = Duration::from_secs(1);

    /// The system's count of what it dropped, which rides on datagrams (`SO_RXQ_OVFL`). It is
    /// looked at now and then, because a plain read is cheaper.
    #[derive(Debug)]
    pub(super) struct Overflow {
        due: Option<Instant>,
        /// The system's count goes round at 2^32; this does not.
        pub(super) dropped: u64,
    }

    impl Overflow {
        pub(super) fn of(udp: &std::net::UdpSocket) -> Overflow {
            if let Err(error) = setsockopt(udp, RxqOvfl, &1) {
                log::debug!("SO_RXQ_OVFL: {error}");
            }
            Overflow { due: None, dropped: 0 }
        }

        pub(super) fn is_due(&self, now: Instant) -> bool {
            self.due.is_none_or(|due| due <= now)
        }

        pub(super) fn receive(
            &mut self,
            now: Instant,
            udp: &UdpSocket,
            buffer: &mut [u8],
        ) -> io::Result<(usize, SocketAddr)> {
            let (length, source, count) = udp.try_io(|| read(udp, buffer))?;
            self.due = Some(now + PERIOD);
            if let Some(count) = count {
                self.dropped += u64::from(count.wrapping_sub(self.dropped as u32));
            }
            source.map(|source| (length, source)).ok_or(io::ErrorKind::InvalidData.into())
        }
    }

    fn read(
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
        Ok((message.bytes, message.address.as_ref().and_then(address), count))
    }

    fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// More than fits is sent before anything is read; the next datagram tells how many did not.
    #[test]
    fn t62_what_the_system_drops_is_known_with_the_next_datagram() {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let to = udp.local_addr().unwrap();
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut socket = Socket::new(udp);
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
        assert_eq!(socket.overflowed(), sent);
    }
}
