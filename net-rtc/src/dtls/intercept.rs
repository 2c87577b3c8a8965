//! The DTLS layer of a peer, with the data plane in front of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, ProtocolVersion};

use crate::datagram::{fatal_alert, is_hello_of_client, is_hello_of_server, records};
use crate::dtls::client_hello::{ClientHello, Taken};
use crate::sctp::{Fault, Passage, Plane};

/// No DTLS record that str0m takes is longer.
const RECORD: usize = 2_000;

/// How often DTLS may look at the clock at one and the same time, and how long it must wait if it
/// wants to do so once more. While a part of a handshake is missing that others have followed, it
/// acknowledges what it has at each look (RFC 9147 §7.1) and asks for the next at once, and str0m
/// looks again after each packet: both would do nothing else for ever.
const LOOKS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// How long after an alert the answer to our ClientHello may still come. An alert in the clear can
/// be anyone's who spoofs the other side's address; a side that has refused sends nothing else.
const GRACE: Duration = Duration::from_millis(250);
/// Descriptions of alerts (RFC 5246 §7.2) by a side that has no certificate for what we offer.
const HANDSHAKE_FAILURE: u8 = 40;
const UNSUPPORTED_CERTIFICATE: u8 = 43;

/// A DTLS instance through which each SCTP packet passes by the data plane, where it is plain.
#[derive(Debug)]
pub(crate) struct Tap {
    inner: dimpl::Dtls,
    plane: SharedPlane,
    /// Whether the other side has answered our ClientHello.
    is_answered: bool,
    /// When DTLS last looked at the clock, and how often it did at that time.
    looked: Option<(Instant, u32)>,
    /// What has come of a ClientHello in pieces.
    hello: ClientHello,
    /// An alert in place of an answer to our ClientHello, and when it came.
    alert: Option<(Instant, u8)>,
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
        let hello = ClientHello::default();
        Tap { inner, plane, is_answered: false, looked: None, hello, alert: None }
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
            plane.failed(Fault::Dtls(error.to_string()));
        }
    }

    /// Who begins waits for a ServerHello, and dimpl gives up over anything else: over a forged
    /// ClientHello, or over what should have come behind the ServerHello and overtook it.
    fn take_as_client(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.is_answered |= is_hello_of_server(packet);
        if self.is_answered {
            self.alert = None;
        } else if let Some(description) = fatal_alert(packet) {
            self.alert.get_or_insert((self.plane.lock().now(), description));
        }
        let is_due = self.is_answered && !is_hello_of_client(packet);
        if is_due { self.inner.handle_packet(packet) } else { Ok(()) }
    }

    /// Who does not begin is sent no ServerHello, but by somebody else in the other side's name.
    fn take_as_server(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if is_hello_of_server(packet) {
            return Ok(());
        }
        let taken = match self.hello.take(packet) {
            Taken::Other => self.inner.handle_packet(packet),
            Taken::Piece => Ok(()),
            Taken::Whole(whole) => self.inner.handle_packet(&whole),
        };
        let alert = fatal_alert(packet).filter(|alert| is_of_certificate(*alert));
        if let (Err(_), Some(alert)) = (&taken, alert) {
            self.plane.lock().failed(refusal(alert));
            return Ok(());
        }
        let missing = dimpl::CertificateError::NoClientCertificateReceived;
        if matches!(&taken, Err(DtlsImplError::CertificateError(error)) if *error == missing) {
            let words = "no certificate from the client; is its own RSA? It must be ECDSA";
            self.plane.lock().failed(Fault::Certificate(words.into()));
            return Ok(());
        }
        taken
    }

    /// Ends what the other side refused a while ago.
    fn look_at_alert(&mut self, now: Instant) {
        if let Some((_, alert)) = self.alert.take_if(|(at, _)| now >= *at + GRACE) {
            self.plane.lock().failed(refusal(alert));
        }
    }

    /// When DTLS must be woken, which wants to be woken then.
    fn wake(&self, at: Instant) -> Instant {
        let alert = self.alert.map(|(alert, _)| alert + GRACE);
        alert.map_or(self.patient(at), |alert| alert.min(self.patient(at)))
    }
}

/// What a fatal alert of the client during the handshake means.
fn refusal(alert: u8) -> Fault {
    match is_of_certificate(alert) {
        true => Fault::Certificate(format!(
            "the client refused DTLS (alert {alert}); is its certificate RSA? It must be ECDSA"
        )),
        false => Fault::Dtls(format!("the client refused DTLS (alert {alert})")),
    }
}

fn is_of_certificate(alert: u8) -> bool {
    matches!(alert, HANDSHAKE_FAILURE | UNSUPPORTED_CERTIFICATE)
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
                DtlsOutput::Timeout(at) => DtlsOutput::Timeout(self.wake(at)),
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

    /// Record by record: of a datagram that begins with a message of the handshake that dimpl had
    /// before, it drops all, though a message that it never had may follow.
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        records(packet).try_for_each(|record| match self.inner.is_active() {
            true => self.take_as_client(record),
            false => self.take_as_server(record),
        })
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.look_at_alert(now);
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
    use crate::sctp::Plane;
    use crate::tests::amplification_util::client_hello;

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

    /// A ClientHello in pieces, as one is cut of which the first piece was too long for the path.
    fn cut_anew(hello: &[u8]) -> Vec<Vec<u8>> {
        let (header, body) = hello.split_at(25);
        let third = body.len() / 3;
        let piece = |from: usize, to: usize| {
            let mut piece = [header, &body[from..to]].concat();
            let length = |bytes: usize| (bytes as u32).to_be_bytes();
            piece[11..13].copy_from_slice(&length(12 + to - from)[2..]);
            piece[19..22].copy_from_slice(&length(from)[1..]);
            piece[22..25].copy_from_slice(&length(to - from)[1..]);
            piece
        };
        vec![piece(2 * third, body.len()), piece(0, third + 9), piece(third, body.len())]
    }

    #[test]
    fn a_client_hello_that_is_cut_anew_is_answered() {
        let now = Instant::now();
        for version in [DtlsVersion::Dtls12, DtlsVersion::Auto] {
            let [mut client, mut tap] = [(); 2].map(|()| tap(now, version));
            client.set_active(true);
            tap.set_active(false);
            for side in [&mut client, &mut tap] {
                side.handle_timeout(now).expect("it begins");
            }
            let mut connected = false;
            for _ in 0..20 {
                for packet in drain(&mut client).0 {
                    let pieces = match is_hello_of_client(&packet) {
                        true => cut_anew(&packet),
                        false => vec![packet],
                    };
                    pieces.iter().for_each(|piece| tap.handle_packet(piece).expect("honest"));
                }
                let (packets, done) = drain(&mut tap);
                connected |= done;
                packets.iter().for_each(|packet| client.handle_packet(packet).expect("honest"));
            }
            assert!(connected, "{version:?}");
        }
    }

    /// A fatal alert in the clear.
    fn alert(description: u8) -> Vec<u8> {
        vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, description]
    }

    #[test]
    fn an_alert_in_place_of_an_answer_is_the_end_a_little_later() {
        let now = Instant::now();
        for (description, is_certificate) in [(40, true), (43, true), (80, false)] {
            let mut tap = tap(now, DtlsVersion::Auto);
            tap.set_active(true);
            tap.handle_timeout(now).expect("it begins");
            drain(&mut tap);
            tap.handle_packet(&alert(description)).expect("it is noted");
            let mut buffer = [0; RECORD];
            let DtlsOutput::Timeout(wake) = tap.poll_output(&mut buffer) else { panic!("idle") };
            assert!(wake <= now + GRACE);
            tap.handle_timeout(now + GRACE - MS).expect("it waits");
            assert_eq!(tap.plane.lock().fault(), None);
            tap.handle_timeout(now + GRACE).expect("it ends");
            match tap.plane.lock().fault() {
                Some(Fault::Certificate(words)) if is_certificate => {
                    assert!(words.contains("ECDSA") && words.len() < 110, "{words}");
                }
                Some(Fault::Dtls(_)) if !is_certificate => {}
                other => panic!("{other:?}"),
            };
        }
    }

    #[test]
    fn t36_an_alert_in_the_name_of_a_peer_that_answers_does_nothing() {
        let now = Instant::now();
        let [mut tap, mut other] = [(); 2].map(|()| tap(now, DtlsVersion::Auto));
        tap.set_active(true);
        other.set_active(false);
        for side in [&mut tap, &mut other] {
            side.handle_timeout(now).expect("it begins");
        }
        let mut connected = false;
        tap.handle_packet(&alert(40)).expect("it is noted");
        for _ in 0..20 {
            let (packets, done) = drain(&mut tap);
            connected |= done;
            packets.iter().for_each(|packet| other.handle_packet(packet).expect("honest"));
            for packet in drain(&mut other).0 {
                tap.handle_packet(&packet).expect("honest");
            }
        }
        tap.handle_timeout(now + 2 * GRACE).expect("nothing is left of it");
        assert!(connected && tap.plane.lock().fault().is_none());
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
