//! A whole server, its clients and attackers in virtual time, with a seeded network between them.

mod accounts;
mod line;
mod pause;
mod raid;
mod server;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::hub::{
    AcceptRequest, ConnectionId, HookError, Hub, Input as HubInput, Output as HubOutput,
    ResourceUsage, Transmit,
};
use net::{AcceptHook, CloseReason, Config, ConnectFailure, Decision, Delivery, PeerId, PeerInfo};
use net_rtc::TimerQueue;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::accounts::Accounts;
pub use self::accounts::{Account, Excess};
use self::line::Line;
use self::pause::Pause;
use self::raid::{Blow, Raider};
pub use self::server::Cost;
use self::server::Server;
use self::wire::Unread;
pub use self::wire::Wire;
use crate::agent::{Agent, Input, Manners};
use crate::attack;
use crate::bottleneck::Bottleneck;
use crate::link::{Conditions, Direction, Link};
use crate::plane::Plane;

/// What the application would have seen, or the log told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// `Event::Open`.
    Open(PeerId),
    /// `Event::Received`, and by which path.
    Received(PeerId, Delivery, Bytes),
    /// `Event::Closed`, and why.
    Closed(PeerId, CloseReason),
    /// A refusal.
    Refused(ConnectFailure),
    /// A connection from there asked for no websocket.
    Plain(SocketAddr),
}

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Both paths are up.
    Open,
    /// A message arrived.
    Received(Delivery, Bytes),
    /// The websocket is over.
    Closed(u16, String),
}

/// Something on its way.
#[derive(Debug)]
enum Parcel {
    Up(usize, Vec<u8>),
    UpEnd(usize),
    Verdict(ConnectionId, Result<Decision, HookError>),
    Down(usize, Vec<u8>),
    DownEnd(usize),
    DatagramUp {
        source: SocketAddr,
        destination: SocketAddr,
        contents: Rc<[u8]>,
        genuine: bool,
    },
    /// The system takes again what the server has for this client.
    Unblock(usize),
    DatagramDown {
        line: usize,
        transmit: Rc<Transmit>,
    },
    Blow(usize, Blow),
}

/// See the [module's page](self).
#[derive(Debug)]
pub struct World {
    /// What time it is.
    pub now: Instant,
    /// What the server told, oldest first.
    pub seen: Vec<Seen>,
    /// What the server knew of each peer when it opened.
    pub infos: BTreeMap<PeerId, PeerInfo>,
    /// How long the application thinks about who may become a peer.
    pub thinks: Duration,
    server: Server,
    accept: Option<AcceptHook>,
    /// Connections that came to the server, whatever became of them.
    accepted: u64,
    connections: BTreeMap<PeerId, ConnectionId>,
    lines: Vec<Line>,
    /// When lines want to be woken.
    wakes: TimerQueue<usize>,
    raiders: Vec<Raider>,
    pause: Option<Pause>,
    accounts: Accounts,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    posted: u64,
    seed: u64,
    random: StdRng,
    conditions: Conditions,
    /// What the datagrams of all clients share, up and down.
    bottlenecks: [Option<Bottleneck>; 2],
    wake: Option<Instant>,
    /// Turns since time went on: a machine that asks for the present again and again would
    /// stop the world.
    turns: u32,
}

/// More than any honest machine takes at one instant.
const MOST_TURNS: u32 = 10_000;

fn server_address() -> SocketAddr {
    ([192, 0, 2, 1], 3000).into()
}

impl World {
    /// A server without clients. Everything that is decided by chance follows from `seed`.
    pub fn new(seed: u64, config: Config) -> World {
        World::announcing(seed, config, Vec::new())
    }

    /// The same, with these addresses in its offers.
    pub fn announcing(seed: u64, config: Config, announced: Vec<SocketAddr>) -> World {
        World {
            now: Instant::now(),
            seen: Vec::new(),
            infos: BTreeMap::new(),
            thinks: Duration::ZERO,
            accept: config.accept.clone(),
            server: Server::new(|| Hub::new(config, vec![server_address()], announced, Some(seed))),
            accepted: 0,
            connections: BTreeMap::new(),
            lines: Vec::new(),
            wakes: TimerQueue::new(),
            raiders: Vec::new(),
            pause: None,
            accounts: Accounts::default(),
            parcels: BTreeMap::new(),
            posted: 0,
            seed,
            random: StdRng::seed_from_u64(seed),
            conditions: Conditions::default(),
            bottlenecks: [None, None],
            wake: None,
            turns: 0,
        }
    }

    /// A new client connects, one like an unmodified browser; gives its number.
    pub fn join(&mut self, manners: Manners) -> usize {
        self.join_as(manners, Plane::Stock)
    }

    /// The same with another data plane.
    pub fn join_as(&mut self, manners: Manners, plane: Plane) -> usize {
        let address = self.next_address();
        self.join_through(address, "/", &[], manners, plane)
    }

    /// Where the datagrams of the next client will come from.
    pub fn next_address(&self) -> SocketAddr {
        ([198, 51, 100, 1], 5_000 + self.lines.len() as u16).into()
    }

    /// A client whose websocket comes from this address, and asks for this path with these
    /// headers.
    pub fn join_through(
        &mut self,
        proxy: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        manners: Manners,
        plane: Plane,
    ) -> usize {
        let (address, seed) = (self.next_address(), self.random.random());
        let rtc = plane.client(address, Some(seed));
        let agent = Agent::asking(self.now, path, headers, manners, rtc);
        self.join_with(proxy, address, agent)
    }

    /// This client, whose websocket comes from `remote` and its datagrams from `address`, which
    /// nobody else has.
    pub fn join_with(&mut self, remote: SocketAddr, address: SocketAddr, agent: Agent) -> usize {
        let number = self.lines.len();
        let links = [Direction::Up, Direction::Down].map(|way| self.new_link(number, way));
        let connection = self.accept(remote);
        self.lines.push(Line::new(agent, connection, address, links));
        self.collect_line(number);
        self.collect();
        number
    }

    fn accept(&mut self, remote: SocketAddr) -> Option<ConnectionId> {
        let now = self.now;
        self.accepted += 1;
        self.server.call(|hub| hub.accept(now, remote))
    }

    fn new_link(&self, number: usize, direction: Direction) -> Link {
        let mut link = Link::new(self.seed, number as u64, direction);
        link.conditions = self.conditions;
        link
    }

    /// Sets what the network does from now on, both ways, to present and future clients.
    pub fn shape(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        for line in &mut self.lines {
            line.up.conditions = conditions;
            line.down.conditions = conditions;
        }
    }

    /// One direction of a client's network.
    pub fn link(&mut self, line: usize, direction: Direction) -> &mut Link {
        self.lines[line].link(direction)
    }

    /// A client's TCP connection.
    pub fn wire(&mut self, line: usize) -> &mut Wire {
        &mut self.lines[line].wire
    }

    /// For so long the system takes nothing that the server has to write to a client.
    pub fn block(&mut self, line: usize, time: Duration) {
        let until = self.now + time;
        self.lines[line].wire.block(until);
        self.post(until, Parcel::Unblock(line));
    }

    /// Leads the datagrams of all clients in one direction through one bottleneck from now on,
    /// in place of their links' own; `None` takes it away.
    pub fn share(&mut self, direction: Direction, bottleneck: Option<Bottleneck>) {
        self.bottlenecks[direction as usize] = bottleneck;
    }

    /// What all clients share in one direction, if they do.
    pub fn shared(&mut self, direction: Direction) -> Option<&mut Bottleneck> {
        self.bottlenecks[direction as usize].as_mut()
    }

    /// The client's NAT forgets it: from now on its datagrams come from another address, and
    /// what is sent to the old one, or is on its way there, arrives nowhere.
    pub fn rebind(&mut self, line: usize) {
        let address = &mut self.lines[line].address;
        address.set_port(address.port().wrapping_add(10_000).max(1));
    }

    /// Lets a client do something.
    pub fn act<T>(&mut self, line: usize, act: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let result = act(&mut self.lines[line].agent, self.now);
        self.collect_line(line);
        result
    }

    /// Lets the server do something.
    pub fn serve<T>(&mut self, act: impl FnOnce(&mut Hub, Instant) -> T) -> T {
        let now = self.now;
        let result = self.server.call(|hub| act(hub, now));
        self.collect();
        result
    }

    /// The client's process ends: its system closes the TCP connection, nothing else is said.
    pub fn kill(&mut self, line: usize) {
        let at = self.lines[line].up.stream(self.now);
        self.post(at, Parcel::UpEnd(line));
        self.cut(line);
    }

    /// A client's TCP connection breaks for both ends at once, as on a reset.
    pub fn reset(&mut self, line: usize) {
        self.up(line, Unread::End);
        self.collect();
        self.down(line, Input::End);
    }

    /// The client's cable is pulled: nothing arrives any more, either way.
    pub fn cut(&mut self, line: usize) {
        self.lines[line].cut = true;
        self.collect_line(line);
    }

    /// Takes what the server has told since the last time.
    pub fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// What a client has heard.
    pub fn heard(&self, line: usize) -> &[Heard] {
        &self.lines[line].heard
    }

    /// Takes what a client has heard since the last time.
    pub fn take_heard(&mut self, line: usize) -> Vec<Heard> {
        std::mem::take(&mut self.lines[line].heard)
    }

    /// Whether the server has no connections left.
    pub fn is_empty(&self) -> bool {
        self.server.hub().is_empty()
    }

    /// How much the server holds.
    pub fn sizes(&self) -> ResourceUsage {
        self.server.hub().resource_usage()
    }

    /// When the server wants to be woken.
    pub fn server_wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Connections that came to the server since the beginning, whatever became of them.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// The client that is, or was, this peer; `None` for an attacker.
    pub fn client_of(&self, id: PeerId) -> Option<usize> {
        self.line_of(*self.connections.get(&id)?)
    }

    /// Bytes that a peer's websocket has still to write.
    pub fn unwritten(&self, id: PeerId) -> usize {
        self.server.hub().buffered_amount(id)
    }

    /// Wakes the server for nothing.
    pub fn wake(&mut self) {
        if !self.is_paused() {
            self.serve(|hub, now| hub.handle_input(now, HubInput::Timeout));
        }
    }

    /// A datagram comes to the server that says to be from there.
    pub fn datagram(&mut self, source: SocketAddr, contents: &[u8]) {
        let (destination, contents) = (server_address(), contents.into());
        let parcel = Parcel::DatagramUp { source, destination, contents, genuine: false };
        self.deliver(parcel);
    }

    /// From now on it is counted what the server's calls cost.
    pub fn measure(&mut self) {
        self.server.measure();
    }

    /// What the server's calls have cost since then.
    pub fn cost(&self) -> Cost {
        self.server.cost()
    }

    /// Where more was sent than may be since the last time.
    pub fn take_excess(&mut self) -> Vec<Excess> {
        self.accounts.take_excess()
    }

    /// Something between 0 and `below`, by the seed.
    pub fn choose(&mut self, below: u64) -> u64 {
        self.random.random_range(0..below)
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.turn(end) {}
    }

    /// Lets time pass until something happens; false, at `end`, if nothing did.
    ///
    /// # Panics
    /// If a machine wants to be woken without end and without time going on.
    pub fn turn(&mut self, end: Instant) -> bool {
        let next = self.next().filter(|next| *next <= end);
        let now = next.unwrap_or(end).max(self.now);
        self.turns = if now > self.now { 0 } else { self.turns + 1 };
        assert!(self.turns < MOST_TURNS, "a machine spins");
        self.now = now;
        if next.is_some() {
            self.step();
        }
        next.is_some()
    }

    fn next(&self) -> Option<Instant> {
        let parcel = self.parcels.first_key_value().map(|((at, _), _)| *at);
        let raiders = self.raiders.iter().filter_map(|raider| raider.wake);
        let server = self.pause.as_ref().map_or(self.wake, |pause| Some(pause.until()));
        raiders.chain(self.wakes.next_deadline()).chain(parcel).chain(server).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(first) = self.parcels.first_entry()
            && first.key().0 <= now
        {
            let parcel = first.remove();
            self.deliver(parcel);
        }
        self.wake_server();
        for line in self.wakes.due(now) {
            self.lines[line].agent.handle_input(now, Input::Timeout);
            self.collect_line(line);
        }
        for number in 0..self.raiders.len() {
            if self.raiders[number].wake.is_some_and(|at| at <= now) {
                self.blow_down(number, attack::Input::Timeout);
            }
        }
        self.collect();
    }

    fn deliver(&mut self, parcel: Parcel) {
        let Some(parcel) = self.keep_for_later(parcel) else { return };
        let now = self.now;
        match parcel {
            Parcel::Up(line, bytes) => self.up(line, Unread::Bytes(bytes)),
            Parcel::UpEnd(line) => self.up(line, Unread::End),
            Parcel::Verdict(id, verdict) => {
                self.server.call(|hub| hub.handle_input(now, HubInput::Decision(id, &verdict)));
            }
            Parcel::Down(line, bytes) => self.down(line, Input::Bytes(&bytes)),
            Parcel::DownEnd(line) => self.down(line, Input::End),
            Parcel::DatagramUp { source, destination, contents, genuine } => {
                // Nobody can tell what was repeated from the same address.
                let genuine = genuine || self.lines.iter().any(|line| line.address == source);
                self.accounts.receive(source, &contents, genuine);
                let datagram = HubInput::Datagram { source, destination, contents: &contents };
                self.server.call(|hub| hub.handle_input(now, datagram));
            }
            Parcel::DatagramDown { line, transmit } => {
                if self.lines[line].address == transmit.destination && !self.lines[line].cut {
                    self.accounts.reach(transmit.destination);
                    self.down(line, Input::Datagram(transmit.source, &transmit.contents));
                }
            }
            Parcel::Unblock(line) => self.write_down(line),
            Parcel::Blow(raider, blow) => self.strike(raider, blow),
        }
        self.collect();
    }

    /// Takes what the server has to say and puts it on its way.
    fn collect(&mut self) {
        while let Some(output) = self.server.next() {
            match output {
                HubOutput::Timeout(wake) => self.wake = wake,
                HubOutput::Open { connection, id, info } => {
                    self.seen.push(Seen::Open(id));
                    self.infos.insert(id, info);
                    self.connections.insert(id, connection);
                    self.read_again(connection);
                }
                HubOutput::Received { id, delivery, message } => {
                    // A copy: what the server has allocated is counted.
                    let message = Bytes::copy_from_slice(&message);
                    self.seen.push(Seen::Received(id, delivery, message));
                }
                HubOutput::Closed { id, reason } => self.seen.push(Seen::Closed(id, reason)),
                HubOutput::ConnectFailed(refusal) => self.seen.push(Seen::Refused(refusal)),
                HubOutput::PlainHttp(remote) => self.seen.push(Seen::Plain(remote)),
                HubOutput::AcceptRequest(question) => self.ask(&question),
                HubOutput::Write(id) => match self.line_of(id) {
                    Some(line) => self.write_down(line),
                    None => self.write_to_raider(id),
                },
                HubOutput::Drop(id) => match self.line_of(id) {
                    Some(line) => self.hang_up_line(line),
                    None => self.hang_up_raider(id),
                },
                HubOutput::Transmit(transmit) => self.transmit_down(transmit),
            }
        }
    }

    /// It is open, and so its bytes are wanted again.
    fn read_again(&mut self, connection: ConnectionId) {
        match self.line_of(connection) {
            Some(line) => self.read(line),
            None => self.read_raider(connection),
        }
    }

    fn ask(&mut self, question: &AcceptRequest) {
        let accept = self.accept.as_ref().expect("only who wants to be asked is");
        let verdict = accept.decide(&question.request);
        self.post(self.now + self.thinks, Parcel::Verdict(question.connection, verdict));
    }

    fn post(&mut self, at: Instant, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }
}
