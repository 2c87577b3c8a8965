//! One client's end of the world: its machine, its network, and what it hears.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use net::hub::{ConnectionId, Input as HubInput, Transmit};

use super::wire::{Unread, Wire};
use super::{Heard, Parcel, World};
use crate::agent::{Agent, Input, Output};
use crate::link::{Direction, Fate, Link};

#[derive(Debug)]
pub(super) struct Line {
    pub(super) agent: Agent,
    pub(super) connection: Option<ConnectionId>,
    /// Where its datagrams come from, as the server sees it.
    pub(super) address: SocketAddr,
    pub(super) up: Link,
    pub(super) down: Link,
    pub(super) wire: Wire,
    pub(super) cut: bool,
    pub(super) heard: Vec<Heard>,
    wake: Option<Instant>,
}

impl Line {
    pub(super) fn new(
        agent: Agent,
        connection: Option<ConnectionId>,
        address: SocketAddr,
        [up, down]: [Link; 2],
    ) -> Line {
        let (wire, heard) = (Wire::default(), Vec::new());
        Line { agent, connection, address, up, down, wire, cut: false, heard, wake: None }
    }

    pub(super) fn link(&mut self, direction: Direction) -> &mut Link {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

impl World {
    /// Bytes of a client have come to the server's system, or the end of its connection.
    pub(super) fn up(&mut self, number: usize, unread: Unread) {
        self.lines[number].wire.unread.push_back(unread);
        self.read(number);
    }

    /// The server reads what has come, if it wants to.
    pub(super) fn read(&mut self, number: usize) {
        let now = self.now;
        let line = &mut self.lines[number];
        let Some(id) = line.connection else { return line.wire.unread.clear() };
        while self.server.hub().wants_read(id)
            && let Some(unread) = line.wire.unread.pop_front()
        {
            match unread {
                Unread::End => {
                    self.server.call(|hub| hub.handle_input(now, HubInput::End(id)));
                }
                Unread::Bytes(bytes) => {
                    for piece in line.wire.pieces(&bytes) {
                        let input = HubInput::Bytes(id, piece);
                        self.server.call(|hub| hub.handle_input(now, input));
                    }
                }
            }
        }
    }

    pub(super) fn down(&mut self, number: usize, input: Input<'_>) {
        if !self.lines[number].cut {
            self.lines[number].agent.handle_input(self.now, input);
            self.collect_line(number);
        }
    }

    /// Takes what a client has to say and puts it on its way.
    pub(super) fn collect_line(&mut self, number: usize) {
        self.write_up(number);
        loop {
            let line = &mut self.lines[number];
            match line.agent.poll_output() {
                Output::Timeout(wake) => {
                    let wake = wake.filter(|_| !line.cut);
                    self.wakes.reschedule(number, line.wake, wake);
                    return line.wake = wake;
                }
                Output::Open => line.heard.push(Heard::Open),
                Output::Received(delivery, message) => {
                    line.heard.push(Heard::Received(delivery, message));
                }
                Output::Closed(code, words) => line.heard.push(Heard::Closed(code, words)),
                Output::Transmit(_) if line.cut => {}
                Output::Transmit(transmit) => self.transmit_up(number, transmit),
            }
        }
    }

    fn write_up(&mut self, number: usize) {
        let now = self.now;
        let line = &mut self.lines[number];
        let mut all = Vec::new();
        while !line.agent.outgoing().is_empty() {
            let part = line.agent.outgoing().len();
            all.extend_from_slice(line.agent.outgoing());
            line.agent.advance(now, part);
        }
        if !all.is_empty() && !line.cut {
            let at = line.up.stream(now);
            self.post(at, Parcel::Up(number, all));
        }
    }

    /// Takes from the server what it has to write to a client, as far as the system takes it.
    pub(super) fn write_down(&mut self, number: usize) {
        let now = self.now;
        let line = &mut self.lines[number];
        let Some(id) = line.connection.filter(|_| !line.wire.is_blocked(now)) else { return };
        let mut all = Vec::new();
        for turn in 0.. {
            let part = self.server.hub().outgoing(id);
            if part.is_empty() {
                break;
            }
            let written = line.wire.portion(turn, part.len());
            all.extend_from_slice(&part[..written]);
            self.server.call(|hub| hub.advance(now, id, written));
        }
        if !all.is_empty() {
            let at = line.down.stream(now);
            self.post(at, Parcel::Down(number, all));
        }
    }

    /// The server has hung up on a client.
    pub(super) fn hang_up_line(&mut self, number: usize) {
        let line = &mut self.lines[number];
        line.wire.unread.clear();
        let at = line.down.stream(self.now);
        self.post(at, Parcel::DownEnd(number));
    }

    /// The client of a connection.
    pub(super) fn line_of(&self, id: ConnectionId) -> Option<usize> {
        self.lines.iter().position(|line| line.connection == Some(id))
    }

    pub(super) fn transmit_down(&mut self, transmit: Transmit) {
        self.accounts.send(transmit.destination, &transmit.contents);
        let to = self.lines.iter().position(|line| line.address == transmit.destination);
        let Some(line) = to else { return self.transmit_to_raider(transmit) };
        self.overhear(transmit.source, transmit.destination, &transmit.contents);
        let fate = self.cross(line, Direction::Down, transmit.contents.len());
        let transmit = Rc::new(Transmit { contents: transmit.contents.to_vec(), ..transmit });
        for at in fate.arrivals() {
            self.post(at, Parcel::DatagramDown { line, transmit: transmit.clone() });
        }
    }

    fn transmit_up(&mut self, number: usize, transmit: Transmit) {
        let fate = self.cross(number, Direction::Up, transmit.contents.len());
        let (source, destination) = (self.lines[number].address, transmit.destination);
        self.overhear(source, destination, &transmit.contents);
        let contents: Rc<[u8]> = transmit.contents.into();
        for at in fate.arrivals() {
            let (contents, genuine) = (contents.clone(), true);
            self.post(at, Parcel::DatagramUp { source, destination, contents, genuine });
        }
    }

    fn cross(&mut self, number: usize, direction: Direction, size: usize) -> Fate {
        let link = self.lines[number].link(direction);
        match &mut self.bottlenecks[direction as usize] {
            Some(shared) => link.send_through(self.now, size, shared),
            None => link.send(self.now, size),
        }
    }
}
