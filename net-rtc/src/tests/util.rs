//! Test pair: a server and a client in virtual time, with a link that delays and drops.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{Config, Endpoint, Event, Input, Output, Transmit};

pub(crate) const SERVER: &str = "192.0.2.1:3000";
pub(crate) const CLIENT: &str = "192.0.2.2:5000";
pub(crate) const ONE_WAY: Duration = Duration::from_millis(20);

pub(crate) struct Side {
    pub(crate) endpoint: Endpoint<u32>,
    pub(crate) events: Vec<Event>,
}

/// Whether a datagram, by its number and contents, is lost.
pub(crate) type LossFn = fn(usize, &[u8]) -> bool;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) server: Side,
    pub(crate) client: Side,
    pub(crate) in_flight: VecDeque<(Instant, Transmit)>,
    sent: usize,
    pub(crate) loss: LossFn,
    /// Whether nothing reaches the client any more.
    pub(crate) is_client_unreachable: bool,
    /// What either side has sent, lost or not.
    pub(crate) transmits: Vec<Transmit>,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn config(local: &str) -> Config {
    Config { seed: Some(7), ..Config::new(vec![address(local)]) }
}

fn side(config: Config) -> Side {
    Side { endpoint: Endpoint::new(config), events: Vec::new() }
}

impl Pair {
    pub(crate) fn new() -> Pair {
        Pair::with(config(SERVER), config(CLIENT))
    }

    pub(crate) fn with(server: Config, client: Config) -> Pair {
        let (server, client) = (side(server), side(client));
        let (in_flight, loss): (_, LossFn) = (VecDeque::new(), |_, _| false);
        Pair {
            now: Instant::now(),
            server,
            client,
            in_flight,
            sent: 0,
            loss,
            is_client_unreachable: false,
            transmits: Vec::new(),
        }
    }

    /// Exchanges offer and answer, no more.
    pub(crate) fn signalled() -> Pair {
        Pair::new().signal()
    }

    pub(crate) fn signal(self) -> Pair {
        let mut pair = self;
        let offer = pair.server.endpoint.offer(pair.now, 1).unwrap();
        let answer = pair.client.endpoint.accept_offer(pair.now, 1, &offer.sdp).unwrap();
        pair.server.endpoint.accept_answer(pair.now, &1, &answer).unwrap();
        pair
    }

    pub(crate) fn open() -> Pair {
        Pair::signalled().opened()
    }

    pub(crate) fn opened(self) -> Pair {
        let mut pair = self;
        pair.run(Duration::from_secs(2));
        assert_eq!(
            (&pair.server.events[..], &pair.client.events[..]),
            (&[Event::Open][..], &[Event::Open][..])
        );
        pair.server.events.clear();
        pair.client.events.clear();
        pair
    }

    /// Somebody sends the server a datagram, from wherever.
    pub(crate) fn inject(&mut self, source: SocketAddr, contents: &[u8]) {
        let destination = address(SERVER);
        let datagram = Input::Datagram { source, destination, contents };
        self.server.endpoint.handle_input(self.now, datagram);
        self.poll();
    }

    /// Lengths of what was sent there.
    pub(crate) fn sent_to(&self, to: SocketAddr, is: impl Fn(&[u8]) -> bool) -> Vec<usize> {
        let there =
            self.transmits.iter().filter(|sent| sent.destination == to && is(&sent.contents));
        there.map(|sent| sent.contents.len()).collect()
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wake = self.poll();
            let next = wake.into_iter().chain(self.in_flight.front().map(|(at, _)| *at)).min();
            self.now = next.unwrap_or(end).clamp(self.now, end);
            if self.now == end {
                return;
            }
            self.deliver_due();
        }
    }

    /// Delivers what has arrived, then lets both sides see the time.
    fn deliver_due(&mut self) {
        while self.in_flight.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, datagram) = self.in_flight.pop_front().unwrap();
            let to = if datagram.destination == address(SERVER) {
                &mut self.server
            } else {
                &mut self.client
            };
            to.endpoint.handle_input(
                self.now,
                Input::Datagram {
                    source: datagram.source,
                    destination: datagram.destination,
                    contents: &datagram.contents,
                },
            );
            self.poll();
        }
        self.server.endpoint.handle_input(self.now, Input::Timeout);
        self.client.endpoint.handle_input(self.now, Input::Timeout);
    }

    pub(crate) fn poll(&mut self) -> Option<Instant> {
        let mut wake = None;
        for side in [&mut self.server, &mut self.client] {
            loop {
                match side.endpoint.poll_output() {
                    Output::Timeout(at) => break wake = wake.into_iter().chain(at).min(),
                    Output::Event(_, event) => side.events.push(event),
                    Output::Transmit(transmit) => {
                        self.sent += 1;
                        self.transmits.push(transmit.clone());
                        let is_known =
                            [SERVER, CLIENT].map(address).contains(&transmit.destination);
                        let is_lost =
                            self.is_client_unreachable && transmit.destination == address(CLIENT);
                        if is_known && !is_lost && !(self.loss)(self.sent, &transmit.contents) {
                            self.in_flight.push_back((self.now + ONE_WAY, transmit));
                        }
                    }
                }
            }
        }
        wake
    }

    pub(crate) fn received(side: &mut Side) -> Vec<Bytes> {
        side.events
            .drain(..)
            .map(|event| match event {
                Event::Received(message) => message,
                other => panic!("{other:?}"),
            })
            .collect()
    }
}
