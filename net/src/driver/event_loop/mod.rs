//! The loop: wait, take what came, do what is to be done.

mod addresses;

use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use net_rtc::DropStats;

use crate::Config;
use crate::driver::accept_pool::Clerks;
use crate::driver::bind::{MAX_UDP_SOCKETS, Sockets, prepare};
use crate::driver::interfaces::Watcher;
use crate::driver::local_addrs::AddressSet;
use crate::driver::tcp::{Accepted, Listening, Streams};
use crate::driver::udp_sockets::{Datagram, Datagrams, Received, Socket};
use crate::hub::{ConnectionId, Hub, Input, Output, Question};
use crate::queues::{Entry, Shared};
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
    dropped_before: DropStats,
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
            dropped_before: DropStats::default(),
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

/// The time of one turn. What one kind of work leaves of its share goes to those after it, and
/// what is left undone is first in line in the next turn.
#[derive(Debug)]
pub(super) struct Turn {
    ends: Instant,
    /// Kinds of work that are still to come.
    kinds: u32,
}

impl Turn {
    /// A turn that begins now and works about so long, for the last piece that is begun in time
    /// is done, with so many kinds of work.
    pub(super) fn begin(now: Instant, time: Duration, kinds: u32) -> Turn {
        Turn { ends: now + time, kinds }
    }

    /// What the next kind of work may do: so many pieces, and one at least, in its share of the
    /// time that is left.
    /// The clock is looked at before each `stride`th piece.
    pub(super) fn share(&mut self, now: Instant, pieces: u32, stride: u32) -> Budget {
        let left = self.ends.saturating_duration_since(now);
        let ends = now + left / self.kinds.max(1);
        self.kinds = self.kinds.saturating_sub(1);
        Budget { pieces: pieces.max(1), done: 0, stride, ends }
    }
}

/// What one kind of work may do in a turn.
#[derive(Debug)]
pub(super) struct Budget {
    pieces: u32,
    done: u32,
    stride: u32,
    ends: Instant,
}

impl Budget {
    /// Whether one piece more may be done. The first always may, so that everything goes on
    /// however late it is.
    pub(super) fn admits(&mut self, clock: impl FnOnce() -> Instant) -> bool {
        let looks = self.done > 0 && self.done.is_multiple_of(self.stride);
        if looks && clock() >= self.ends {
            self.pieces = self.done;
        }
        let admits = self.done < self.pieces;
        self.done += u32::from(admits);
        admits
    }
}

/// How often in a row the wait may fail, and how long to pause after each time: a second in all.
const FAILURES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Counts failures, so that the loop neither spins nor gives up for one of them.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// How long to pause after this; the error once it has come too often.
    pub(super) fn judge(&mut self, result: io::Result<()>) -> io::Result<Duration> {
        match result {
            Ok(()) => self.failures = 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if self.failures == FAILURES => return Err(error),
            Err(error) => {
                if self.failures == 0 {
                    log::error!("waiting for the network failed: {error}");
                }
                self.failures += 1;
                return Ok(PAUSE);
            }
        }
        Ok(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Pieces that are done where each takes so long.
    fn done(mut budget: Budget, now: &mut Instant, each: Duration) -> u32 {
        let mut done = 0;
        while budget.admits(|| *now) {
            done += 1;
            *now += each;
        }
        done
    }

    #[test]
    fn work_ends_with_its_pieces_or_its_time() {
        let mut now = Instant::now();
        let mut share = |pieces, stride, each| {
            let mut turn = Turn::begin(now, 4 * MS, 1);
            done(turn.share(now, pieces, stride), &mut now, each)
        };
        assert_eq!(share(100, 1, Duration::ZERO), 100);
        assert_eq!(share(100, 1, MS), 4);
        assert_eq!(share(100, 8, MS), 8, "the clock is looked at before every eighth");
        assert_eq!(share(100, 1, 10 * MS), 1, "the first is always done");
        assert_eq!(share(0, 1, MS), 1, "whatever is asked for");
    }

    #[test]
    fn each_kind_has_its_share_and_what_those_before_it_left() {
        let mut now = Instant::now();
        let begin = now;
        let mut turn = Turn::begin(now, 4 * MS, 4);
        let mut kind = |most: u32| {
            let budget = turn.share(now, most, 1);
            done(budget, &mut now, MS / 4)
        };
        assert_eq!(kind(u32::MAX), 4, "a quarter of the time");
        assert_eq!(kind(1), 1);
        assert_eq!(kind(u32::MAX), 6, "half of what is left, begun in time");
        assert_eq!(kind(u32::MAX), 5);
        assert_eq!(now - begin, 4 * MS);
    }

    #[test]
    fn whoever_comes_after_the_time_is_up_does_one_piece() {
        let mut now = Instant::now();
        let mut turn = Turn::begin(now, 4 * MS, 3);
        assert_eq!(done(turn.share(now, 9, 1), &mut now, 20 * MS), 1);
        assert_eq!(done(turn.share(now, 9, 1), &mut now, MS), 1);
        assert_eq!(done(turn.share(now, 9, 1), &mut now, MS), 1);
    }
}

#[cfg(test)]
mod patience_tests {
    use super::*;

    #[test]
    fn t70_a_wait_that_fails_for_ever_neither_spins_nor_goes_on_for_ever() {
        let mut patience = Patience::default();
        let broken = || Err(io::ErrorKind::InvalidInput.into());
        let pauses: Vec<_> = (0..FAILURES).map(|_| patience.judge(broken()).unwrap()).collect();
        assert!(pauses.iter().all(|pause| *pause == PAUSE));
        assert!(patience.judge(broken()).is_err());
    }

    #[test]
    fn t70_an_interrupted_wait_is_a_short_one_and_one_that_works_ends_the_count() {
        let mut patience = Patience::default();
        for _ in 0..3 * FAILURES {
            let interrupted = Err(io::ErrorKind::Interrupted.into());
            assert_eq!(patience.judge(interrupted).unwrap(), Duration::ZERO);
        }
        for _ in 0..3 {
            for _ in 0..FAILURES {
                assert_eq!(patience.judge(Err(io::ErrorKind::Other.into())).unwrap(), PAUSE);
            }
            assert_eq!(patience.judge(Ok(())).unwrap(), Duration::ZERO);
        }
    }
}
