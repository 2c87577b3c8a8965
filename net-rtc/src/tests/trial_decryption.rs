//! Trial decryption: encrypted records that are not authentic leave a DTLS session unchanged.

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::config::DtlsVersion;
use str0m::crypto::dtls::{DtlsInstance, DtlsOutput};

use crate::datagram::is_protected;

/// One end of a session.
struct DtlsSide {
    dtls: Box<dyn DtlsInstance>,
    connected: bool,
    received: Vec<Vec<u8>>,
    /// Records on their way.
    sent: Vec<Vec<u8>>,
}

impl DtlsSide {
    fn new(now: Instant, version: DtlsVersion, active: bool) -> DtlsSide {
        let provider = str0m::crypto::from_feature_flags().dtls_provider;
        let certificate = provider.generate_certificate().unwrap();
        let mut dtls = provider.new_dtls(&certificate, now, version, None).unwrap();
        dtls.set_active(active);
        dtls.handle_timeout(now).unwrap();
        DtlsSide { dtls, connected: false, received: Vec::new(), sent: Vec::new() }
    }

    fn poll(&mut self) {
        let mut buffer = [0; 2_000];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                DtlsOutput::Packet(record) => self.sent.push(record.to_vec()),
                DtlsOutput::ApplicationData(data) => self.received.push(data.to_vec()),
                DtlsOutput::Connected => self.connected = true,
                DtlsOutput::Timeout(_) => return,
                DtlsOutput::CloseNotify => panic!("nobody closed it"),
                _ => {}
            }
        }
    }

    fn record(&mut self, data: &[u8]) -> Vec<u8> {
        self.dtls.send_application_data(data).unwrap();
        self.poll();
        let records = std::mem::take(&mut self.sent);
        assert_eq!(records.len(), 1);
        records.concat()
    }

    /// Takes a record; whether it was genuine.
    fn takes(&mut self, record: &[u8]) -> bool {
        let before = self.received.len();
        self.dtls.handle_packet(record).expect("no record is fatal");
        self.poll();
        assert_eq!(self.sent, Vec::<Vec<u8>>::new(), "nothing is answered");
        self.received.len() > before
    }
}

fn session(version: DtlsVersion) -> (DtlsSide, DtlsSide) {
    let now = Instant::now();
    let (mut client, mut server) =
        (DtlsSide::new(now, version, true), DtlsSide::new(now, version, false));
    for _ in 0..20 {
        client.poll();
        client.sent.drain(..).for_each(|record| server.dtls.handle_packet(&record).unwrap());
        server.poll();
        server.sent.drain(..).for_each(|record| client.dtls.handle_packet(&record).unwrap());
    }
    // Some acknowledgements of the handshake are left over.
    client.poll();
    client.sent.clear();
    assert!(client.connected && server.connected);
    (client, server)
}

#[test]
fn what_is_not_genuine_does_nothing() {
    let mut random = StdRng::seed_from_u64(5);
    for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13] {
        let ((mut client, mut server), (mut other, _)) = (session(version), session(version));
        let mut seen = Vec::new();
        for round in 0..500u32 {
            let genuine = client.record(&round.to_be_bytes());
            assert!(is_protected(&genuine), "{version:?}");
            // Changed on the way, of another session, of nobody.
            let mut changed = genuine.clone();
            let at = random.random_range(3..changed.len());
            changed[at] ^= 1 << random.random_range(0..8);
            let mut noise = genuine.clone();
            noise[13..].iter_mut().for_each(|byte| *byte = random.random());
            for odd in [changed, noise, other.record(b"of another")] {
                assert!(!is_protected(&odd) || !server.takes(&odd), "{version:?}");
            }
            assert!(server.takes(&genuine), "{version:?} {round}");
            assert!(!server.takes(&genuine), "once");
            seen.push(genuine);
        }
        assert!(seen.iter().all(|record| !server.takes(record)), "nor later");
        assert_eq!(server.received.len(), 500);
    }
}

/// The session of one version meets the records of the other.
#[test]
fn records_of_the_other_version_do_nothing() {
    for (ours, theirs) in
        [(DtlsVersion::Dtls12, DtlsVersion::Dtls13), (DtlsVersion::Dtls13, DtlsVersion::Dtls12)]
    {
        let ((mut client, mut server), (mut other, _)) = (session(ours), session(theirs));
        for _ in 0..100 {
            assert!(!server.takes(&other.record(&[7; 100])));
        }
        assert!(server.takes(&client.record(b"genuine")));
    }
}
