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
