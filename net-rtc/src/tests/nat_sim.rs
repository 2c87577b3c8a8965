//! NAT simulation: a server and clients behind NATs whose mappings change, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::tests::data_channel::{SERVER, config};
use crate::{Config, DataPathMode, Endpoint, Event, Input, Output, Transmit};

pub(crate) const ONE_WAY: Duration = Duration::from_millis(20);
pub(crate) const TICK: Duration = Duration::from_micros(16_667);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// What a browser does that str0m does not: how seldom it makes a check on a path that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Browser {
    Chromium,
    Firefox,
}

impl Browser {
    pub(crate) fn check_pause(self) -> Duration {
        match self {
            Browser::Chromium => 2_500 * MS,
            Browser::Firefox => 5_000 * MS,
        }
    }
}

/// A client and its NAT.
pub(crate) struct NatClient {
    pub(crate) client: Endpoint<u32>,
    pub(crate) browser: Browser,
    private: SocketAddr,
    /// What the server sees.
    pub(crate) public: SocketAddr,
    /// When its checks left.
    pub(crate) checks: Vec<Instant>,
    pub(crate) is_open: bool,
    /// What has arrived, and when.
    pub(crate) received: Vec<(Instant, Bytes)>,
    /// Times in which nothing passes, up and down.
    pub(crate) blackouts: [Option<Range<Instant>>; 2],
}

pub(crate) struct NatSim {
    pub(crate) now: Instant,
    pub(crate) server: Endpoint<u32>,
    pub(crate) clients: Vec<NatClient>,
    pub(crate) received: Vec<(Instant, u32, Bytes)>,
    pub(crate) events: Vec<(Instant, u32, Event)>,
    /// What the server sent, and what reached it.
    pub(crate) sent: Vec<(Instant, Transmit)>,
    pub(crate) arrived: Vec<(Instant, SocketAddr, Vec<u8>)>,
    in_flight: BTreeMap<(Instant, usize), (SocketAddr, SocketAddr, Vec<u8>)>,
    next_packet_id: usize,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl NatSim {
    pub(crate) fn new(config: Config) -> NatSim {
        NatSim {
            now: Instant::now(),
            server: Endpoint::new(config),
            clients: Vec::new(),
            received: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            arrived: Vec::new(),
            in_flight: BTreeMap::new(),
            next_packet_id: 0,
        }
    }

    /// One open client, with plain SCTP as browsers have it.
    pub(crate) fn with(browser: Browser) -> NatSim {
        NatSim::with_plane(browser, DataPathMode::PlainSctp)
    }

    /// The same with a data plane.
    pub(crate) fn with_plane(browser: Browser, plane: DataPathMode) -> NatSim {
        let mut street = NatSim::new(config(SERVER));
        street.join(browser, address("198.51.100.1:5000"), |config| {
            config.data_path = plane;
        });
        street
    }

    /// A client joins and is open.
    pub(crate) fn join(
        &mut self,
        browser: Browser,
        public: SocketAddr,
        change: impl FnOnce(&mut Config),
    ) {
        let number = self.clients.len() as u32;
        let private = SocketAddr::from(([10, 0, number as u8, 1], 4_000));
        let mut config =
            Config { seed: Some(1_000 + u64::from(number)), ..Config::new(vec![private]) };
        change(&mut config);
        let mut client = Endpoint::new(config);
        let offer = self.server.offer(self.now, number).unwrap();
        let answer = client.accept_offer(self.now, number, &offer.sdp).unwrap();
        self.server.accept_answer(self.now, &number, &answer).unwrap();
        let (checks, is_open, heard, dark) = (Vec::new(), false, Vec::new(), [None, None]);
        self.clients.push(NatClient {
            client,
            browser,
            private,
            public,
            checks,
            is_open,
            received: heard,
            blackouts: dark,
        });
        self.run(2_000 * MS);
        assert!(self.clients[number as usize].is_open, "{:?}", self.events);
    }

    pub(crate) fn send_up(&mut self, number: u32, message: impl Into<Bytes>) {
        self.clients[number as usize].client.send(self.now, &number, message).unwrap();
    }

    pub(crate) fn send_down(&mut self, number: u32, message: impl Into<Bytes>) {
        self.server.send(self.now, &number, message).unwrap();
    }

    /// Somebody sends a datagram to the server, from wherever.
    pub(crate) fn inject(&mut self, source: SocketAddr, contents: &[u8]) {
        let destination = address(SERVER);
        self.server.handle_input(self.now, Input::Datagram { source, destination, contents });
        self.poll_server();
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wake = self.poll();
            let first = self.in_flight.keys().next().map(|(at, _)| *at);
            match wake.into_iter().chain(first).min().filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => return self.now = end,
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        while let Some(first) =
            self.in_flight.first_entry().filter(|first| first.key().0 <= self.now)
        {
            let (source, destination, contents) = first.remove();
            self.carry(source, destination, &contents);
        }
        self.server.handle_input(self.now, Input::Timeout);
        self.clients.iter_mut().for_each(|h| h.client.handle_input(self.now, Input::Timeout));
    }

    fn carry(&mut self, source: SocketAddr, destination: SocketAddr, contents: &[u8]) {
        if destination == address(SERVER) {
            self.arrived.push((self.now, source, contents.to_vec()));
            return self.inject(source, contents);
        }
        let now = self.now;
        if let Some(house) = self.clients.iter_mut().find(|h| h.public == destination) {
            let destination = house.private;
            house.client.handle_input(now, Input::Datagram { source, destination, contents });
            self.poll();
        }
    }

    fn poll(&mut self) -> Option<Instant> {
        let server = self.poll_server();
        let clients: Vec<_> = (0..self.clients.len()).map(|at| self.poll_client(at)).collect();
        clients.into_iter().chain([server]).flatten().min()
    }

    fn poll_server(&mut self) -> Option<Instant> {
        loop {
            match self.server.poll_output() {
                Output::Timeout(at) => return at,
                Output::Event(key, Event::Received(message)) => {
                    self.received.push((self.now, key, message));
                }
                Output::Event(key, event) => self.events.push((self.now, key, event)),
                Output::Transmit(transmit) => {
                    self.sent.push((self.now, transmit.clone()));
                    let to = transmit.destination;
                    let house = self.clients.iter().find(|h| h.public == to);
                    if house.is_none_or(|h| !is_dark(&h.blackouts[1], self.now)) {
                        self.post(transmit.source, to, transmit.contents);
                    }
                }
            }
        }
    }

    fn poll_client(&mut self, at: usize) -> Option<Instant> {
        let now = self.now;
        loop {
            let house = &mut self.clients[at];
            match house.client.poll_output() {
                Output::Timeout(at) => return at,
                Output::Event(_, Event::Open) => house.is_open = true,
                Output::Event(_, Event::Received(message)) => house.received.push((now, message)),
                Output::Event(..) => house.is_open = false,
                Output::Transmit(transmit) => {
                    if house.lets_out(now, &transmit.contents) && !is_dark(&house.blackouts[0], now)
                    {
                        let public = house.public;
                        self.post(public, transmit.destination, transmit.contents);
                    }
                }
            }
        }
    }

    fn post(&mut self, source: SocketAddr, destination: SocketAddr, contents: Vec<u8>) {
        self.next_packet_id += 1;
        let key = (self.now + ONE_WAY, self.next_packet_id);
        self.in_flight.insert(key, (source, destination, contents));
    }
}

impl NatClient {
    /// Whether a browser would send this now: everything, but checks only so often.
    fn lets_out(&mut self, now: Instant, contents: &[u8]) -> bool {
        let is_request = contents.starts_with(&[0, 1]);
        if !is_request || !self.is_open {
            return true;
        }
        let due = self.checks.last().is_none_or(|at| now >= *at + self.browser.check_pause());
        self.checks.extend(due.then_some(now));
        due
    }
}

fn is_dark(dark: &Option<Range<Instant>>, now: Instant) -> bool {
    dark.as_ref().is_some_and(|dark| dark.contains(&now))
}
