//! A server and a client that connect over a bad network, from the answer on.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net_rtc::{Config, Connecting, Endpoint, Event, Input, OfferOptions, Output, Setup, Transmit};

use crate::link::{Conditions, Direction, Fate, Link, Loss};

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 3_000);
const CLIENT: ([u8; 4], u16) = ([198, 51, 100, 1], 5_000);
/// The answer is text and passes a websocket, so the client's first check overtakes it.
const SIGNALLING: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// By then it has worked or failed.
const PATIENCE: Duration = Duration::from_secs(17);

/// What two need to know to connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meeting {
    /// The server's switches.
    pub server: Connecting,
    /// The client's.
    pub client: Connecting,
    /// The path between them and back.
    pub round_trip: Duration,
    /// What the path loses each way, from 0 to 1.
    pub loss: f64,
    /// What chance follows from; but dimpl draws the times of its flights itself.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// From the answer to `Open` at the server, and at the client; `None` if it never came.
    pub opened: [Option<Duration>; 2],
    /// Why it ended before, at either.
    pub ended: Option<String>,
    /// What was sent.
    pub datagrams: Vec<Sent>,
}

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Since the answer.
    pub at: Duration,
    /// Which way.
    pub direction: Direction,
    /// What it is, as far as that can be seen, and how long.
    pub what: String,
    /// Whether it never arrived.
    pub lost: bool,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at.as_secs_f64() * 1e3;
        let (way, lost) = (self.direction.name(), if self.lost { " LOST" } else { "" });
        write!(f, "{ms:8.1} {way:>4} {}{lost}", self.what)
    }
}

impl Meeting {
    /// Connects the two.
    pub fn run(&self) -> Met {
        Play::new(self).run()
    }
}

/// On its way.
enum Parcel {
    Answer(String),
    Datagram(Direction, Transmit),
}

/// A meeting at work.
struct Play {
    now: Instant,
    began: Instant,
    ends: [Endpoint<()>; 2],
    links: [Link; 2],
    parcels: BTreeMap<(Instant, usize), Parcel>,
    posted: usize,
    negotiated: bool,
    met: Met,
}

impl Play {
    fn new(meeting: &Meeting) -> Play {
        let now = Instant::now();
        let config = |local: ([u8; 4], u16), connecting| Config {
            connecting,
            seed: Some(meeting.seed),
            ..Config::new(vec![SocketAddr::from(local)])
        };
        let ends = [
            Endpoint::new(config(SERVER, meeting.server)),
            Endpoint::new(Config { sctp_bytes: 1 << 24, ..config(CLIENT, meeting.client) }),
        ];
        let conditions = Conditions {
            delay: meeting.round_trip / 2,
            loss: Loss::Random(meeting.loss),
            ..Conditions::default()
        };
        let links = [Direction::Down, Direction::Up].map(|direction| {
            let mut link = Link::new(meeting.seed, 0, direction);
            link.conditions = conditions;
            link
        });
        let negotiated = meeting.server.negotiated && meeting.client.negotiated;
        let (parcels, met) = (BTreeMap::new(), Met::default());
        let mut play = Play { now, began: now, ends, links, parcels, posted: 0, negotiated, met };
        play.signal(now + meeting.round_trip / 2 + SIGNALLING);
        play
    }

    /// The server offers; the client answers now, and the answer arrives then.
    fn signal(&mut self, arrives: Instant) {
        let now = self.now;
        let remote = Some(SocketAddr::from(CLIENT).ip());
        let options = OfferOptions { remote, connecting: None };
        let offer = self.ends[0].offer_with(now, (), options).expect("the first");
        // Who may choose begins, as browsers do; the library's own answer would wait.
        let offer = offer.sdp.replace("a=setup:actpass", "a=setup:passive");
        let answer = match self.negotiated {
            true => self.ends[1].accept_offer_negotiated(now, (), &offer),
            false => self.ends[1].accept_offer(now, (), &offer),
        };
        self.post(arrives, Parcel::Answer(answer.expect("a good offer")));
    }

    fn run(mut self) -> Met {
        let end = self.began + PATIENCE;
        while self.met.opened.contains(&None) && self.met.ended.is_none() {
            let wake = self.poll();
            let parcel = self.parcels.first_key_value().map(|((at, _), _)| *at);
            let next = wake.into_iter().chain(parcel).min().unwrap_or(end);
            if next >= end {
                break;
            }
            self.now = next.max(self.now);
            self.turn();
        }
        self.met
    }

    fn turn(&mut self) {
        let now = self.now;
        while let Some(first) = self.parcels.first_entry()
            && first.key().0 <= now
        {
            match first.remove() {
                Parcel::Answer(sdp) => self.answered(&sdp),
                Parcel::Datagram(direction, transmit) => self.deliver(direction, &transmit),
            }
            self.poll();
        }
        self.ends.iter_mut().for_each(|end| end.handle_input(now, Input::Timeout));
    }

    fn answered(&mut self, sdp: &str) {
        let (now, server) = (self.now, &mut self.ends[0]);
        let taken = match self.negotiated {
            true => server.accept_answer_negotiated(now, &(), sdp),
            false => server.accept_answer(now, &(), sdp),
        };
        taken.expect("a good answer");
    }

    fn deliver(&mut self, direction: Direction, transmit: &Transmit) {
        let to = match direction {
            Direction::Up => &mut self.ends[0],
            Direction::Down => &mut self.ends[1],
        };
        let Transmit { source, destination, contents } = transmit;
        let (source, destination) = (*source, *destination);
        to.handle_input(self.now, Input::Datagram { source, destination, contents });
    }

    /// Takes what both have to say; tells when they want to be woken.
    fn poll(&mut self) -> Option<Instant> {
        let mut wake = None;
        for (index, direction) in [Direction::Down, Direction::Up].into_iter().enumerate() {
            loop {
                match self.ends[index].poll_output() {
                    Output::Timeout(at) => break wake = wake.into_iter().chain(at).min(),
                    Output::Event((), event) => self.note(index, event),
                    Output::Transmit(transmit) => self.send(index, direction, transmit),
                }
            }
        }
        wake
    }

    fn note(&mut self, index: usize, event: Event) {
        match event {
            Event::Open => self.met.opened[index] = Some(self.now - self.began),
            Event::Closed(reason) => self.met.ended = Some(format!("{index}: {reason}")),
            Event::Received(_) => {}
        }
    }

    fn send(&mut self, index: usize, direction: Direction, transmit: Transmit) {
        let fate = self.links[index].send(self.now, transmit.contents.len());
        let (at, what) = (self.now - self.began, describe(&transmit.contents));
        self.met.datagrams.push(Sent { at, direction, what, lost: fate == Fate::Lost });
        for at in fate.arrivals() {
            self.post(at, Parcel::Datagram(direction, transmit.clone()));
        }
    }

    fn post(&mut self, at: Instant, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }
}

/// What a datagram is, by what is not encrypted of it (RFC 7983).
fn describe(contents: &[u8]) -> String {
    let length = contents.len();
    let what = match contents {
        [0, 1, ..] => "check",
        [1, 1, ..] => "check's answer",
        [22, _, _, 0, 0, ..] => "DTLS handshake",
        [22, ..] => "DTLS handshake, encrypted",
        [20, ..] => "DTLS change cipher spec",
        [21, ..] => "DTLS alert",
        [23, ..] => "DTLS 1.2 data",
        [32..=63, ..] => "DTLS 1.3",
        _ => "something",
    };
    let epoch = contents.first().filter(|first| (32..64).contains(*first)).map(|first| first & 3);
    epoch.map_or(format!("{what}, {length} B"), |epoch| format!("{what} epoch {epoch}, {length} B"))
}

impl Default for Meeting {
    /// As both are by default, over an empty path of 20 ms and back; the client repeats what is
    /// lost after a second, as the SCTP of browsers does.
    fn default() -> Meeting {
        let client = Connecting { resend: Some(SECOND), ..Connecting::default() };
        Meeting {
            server: Connecting::default(),
            client,
            round_trip: Duration::from_millis(20),
            loss: 0.0,
            seed: 1,
        }
    }
}

/// The server's switches that can be told apart here, with none, each alone, and all.
pub fn switches() -> Vec<(&'static str, Connecting)> {
    let (all, stock) = (Connecting::default(), Connecting::STOCK);
    vec![
        ("stock", stock),
        ("self-nomination", Connecting { self_nomination: true, ..stock }),
        ("DTLS 1.3", Connecting { dtls: all.dtls, ..stock }),
        ("active", Connecting { setup: Setup::Active, ..stock }),
        ("SNAP", Connecting { snap: true, ..stock }),
        ("negotiated", Connecting { negotiated: true, ..stock }),
        ("early checks", Connecting { early_checks: true, ..stock }),
        ("resend", Connecting { resend: all.resend, ..stock }),
        ("all but resend", Connecting { resend: None, ..all }),
        ("compatible", Connecting::COMPATIBLE),
        ("all", all),
    ]
}
