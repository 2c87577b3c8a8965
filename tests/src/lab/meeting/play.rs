//! A meeting at work, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net_rtc::{Config, Endpoint, Event, Input, OfferOptions, Output, Transmit};

use super::{Meeting, Met, Sent, sent};
use crate::link::{Conditions, Direction, Fate, Link, Loss};

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 3_000);
const CLIENT: ([u8; 4], u16) = ([198, 51, 100, 1], 5_000);
/// The answer is text and passes a websocket, so the client's first check overtakes it.
const SIGNALLING: Duration = Duration::from_millis(1);
/// By then it has worked or failed.
const PATIENCE: Duration = Duration::from_secs(17);

/// A meeting at work.
pub(super) struct Play {
    now: Instant,
    began: Instant,
    ends: [Endpoint<()>; 2],
    links: [Link; 2],
    parcels: BTreeMap<(Instant, usize), Parcel>,
    posted: usize,
    negotiated: bool,
    met: Met,
}

/// On its way.
enum Parcel {
    Answer(String),
    Datagram(Direction, Transmit),
}

impl Play {
    pub(super) fn new(meeting: &Meeting) -> Play {
        let now = Instant::now();
        let config = |local: ([u8; 4], u16), connecting| Config {
            handshake: connecting,
            seed: Some(meeting.seed),
            ..Config::new(vec![SocketAddr::from(local)])
        };
        let ends = [
            Endpoint::new(config(SERVER, meeting.server)),
            Endpoint::new(Config { sctp_send_buffer: 1 << 24, ..config(CLIENT, meeting.client) }),
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
        let options = OfferOptions { remote, ..Default::default() };
        let offer = self.ends[0].offer_with(now, (), options).expect("the first");
        // Who may choose begins, as browsers do; the library's own answer would wait.
        let offer = offer.sdp.replace("a=setup:actpass", "a=setup:passive");
        let answer = match self.negotiated {
            true => self.ends[1].accept_offer_negotiated(now, (), &offer),
            false => self.ends[1].accept_offer(now, (), &offer),
        };
        self.post(arrives, Parcel::Answer(answer.expect("a good offer")));
    }

    pub(super) fn run(mut self) -> Met {
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
        let (at, what) = (self.now - self.began, sent::describe(&transmit.contents));
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
