//! The loop: wait, take what came, do what is to be done.

mod addresses;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use net_rtc::Dropped;

use super::addresses::AddressSet;
use super::budget::{Budget, Turn};
use super::clerks::Clerks;
use super::datagrams::{Datagram, Datagrams, Received};
use super::interfaces::Watcher;
use super::listening::{Accepted, Listening};
use super::patience::Patience;
use super::sockets::{MAX_UDP_SOCKETS, Sockets, prepare};
use super::streams::Streams;
use super::udp::Socket;
use crate::Config;
use crate::hub::{ConnectionId, Hub, Input, Output, Question};
use crate::shared::{Entry, Shared};
use crate::stats::add;

pub(super) const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_UDP: usize = 2;
/// Tokens of UDP sockets lie below.
const FIRST_STREAM: usize = FIRST_UDP + MAX_UDP_SOCKETS;

/// Kinds of work in a turn: those of [`Driver::work`].
const KINDS: u32 = 7;
/// Posts, verdicts, parts written and timers of one turn, if there is time for so many.
const PIECES: u32 = 1_024;
/// The clock is looked at before each so many datagrams: most take some microseconds, those of a
/// handshake some hundred.
const DATAGRAM_STRIDE: u32 = 4;
/// Events that mio hands over at a time.
const EVENTS: usize = 1_024;
/// How long the last goodbyes may take.
const GOODBYE: Duration = Duration::from_millis(1_500);

pub(super) struct Driver {
    poll: Poll,
    patience: Patience,
    /// Until the server stops.
    listening: Option<Listening>,
    /// The address that is listened on.
    local: SocketAddr,
    datagrams: Datagrams<Socket>,
    addresses: AddressSet,
    /// Where the addresses may change.
    watcher: Option<Watcher>,
    streams: Streams<TcpStream>,
    hub: Hub,
    /// When the hub wants to be woken.
    wake: Option<Instant>,
    shared: Arc<Shared>,
    config: Config,
    /// Where the application wants to be asked.
    clerks: Option<Clerks>,
    life: Life,
    dropped_before: Dropped,
}

/// ```text
///   Running --no handle left--> Ending(until) --all gone, or time is up--> the thread ends
/// ```
#[derive(Clone, Copy)]
enum Life {
    Running,
    Ending(Instant),
}

fn token(id: ConnectionId) -> Token {
    Token(id.0 as usize + FIRST_STREAM)
}

fn connection(token: Token) -> ConnectionId {
    ConnectionId((token.0 - FIRST_STREAM) as u64)
}

impl Driver {
    pub(super) fn new(
        poll: Poll,
        sockets: Sockets,
        config: Config,
        shared: Arc<Shared>,
        clerks: Option<Clerks>,
        watcher: Option<Watcher>,
    ) -> io::Result<Driver> {
        let Sockets { mut listener, udp, local, addresses, .. } = sockets;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut driver = Driver {
            hub: Hub::new(config.clone(), Vec::new(), Vec::new(), None),
            local,
            addresses,
            watcher,
            listening: Some(Listening::new(listener)),
            datagrams: Datagrams::new(),
            streams: Streams::new(config.turn_bytes),
            life: Life::Running,
            patience: Patience::default(),
            dropped_before: Dropped::default(),
            wake: None,
            poll,
            shared,
            config,
            clerks,
        };
        udp.into_iter().try_for_each(|udp| driver.open_udp(udp))?;
        driver.datagrams.set_own(driver.addresses.of_this_machine());
        Ok(driver)
    }

    /// What it has in common with the handles.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs until the last handle is gone and the goodbyes are said.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while self.lives(Instant::now()) && self.wait(&mut events) {
            let (began, turn) = (Instant::now(), self.shared.inspector.begin_turn());
            self.turn(&events, began);
            self.shared.counters.note_turn(began.elapsed());
            self.shared.inspector.end_turn(turn, || self.hub.sizes());
        }
        log::info!("the server has stopped");
    }

    fn lives(&self, now: Instant) -> bool {
        match self.life {
            Life::Running => true,
            Life::Ending(until) => !self.hub.is_empty() && now < until,
        }
    }

    /// Waits for something to do; false if that does not work any more.
    fn wait(&mut self, events: &mut Events) -> bool {
        let now = Instant::now();
        let timeout = self.next_wake(now).map(|at| at.saturating_duration_since(now));
        let result = self.poll.poll(events, timeout);
        if result.is_err() {
            events.clear();
        }
        match self.patience.judge(result) {
            Ok(pause) => {
                thread::sleep(pause);
                true
            }
            Err(error) => {
                log::error!("waiting for the network does not work, the server ends: {error}");
                false
            }
        }
    }

    /// When to be awake at the latest; now if there is work left.
    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let work_left = self.streams.awaiting_reading() > 0 && !self.shared.events.is_full()
            || self.streams.awaits_writing()
            || self.shared.has_posts()
            || self.clerks.as_ref().is_some_and(Clerks::has_verdicts)
            || self.watcher.as_ref().is_some_and(Watcher::has_change);
        let listener = self.listening.as_ref().and_then(|listening| listening.next_wake(now));
        let ending = match self.life {
            Life::Running => None,
            Life::Ending(until) => Some(until),
        };
        let work = work_left.then_some(now);
        let datagrams = self.datagrams.next_wake(now);
        let addresses = self.addresses.next_wake(now);
        [work, listener, datagrams, addresses, self.wake, ending].into_iter().flatten().min()
    }

    fn turn(&mut self, events: &Events, now: Instant) {
        self.shared.awake();
        events.iter().for_each(|event| self.note(event));
        self.follow_interfaces(now);
        self.work(now);
        self.stop(now);
        self.count();
    }

    /// Notes what mio says; what is to be done about it is done in its turn.
    fn note(&mut self, event: &Event) {
        match event.token() {
            WAKER => {}
            LISTENER => self.listening.iter_mut().for_each(Listening::readable),
            Token(token) if token < FIRST_STREAM => self.datagrams.readable(token - FIRST_UDP),
            token => {
                let id = connection(token);
                if event.is_readable() {
                    self.streams.readable(id);
                }
                if event.is_writable() {
                    self.streams.writable(id);
                }
            }
        }
    }

    /// Does some of everything that there is to do. What came from outside goes before the
    /// timers: a peer that has spoken is not silent.
    fn work(&mut self, now: Instant) {
        let Config { turn_time, turn_accepts, turn_datagrams, .. } = self.config;
        let mut turn = Turn::begin(now, turn_time, KINDS);
        let mut share = |pieces, stride| turn.share(Instant::now(), pieces, stride);
        self.accept(now, share(turn_accepts, 1));
        self.receive(now, share(turn_datagrams, DATAGRAM_STRIDE));
        // One chunk of each that has something: who sends without end waits as the others do.
        self.read(now, share(self.streams.awaiting_reading(), 1));
        self.take_posts(now, share(PIECES, 1));
        self.take_verdicts(now, share(PIECES, 1));
        self.write(now, share(PIECES, 1));
        self.handle_timeouts(now, share(PIECES, 1));
    }

    fn accept(&mut self, now: Instant, mut budget: Budget) {
        while let Some(listening) = &mut self.listening
            && listening.is_ready(now)
            && budget.admits(Instant::now)
        {
            match listening.accept(now) {
                Accepted::Connection(tcp, remote) => self.admit(now, tcp, remote),
                Accepted::None => {}
                // Without descriptors the places of those that only wait are taken.
                Accepted::Refused if self.hub.free_one(now) => listening.freed(),
                Accepted::Refused => {}
            }
            self.drain(now);
        }
    }

    fn admit(&mut self, now: Instant, tcp: TcpStream, remote: SocketAddr) {
        add(&self.shared.counters.accepted, 1);
        let local = tcp.local_addr().ok().map(|local| local.ip().to_canonical());
        self.arrived(now, local);
        if let Some(id) = self.hub.accept_at(now, remote, local)
            && let Err(error) = self.register(id, tcp)
        {
            log::debug!("{remote} was gone before it was here: {error}");
            self.hub.handle_input(now, Input::End(id));
        }
    }

    fn register(&mut self, id: ConnectionId, mut tcp: TcpStream) -> io::Result<()> {
        // One that takes nothing is given up here too, and not before it may be.
        prepare(&tcp, self.config.dead_after.max(self.config.reliable_send_timeout))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut tcp, token(id), interest)?;
        self.streams.insert(id, tcp);
        Ok(())
    }

    fn drop_stream(&mut self, id: ConnectionId) {
        if let Some(mut tcp) = self.streams.remove(id) {
            // Both can fail only because the connection is gone, which is what is wanted.
            _ = self.poll.registry().deregister(&mut tcp);
            _ = tcp.shutdown(Shutdown::Write);
        }
    }

    fn receive(&mut self, now: Instant, mut budget: Budget) {
        while budget.admits(Instant::now) {
            match self.datagrams.receive(now, &self.shared.counters) {
                Received::Empty => return,
                Received::Nothing => {}
                Received::Datagram(datagram) => {
                    let Datagram { source, destination, contents } = datagram;
                    self.hub.handle_input(now, Input::Datagram { source, destination, contents });
                    self.drain(now);
                }
            }
        }
    }

    /// Reads from connections, unless too much waits for the application already.
    fn read(&mut self, now: Instant, mut budget: Budget) {
        while self.streams.awaiting_reading() > 0 && budget.admits(Instant::now) {
            if self.shared.events.is_full() {
                return self.hub.excuse_unread(now);
            }
            self.streams.read_next(now, &mut self.hub);
            self.drain(now);
        }
    }

    /// Does what the application's threads have asked for.
    fn take_posts(&mut self, now: Instant, mut budget: Budget) {
        while self.shared.has_posts() && budget.admits(Instant::now) {
            self.shared.hand_over(now, &mut self.hub);
            self.drain(now);
        }
    }

    /// Lets in, or not, whom the application was asked about.
    fn take_verdicts(&mut self, now: Instant, mut budget: Budget) {
        while self.clerks.as_ref().is_some_and(Clerks::has_verdicts)
            && budget.admits(Instant::now)
            && let Some((id, verdict)) = self.clerks.as_ref().and_then(Clerks::next)
        {
            self.hub.handle_input(now, Input::Verdict(id, &verdict));
            self.drain(now);
        }
    }

    fn write(&mut self, now: Instant, mut budget: Budget) {
        while self.streams.awaits_writing() && budget.admits(Instant::now) {
            self.streams.write_next(now, &mut self.hub);
            self.drain(now);
        }
    }

    fn handle_timeouts(&mut self, now: Instant, mut budget: Budget) {
        while self.wake.is_some_and(|at| at <= now) && budget.admits(Instant::now) {
            self.hub.handle_input(now, Input::Timeout);
            self.drain(now);
        }
    }

    fn ask(&mut self, now: Instant, question: Question) {
        let clerks = self.clerks.as_ref().expect("there are some where there is someone to ask");
        let id = question.connection;
        if let Err(none) = clerks.ask(question) {
            self.hub.handle_input(now, Input::Verdict(id, &Err(none)));
        }
    }

    /// Begins the end once no handle is left, and all that was posted is taken.
    fn stop(&mut self, now: Instant) {
        if self.shared.is_over() && matches!(self.life, Life::Running) {
            self.listening = None;
            self.hub.shutdown(now);
            self.life = Life::Ending(now + GOODBYE);
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.hub.poll_output() {
                Output::Timeout(wake) => return self.wake = wake,
                Output::Transmit(transmit) => {
                    self.datagrams.send(&transmit, &self.shared.counters);
                }
                Output::Write(id) => self.streams.write(now, &mut self.hub, id),
                Output::Drop(id) => self.drop_stream(id),
                Output::Refused(refusal) => self.shared.refused(refusal),
                Output::Plain(_) => add(&self.shared.counters.plain, 1),
                Output::Ask(question) => self.ask(now, question),
                Output::Closed { id, reason } => self.shared.closed(id, reason),
                Output::Open { connection, id, info } => {
                    let gauge = self.hub.gauge(id).unwrap_or_default();
                    let entry = Arc::new(Entry::new(&self.config, &self.shared.total, info, gauge));
                    self.streams.opened(connection, id, entry.clone());
                    self.shared.opened(id, entry);
                }
                Output::Received { id, delivery, message } => {
                    let dropped = self.shared.events.received(id, delivery, message);
                    add(&self.shared.counters.events_dropped, dropped);
                }
            }
        }
    }

    fn count(&mut self) {
        let dropped = self.hub.unreliable_dropped();
        self.shared.counters.unreliable_dropped.add(dropped - self.dropped_before);
        self.dropped_before = dropped;
        self.datagrams.count_overflow(&self.shared.counters);
    }
}
