//! Network devices that are programs: what a machine routes into one, a program reads, packet by
//! packet, and what the program writes, the machine receives.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::link::HEADERS;

/// The largest packet, in bytes; also the device's MTU.
pub const MTU: u16 = 1_500;

/// Packets that the kernel keeps until they are read.
const QUEUE: u32 = 10_000;

const IPV4: u8 = 4;
const IPV4_HEADER: usize = 20;
const PROTOCOL: usize = 9;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// Where a TCP header says how long it is.
const TCP_OFFSET: usize = 12;

/// A device for IP packets, gone when its last clone is dropped.
#[derive(Clone)]
pub struct Tun {
    device: Arc<SyncDevice>,
}

impl Tun {
    /// Makes a device of this name, of at most 15 bytes: without address, and down.
    ///
    /// # Errors
    /// No right to, or the name is taken.
    pub fn new(name: &str) -> io::Result<Tun> {
        let device = DeviceBuilder::new().name(name).mtu(MTU).enable(false).build_sync()?;
        device.set_tx_queue_len(QUEUE)?;
        Ok(Tun { device: Arc::new(device) })
    }

    /// The next packet that the machine sends; blocks until there is one.
    ///
    /// # Errors
    /// The device is down, or gone.
    pub fn recv(&self, buffer: &mut [u8; MTU as usize]) -> io::Result<usize> {
        self.device.recv(buffer)
    }

    /// Gives the machine a packet.
    ///
    /// # Errors
    /// The device is down, or gone, or this is no IP packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.device.send(packet).map(drop)
    }
}

/// The bytes of payload of a packet, if it is a UDP datagram over IPv4.
pub fn datagram(packet: &[u8]) -> Option<usize> {
    let version = packet.first()? >> 4;
    let is_udp = version == IPV4 && *packet.get(PROTOCOL)? == UDP && packet.len() >= IPV4_HEADER;
    is_udp.then(|| packet.len().saturating_sub(HEADERS))
}

/// The protocol above IPv4, and what it carries: for UDP and TCP without their own headers.
pub fn payload(packet: &[u8]) -> Option<(u8, &[u8])> {
    if packet.first()? >> 4 != IPV4 {
        return None;
    }
    let protocol = *packet.get(PROTOCOL)?;
    let above = packet.get(usize::from(packet[0] & 0x0F) * 4..)?;
    let header = match protocol {
        UDP => HEADERS - IPV4_HEADER,
        TCP => usize::from(above.get(TCP_OFFSET)? >> 4) * 4,
        _ => 0,
    };
    Some((protocol, above.get(header..)?))
}

/// Source, destination and contents of a packet, if it is a UDP datagram over IPv4 and no
/// fragment.
pub fn addressed(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let fragment = u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & 0x3FFF;
    let (UDP, contents) = payload(packet)? else { return None };
    if fragment != 0 {
        return None;
    }
    let above = packet.get(usize::from(packet[0] & 0x0F) * 4..)?;
    let end = |ip: usize, port: usize| {
        let ip = Ipv4Addr::from(*packet.get(ip..)?.first_chunk::<4>()?);
        Some(SocketAddr::from((ip, u16::from_be_bytes(*above.get(port..)?.first_chunk()?))))
    };
    Some((end(12, 0)?, end(16, 2)?, contents))
}

/// A UDP datagram over IPv4 as a packet. Without checksums: that of IP the system fills in, that
/// of UDP may be left out (RFC 768).
///
/// # Panics
/// If the contents do not fit into a packet.
pub fn udp_packet(from: SocketAddrV4, to: SocketAddrV4, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADERS + contents.len()).expect("it fits into a packet");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend((length - IPV4_HEADER as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(contents);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet of this protocol, with so many bytes behind its header.
    fn packet(protocol: u8, payload: usize) -> Vec<u8> {
        let mut packet = vec![0; IPV4_HEADER + payload];
        packet[0] = 0x45;
        packet[PROTOCOL] = protocol;
        packet
    }

    #[test]
    fn only_udp_over_ipv4_is_a_datagram() {
        assert_eq!(datagram(&packet(UDP, 108)), Some(100));
        assert_eq!(datagram(&packet(6, 108)), None);
        assert_eq!(datagram(&[0x60; 48]), None);
    }

    #[test]
    fn a_payload_has_no_headers() {
        assert_eq!(payload(&packet(UDP, 108)), Some((UDP, &[0; 100][..])));
        let mut segment = packet(TCP, 50);
        segment[IPV4_HEADER + TCP_OFFSET] = 8 << 4;
        assert_eq!(payload(&segment), Some((TCP, &[0; 18][..])));
    }

    #[test]
    fn a_packet_that_is_made_can_be_read() {
        let (from, to) = ("127.0.0.1:3000".parse().unwrap(), "127.9.8.7:65535".parse().unwrap());
        let packet = udp_packet(from, to, b"contents");
        assert_eq!(addressed(&packet), Some((from.into(), to.into(), &b"contents"[..])));
        assert_eq!(datagram(&packet), Some(8));
        let mut fragment = packet.clone();
        fragment[7] = 1;
        assert_eq!(addressed(&fragment), None);
        assert!((0..HEADERS).all(|cut| addressed(&packet[..cut]).is_none()));
    }

    #[test]
    fn a_cut_packet_is_none() {
        assert_eq!(payload(&[0x45; 9]), None);
        assert_eq!(payload(&packet(UDP, 4)), None);
        assert_eq!(datagram(&[]), None);
        assert_eq!(datagram(&[0x45; 9]), None);
    }
}
