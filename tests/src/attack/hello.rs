//! A genuine ClientHello, of a client that nobody waits for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net_rtc::{Config, Endpoint, HandshakeOptions, Input, Output, Transmit};

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// The first record of a DTLS client (RFC 9147 §5), whichever side becomes it.
///
/// # Panics
/// If two endpoints of ours do not come so far with each other.
pub(super) fn client_hello(now: Instant, seed: u64) -> Vec<u8> {
    let endpoint = |port| {
        let local: SocketAddr = ([192, 0, 2, 100], port).into();
        let connecting = HandshakeOptions::COMPATIBLE;
        let seed = Some(seed);
        Endpoint::new(Config { seed, handshake: connecting, ..Config::new(vec![local]) })
    };
    let (mut server, mut client) = (endpoint(1), endpoint(2));
    let offer = server.offer(now, ()).expect("a new peer");
    let answer = client.accept_offer(now, (), &offer.sdp).expect("a good offer");
    server.accept_answer(now, &(), &answer).expect("a good answer");
    for step in 0..1_000 {
        let now = now + Duration::from_millis(step * 10);
        let said = turn(now, &mut client);
        said.iter().for_each(|said| hand(now, &mut server, said));
        let answers = turn(now, &mut server);
        answers.iter().for_each(|said| hand(now, &mut client, said));
        if let Some(hello) = said.into_iter().chain(answers).find(is_hello) {
            return hello.contents;
        }
    }
    panic!("no ClientHello")
}

fn is_hello(said: &Transmit) -> bool {
    said.contents[0] == HANDSHAKE && said.contents[13] == CLIENT_HELLO
}

fn turn(now: Instant, endpoint: &mut Endpoint<()>) -> Vec<Transmit> {
    endpoint.handle_input(now, Input::Timeout);
    let mut said = Vec::new();
    loop {
        match endpoint.poll_output() {
            Output::Transmit(transmit) => said.push(transmit),
            Output::Event(..) => {}
            Output::Timeout(_) => return said,
        }
    }
}

fn hand(now: Instant, to: &mut Endpoint<()>, said: &Transmit) {
    let Transmit { source, destination, contents } = said;
    let (source, destination) = (*source, *destination);
    to.handle_input(now, Input::Datagram { source, destination, contents });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one() {
        let hello = client_hello(Instant::now(), 1);
        assert_eq!(
            (hello[0], hello[13]),
            (HANDSHAKE, CLIENT_HELLO),
            "a handshake record, a ClientHello"
        );
    }
}
