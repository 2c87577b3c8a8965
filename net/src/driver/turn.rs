//! The loop: wait, take what came, do what is to be done.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use net_rtc::Dropped;

use super::clerks::Clerks;
use super::sockets::{Sockets, Udp};
use super::streams::Streams;
use crate::hub::{Hub, Input, Output, Question, Transmit};
use crate::mailbox::{Contents, Mailbox};
use crate::shared::{Entry, Shared};
use crate::stats::add;
use crate::{CloseReason, Config, Delivery, PeerId, Refusal};

pub(super) const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_UDP: usize = 2;
/// Tokens of UDP sockets lie below; there are at most a handful.
pub(super) const FIRST_STREAM: usize = 64;

/// Most connections accepted, chunks read and datagrams taken in one turn, so that no kind of
/// work keeps the others waiting.
const ACCEPTS: usize = 256;
const CHUNKS: usize = 64;
const DATAGRAMS: usize = 1_024;
/// Events that mio hands over at a time.
const EVENTS: usize = 1_024;
/// No datagram that is meant for us is longer.
const DATAGRAM: usize = 2_048;
/// When to try again to accept, after the system refused, for example for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long the last goodbyes may take.
const GOODBYE: Duration = Duration::from_millis(1_500);

pub(super) struct Driver {
    poll: Poll,
    sockets: Option<Listening>,
    udp: Vec<(Udp, Ready)>,
    streams: Streams,
    hub: Hub,
    shared: Arc<Shared>,
    config: Config,
    /// Where the application wants to be asked.
    clerks: Option<Clerks>,
    life: Life,
    dropped_before: Dropped,
}

/// The listener, until the server stops.
struct Listening {
    listener: mio::net::TcpListener,
    ready: Ready,
    again: Option<Instant>,
}

/// What mio said last of a socket, for it says so only once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    Yes,
    No,
}

/// ```text
///   Running --no handle left--> Ending(until) --all gone, or time is up--> the thread ends
/// ```
#[derive(Clone, Copy)]
enum Life {
    Running,
    Ending(Instant),
}

impl Driver {
    pub(super) fn new(
        poll: Poll,
        sockets: Sockets,
        config: Config,
        shared: Arc<Shared>,
        clerks: Option<Clerks>,
    ) -> io::Result<Driver> {
        let local = sockets.udp_addresses();
        let Sockets { mut listener, udp, announced, .. } = sockets;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut registered = Vec::new();
        for (index, mut udp) in udp.into_iter().enumerate() {
            registry.register(&mut udp.socket, Token(FIRST_UDP + index), Interest::READABLE)?;
            registered.push((udp, Ready::Yes));
        }
        Ok(Driver {
            hub: Hub::new(config.clone(), local, announced, None),
            sockets: Some(Listening { listener, ready: Ready::Yes, again: None }),
            udp: registered,
            streams: Streams::new(),
            life: Life::Running,
            dropped_before: Dropped::default(),
            poll,
            shared,
            config,
            clerks,
        })
    }

    /// Runs until the last handle is gone and the goodbyes are said.
    pub(super) fn run(mut self) {
        // Whatever happens, a waiting application must hear of the end.
        let end = End(self.shared.clone());
        let mut events = Events::with_capacity(EVENTS);
        while self.lives(Instant::now()) {
            self.wait(&mut events);
            self.turn(&events, Instant::now());
        }
        log::info!("the server has stopped");
        // The port is free before the queue says that all is over.
        drop(self);
        drop(end);
    }

    fn lives(&self, now: Instant) -> bool {
        match self.life {
            Life::Running => true,
            Life::Ending(until) => !self.hub.is_empty() && now < until,
        }
    }

    fn wait(&mut self, events: &mut Events) {
        let timeout = self.next_wake().map(|at| at.saturating_duration_since(Instant::now()));
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            log::error!("waiting for the network failed: {error}");
        }
    }

    /// When to be awake at the latest; in the past if there is work left.
    fn next_wake(&mut self) -> Option<Instant> {
        let work_left = self.udp.iter().any(|(_, ready)| *ready == Ready::Yes)
            || self.streams.is_ready() && !self.shared.events.is_full()
            || self.sockets.as_ref().is_some_and(|l| l.ready == Ready::Yes && l.again.is_none());
        if work_left {
            return Some(Instant::now());
        }
        let Output::Timeout(hub) = self.hub.poll_output() else {
            unreachable!("each turn drains the hub")
        };
        let again = self.sockets.as_ref().and_then(|listening| listening.again);
        let ending = match self.life {
            Life::Running => None,
            Life::Ending(until) => Some(until),
        };
        [hub, again, ending].into_iter().flatten().min()
    }

    fn turn(&mut self, events: &Events, now: Instant) {
        self.shared.awake();
        for event in events {
            match event.token() {
                WAKER => {}
                LISTENER => self.sockets.iter_mut().for_each(|l| l.ready = Ready::Yes),
                Token(token) if token < FIRST_STREAM => self.udp[token - FIRST_UDP].1 = Ready::Yes,
                _ => self.streams.note(event, now, &mut self.hub),
            }
        }
        self.accept(now);
        self.receive(now);
        self.read(now);
        self.take_posts(now);
        self.take_verdicts(now);
        self.stop(now);
        self.hub.handle_input(now, Input::Timeout);
        self.drain(now);
        self.count_dropped();
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(listening) = &mut self.sockets else { return };
            if listening.ready == Ready::No || listening.again.is_some_and(|at| now < at) {
                return;
            }
            listening.again = None;
            match listening.listener.accept() {
                Ok((tcp, remote)) => {
                    add(&self.shared.counters.accepted, 1);
                    let remote = (remote.ip().to_canonical(), remote.port()).into();
                    if let Some(id) = self.hub.accept(now, remote)
                        && let Err(error) = self.streams.insert(self.poll.registry(), id, tcp)
                    {
                        log::debug!("{remote} was gone before it was here: {error}");
                        self.hub.handle_input(now, Input::End(id));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => listening.ready = Ready::No,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => {
                        log::warn!("no connection can be accepted for now: {error}");
                        listening.again = Some(now + ACCEPT_AGAIN);
                    }
                },
            }
            self.drain(now);
        }
    }

    fn receive(&mut self, now: Instant) {
        for index in 0..self.udp.len() {
            for _ in 0..DATAGRAMS {
                if self.udp[index].1 == Ready::No {
                    break;
                }
                self.receive_one(now, index);
            }
        }
    }

    fn receive_one(&mut self, now: Instant, index: usize) {
        let mut buffer = [0; DATAGRAM];
        let (udp, ready) = &mut self.udp[index];
        match udp.socket.recv_from(&mut buffer) {
            Ok((length, source)) => {
                add(&self.shared.counters.datagrams_received, 1);
                if udp.admits.admits(source) {
                    let (destination, contents) = (udp.local, &buffer[..length]);
                    self.hub.handle_input(now, Input::Datagram { source, destination, contents });
                    self.drain(now);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *ready = Ready::No,
            // An earlier datagram could not be delivered; says nothing about this socket.
            Err(error) => log::debug!("receiving: {error}"),
        }
    }

    /// Reads from connections, unless too much waits for the application already.
    fn read(&mut self, now: Instant) {
        for _ in 0..CHUNKS {
            if self.shared.events.is_full() || !self.streams.read_next(now, &mut self.hub) {
                return;
            }
            self.drain(now);
        }
    }

    /// Does what the application's threads have asked for.
    fn take_posts(&mut self, now: Instant) {
        while let Some(id) = self.shared.next_post() {
            if let Some(entry) = self.shared.find(id) {
                self.take_post(now, id, &entry.mailbox);
                self.drain(now);
            }
        }
    }

    fn take_post(&mut self, now: Instant, id: PeerId, mailbox: &Mailbox) {
        let hub = &mut self.hub;
        mailbox.empty(|contents: &mut Contents| {
            for message in contents.reliable.drain(..) {
                hub.send(now, id, Delivery::Reliable, message);
            }
            while let Some((message, options)) = contents.fresh.pop() {
                hub.send_unreliable(now, id, message, options);
            }
            if let Some(reason) = contents.close.take() {
                hub.close(now, id, reason);
            }
            hub.unwritten(id)
        });
    }

    /// Lets in, or not, whom the application was asked about.
    fn take_verdicts(&mut self, now: Instant) {
        while let Some((id, verdict)) = self.clerks.as_ref().and_then(Clerks::next) {
            self.hub.handle_input(now, Input::Verdict(id, &verdict));
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
            self.sockets = None;
            self.hub.shutdown(now);
            self.life = Life::Ending(now + GOODBYE);
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.hub.poll_output() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => self.transmit(&transmit),
                Output::Write(id) => self.streams.write(now, &mut self.hub, id),
                Output::Drop(id) => self.streams.remove(self.poll.registry(), id),
                Output::Refused(refusal) => self.refused(refusal),
                Output::Ask(question) => self.ask(now, question),
                Output::Closed { id, reason } => self.closed(id, reason),
                Output::Open { connection, id, info } => {
                    let gauge = self.hub.gauge(id).unwrap_or_default();
                    let entry = Arc::new(Entry::new(&self.config, info, gauge));
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

    fn refused(&self, refusal: Refusal) {
        self.shared.refused(refusal);
    }

    fn closed(&self, id: PeerId, reason: CloseReason) {
        self.shared.closed(id, reason);
    }

    /// A datagram that the system does not take is lost, as it may be on the way.
    fn transmit(&self, transmit: &Transmit) {
        let counters = &self.shared.counters;
        let Some((udp, _)) = self.udp.iter().find(|(udp, _)| udp.local == transmit.source) else {
            return;
        };
        match udp.socket.send_to(&transmit.contents, transmit.destination) {
            Ok(_) => add(&counters.datagrams_sent, 1),
            Err(error) => {
                log::trace!("sending to {}: {error}", transmit.destination);
                add(&counters.datagrams_unsent, 1);
            }
        }
    }

    fn count_dropped(&mut self) {
        let dropped = self.hub.unreliable_dropped();
        self.shared.counters.unreliable_dropped.add(dropped - self.dropped_before);
        self.dropped_before = dropped;
    }
}

/// Tells the application that nothing more will come, even if the loop panicked.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.stopped();
    }
}
