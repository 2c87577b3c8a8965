//! DTLS shim between str0m and dimpl: passes every SCTP packet through the data path, as plaintext.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, ProtocolVersion};

use crate::datagram::{fatal_alert, is_client_hello, is_client_hello_response, records};
use crate::dtls::client_hello::{ClientHelloReassembly, Reassembled};
use crate::sctp::{DataPath, DataPathError, Filtered};

/// Maximum size of a DTLS record in str0m.
const MAX_RECORD_SIZE: usize = 2_000;

/// Works around two busy loops: at most two timeouts of DTLS at the same time, then a delay of 100
/// ms. While a fragment of a handshake is missing that others have followed, dimpl acknowledges the
/// received ones at each timeout (RFC 9147 §7.1) and requests the next timeout at once, and str0m
/// calls it again after each packet.
const MAX_ZERO_TIMEOUTS: u32 = 2;
const ZERO_TIMEOUT_DELAY: Duration = Duration::from_millis(100);

/// Time after a plaintext alert in which a response to our ClientHello still counts. An attacker
/// that spoofs the other side's address can send the alert; a side that has refused sends nothing
/// else.
const ALERT_GRACE: Duration = Duration::from_millis(250);
/// Alert descriptions (RFC 5246 §7.2) of a side without a suitable certificate.
const HANDSHAKE_FAILURE: u8 = 40;
const UNSUPPORTED_CERTIFICATE: u8 = 43;

/// A DTLS instance that passes each SCTP packet through the data path, as plaintext.
#[derive(Debug)]
pub(crate) struct DtlsShim {
    inner: dimpl::Dtls,
    data_path: SharedDataPath,
    /// Whether our ClientHello has been answered.
    is_answered: bool,
    /// Time of the last timeout of DTLS, and the number of timeouts at that time.
    last_timeout: Option<(Instant, u32)>,
    /// Reassembly of a fragmented ClientHello.
    client_hello: ClientHelloReassembly,
    /// An alert in response to our ClientHello, and its time of arrival.
    pending_alert: Option<(Instant, u8)>,
}

/// The data path of a peer, shared by the peer and its [`DtlsShim`] inside str0m.
#[derive(Clone, Debug)]
pub(crate) struct SharedDataPath(Arc<Mutex<DataPath>>);

impl SharedDataPath {
    pub(crate) fn new(plane: DataPath) -> SharedDataPath {
        SharedDataPath(Arc::new(Mutex::new(plane)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, DataPath> {
        // Never contended: both handles belong to one peer, which one thread owns at a time. After
        // a panic the peer is dropped anyway.
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

    /// Whether DTLS may handle a timeout now.
    fn allow_timeout(&mut self, now: Instant) -> bool {
        let before = self.last_timeout.filter(|(at, _)| *at == now).map_or(0, |(_, looks)| looks);
        self.last_timeout = Some((now, before + 1));
        before < MAX_ZERO_TIMEOUTS
    }

    /// Returns the timeout in place of the one that DTLS requests.
    fn defer_timeout(&self, at: Instant) -> Instant {
        let hasty = self
            .last_timeout
            .filter(|(looked, looks)| at <= *looked && *looks >= MAX_ZERO_TIMEOUTS);
        hasty.map_or(at, |(looked, _)| looked + ZERO_TIMEOUT_DELAY)
    }

    /// Passes the data path's next packet to DTLS. One at a time: DTLS has room for 30, and more
    /// would be an error.
    fn send_next_packet(&mut self) {
        let mut plane = self.data_path.lock();
        if let Some(packet) = plane.poll_packet()
            && let Err(error) = self.inner.send_application_data(&packet)
        {
            plane.fail(DataPathError::Dtls(error.to_string()));
        }
    }

    /// Handles a record as the DTLS client: drops everything until a response to our ClientHello,
    /// because dimpl fails on anything else, such as a spoofed ClientHello, or a message that
    /// overtook the ServerHello.
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

    /// Handles a record as the DTLS server: drops responses to a ClientHello, which only an
    /// attacker sends to a server.
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

    /// Fails the handshake once an alert has been pending for the grace period.
    fn check_alert_timeout(&mut self, now: Instant) {
        if let Some((_, alert)) = self.pending_alert.take_if(|(at, _)| now >= *at + ALERT_GRACE) {
            self.data_path.lock().fail(alert_error(alert));
        }
    }

    /// Returns the next timeout: the one that DTLS requests, unless deferred, or that of the
    /// pending alert.
    fn next_timeout(&self, at: Instant) -> Instant {
        let alert = self.pending_alert.map(|(alert, _)| alert + ALERT_GRACE);
        alert.map_or(self.defer_timeout(at), |alert| alert.min(self.defer_timeout(at)))
    }
}

/// Returns the error for a fatal alert of the client during the handshake.
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
                // Unknown to this version.
                _ => continue,
            };
        }
    }

    fn set_active(&mut self, active: bool) {
        self.inner.set_active(active);
    }

    /// Handles each record on its own: of a datagram that begins with a handshake message that
    /// dimpl has received before, it drops all records, though a new message may follow.
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

/// Copies bytes into str0m's buffer, which its outputs must borrow from.
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

    /// With dimpl's defaults: it requests cookies.
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

    /// Packets that one side sends, and whether it is connected.
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

    /// Sent after each datagram of the other side, which requests a cookie first.
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

    /// A ClientHello in fragments, as a client fragments it anew whose first fragment was too long
    /// for the path.
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

    /// A fatal plaintext alert.
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
    fn t36_one_datagram_of_many_records_does_not_fill_the_receive_queue() {
        let now = Instant::now();
        let [mut tap, mut other] = [(); 2].map(|()| tap(now, DtlsVersion::Auto));
        tap.set_active(true);
        other.set_active(false);
        for side in [&mut tap, &mut other] {
            side.handle_timeout(now).expect("it begins");
        }
        // Fragments of a later message, one byte each.
        let fragment = |n: u8| {
            let record = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, n, 0, 13];
            [&record[..], &[11, 0, 1, 0, 0, 7, 0, 0, n, 0, 0, 1, 9]].concat()
        };
        let many: Vec<u8> = (0..50).flat_map(fragment).collect();
        let mut connected = false;
        for _ in 0..20 {
            let (packets, done) = drain(&mut tap);
            connected |= done;
            packets.iter().for_each(|packet| other.handle_packet(packet).expect("honest"));
            for packet in drain(&mut other).0 {
                _ = tap.handle_packet(&many);
                tap.handle_packet(&packet).expect("honest");
            }
        }
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
