//! What every attacker works with, and the machine around its plan.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Attacker, Input, Means, Output, Tcp};

/// What one kind of attacker does, again and again.
pub(super) trait Plan: Debug {
    /// Does the next thing: at the beginning, and whenever [`Plan::pause`] is over.
    fn act(&mut self, now: Instant, kit: &mut Kit);

    /// From one thing to the next.
    fn pause(&self) -> Duration;

    /// Hears what happened; also of time that has passed.
    fn hear(&mut self, _now: Instant, _input: &Input<'_>, _kit: &mut Kit) {}

    /// When it wants to hear of time, besides.
    fn wake(&self) -> Option<Instant> {
        None
    }

    /// Whether it overhears the honest.
    fn listens(&self) -> bool {
        false
    }
}

/// What a plan works with.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) random: StdRng,
    pub(super) means: Means,
    connections: u32,
    outputs: VecDeque<Output>,
}

impl Kit {
    /// Connects from the next of the attacker's addresses.
    pub(super) fn connect(&mut self) -> Tcp {
        let from = self.means.tcp(self.connections);
        self.connect_from(from)
    }

    pub(super) fn connect_from(&mut self, from: SocketAddr) -> Tcp {
        let tcp = Tcp(self.connections);
        self.connections += 1;
        self.outputs.push_back(Output::Connect(tcp, from));
        tcp
    }

    pub(super) fn write(&mut self, tcp: Tcp, bytes: impl Into<Vec<u8>>) {
        self.outputs.push_back(Output::Write(tcp, bytes.into()));
    }

    pub(super) fn read(&mut self, tcp: Tcp, reads: bool) {
        self.outputs.push_back(Output::Read(tcp, reads));
    }

    pub(super) fn end(&mut self, tcp: Tcp) {
        self.outputs.push_back(Output::End(tcp));
    }

    pub(super) fn reset(&mut self, tcp: Tcp) {
        self.outputs.push_back(Output::Reset(tcp));
    }

    pub(super) fn send(&mut self, source: SocketAddr, contents: impl Into<Vec<u8>>) {
        self.outputs.push_back(Output::Datagram { source, contents: contents.into() });
    }
}

/// A plan at work.
#[derive(Debug)]
pub(super) struct Raid<P> {
    name: &'static str,
    plan: P,
    kit: Kit,
    next: Option<Instant>,
}

impl<P: Plan + 'static> Raid<P> {
    pub(super) fn start(name: &'static str, seed: u64, means: Means, plan: P) -> Box<dyn Attacker> {
        let random = StdRng::seed_from_u64(seed);
        let kit = Kit { random, means, connections: 0, outputs: VecDeque::new() };
        Box::new(Raid { name, plan, kit, next: None })
    }

    fn act(&mut self, now: Instant) {
        self.plan.act(now, &mut self.kit);
        self.next = Some(now + self.plan.pause());
    }
}

impl<P: Plan> Attacker for Raid<P>
where
    P: 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Begin { .. } => self.act(now),
            Input::Timeout if self.next.is_some_and(|next| next <= now) => self.act(now),
            _ => {}
        }
        self.plan.hear(now, &input, &mut self.kit);
    }

    fn poll_output(&mut self) -> Output {
        let next = self.kit.outputs.pop_front();
        let wake = || self.next.into_iter().chain(self.plan.wake()).min();
        next.unwrap_or_else(|| Output::Timeout(wake()))
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        self.kit.means.has(address)
    }

    fn listens(&self) -> bool {
        self.plan.listens()
    }
}
