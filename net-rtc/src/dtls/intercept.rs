//! The DTLS layer of a peer, with the data plane in front of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, ProtocolVersion};

use crate::datagram::{fatal_alert, is_client_hello, is_client_hello_response, records};
use crate::dtls::client_hello::{ClientHelloReassembly, Reassembled};
use crate::sctp::{DataPath, DataPathError, Filtered};

/// No DTLS record that str0m takes is longer.
const MAX_RECORD_SIZE: usize = 2_000;

/// How often DTLS may look at the clock at one and the same time, and how long it must wait if it
/// wants to do so once more. While a part of a handshake is missing that others have followed, it
/// acknowledges what it has at each look (RFC 9147 §7.1) and asks for the next at once, and str0m
/// looks again after each packet: both would do nothing else for ever.
const MAX_ZERO_TIMEOUTS: u32 = 2;
const ZERO_TIMEOUT_DELAY: Duration = Duration::from_millis(100);

/// How long after an alert the answer to our ClientHello may still come. An alert in the clear can
/// be anyone's who spoofs the other side's address; a side that has refused sends nothing else.
const ALERT_GRACE: Duration = Duration::from_millis(250);
/// Descriptions of alerts (RFC 5246 §7.2) by a side that has no certificate for what we offer.
const HANDSHAKE_FAILURE: u8 = 40;
const UNSUPPORTED_CERTIFICATE: u8 = 43;

/// A DTLS instance through which each SCTP packet passes by the data plane, where it is plain.
#[derive(Debug)]
pub(crate) struct DtlsShim {
    inner: dimpl::Dtls,
    data_path: SharedDataPath,
    /// Whether the other side has answered our ClientHello.
    is_answered: bool,
    /// When DTLS last looked at the clock, and how often it did at that time.
    last_timeout: Option<(Instant, u32)>,
    /// What has come of a ClientHello in pieces.
    client_hello: ClientHelloReassembly,
    /// An alert in place of an answer to our ClientHello, and when it came.
    pending_alert: Option<(Instant, u8)>,
}

/// The peer has one end of a plane, its `Tap`, inside of str0m, the other.
#[derive(Clone, Debug)]
pub(crate) struct SharedDataPath(Arc<Mutex<DataPath>>);

impl SharedDataPath {
    pub(crate) fn new(plane: DataPath) -> SharedDataPath {
        SharedDataPath(Arc::new(Mutex::new(plane)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, DataPath> {
        // Nobody ever waits: both ends belong to one peer, and one thread has it at a time. If
        // that panicked the peer is lost anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DtlsShim {
    pub(crate) fn new(inner: dimpl::Dtls, data_path: SharedDataPath) -> DtlsShim {
        let client_hello = ClientHelloReassembly::default();
        DtlsShim {
            inner,
            data_path,
            is_answered: false,
            last_timeout: None,
            client_hello,
            pending_alert: None,
        }
    }

    /// Whether DTLS may look at the clock now.
    fn allow_timeout(&mut self, now: Instant) -> bool {
        let before = self.last_timeout.filter(|(at, _)| *at == now).map_or(0, |(_, looks)| looks);
        self.last_timeout = Some((now, before + 1));
        before < MAX_ZERO_TIMEOUTS
    }

    /// When DTLS is woken that wants to be woken then.
    fn defer_timeout(&self, at: Instant) -> Instant {
        let hasty = self
            .last_timeout
            .filter(|(looked, looks)| at <= *looked && *looks >= MAX_ZERO_TIMEOUTS);
        hasty.map_or(at, |(looked, _)| looked + ZERO_TIMEOUT_DELAY)
    }

    /// Hands the plane's next packet to DTLS. One at a time: DTLS has room for 30, and more
    /// than that would be the end of it.
    fn send_next_packet(&mut self) {
        let mut plane = self.data_path.lock();
        if let Some(packet) = plane.poll_packet()
            && let Err(error) = self.inner.send_application_data(&packet)
        {
            plane.fail(DataPathError::Dtls(error.to_string()));
        }
    }

    /// Who begins waits for a ServerHello, and dimpl gives up over anything else: over a forged
    /// ClientHello, or over what should have come behind the ServerHello and overtook it.
    fn handle_as_client(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.is_answered |= is_client_hello_response(packet);
        if self.is_answered {
            self.pending_alert = None;
        } else if let Some(description) = fatal_alert(packet) {
            self.pending_alert.get_or_insert((self.data_path.lock().now(), description));
        }
        let is_due = self.is_answered && !is_client_hello(packet);
        if is_due { self.inner.handle_packet(packet) } else { Ok(()) }
    }

    /// Who does not begin is sent no ServerHello, but by somebody else in the other side's name.
    fn handle_as_server(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        if is_client_hello_response(packet) {
            return Ok(());
        }
        let taken = match self.client_hello.push(packet) {
            Reassembled::NotFragment => self.inner.handle_packet(packet),
            Reassembled::Incomplete => Ok(()),
            Reassembled::Complete(whole) => self.inner.handle_packet(&whole),
        };
        let alert = fatal_alert(packet).filter(|alert| is_certificate_alert(*alert));
        if let (Err(_), Some(alert)) = (&taken, alert) {
            self.data_path.lock().fail(alert_error(alert));
            return Ok(());
        }
        let missing = dimpl::CertificateError::NoClientCertificateReceived;
        if matches!(&taken, Err(DtlsImplError::CertificateError(error)) if *error == missing) {
            let words = "no certificate from the client; is its own RSA? It must be ECDSA";
            self.data_path.lock().fail(DataPathError::Certificate(words.into()));
            return Ok(());
        }
        taken
    }

    /// Ends what the other side refused a while ago.
    fn check_alert_timeout(&mut self, now: Instant) {
        if let Some((_, alert)) = self.pending_alert.take_if(|(at, _)| now >= *at + ALERT_GRACE) {
            self.data_path.lock().fail(alert_error(alert));
        }
    }

    /// When DTLS must be woken, which wants to be woken then.
    fn next_timeout(&self, at: Instant) -> Instant {
        let alert = self.pending_alert.map(|(alert, _)| alert + ALERT_GRACE);
        alert.map_or(self.defer_timeout(at), |alert| alert.min(self.defer_timeout(at)))
    }
}

/// What a fatal alert of the client during the handshake means.
fn alert_error(alert: u8) -> DataPathError {
    match is_certificate_alert(alert) {
        true => DataPathError::Certificate(format!(
            "the client refused DTLS (alert {alert}); is its certificate RSA? It must be ECDSA"
        )),
        false => DataPathError::Dtls(format!("the client refused DTLS (alert {alert})")),
    }
}

fn is_certificate_alert(alert: u8) -> bool {
    matches!(alert, HANDSHAKE_FAILURE | UNSUPPORTED_CERTIFICATE)
}

impl DtlsInstance for DtlsShim {
    fn send_application_data(&mut self, packet: &[u8]) -> Result<usize, DtlsImplError> {
        let passage = self.data_path.lock().filter_outbound(packet);
        let taken = match passage {
            Filtered::Forward => return self.inner.send_application_data(packet),
            Filtered::Rewrite(other) => self.inner.send_application_data(&other)? == other.len(),
            Filtered::Drop => true,
        };
        Ok(if taken { packet.len() } else { 0 })
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let mut record = [0; MAX_RECORD_SIZE];
        loop {
            self.send_next_packet();
            if let Some(packet) = self.data_path.lock().poll_synthetic() {
                return DtlsOutput::ApplicationData(copy_into(&packet, buffer));
            }
            return match self.inner.poll_output(&mut record) {
                DtlsOutput::ApplicationData(packet) => {
                    let passage = self.data_path.lock().filter_inbound(packet);
                    match passage.payload(packet) {
                        Some(packet) => DtlsOutput::ApplicationData(copy_into(packet, buffer)),
                        None => continue,
                    }
                }
                DtlsOutput::Packet(record) => DtlsOutput::Packet(copy_into(record, buffer)),
                DtlsOutput::PeerCert(certificate) => {
                    DtlsOutput::PeerCert(copy_into(certificate, buffer))
                }
                DtlsOutput::BufferTooSmall { needed } => DtlsOutput::BufferTooSmall { needed },
                DtlsOutput::Timeout(at) => DtlsOutput::Timeout(self.next_timeout(at)),
                DtlsOutput::Connected => {
                    self.data_path.lock().on_dtls_connected();
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
            true => self.handle_as_client(record),
            false => self.handle_as_server(record),
        })
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.check_alert_timeout(now);
        if !self.allow_timeout(now) {
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
fn copy_into<'a>(bytes: &[u8], buffer: &'a mut [u8]) -> &'a [u8] {
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    &buffer[..length]
}

#[cfg(test)]
mod tests {
    use str0m::config::DtlsVersion;

    use super::*;
    use crate::Config;
    use crate::sctp::DataPath;
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

    fn tap(now: Instant, version: DtlsVersion) -> DtlsShim {
        let plane = SharedDataPath::new(DataPath::new(now, &Config::new(Vec::new())));
        DtlsShim::new(dtls(now, version), plane)
    }

    /// What one side has to send, and whether it is connected.
    fn drain(side: &mut dyn DtlsInstance) -> (Vec<Vec<u8>>, bool) {
        let (mut packets, mut connected, mut buffer) = (Vec::new(), false, [0; MAX_RECORD_SIZE]);
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
                    let pieces = match is_client_hello(&packet) {
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
            let mut buffer = [0; MAX_RECORD_SIZE];
            let DtlsOutput::Timeout(wake) = tap.poll_output(&mut buffer) else { panic!("idle") };
            assert!(wake <= now + ALERT_GRACE);
            tap.handle_timeout(now + ALERT_GRACE - MS).expect("it waits");
            assert_eq!(tap.data_path.lock().take_error(), None);
            tap.handle_timeout(now + ALERT_GRACE).expect("it ends");
            match tap.data_path.lock().take_error() {
                Some(DataPathError::Certificate(words)) if is_certificate => {
                    assert!(words.contains("ECDSA") && words.len() < 110, "{words}");
                }
                Some(DataPathError::Dtls(_)) if !is_certificate => {}
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
        tap.handle_timeout(now + 2 * ALERT_GRACE).expect("nothing is left of it");
        assert!(connected && tap.data_path.lock().take_error().is_none());
    }

    #[test]
    fn t44_dtls_looks_at_the_clock_twice_and_then_has_to_wait() {
        let now = Instant::now();
        let mut tap = tap(now, DtlsVersion::Dtls13);
        assert_eq!(tap.defer_timeout(now), now, "it has not looked yet");
        assert!(tap.allow_timeout(now));
        assert_eq!(tap.defer_timeout(now), now);
        assert!(tap.allow_timeout(now));
        assert_eq!(tap.defer_timeout(now), now + ZERO_TIMEOUT_DELAY);
        assert_eq!(tap.defer_timeout(now - MS), now + ZERO_TIMEOUT_DELAY);
        assert_eq!(tap.defer_timeout(now + MS), now + MS, "that is no haste");
        assert!(!tap.allow_timeout(now));
        assert_eq!(tap.defer_timeout(now), now + ZERO_TIMEOUT_DELAY);
        assert!(tap.allow_timeout(now + MS));
        assert_eq!(tap.defer_timeout(now + MS), now + MS);
    }
}
