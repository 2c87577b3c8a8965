//! Malicious and spoofed DTLS handshakes.

use std::time::Duration;

use str0m::config::DtlsVersion;

use crate::tests::amplification_util::{MS, SpoofScenario, client_hello};
use crate::tests::data_channel::{CLIENT, address};
use crate::{CloseReason, Event, HandshakeOptions, WebRtcStage};

const HANDSHAKE: u8 = 22;

/// A handshake message, or a piece of it, in a record of its own.
fn record(kind: u8, epoch: u8, sequence: u16, message: u8, number: u16, piece: u16) -> Vec<u8> {
    const WHOLE: usize = 2_000;
    let body = [7; 100];
    let mut bytes = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((body.len() as u16 + 12).to_be_bytes());
    bytes.extend([message, 0, (WHOLE >> 8) as u8, WHOLE as u8]);
    bytes.extend(number.to_be_bytes());
    bytes.push(0);
    bytes.extend(piece.to_be_bytes());
    bytes.extend([0, 0, body.len() as u8]);
    bytes.extend(body);
    bytes
}

fn is_open(scene: &SpoofScenario) -> bool {
    let sides = [&scene.pair.server, &scene.pair.client];
    sides.iter().all(|side| side.events.first() == Some(&Event::Open))
}

/// Somebody sends these in the name of the client, so long after the answer; whether it opens.
fn spoof(
    connecting: HandshakeOptions,
    at: Duration,
    datagrams: &[Vec<u8>],
) -> (bool, SpoofScenario) {
    let mut scene = SpoofScenario::new(connecting);
    scene.pair.run(at);
    datagrams.iter().for_each(|bytes| scene.pair.inject(address(CLIENT), bytes));
    scene.pair.run(Duration::from_secs(5));
    (is_open(&scene), scene)
}

/// Several moments of a handshake, of which the client's last flight is the end.
fn moments() -> impl Iterator<Item = Duration> {
    (0..120).step_by(6).map(|ms| ms * MS)
}

/// Whatever became of it is over in time, and says where it got stuck.
fn assert_ends_at_dtls(mut scene: SpoofScenario, what: &str) {
    scene.pair.run(Duration::from_secs(11));
    match scene.pair.server.events.first() {
        Some(Event::Closed(CloseReason::Failed(WebRtcStage::Dtls, _))) => {}
        Some(Event::Closed(CloseReason::HandshakeTimeout(
            WebRtcStage::Dtls | WebRtcStage::Channel,
        ))) => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn t36_a_client_hello_in_the_name_of_the_client() {
    for version in [DtlsVersion::Dtls12, DtlsVersion::Dtls13, DtlsVersion::Auto] {
        let hello = [client_hello(version)];
        for at in moments() {
            // Where we begin, nobody else can.
            let (opens, scene) = spoof(HandshakeOptions::default(), at, &hello);
            assert!(opens && scene.pair.server.events.len() == 1, "{version:?} at {at:?}");
            for connecting in [HandshakeOptions::COMPATIBLE, HandshakeOptions::STR0M_DEFAULTS] {
                let (opens, scene) = spoof(connecting, at, &hello);
                match opens {
                    true => assert_eq!(scene.pair.server.events, [Event::Open]),
                    false => assert_ends_at_dtls(scene, &format!("{version:?} at {at:?}")),
                }
            }
        }
    }
}

/// Everything in the name of the client: pieces of messages that never become whole, records of
/// epochs that there are not, alerts in the clear.
fn odd() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let pieces = |count: u16, message: u8| -> Vec<Vec<u8>> {
        (0..count).map(|n| record(HANDSHAKE, 0, n, message, n / 10, n % 10 * 100)).collect()
    };
    let of_epoch = |kind, epoch| (0..100).map(|n| record(kind, epoch, n, 20, n, 0)).collect();
    let alert = |kind| [&[21, 0xfe, 0xfd][..], &[0; 7], &[1, 0, 2, 2, kind]].concat();
    vec![
        ("pieces of ClientHello", pieces(500, 1)),
        ("pieces of ServerHello", pieces(500, 2)),
        ("pieces of Certificate", pieces(500, 11)),
        ("epoch 1", of_epoch(HANDSHAKE, 1)),
        ("epoch 9", of_epoch(23, 9)),
        ("epoch 65,000", of_epoch(23, 0xfd)),
        ("ciphertext", (0..100u8).map(|n| [&[0x2e, 0, n, 0, 40][..], &[n; 40]].concat()).collect()),
        ("alerts", [0, 10, 40, 80].map(alert).to_vec()),
        ("random", (4..=255).map(|first| vec![first; 200]).collect()),
    ]
}

#[test]
fn t44_pieces_without_end_and_epochs_that_are_not() {
    for (what, datagrams) in odd() {
        let mut opened = [0; 2];
        let forms = [HandshakeOptions::default(), HandshakeOptions::COMPATIBLE];
        for (connecting, opened) in forms.into_iter().zip(&mut opened) {
            for at in moments() {
                let (opens, scene) = spoof(connecting, at, &datagrams);
                *opened += u32::from(opens);
                match opens {
                    true => assert_eq!(scene.pair.server.events, [Event::Open], "{what} at {at:?}"),
                    false => assert_ends_at_dtls(scene, what),
                }
            }
        }
        println!("{what}: of 20 that open by either form {opened:?} do");
        if !what.starts_with("pieces of S") && !what.starts_with("pieces of C") {
            assert_eq!(opened[0], 20, "{what}");
        }
        if what == "pieces of ServerHello" {
            assert_eq!(opened[1], 20, "where the client begins, nobody answers it but we");
        }
    }
}

/// Once the channel is open nothing of it does anything.
#[test]
fn t44_an_open_session_lives_through_all_of_it() {
    for connecting in [HandshakeOptions::default(), HandshakeOptions::COMPATIBLE] {
        for (what, datagrams) in odd() {
            let (opens, scene) = spoof(connecting, 400 * MS, &datagrams);
            assert!(opens && scene.pair.server.events.len() == 1, "{what}");
            let mut pair = scene.pair.opened();
            pair.client.endpoint.send(pair.now, &1, "still here").unwrap();
            pair.run(50 * MS);
            assert_eq!(
                crate::tests::data_channel::Pair::received(&mut pair.server),
                ["still here"]
            );
        }
    }
}

#[test]
fn t43_a_certificate_that_does_not_match_the_fingerprint() {
    for connecting in [HandshakeOptions::default(), HandshakeOptions::COMPATIBLE] {
        let mut scene = SpoofScenario::answering(connecting, |answer| {
            let (before, after) = answer.split_once("a=fingerprint:sha-256 ").unwrap();
            let changed = if after.starts_with('0') { '1' } else { '0' };
            format!("{before}a=fingerprint:sha-256 {changed}{}", &after[1..])
        });
        scene.pair.run(MS * 200);
        let [Event::Closed(CloseReason::Failed(WebRtcStage::Dtls, cause))] =
            &scene.pair.server.events[..]
        else {
            panic!("{:?}", scene.pair.server.events)
        };
        assert!(cause.contains("fingerprint"), "{cause}");
        assert!(scene.pair.server.endpoint.is_empty());
    }
}
