//! A whole server without sockets, its real handles, and clients whose bytes arrive as somebody
//! decides. Whatever it tells is checked.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::hub::{ConnectionId, Input, Output, Transmit};
use net::machine::Machine;
use net::{CloseReason, Config, Delivery, Event, EventQueue, PeerId, Server};

use crate::agent::{self, Agent, Manners};

/// Outputs that one input may have.
const MOST_OUTPUTS: u32 = 2_000;
/// Timeouts at one and the same time.
const MOST_LOOKS: u32 = 200;

pub(super) const MESSAGE: usize = 2_000;
pub(super) const BACKLOG: usize = 8_000;
const EVENTS: usize = 50;

pub(super) fn server() -> SocketAddr {
    ([192, 0, 2, 1], 3_000).into()
}

fn config() -> Config {
    Config {
        max_message_size: MESSAGE,
        reliable_send_buffer: BACKLOG,
        unreliable_send_buffer: BACKLOG,
        max_signal_message_size: 4_000,
        max_preopen_bytes: 4_000,
        max_preopen_messages: 8,
        max_peers: 3,
        max_handshakes: 3,
        event_queue_len: EVENTS,
        event_queue_bytes: 50_000,
        ..Config::default()
    }
}

/// A client, or only its connection, and what is on its way.
pub(super) struct Guest {
    pub(super) agent: Option<Agent>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) address: SocketAddr,
    pub(super) up: VecDeque<u8>,
    pub(super) datagrams_up: VecDeque<Transmit>,
    pub(super) down: VecDeque<u8>,
    pub(super) datagrams_down: VecDeque<Transmit>,
    /// What it has heard on both paths.
    pub(super) reliable: Vec<Bytes>,
    pub(super) unreliable: Vec<Bytes>,
    wake: Option<Instant>,
    /// It is over, as far as the client knows: its TCP connection ends.
    has_left: bool,
}

/// Where an id is in `Open Received* Closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    Closed,
}

pub(super) struct Rig {
    pub(super) now: Instant,
    pub(super) machine: Machine,
    pub(super) server: Option<Server>,
    pub(super) queue: Option<EventQueue>,
    pub(super) guests: Vec<Guest>,
    pub(super) lives: BTreeMap<PeerId, Life>,
    /// Whence datagrams have come.
    sources: HashSet<SocketAddr>,
    wake: Option<Instant>,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let now = Instant::now();
        let (machine, server, queue) = Machine::new(config(), server(), 7);
        Rig {
            now,
            machine,
            server: Some(server),
            queue: Some(queue),
            guests: Vec::new(),
            lives: BTreeMap::new(),
            sources: HashSet::new(),
            wake: None,
        }
    }

    /// Somebody connects, while the server listens: an honest client, or nobody behind it at all.
    pub(super) fn join(&mut self, is_honest: bool) {
        if self.server.is_none() {
            return;
        }
        let number = self.guests.len() as u8;
        let address = ([198, 51, 100, number], 5_000).into();
        let rtc =
            net_rtc::Config { seed: Some(number.into()), ..net_rtc::Config::new(vec![address]) };
        self.guests.push(Guest {
            agent: is_honest.then(|| Agent::with(self.now, "/", Manners::Good, rtc)),
            connection: self.machine.accept(self.now, address),
            address,
            up: VecDeque::new(),
            datagrams_up: VecDeque::new(),
            down: VecDeque::new(),
            datagrams_down: VecDeque::new(),
            reliable: Vec::new(),
            unreliable: Vec::new(),
            wake: None,
            has_left: false,
        });
        self.drain();
    }

    /// Lets clients join and open, with nothing in their way.
    pub(super) fn open(&mut self, clients: usize) {
        (0..clients).for_each(|_| self.join(true));
        self.calm(Duration::from_secs(1));
        self.take_events();
        assert_eq!(self.lives.len(), clients, "honest clients open");
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        if let Input::Datagram { source, .. } = input {
            self.sources.insert(source);
        }
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    /// What the loop does in each turn, but for reading and writing.
    pub(super) fn turn(&mut self) {
        while self.machine.dispatch_sends(self.now) {
            self.drain();
        }
        self.machine.check_shutdown(self.now);
        self.input(Input::Timeout);
    }

    /// Lets time pass, in which nothing arrives.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..MOST_LOOKS {
            self.turn();
            if self.wake.is_none_or(|at| at > self.now) {
                break;
            }
        }
        self.wake_guests();
        assert!(self.wake.is_none_or(|at| at > self.now), "a server that never sleeps");
    }

    fn wake_guests(&mut self) {
        let now = self.now;
        for guest in &mut self.guests {
            if let Some(agent) =
                guest.agent.as_mut().filter(|_| guest.wake.is_some_and(|w| w <= now))
            {
                agent.handle_input(now, agent::Input::Timeout);
            }
        }
        self.drain();
    }

    /// Everything arrives as it should for a while.
    pub(super) fn calm(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.turn();
            while (0..self.guests.len()).any(|guest| self.carry(guest)) {
                self.turn();
            }
            let wakes = self.guests.iter().filter_map(|guest| guest.wake);
            let next = wakes.chain(self.wake).min().unwrap_or(end).clamp(self.now, end);
            // Wakes may be in the past for clients that are over.
            self.wait((next - self.now).max(Duration::from_millis(1)));
        }
    }

    fn carry(&mut self, guest: usize) -> bool {
        let all = usize::MAX;
        self.read(guest, all)
            | self.write(guest, all)
            | self.hear(guest, all)
            | self.datagram_up(guest)
            | self.datagram_down(guest)
            | self.leave(guest)
    }

    /// The connection of a client that gave up, or closed, ends behind its last byte.
    fn leave(&mut self, guest: usize) -> bool {
        let Guest { connection, has_left, up, .. } = &self.guests[guest];
        let Some(id) = connection.filter(|_| *has_left && up.is_empty()) else { return false };
        self.input(Input::End(id));
        true
    }

    /// The server reads some of what a client has sent; false if there was nothing.
    pub(super) fn read(&mut self, guest: usize, most: usize) -> bool {
        let Some(id) = self.guests[guest].connection else { return false };
        let up = &mut self.guests[guest].up;
        let bytes: Vec<u8> = match self.machine.wants_read(id) {
            true => up.drain(..up.len().min(most)).collect(),
            false => Vec::new(),
        };
        bytes.chunks(16 * 1_024).for_each(|chunk| self.input(Input::Bytes(id, chunk)));
        !bytes.is_empty()
    }

    /// The network takes some of what the server has for a client.
    pub(super) fn write(&mut self, guest: usize, most: usize) -> bool {
        let Some(id) = self.guests[guest].connection else { return false };
        let out = self.machine.outgoing(id);
        let count = out.len().min(most);
        self.guests[guest].down.extend(&out[..count]);
        self.machine.advance(self.now, id, count);
        self.drain();
        count > 0
    }

    /// A client reads some of what has arrived.
    pub(super) fn hear(&mut self, guest: usize, most: usize) -> bool {
        let now = self.now;
        let guest = &mut self.guests[guest];
        let bytes: Vec<u8> = guest.down.drain(..guest.down.len().min(most)).collect();
        if let Some(agent) = guest.agent.as_mut().filter(|_| !bytes.is_empty()) {
            agent.handle_input(now, agent::Input::Bytes(&bytes));
        }
        self.drain();
        !bytes.is_empty()
    }

    pub(super) fn datagram_up(&mut self, guest: usize) -> bool {
        let Some(datagram) = self.guests[guest].datagrams_up.pop_front() else { return false };
        let (source, destination) = (self.guests[guest].address, datagram.destination);
        self.input(Input::Datagram { source, destination, contents: &datagram.contents });
        true
    }

    pub(super) fn datagram_down(&mut self, guest: usize) -> bool {
        let now = self.now;
        let guest = &mut self.guests[guest];
        let Some(datagram) = guest.datagrams_down.pop_front() else { return false };
        if let Some(agent) = &mut guest.agent {
            agent.handle_input(now, agent::Input::Datagram(datagram.source, &datagram.contents));
        }
        self.drain();
        true
    }

    /// Takes what server and clients have to say.
    pub(super) fn drain(&mut self) {
        self.drain_machine();
        for guest in &mut self.guests {
            guest.drain(self.now);
        }
    }

    fn drain_machine(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            match self.machine.poll_output() {
                Output::Timeout(wake) => return self.wake = wake,
                Output::Transmit(transmit) => self.transmit(transmit),
                Output::Drop(id) => self.hang_up(id),
                Output::Write(_) => {}
                other => panic!("nobody is to be asked: {other:?}"),
            }
        }
        panic!("outputs without end");
    }

    fn transmit(&mut self, transmit: Transmit) {
        let to = transmit.destination;
        assert!(self.sources.contains(&to), "{to} has sent nothing");
        if let Some(guest) = self.guests.iter_mut().find(|guest| guest.address == to) {
            guest.datagrams_down.push_back(transmit);
        }
    }

    /// The server has dropped a connection; what is on its way to the client still arrives.
    fn hang_up(&mut self, id: ConnectionId) {
        let now = self.now;
        let guest = self.guests.iter_mut().find(|guest| guest.connection == Some(id));
        let guest = guest.expect("a connection that was there");
        guest.connection = None;
        if let Some(agent) = &mut guest.agent {
            let down: Vec<u8> = guest.down.drain(..).collect();
            agent.handle_input(now, agent::Input::Bytes(&down));
            agent.handle_input(now, agent::Input::End);
        }
    }

    /// Takes the application's events, and checks their order.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        let Some(queue) = self.queue.clone() else { return Vec::new() };
        let events = queue.pop_all();
        events.iter().for_each(|event| self.follow(event));
        events
    }

    pub(super) fn follow(&mut self, event: &Event) {
        match event {
            Event::Open(id) => {
                let next = PeerId::from(self.lives.len() as u64);
                assert_eq!(*id, next, "ids count up");
                self.lives.insert(*id, Life::Open);
            }
            Event::Received(id, message) => {
                assert_eq!(self.lives.get(id), Some(&Life::Open), "{event:?}");
                assert!(message.len() <= MESSAGE, "a message of {}", message.len());
            }
            Event::Closed(id) => {
                assert_eq!(self.lives.insert(*id, Life::Closed), Some(Life::Open), "{event:?}");
                if let Some(server) = &self.server {
                    let reason = server.close_reason(*id);
                    assert!(reason.is_some_and(|reason| reason != CloseReason::PeerPanicked));
                }
            }
        }
    }

    /// Bounds that hold at any time.
    pub(super) fn check_bounds(&self) {
        for (id, _) in self.lives.iter().filter(|(_, life)| **life == Life::Open) {
            let unwritten = self.machine.buffered_amount(*id);
            assert!(unwritten <= 2 * (BACKLOG + MESSAGE) + 512, "{unwritten} unwritten bytes");
        }
    }

    /// Drops every handle: whatever happened, the server ends within its time, and everyone who
    /// was open is closed.
    pub(super) fn finish(mut self) {
        let stats = self.server.take().map(|server| server.stats());
        let queue = self.queue.take();
        self.queue = queue.clone();
        for _ in 0..40 {
            self.wait(Duration::from_millis(100));
        }
        self.take_events();
        assert!(self.machine.is_empty(), "connections that stay");
        self.machine.on_loop_stopped();
        let Some(queue) = queue else { return };
        assert!(queue.is_finished() && queue.pop().is_none());
        assert!(self.lives.values().all(|life| *life == Life::Closed), "{:?}", self.lives);
        if let Some(stats) = stats {
            assert!(
                stats.peers_opened <= stats.tcp_accepted
                    && stats.connect_failures <= stats.tcp_accepted
            );
            assert!(self.lives.len() as u64 >= stats.peers_opened);
        }
    }
}

impl Guest {
    fn drain(&mut self, now: Instant) {
        let Some(agent) = &mut self.agent else { return };
        loop {
            match agent.poll_output() {
                agent::Output::Timeout(wake) => break self.wake = wake,
                agent::Output::Transmit(transmit) => self.datagrams_up.push_back(transmit),
                agent::Output::Received(Delivery::Reliable, message) => self.reliable.push(message),
                agent::Output::Received(Delivery::Unreliable, message) => {
                    self.unreliable.push(message);
                }
                agent::Output::Open => {}
                agent::Output::Closed(..) => self.has_left = true,
            }
        }
        while !agent.outgoing().is_empty() {
            let count = agent.outgoing().len();
            self.up.extend(agent.outgoing());
            agent.advance(now, count);
        }
    }
}
