//! The place between SCTP and DTLS, where packets are plain.

use std::time::Instant;

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, ProtocolVersion};

use crate::sctp;

/// A DTLS instance that lets us see, and change, the SCTP packets that go through.
///
/// Today it does one thing: str0m sends nothing for an empty message, so the peer writes one
/// byte of *text* instead, which we never send otherwise, and here that becomes the empty
/// binary message of RFC 8831 §6.6.
#[derive(Debug)]
pub(crate) struct Tap {
    inner: Box<dyn DtlsInstance>,
}

impl Tap {
    pub(crate) fn new(inner: Box<dyn DtlsInstance>) -> Tap {
        Tap { inner }
    }
}

impl DtlsInstance for Tap {
    fn send_application_data(&mut self, packet: &[u8]) -> Result<usize, DtlsImplError> {
        match sctp::text_to_empty(packet) {
            Some(changed) => self.inner.send_application_data(&changed),
            None => self.inner.send_application_data(packet),
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.inner.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.inner.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
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
