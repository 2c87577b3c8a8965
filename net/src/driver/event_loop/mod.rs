//! Event loop: polls mio, passes input to the hub, executes its outputs.

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
use crate::driver::accept_pool::AcceptPool;
use crate::driver::bind::{MAX_UDP_SOCKETS, ServerSockets, configure_tcp};
use crate::driver::interfaces::InterfaceWatcher;
use crate::driver::local_addrs::AddressSet;
use crate::driver::tcp::{AcceptOutcome, Listener, TcpConnections};
use crate::driver::udp_sockets::{Datagram, OverflowUdpSocket, Recv, UdpSockets};
use crate::hub::{AcceptRequest, ConnectionId, Hub, Input, Output};
use crate::queues::{PeerHandle, Shared};
use crate::stats::add;

pub(super) const WAKER_TOKEN: Token = Token(0);
const LISTENER_TOKEN: Token = Token(1);
const FIRST_UDP_TOKEN: usize = 2;
/// Tokens of UDP sockets are below.
const FIRST_TCP_TOKEN: usize = FIRST_UDP_TOKEN + MAX_UDP_SOCKETS;

/// Kinds of work in an iteration: those of [`Driver::run_tasks`].
const WORK_KINDS: u32 = 7;
/// Maximum number of sends, decisions, writes and timers each in one iteration, within its time
/// budget.
const MAX_ITEMS_PER_KIND: u32 = 1_024;
/// Number of datagrams between reads of the clock: most take some microseconds, those of a
/// handshake some hundred.
const DATAGRAM_CLOCK_STRIDE: u32 = 4;
/// Maximum number of events of one mio poll.
const MIO_EVENT_CAPACITY: usize = 1_024;
/// Maximum time of the closing handshakes at shutdown.
const CLOSE_GRACE: Duration = Duration::from_millis(1_500);

/// The event loop: it polls mio and passes input and output between sockets and hub.
pub(super) struct Driver {
    poll: Poll,
    poll_backoff: PollBackoff,
    /// `None` once the server shuts down.
    listener: Option<Listener>,
    /// The listening address.
    listen_addr: SocketAddr,
    udp_sockets: UdpSockets<OverflowUdpSocket>,
    address_set: AddressSet,
    /// Present if the local addresses may change.
    watcher: Option<InterfaceWatcher>,
    tcp_connections: TcpConnections<TcpStream>,
    hub: Hub,
    /// Next timeout of the hub.
    hub_timeout: Option<Instant>,
    shared: Arc<Shared>,
    config: Config,
    /// Present if there is an admission hook.
    accept_pool: Option<AcceptPool>,
    state: LoopState,
    last_dropped: DropStats,
}

/// State of the loop.
///
/// ```text
///   Running --no handle left--> Closing(deadline) --all closed, or time is up--> the thread ends
/// ```
#[derive(Clone, Copy)]
enum LoopState {
    Running,
    Closing(Instant),
}

fn connection_token(id: ConnectionId) -> Token {
    Token(id.0 as usize + FIRST_TCP_TOKEN)
}

fn connection_id(token: Token) -> ConnectionId {
    ConnectionId((token.0 - FIRST_TCP_TOKEN) as u64)
}

impl Driver {
    pub(super) fn new(
        poll: Poll,
        sockets: ServerSockets,
        config: Config,
        shared: Arc<Shared>,
        clerks: Option<AcceptPool>,
        watcher: Option<InterfaceWatcher>,
    ) -> io::Result<Driver> {
        let ServerSockets { mut listener, udp, local_addr: local, address_set: addresses, .. } =
            sockets;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER_TOKEN, Interest::READABLE)?;
        let mut driver = Driver {
            hub: Hub::new(config.clone(), Vec::new(), Vec::new(), None),
            listen_addr: local,
            address_set: addresses,
            watcher,
            listener: Some(Listener::new(listener)),
            udp_sockets: UdpSockets::new(),
            tcp_connections: TcpConnections::new(config.max_read_bytes_per_iteration),
            state: LoopState::Running,
            poll_backoff: PollBackoff::default(),
            last_dropped: DropStats::default(),
            hub_timeout: None,
            poll,
            shared,
            config,
            accept_pool: clerks,
        };
        udp.into_iter().try_for_each(|udp| driver.register_udp(udp))?;
        driver.udp_sockets.set_own_addrs(driver.address_set.own_ips());
        Ok(driver)
    }

    /// Returns the state shared with the handles.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs until the last handle is dropped and the closing handshakes are complete.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(MIO_EVENT_CAPACITY);
        while self.is_running(Instant::now()) && self.poll_events(&mut events) {
            let (began, turn) = (Instant::now(), self.shared.loop_monitor.begin_iteration());
            self.run_iteration(&events, began);
            self.shared.counters.record_iteration(began.elapsed());
            self.shared.loop_monitor.end_iteration(turn, || self.hub.resource_usage());
        }
        log::info!("the server has stopped");
    }

    fn is_running(&self, now: Instant) -> bool {
        match self.state {
            LoopState::Running => true,
            LoopState::Closing(until) => !self.hub.is_empty() && now < until,
        }
    }

    /// Waits for events; returns `false` if polling fails permanently.
    fn poll_events(&mut self, events: &mut Events) -> bool {
        let now = Instant::now();
        let timeout = self.next_timeout(now).map(|at| at.saturating_duration_since(now));
        let result = self.poll.poll(events, timeout);
        if result.is_err() {
            events.clear();
        }
        match self.poll_backoff.on_result(result) {
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

    /// Returns the latest time to wake up; now if there is work left.
    fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let work_left = self.tcp_connections.read_queue_len() > 0 && !self.shared.events.is_full()
            || self.tcp_connections.has_queued_writes()
            || self.shared.has_pending()
            || self.accept_pool.as_ref().is_some_and(AcceptPool::has_decisions)
            || self.watcher.as_ref().is_some_and(InterfaceWatcher::has_change);
        let listener = self.listener.as_ref().and_then(|listening| listening.next_timeout(now));
        let ending = match self.state {
            LoopState::Running => None,
            LoopState::Closing(until) => Some(until),
        };
        let work = work_left.then_some(now);
        let datagrams = self.udp_sockets.next_timeout(now);
        let addresses = self.address_set.next_timeout(now);
        [work, listener, datagrams, addresses, self.hub_timeout, ending].into_iter().flatten().min()
    }

    fn run_iteration(&mut self, events: &Events, now: Instant) {
        self.shared.clear_wake();
        events.iter().for_each(|event| self.on_mio_event(event));
        self.update_interfaces(now);
        self.run_tasks(now);
        self.check_shutdown(now);
        self.update_counters();
    }

    /// Records an event of mio; the work follows in [`Driver::run_tasks`].
    fn on_mio_event(&mut self, event: &Event) {
        match event.token() {
            WAKER_TOKEN => {}
            LISTENER_TOKEN => self.listener.iter_mut().for_each(Listener::on_readable),
            Token(token) if token < FIRST_TCP_TOKEN => {
                self.udp_sockets.on_readable(token - FIRST_UDP_TOKEN)
            }
            token => {
                let id = connection_id(token);
                if event.is_readable() {
                    self.tcp_connections.on_readable(id);
                }
                if event.is_writable() {
                    self.tcp_connections.on_writable(id);
                }
            }
        }
    }

    /// Does a share of each kind of work. Input is handled before timers: a peer whose data has
    /// arrived is not silent.
    fn run_tasks(&mut self, now: Instant) {
        let Config {
            max_iteration_time: turn_time,
            max_accepts_per_iteration: turn_accepts,
            max_datagrams_per_iteration: turn_datagrams,
            ..
        } = self.config;
        let mut turn = IterationBudget::start(now, turn_time, WORK_KINDS);
        let mut share = |pieces, stride| turn.next_share(Instant::now(), pieces, stride);
        self.accept_connections(now, share(turn_accepts, 1));
        self.recv_datagrams(now, share(turn_datagrams, DATAGRAM_CLOCK_STRIDE));
        // One chunk of each readable connection, so that a client that sends without end waits like
        // the others.
        self.read_connections(now, share(self.tcp_connections.read_queue_len(), 1));
        self.dispatch_sends(now, share(MAX_ITEMS_PER_KIND, 1));
        self.apply_decisions(now, share(MAX_ITEMS_PER_KIND, 1));
        self.write_connections(now, share(MAX_ITEMS_PER_KIND, 1));
        self.handle_timeouts(now, share(MAX_ITEMS_PER_KIND, 1));
    }

    fn accept_connections(&mut self, now: Instant, mut budget: WorkLimiter) {
        while let Some(listening) = &mut self.listener
            && listening.is_ready(now)
            && budget.allow_work(Instant::now)
        {
            match listening.accept(now) {
                AcceptOutcome::Connection(tcp, remote) => self.on_tcp_accept(now, tcp, remote),
                AcceptOutcome::None => {}
                // Without file descriptors, pending connections are evicted.
                AcceptOutcome::Failed if self.hub.evict_one(now) => listening.retry_now(),
                AcceptOutcome::Failed => {}
            }
            self.drain_hub(now);
        }
    }

    fn on_tcp_accept(&mut self, now: Instant, tcp: TcpStream, remote: SocketAddr) {
        add(&self.shared.counters.tcp_accepted, 1);
        let local = tcp.local_addr().ok().map(|local| local.ip().to_canonical());
        self.on_local_ip(now, local);
        if let Some(id) = self.hub.accept_at(now, remote, local)
            && let Err(error) = self.register_tcp(id, tcp)
        {
            log::debug!("{remote} was gone before it was here: {error}");
            self.hub.handle_input(now, Input::End(id));
        }
    }

    fn register_tcp(&mut self, id: ConnectionId, mut tcp: TcpStream) -> io::Result<()> {
        // The system's timeout for a peer that takes nothing must not be shorter than the server's
        // own.
        configure_tcp(&tcp, self.config.pong_timeout.max(self.config.reliable_send_timeout))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut tcp, connection_token(id), interest)?;
        self.tcp_connections.insert(id, tcp);
        Ok(())
    }

    fn drop_connection(&mut self, id: ConnectionId) {
        if let Some(mut tcp) = self.tcp_connections.remove(id) {
            // Both can fail only because the connection is gone, which is fine.
            _ = self.poll.registry().deregister(&mut tcp);
            _ = tcp.shutdown(Shutdown::Write);
        }
    }

    fn recv_datagrams(&mut self, now: Instant, mut budget: WorkLimiter) {
        while budget.allow_work(Instant::now) {
            match self.udp_sockets.recv(now, &self.shared.counters) {
                Recv::WouldBlock => return,
                Recv::Ignored => {}
                Recv::Datagram(datagram) => {
                    let Datagram { source, destination, contents } = datagram;
                    self.hub.handle_input(now, Input::Datagram { source, destination, contents });
                    self.drain_hub(now);
                }
            }
        }
    }

    /// Reads from connections, unless the event queue is full.
    fn read_connections(&mut self, now: Instant, mut budget: WorkLimiter) {
        while self.tcp_connections.read_queue_len() > 0 && budget.allow_work(Instant::now) {
            if self.shared.events.is_full() {
                return self.hub.reset_idle_timers(now);
            }
            self.tcp_connections.read_next(now, &mut self.hub);
            self.drain_hub(now);
        }
    }

    /// Passes the application's messages and closes to the hub.
    fn dispatch_sends(&mut self, now: Instant, mut budget: WorkLimiter) {
        while self.shared.has_pending() && budget.allow_work(Instant::now) {
            self.shared.dispatch_sends(now, &mut self.hub);
            self.drain_hub(now);
        }
    }

    /// Applies decisions of the admission hook.
    fn apply_decisions(&mut self, now: Instant, mut budget: WorkLimiter) {
        while self.accept_pool.as_ref().is_some_and(AcceptPool::has_decisions)
            && budget.allow_work(Instant::now)
            && let Some((id, verdict)) =
                self.accept_pool.as_ref().and_then(AcceptPool::pop_decision)
        {
            self.hub.handle_input(now, Input::Decision(id, &verdict));
            self.drain_hub(now);
        }
    }

    fn write_connections(&mut self, now: Instant, mut budget: WorkLimiter) {
        while self.tcp_connections.has_queued_writes() && budget.allow_work(Instant::now) {
            self.tcp_connections.write_next(now, &mut self.hub);
            self.drain_hub(now);
        }
    }

    fn handle_timeouts(&mut self, now: Instant, mut budget: WorkLimiter) {
        while self.hub_timeout.is_some_and(|at| at <= now) && budget.allow_work(Instant::now) {
            self.hub.handle_input(now, Input::Timeout);
            self.drain_hub(now);
        }
    }

    fn submit_accept_request(&mut self, now: Instant, question: AcceptRequest) {
        let clerks =
            self.accept_pool.as_ref().expect("there are some where there is someone to ask");
        let id = question.connection;
        if let Err(none) = clerks.submit(question) {
            self.hub.handle_input(now, Input::Decision(id, &Err(none)));
        }
    }

    /// Starts the shutdown once no handle is left, and all messages are taken.
    fn check_shutdown(&mut self, now: Instant) {
        if self.shared.is_ready_to_stop() && matches!(self.state, LoopState::Running) {
            self.listener = None;
            self.hub.shutdown(now);
            self.state = LoopState::Closing(now + CLOSE_GRACE);
            self.drain_hub(now);
        }
    }

    fn drain_hub(&mut self, now: Instant) {
        loop {
            match self.hub.poll_output() {
                Output::Timeout(wake) => return self.hub_timeout = wake,
                Output::Transmit(transmit) => {
                    self.udp_sockets.send(&transmit, &self.shared.counters);
                }
                Output::Write(id) => self.tcp_connections.write(now, &mut self.hub, id),
                Output::Drop(id) => self.drop_connection(id),
                Output::ConnectFailed(refusal) => self.shared.on_connect_failure(refusal),
                Output::PlainHttp(_) => add(&self.shared.counters.plain_http, 1),
                Output::AcceptRequest(question) => self.submit_accept_request(now, question),
                Output::Closed { id, reason } => self.shared.on_closed(id, reason),
                Output::Open { connection, id, info } => {
                    let gauge = self.hub.path_monitor(id).unwrap_or_default();
                    let entry = Arc::new(PeerHandle::new(
                        &self.config,
                        &self.shared.send_pool,
                        info,
                        gauge,
                    ));
                    self.tcp_connections.on_open(connection, id, entry.clone());
                    self.shared.on_open(id, entry);
                }
                Output::Received { id, delivery, message } => {
                    let dropped = self.shared.events.push_message(id, delivery, message);
                    add(&self.shared.counters.events_dropped, dropped);
                }
            }
        }
    }

    fn update_counters(&mut self) {
        let dropped = self.hub.unreliable_dropped();
        self.shared.counters.unreliable_dropped.add(dropped - self.last_dropped);
        self.last_dropped = dropped;
        self.udp_sockets.count_overflow(&self.shared.counters);
    }
}

/// Time budget of one iteration. What one kind of work leaves of its share goes to the following
/// kinds, and unfinished work comes first in the next iteration.
#[derive(Debug)]
pub(super) struct IterationBudget {
    deadline: Instant,
    /// Kinds of work that are still to come.
    remaining_kinds: u32,
}

impl IterationBudget {
    /// Starts an iteration with this time budget and number of kinds of work; the last item started
    /// in time is completed.
    pub(super) fn start(now: Instant, time: Duration, remaining_kinds: u32) -> IterationBudget {
        IterationBudget { deadline: now + time, remaining_kinds }
    }

    /// Returns the limit of the next kind of work: at most `pieces` items, and at least one, in its
    /// share of the remaining time. The clock is read before each `stride`th item.
    pub(super) fn next_share(&mut self, now: Instant, pieces: u32, stride: u32) -> WorkLimiter {
        let left = self.deadline.saturating_duration_since(now);
        let ends = now + left / self.remaining_kinds.max(1);
        self.remaining_kinds = self.remaining_kinds.saturating_sub(1);
        WorkLimiter { max_items: pieces.max(1), done: 0, clock_stride: stride, deadline: ends }
    }
}

/// Work limit of one kind of work in an iteration.
#[derive(Debug)]
pub(super) struct WorkLimiter {
    max_items: u32,
    done: u32,
    clock_stride: u32,
    deadline: Instant,
}

impl WorkLimiter {
    /// Returns whether one more item may be done. The first always may, so that all work advances
    /// however late it is.
    pub(super) fn allow_work(&mut self, clock: impl FnOnce() -> Instant) -> bool {
        let looks = self.done > 0 && self.done.is_multiple_of(self.clock_stride);
        if looks && clock() >= self.deadline {
            self.max_items = self.done;
        }
        let admits = self.done < self.max_items;
        self.done += u32::from(admits);
        admits
    }
}

/// Maximum consecutive poll failures, and the pause after each: a second in all.
const MAX_POLL_FAILURES: u32 = 100;
const POLL_RETRY_DELAY: Duration = Duration::from_millis(10);

/// Retry policy for errors of `Poll::poll`: neither spins nor gives up on the first.
#[derive(Debug, Default)]
pub(super) struct PollBackoff {
    failures: u32,
}

impl PollBackoff {
    /// Returns the pause after this result; the error once it has occurred too often.
    pub(super) fn on_result(&mut self, result: io::Result<()>) -> io::Result<Duration> {
        match result {
            Ok(()) => self.failures = 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if self.failures == MAX_POLL_FAILURES => return Err(error),
            Err(error) => {
                if self.failures == 0 {
                    log::error!("waiting for the network failed: {error}");
                }
                self.failures += 1;
                return Ok(POLL_RETRY_DELAY);
            }
        }
        Ok(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The number of items done where each takes this long.
    fn done(mut budget: WorkLimiter, now: &mut Instant, each: Duration) -> u32 {
        let mut done = 0;
        while budget.allow_work(|| *now) {
            done += 1;
            *now += each;
        }
        done
    }

    #[test]
    fn work_ends_with_its_pieces_or_its_time() {
        let mut now = Instant::now();
        let mut share = |pieces, stride, each| {
            let mut turn = IterationBudget::start(now, 4 * MS, 1);
            done(turn.next_share(now, pieces, stride), &mut now, each)
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
        let mut turn = IterationBudget::start(now, 4 * MS, 4);
        let mut kind = |most: u32| {
            let budget = turn.next_share(now, most, 1);
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
        let mut turn = IterationBudget::start(now, 4 * MS, 3);
        assert_eq!(done(turn.next_share(now, 9, 1), &mut now, 20 * MS), 1);
        assert_eq!(done(turn.next_share(now, 9, 1), &mut now, MS), 1);
        assert_eq!(done(turn.next_share(now, 9, 1), &mut now, MS), 1);
    }
}

#[cfg(test)]
mod patience_tests {
    use super::*;

    #[test]
    fn t70_a_wait_that_fails_for_ever_neither_spins_nor_goes_on_for_ever() {
        let mut patience = PollBackoff::default();
        let broken = || Err(io::ErrorKind::InvalidInput.into());
        let pauses: Vec<_> =
            (0..MAX_POLL_FAILURES).map(|_| patience.on_result(broken()).unwrap()).collect();
        assert!(pauses.iter().all(|pause| *pause == POLL_RETRY_DELAY));
        assert!(patience.on_result(broken()).is_err());
    }

    #[test]
    fn t70_an_interrupted_wait_is_a_short_one_and_one_that_works_ends_the_count() {
        let mut patience = PollBackoff::default();
        for _ in 0..3 * MAX_POLL_FAILURES {
            let interrupted = Err(io::ErrorKind::Interrupted.into());
            assert_eq!(patience.on_result(interrupted).unwrap(), Duration::ZERO);
        }
        for _ in 0..3 {
            for _ in 0..MAX_POLL_FAILURES {
                assert_eq!(
                    patience.on_result(Err(io::ErrorKind::Other.into())).unwrap(),
                    POLL_RETRY_DELAY
                );
            }
            assert_eq!(patience.on_result(Ok(())).unwrap(), Duration::ZERO);
        }
    }
}
