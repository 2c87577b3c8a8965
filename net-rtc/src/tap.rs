//! The DTLS layer of a peer, with the data plane in front of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, ProtocolVersion};

use crate::plane::{Passage, Plane};
use crate::record::{is_hello_of_client, is_hello_of_server};

/// No DTLS record that str0m takes is longer.
const RECORD: usize = 2_000;

/// How often DTLS may look at the clock at one and the same time, and how long it must wait if it
/// wants to do so once more. While a part of a handshake is missing that others have followed, it
/// acknowledges what it has at each look (RFC 9147 §7.1) and asks for the next at once, and str0m
/// looks again after each packet: both would do nothing else for ever.
const LOOKS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// A DTLS instance through which each SCTP packet passes by the data plane, where it is plain.
#[derive(Debug)]
pub(crate) struct Tap {
    inner: dimpl::Dtls,
    plane: SharedPlane,
    /// Whether the other side has answered our ClientHello.
    is_answered: bool,
    /// When DTLS last looked at the clock, and how often it did at that time.
    looked: Option<(Instant, u32)>,
}

/// The peer has one end of a plane, its `Tap`, inside of str0m, the other.
#[derive(Clone, Debug)]
pub(crate) struct SharedPlane(Arc<Mutex<Plane>>);

impl SharedPlane {
    pub(crate) fn new(plane: Plane) -> SharedPlane {
        SharedPlane(Arc::new(Mutex::new(plane)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Plane> {
        // Nobody ever waits: both ends belong to one peer, and one thread has it at a time. If
        // that panicked the peer is lost anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap {
    pub(crate) fn new(inner: dimpl::Dtls, plane: SharedPlane) -> Tap {
        Tap { inner, plane, is_answered: false, looked: None }
    }

    /// Whether DTLS may look at the clock now.
    fn may_look(&mut self, now: Instant) -> bool {
        let before = self.looked.filter(|(at, _)| *at == now).map_or(0, |(_, looks)| looks);
        self.looked = Some((now, before + 1));
        before < LOOKS
    }

    /// When DTLS is woken that wants to be woken then.
    fn patient(&self, at: Instant) -> Instant {
        let hasty = self.looked.filter(|(looked, looks)| at <= *looked && *looks >= LOOKS);
        hasty.map_or(at, |(looked, _)| looked + PAUSE)
    }

    /// Hands the plane's next packet to DTLS. One at a time: DTLS has room for 30, and more
    /// than that would be the end of it.
    fn push(&mut self) {
        let mut plane = self.plane.lock();
        if let Some(packet) = plane.packet()
            && let Err(error) = self.inner.send_application_data(&packet)
        {
            plane.failed(error.to_string());
        }
    }
}

impl DtlsInstance for Tap {
    fn send_application_data(&mut self, packet: &[u8]) -> Result<usize, DtlsImplError> {
        let passage = self.plane.lock().outbound(packet);
        let taken = match passage {
            Passage::Pass => return self.inner.send_application_data(packet),
            Passage::Replace(other) => self.inner.send_application_data(&other)? == other.len(),
            Passage::Swallow => true,
        };
        Ok(if taken { packet.len() } else { 0 })
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let mut record = [0; RECORD];
        loop {
            self.push();
            if let Some(packet) = self.plane.lock().assumed() {
                return DtlsOutput::ApplicationData(copied(&packet, buffer));
            }
            return match self.inner.poll_output(&mut record) {
                DtlsOutput::ApplicationData(packet) => {
                    let passage = self.plane.lock().inbound(packet);
                    match passage.rest(packet) {
                        Some(packet) => DtlsOutput::ApplicationData(copied(packet, buffer)),
                        None => continue,
                    }
                }
                DtlsOutput::Packet(record) => DtlsOutput::Packet(copied(record, buffer)),
                DtlsOutput::PeerCert(certificate) => {
                    DtlsOutput::PeerCert(copied(certificate, buffer))
                }
                DtlsOutput::BufferTooSmall { needed } => DtlsOutput::BufferTooSmall { needed },
                DtlsOutput::Timeout(at) => DtlsOutput::Timeout(self.patient(at)),
                DtlsOutput::Connected => {
                    self.plane.lock().connected();
                    DtlsOutput::Connected
                }
                DtlsOutput::KeyingMaterial(key, profile) => {
                    DtlsOutput::KeyingMaterial(key, profile)
                }
                DtlsOutput::CloseNotify => DtlsOutput::CloseNotify,
                // Nothing that this version knows of.
                _ => continue,
            };
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    /// Who begins waits for a ServerHello, and dimpl gives up over anything else: over a forged
    /// ClientHello, or over what should have come behind the ServerHello and overtook it. Who does
    /// not begin is sent no ServerHello, but by somebody else in the other side's name.
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let is_hello_of_server = is_hello_of_server(packet);
        let is_due = if self.inner.is_active() {
            self.is_answered |= is_hello_of_server;
            self.is_answered && !is_hello_of_client(packet)
        } else {
            !is_hello_of_server
        };
        if is_due { self.inner.handle_packet(packet) } else { Ok(()) }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        if !self.may_look(now) {
            return Ok(());
        }
        self.inner.handle_timeout(now)
    }

    fn is_active(&self) -> bool {
        self.inner.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.inner.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.inner.close()
    }
}

/// What str0m is given must live in its own buffer.
fn copied<'a>(bytes: &[u8], buffer: &'a mut [u8]) -> &'a [u8] {
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    &buffer[..length]
}

#[cfg(test)]
mod tests {
    use str0m::config::DtlsVersion;

    use super::*;
    use crate::Config;
    use crate::plane::Plane;
    use crate::unproven::scene::client_hello;

    const MS: Duration = Duration::from_millis(1);

    /// As the library makes it: it asks for cookies.
    fn dtls(now: Instant, version: DtlsVersion) -> dimpl::Dtls {
        let made = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate();
        let made = made.expect("a certificate");
        let (certificate, private_key) = (made.certificate.clone(), made.private_key.clone());
        let certificate = dimpl::DtlsCertificate { certificate, private_key };
        let config = Arc::new(dimpl::Config::builder().build().expect("the defaults"));
        match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        }
    }

    fn tap(now: Instant, version: DtlsVersion) -> Tap {
        let plane = SharedPlane::new(Plane::new(now, &Config::new(Vec::new())));
        Tap::new(dtls(now, version), plane)
    }

    /// What one side has to send, and whether it is connected.
    fn drain(side: &mut dyn DtlsInstance) -> (Vec<Vec<u8>>, bool) {
        let (mut packets, mut connected, mut buffer) = (Vec::new(), false, [0; RECORD]);
        loop {
            match side.poll_output(&mut buffer) {
                DtlsOutput::Packet(packet) => packets.push(packet.to_vec()),
                DtlsOutput::Connected => connected = true,
                DtlsOutput::Timeout(_) => return (packets, connected),
                _ => {}
            }
        }
    }

    /// Behind each datagram of the other side, which asks for a cookie first.
    #[test]
    fn t36_a_client_hello_at_any_moment_does_not_reach_who_has_begun() {
        let now = Instant::now();
        for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
            let hellos = [DtlsVersion::Dtls12, DtlsVersion::Auto].map(client_hello);
            let mut tap = tap(now, DtlsVersion::Auto);
            let mut other = self::tap(now, version);
            tap.set_active(true);
            other.set_active(false);
            for side in [&mut tap, &mut other] {
                side.handle_timeout(now).expect("it begins");
            }
            let mut connected = false;
            for _ in 0..20 {
                let (packets, done) = drain(&mut tap);
                connected |= done;
                packets.iter().for_each(|packet| other.handle_packet(packet).expect("honest"));
                for packet in drain(&mut other).0 {
                    tap.handle_packet(&packet).expect("honest");
                    for hello in &hellos {
                        tap.handle_packet(hello).expect("it is left out");
                    }
                }
            }
            assert!(connected, "{version:?}");
        }
    }

    #[test]
    fn t44_dtls_looks_at_the_clock_twice_and_then_has_to_wait() {
        let now = Instant::now();
        let mut tap = tap(now, DtlsVersion::Dtls13);
        assert_eq!(tap.patient(now), now, "it has not looked yet");
        assert!(tap.may_look(now));
        assert_eq!(tap.patient(now), now);
        assert!(tap.may_look(now));
        assert_eq!(tap.patient(now), now + PAUSE);
        assert_eq!(tap.patient(now - MS), now + PAUSE);
        assert_eq!(tap.patient(now + MS), now + MS, "that is no haste");
        assert!(!tap.may_look(now));
        assert_eq!(tap.patient(now), now + PAUSE);
        assert!(tap.may_look(now + MS));
        assert_eq!(tap.patient(now + MS), now + MS);
    }
}
