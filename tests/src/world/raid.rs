//! The attackers of a world: their network delays as the clients' does and loses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use net::hub::{ConnectionId, Input as HubInput, Transmit};

use super::wire::Unread;
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
    /// What has come and the server did not want to read.
    unread: VecDeque<Unread>,
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
        self.blow_down(number, begin);
        self.collect();
        number
    }

    /// An attacker's machine is switched off: its connections end, and nothing comes any more.
    pub fn dismiss(&mut self, number: usize) {
        let tcps: Vec<Tcp> = self.raiders[number].connections.keys().copied().collect();
        tcps.into_iter().for_each(|tcp| self.post_blow(number, Blow::UpEnd(tcp)));
        self.raiders[number].attacker = Box::new(Nobody);
        self.raiders[number].wake = None;
    }

    /// An attacker, to ask it how it went.
    pub fn attacker(&self, number: usize) -> &dyn Attacker {
        &*self.raiders[number].attacker
    }

    fn collect_raider(&mut self, number: usize) {
        loop {
            let blow = match self.raiders[number].attacker.poll_output() {
                Output::Timeout(wake) => return self.raiders[number].wake = wake,
                Output::Connect(tcp, from) => Blow::Connect(tcp, from),
                Output::Write(tcp, bytes) => Blow::Up(tcp, bytes),
                Output::End(tcp) | Output::Reset(tcp) => Blow::UpEnd(tcp),
                Output::Read(tcp, reads) => {
                    self.turn_reader(number, tcp, reads);
                    continue;
                }
                Output::Datagram { source, contents } => {
                    self.post_forged(number, source, contents);
                    continue;
                }
            };
            self.post_blow(number, blow);
        }
    }

    pub(super) fn strike(&mut self, number: usize, blow: Blow) {
        match blow {
            Blow::Connect(tcp, from) => self.connect(number, tcp, from),
            Blow::Up(tcp, bytes) => self.blow_up(number, tcp, Unread::Bytes(bytes)),
            Blow::UpEnd(tcp) => self.blow_up(number, tcp, Unread::End),
            Blow::Down(tcp, bytes) => self.blow_down(number, Input::Bytes(tcp, &bytes)),
            Blow::DownEnd(tcp) => {
                self.raiders[number].connections.remove(&tcp);
                self.blow_down(number, Input::End(tcp));
            }
            Blow::Datagram(destination, contents) => {
                let contents = &contents;
                self.blow_down(number, Input::Datagram { destination, contents });
            }
            Blow::Overheard(source, destination, contents) => {
                let contents = &contents;
                self.blow_down(number, Input::Overheard { source, destination, contents });
            }
        }
    }

    fn connect(&mut self, number: usize, tcp: Tcp, from: SocketAddr) {
        match self.accept(from) {
            Some(id) => {
                let line = Line { id, room: None, unread: VecDeque::new() };
                self.raiders[number].connections.insert(tcp, line);
                // The system of who was switched off meanwhile wants nothing of it.
                if self.raiders[number].attacker.name() == NOBODY {
                    self.blow_up(number, tcp, Unread::End);
                }
            }
            None => self.post_blow(number, Blow::DownEnd(tcp)),
        }
    }

    fn blow_up(&mut self, number: usize, tcp: Tcp, unread: Unread) {
        if let Some(line) = self.raiders[number].connections.get_mut(&tcp) {
            line.unread.push_back(unread);
            self.read_blows(number, tcp);
        }
    }

    /// An attacker's connection is wanted to be read again.
    pub(super) fn read_raider(&mut self, id: ConnectionId) {
        if let Some((number, tcp)) = self.raider_of(id) {
            self.read_blows(number, tcp);
        }
    }

    fn read_blows(&mut self, number: usize, tcp: Tcp) {
        let now = self.now;
        let Some(line) = self.raiders[number].connections.get_mut(&tcp) else { return };
        let id = line.id;
        while self.server.hub().wants_read(id)
            && let Some(unread) = line.unread.pop_front()
        {
            self.server.call(|hub| match &unread {
                Unread::Bytes(bytes) => hub.handle_input(now, HubInput::Bytes(id, bytes)),
                Unread::End => hub.handle_input(now, HubInput::End(id)),
            });
        }
    }

    pub(super) fn blow_down(&mut self, number: usize, input: Input<'_>) {
        self.raiders[number].attacker.handle_input(self.now, input);
        self.collect_raider(number);
    }

    fn turn_reader(&mut self, number: usize, tcp: Tcp, reads: bool) {
        let Some(line) = self.raiders[number].connections.get_mut(&tcp) else { return };
        line.room = (!reads).then_some(SYSTEM_BUFFERS);
        let id = line.id;
        self.write_to_raider(id);
    }

    /// Writes to an attacker's connection what its system takes.
    pub(super) fn write_to_raider(&mut self, id: ConnectionId) {
        let (now, Some((number, tcp))) = (self.now, self.raider_of(id)) else { return };
        while !self.server.hub().outgoing(id).is_empty() {
            let line = self.raiders[number].connections.get_mut(&tcp).expect("it was found");
            let mut bytes = self.server.hub().outgoing(id).to_vec();
            if let Some(room) = &mut line.room {
                bytes.truncate(*room);
                *room -= bytes.len();
            }
            if bytes.is_empty() {
                break;
            }
            self.server.call(|hub| hub.advance(now, id, bytes.len()));
            self.post_blow(number, Blow::Down(tcp, bytes));
        }
    }

    /// The server has ended an attacker's connection.
    pub(super) fn hang_up_raider(&mut self, id: ConnectionId) {
        if let Some((number, tcp)) = self.raider_of(id) {
            self.post_blow(number, Blow::DownEnd(tcp));
        }
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

    /// Who repeats what others said proves nothing by it, wherever he is.
    fn post_forged(&mut self, number: usize, source: SocketAddr, contents: Vec<u8>) {
        let attacker = &self.raiders[number].attacker;
        let genuine = attacker.is_at(source) && !attacker.listens();
        let (destination, contents) = (server_address(), contents.into());
        let at = self.now + self.conditions.delay;
        self.post(at, Parcel::DatagramUp { source, destination, contents, genuine });
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

const NOBODY: &str = "nobody";

/// What is left of an attacker who was dismissed.
#[derive(Debug)]
struct Nobody;

impl Attacker for Nobody {
    fn name(&self) -> &'static str {
        NOBODY
    }

    fn handle_input(&mut self, _now: Instant, _input: Input<'_>) {}

    fn poll_output(&mut self) -> Output {
        Output::Timeout(None)
    }
}
