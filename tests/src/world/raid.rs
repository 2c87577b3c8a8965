//! The attackers of a world: their network delays as the clients' does and loses nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use net::hub::{ConnectionId, Input as HubInput, Transmit};

use super::{Parcel, World, server_address};
use crate::attack::{Attacker, Input, Output, Tcp};

/// What two systems keep of a connection that nobody reads, in bytes.
const SYSTEM_BUFFERS: usize = 256 * 1024;

/// One attacker and its connections.
#[derive(Debug)]
pub(super) struct Raider {
    pub(super) attacker: Box<dyn Attacker>,
    connections: BTreeMap<Tcp, Line>,
    pub(super) wake: Option<Instant>,
}

/// One of its connections, as the server sees it.
#[derive(Debug)]
struct Line {
    id: ConnectionId,
    /// What the systems between take while nobody reads; `None` while somebody does.
    room: Option<usize>,
}

/// Something of an attacker's on its way.
#[derive(Debug)]
pub(super) enum Blow {
    Connect(Tcp, SocketAddr),
    Up(Tcp, Vec<u8>),
    UpEnd(Tcp),
    Down(Tcp, Vec<u8>),
    DownEnd(Tcp),
    Datagram(SocketAddr, Vec<u8>),
    Overheard(SocketAddr, SocketAddr, Vec<u8>),
}

impl Raider {
    fn tcp(&self, id: ConnectionId) -> Option<Tcp> {
        self.connections.iter().find(|(_, line)| line.id == id).map(|(tcp, _)| *tcp)
    }
}

impl World {
    /// An attacker begins; gives its number.
    pub fn attack(&mut self, attacker: Box<dyn Attacker>) -> usize {
        let number = self.raiders.len();
        self.raiders.push(Raider { attacker, connections: BTreeMap::new(), wake: None });
        let begin = Input::Begin { server: server_address() };
        self.raiders[number].attacker.handle_input(self.now, begin);
        self.collect();
        number
    }

    /// An attacker, to ask it how it went.
    pub fn attacker(&self, number: usize) -> &dyn Attacker {
        &*self.raiders[number].attacker
    }

    pub(super) fn collect_raider(&mut self, number: usize) {
        loop {
            let blow = match self.raiders[number].attacker.poll_output() {
                Output::Timeout(wake) => return self.raiders[number].wake = wake,
                Output::Connect(tcp, from) => Blow::Connect(tcp, from),
                Output::Write(tcp, bytes) => Blow::Up(tcp, bytes),
                Output::End(tcp) | Output::Reset(tcp) => Blow::UpEnd(tcp),
                Output::Read(tcp, reads) => {
                    self.read(number, tcp, reads);
                    continue;
                }
                Output::Datagram { source, contents } => {
                    self.post_forged(source, contents);
                    continue;
                }
            };
            self.post_blow(number, blow);
        }
    }

    pub(super) fn strike(&mut self, number: usize, blow: Blow) {
        let now = self.now;
        match blow {
            Blow::Connect(tcp, from) => self.connect(number, tcp, from),
            Blow::Up(tcp, bytes) => self.blow_up(number, tcp, |id| HubInput::Bytes(id, &bytes)),
            Blow::UpEnd(tcp) => self.blow_up(number, tcp, HubInput::End),
            Blow::Down(tcp, bytes) => self.blow_down(now, number, Input::Bytes(tcp, &bytes)),
            Blow::DownEnd(tcp) => {
                self.raiders[number].connections.remove(&tcp);
                self.blow_down(now, number, Input::End(tcp));
            }
            Blow::Datagram(destination, contents) => {
                let contents = &contents;
                self.blow_down(now, number, Input::Datagram { destination, contents });
            }
            Blow::Overheard(source, destination, contents) => {
                let contents = &contents;
                self.blow_down(now, number, Input::Overheard { source, destination, contents });
            }
        }
    }

    fn connect(&mut self, number: usize, tcp: Tcp, from: SocketAddr) {
        match self.hub.accept(self.now, from) {
            Some(id) => {
                self.raiders[number].connections.insert(tcp, Line { id, room: None });
            }
            None => self.post_blow(number, Blow::DownEnd(tcp)),
        }
    }

    fn blow_up<'a>(
        &mut self,
        number: usize,
        tcp: Tcp,
        input: impl FnOnce(ConnectionId) -> HubInput<'a>,
    ) {
        if let Some(id) = self.raiders[number].connections.get(&tcp).map(|line| line.id) {
            self.hub.handle_input(self.now, input(id));
        }
    }

    fn blow_down(&mut self, now: Instant, number: usize, input: Input<'_>) {
        self.raiders[number].attacker.handle_input(now, input);
    }

    fn read(&mut self, number: usize, tcp: Tcp, reads: bool) {
        let Some(line) = self.raiders[number].connections.get_mut(&tcp) else { return };
        line.room = (!reads).then_some(SYSTEM_BUFFERS);
        let id = line.id;
        self.write_to_raider(id);
    }

    /// Writes to an attacker's connection what its system takes; false if it is nobody's here.
    pub(super) fn write_to_raider(&mut self, id: ConnectionId) -> bool {
        let Some((number, tcp)) = self.raider_of(id) else { return false };
        while !self.hub.outgoing(id).is_empty() {
            let line = self.raiders[number].connections.get_mut(&tcp).expect("it was found");
            let mut bytes = self.hub.outgoing(id).to_vec();
            if let Some(room) = &mut line.room {
                bytes.truncate(*room);
                *room -= bytes.len();
            }
            if bytes.is_empty() {
                break;
            }
            self.hub.advance(self.now, id, bytes.len());
            self.post_blow(number, Blow::Down(tcp, bytes));
        }
        true
    }

    /// The server has ended a connection; false if it is no attacker's.
    pub(super) fn hang_up_raider(&mut self, id: ConnectionId) -> bool {
        let Some((number, tcp)) = self.raider_of(id) else { return false };
        self.post_blow(number, Blow::DownEnd(tcp));
        true
    }

    /// The attacker to whom datagrams to this address come.
    fn raider_at(&self, address: SocketAddr) -> Option<usize> {
        self.raiders.iter().position(|raider| raider.attacker.is_at(address))
    }

    /// Shows a datagram to those that listen.
    pub(super) fn overhear(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        for number in 0..self.raiders.len() {
            if self.raiders[number].attacker.listens() {
                self.post_blow(number, Blow::Overheard(source, destination, bytes.to_vec()));
            }
        }
    }

    fn post_forged(&mut self, source: SocketAddr, contents: Vec<u8>) {
        let destination = server_address();
        let at = self.now + self.conditions.delay;
        self.post(at, Parcel::DatagramUp { source, destination, contents: contents.into() });
    }

    /// Sends what is for no client to the attacker that is there, if one is.
    pub(super) fn transmit_to_raider(&mut self, transmit: Transmit) {
        if let Some(number) = self.raider_at(transmit.destination) {
            self.post_blow(number, Blow::Datagram(transmit.destination, transmit.contents));
        }
    }

    fn raider_of(&self, id: ConnectionId) -> Option<(usize, Tcp)> {
        let tcps = self.raiders.iter().map(|raider| raider.tcp(id));
        tcps.enumerate().find_map(|(number, tcp)| Some((number, tcp?)))
    }

    fn post_blow(&mut self, number: usize, blow: Blow) {
        let at = self.now + self.conditions.delay;
        self.post(at, Parcel::Blow(number, blow));
    }
}
