//! One cell in virtual time.

use std::time::{Duration, Instant};

use net::{Delivery, PeerId};

use super::{Cell, Flight, Load, Log};
use crate::link::{Conditions, Direction, Link, Traffic};
use crate::world::{Heard, Seen, World};

/// How long to wait for messages after the last one is sent.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for the two to connect.
const CONNECT: Duration = Duration::from_secs(15);

/// A server and a client, connected over a network that only delays until then.
#[derive(Debug)]
pub struct Run {
    cell: Cell,
    world: World,
    line: usize,
    peer: PeerId,
    flights: Vec<Flight>,
    /// The next message to be sent.
    next: usize,
    duplicates: usize,
    /// Traffic before the first message, up and down.
    before: [Traffic; 2],
    ended: Option<String>,
}

impl Run {
    /// Connects the two.
    ///
    /// # Panics
    /// If they cannot connect.
    pub fn new(cell: Cell) -> Run {
        let config = net::Config { repair: cell.repair, ..cell.server.server() };
        let mut world = World::new(cell.seed, config);
        let delay = cell.conditions.delay;
        world.shape(Conditions { delay, ..Conditions::default() });
        let line = world.join_as(cell.manners, cell.client);
        let peer = connect(&mut world, line);
        world.shape(cell.conditions);
        // All memory that the log takes is taken now, for whoever watches it grow.
        let flight = |number| Flight { sent: world.now + cell.load.time_of(number), arrived: None };
        let flights = (0..cell.load.messages(cell.time)).map(flight).collect();
        let before = traffic(&mut world, line);
        Run { cell, world, line, peer, flights, next: 0, duplicates: 0, before, ended: None }
    }

    /// Sends for this long, or until all is sent.
    pub fn advance(&mut self, time: Duration) {
        let end = self.world.now + time;
        while let Some(flight) = self.flights.get(self.next)
            && flight.sent < end
        {
            self.wait(flight.sent);
            self.send();
        }
        self.wait(end);
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.world.now
    }

    /// Changes the network between the two from now on, both ways.
    pub fn shape(&mut self, conditions: Conditions) {
        self.world.shape(conditions);
    }

    /// One direction of the network between the two.
    pub fn link(&mut self, direction: Direction) -> &mut Link {
        self.world.link(self.line, direction)
    }

    /// Sends what is left, waits for the last, and gives the log.
    pub fn finish(mut self) -> Log {
        let last = self.flights.last().map_or(self.world.now, |flight| flight.sent);
        let left = last.saturating_duration_since(self.world.now);
        self.advance(left + self.cell.conditions.delay + PATIENCE);
        let after = traffic(&mut self.world, self.line);
        let (direction, before) = (self.cell.direction, self.before);
        let [up, down] = [0, 1].map(|way| Traffic {
            datagrams: after[way].datagrams - before[way].datagrams,
            bytes: after[way].bytes - before[way].bytes,
        });
        let (forth, back) = if direction == Direction::Up { (up, down) } else { (down, up) };
        Log {
            cell: self.cell,
            flights: self.flights,
            duplicates: self.duplicates,
            dropped: self.world.link(self.line, direction).dropped().to_vec(),
            forth,
            back,
            ended: self.ended,
        }
    }

    fn wait(&mut self, end: Instant) {
        while self.world.turn(end) {
            self.collect();
        }
    }

    fn send(&mut self) {
        let message = self.cell.load.message(self.next);
        let (line, peer) = (self.line, self.peer);
        self.next += 1;
        match self.cell.direction {
            Direction::Up => {
                self.world.act(line, |agent, now| agent.send(now, Delivery::Unreliable, message));
            }
            Direction::Down => {
                self.world.serve(|hub, now| hub.send(now, peer, Delivery::Unreliable, message));
            }
        }
        self.collect();
    }

    fn collect(&mut self) {
        for seen in self.world.take_seen() {
            match seen {
                Seen::Received(_, Delivery::Unreliable, message) => self.arrive(&message),
                Seen::Closed(_, reason) => self.ended = Some(format!("closed: {reason}")),
                _ => {}
            }
        }
        for heard in self.world.take_heard(self.line) {
            if let Heard::Received(Delivery::Unreliable, message) = heard {
                self.arrive(&message);
            }
        }
    }

    fn arrive(&mut self, message: &[u8]) {
        let number = Load::number(message).expect("nobody else sends");
        let flight = self.flights.get_mut(number).expect("nobody else numbers");
        match flight.arrived {
            Some(_) => self.duplicates += 1,
            None => flight.arrived = Some(self.world.now),
        }
    }
}

/// Lets a client that just joined connect.
pub(super) fn connect(world: &mut World, line: usize) -> PeerId {
    let end = world.now + CONNECT;
    while world.turn(end) {
        if let [Seen::Open(peer)] = world.seen[..]
            && world.heard(line) == [Heard::Open]
        {
            return peer;
        }
    }
    panic!("no connection: {:?}, {:?}", world.seen, world.heard(line));
}

fn traffic(world: &mut World, line: usize) -> [Traffic; 2] {
    [Direction::Up, Direction::Down].map(|direction| world.link(line, direction).traffic())
}
