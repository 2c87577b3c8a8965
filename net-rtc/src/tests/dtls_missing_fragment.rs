//! DTLS 1.3 handshake with a fragment that never arrives while later ones do.

use std::time::{Duration, Instant};

use crate::tests::data_channel::{CLIENT, SERVER, config};
use crate::{CloseReason, Endpoint, Event, Input, Output, Transmit};

/// A record's header before the keys are there (RFC 9147 §4), and where its length stands.
const HEADER: usize = 13;
const LENGTH: std::ops::Range<usize> = 11..13;
const HANDSHAKE: u8 = 22;

/// Spoils the record behind the one that is in the clear, if there is one.
fn spoil(datagram: &mut [u8]) -> bool {
    let Some([HANDSHAKE, ..]) = datagram.get(..HEADER) else { return false };
    let length = usize::from(u16::from_be_bytes(datagram[LENGTH].try_into().expect("two bytes")));
    let next = datagram.get_mut(HEADER + length + HEADER..);
    next.and_then(<[u8]>::first_mut).is_some_and(|byte| {
        *byte ^= 1;
        true
    })
}

fn drain(endpoint: &mut Endpoint<u8>, events: &mut Vec<Event>) -> Vec<Transmit> {
    let mut sent = Vec::new();
    loop {
        match endpoint.poll_output() {
            Output::Timeout(_) => return sent,
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(_, event) => events.push(event),
        }
    }
}

fn carry(now: Instant, sent: Vec<Transmit>, to: &mut Endpoint<u8>) {
    for Transmit { source, destination, contents } in sent {
        to.handle_input(now, Input::Datagram { source, destination, contents: &contents });
    }
}

/// It waits for what is missing without spinning, says now and then what it has, and gives up
/// in its time.
#[test]
fn t44_a_part_of_the_handshake_that_never_comes_keeps_nobody_busy() {
    let mut now = Instant::now();
    let (mut server, mut client) = (Endpoint::new(config(SERVER)), Endpoint::new(config(CLIENT)));
    let offer = server.offer(now, 1).expect("a free key");
    let answer = client.accept_offer(now, 1, &offer.sdp).expect("a good offer");
    server.accept_answer(now, &1, &answer).expect("a good answer");
    let (mut events, mut spoilt, mut most) = (Vec::new(), 0, 0);
    for _ in 0..2_000 {
        let mut up = drain(&mut client, &mut Vec::new());
        spoilt += up.iter_mut().filter_map(|t| spoil(&mut t.contents).then_some(())).count();
        carry(now, up, &mut server);
        let down = drain(&mut server, &mut events);
        most = most.max(down.len());
        carry(now, down, &mut client);
        now += Duration::from_millis(10);
        server.handle_input(now, Input::Timeout);
        client.handle_input(now, Input::Timeout);
    }
    assert!(spoilt > 0, "nothing was spoilt");
    assert!(most <= 8, "{most} datagrams at once");
    assert!(matches!(events[..], [Event::Closed(CloseReason::HandshakeTimeout(_))]), "{events:?}");
}
