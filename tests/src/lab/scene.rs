//! Several clients at once, through one bottleneck that they share with other traffic.

use std::time::{Duration, Instant};

use net::{Delivery, PeerId, Repair};

use super::{Flight, Load, Outcome, Rule, Sample, warnings};
use crate::agent::Manners;
use crate::bottleneck::Bottleneck;
use crate::cross::Cross;
use crate::lab::outcome::FlowSample;
use crate::lab::run::connect;
use crate::link::{Conditions, Direction, Link, Loss, Rate};
use crate::plane::Plane;
use crate::world::{Heard, Seen, World};

/// How long to wait for messages after the last one is sent.
const PATIENCE: Duration = Duration::from_secs(3);
/// Jitter that harms nobody.
const BREATH: Duration = Duration::from_millis(1);
/// How often a [`Sample`] is taken.
pub const TICK: Duration = Duration::from_millis(100);

/// Everything that a play depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// A client each.
    pub flows: Vec<Flow>,
    /// Which way the messages go, and which way the bottleneck is.
    pub direction: Direction,
    /// What the network does besides, both ways; each flow has its own delay.
    pub conditions: Conditions,
    /// What the bottleneck carries from then on, the first from the beginning on; none if there
    /// is none.
    pub limits: Vec<(Duration, Rate)>,
    /// What is lost by chance on the messages' way, each from then on, in place of what the
    /// conditions say.
    pub losses: Vec<(Duration, Loss)>,
    /// What else goes through it.
    pub cross: Vec<Cross>,
    /// The server's.
    pub rule: Rule,
    /// The server's.
    pub repair: Repair,
    /// Whether the clients' SCTP is the stock one.
    pub client: Plane,
    /// How the clients behave.
    pub manners: Manners,
    /// How long messages are sent.
    pub time: Duration,
    /// What chance follows from.
    pub seed: u64,
}

/// The messages of one client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// What is sent.
    pub load: Load,
    /// One way, without any queue.
    pub delay: Duration,
    /// When it begins.
    pub from: Duration,
}

impl Scene {
    /// A minute of one flow to an unmodified browser over an empty path of 20 ms, by the
    /// default rule.
    pub fn new(load: Load) -> Scene {
        let conditions = Conditions::default();
        Scene {
            flows: vec![Flow { load, delay: conditions.delay, from: Duration::ZERO }],
            direction: Direction::Down,
            conditions,
            limits: Vec::new(),
            losses: Vec::new(),
            cross: Vec::new(),
            rule: Rule::Adaptive,
            repair: Repair::default(),
            client: Plane::Stock,
            manners: Manners::Good,
            time: Duration::from_secs(60),
            seed: 1,
        }
    }

    /// The same through a bottleneck: a queue of that time in front of that many bits a second.
    pub fn through(self, bits_per_second: u64, queue: Duration) -> Scene {
        Scene { limits: vec![(Duration::ZERO, rate(bits_per_second, queue))], ..self }
    }

    /// Plays it; `watch` sees every sample.
    ///
    /// # Panics
    /// If a client cannot connect.
    pub fn play(self, watch: &mut dyn FnMut(&Sample)) -> Outcome {
        let mut play = Play::new(self);
        play.run(watch);
        play.outcome()
    }

    /// The same with a breath of jitter, so that each seed is another play: without any chance
    /// two flows may keep step for ever.
    pub fn alive(self) -> Scene {
        let conditions = Conditions { jitter: BREATH, ..self.conditions };
        Scene { conditions, ..self }
    }
}

/// A queue of that time in front of that many bits a second.
pub fn rate(bits_per_second: u64, queue: Duration) -> Rate {
    let bytes_per_second = bits_per_second / 8;
    let queue_bytes = (bytes_per_second as f64 * queue.as_secs_f64()) as usize;
    Rate { bytes_per_second, queue_bytes }
}

/// A scene at work.
struct Play {
    scene: Scene,
    world: World,
    began: Instant,
    actors: Vec<Actor>,
    samples: Vec<Sample>,
    /// The next limit and the next loss to be set.
    limit: usize,
    loss: usize,
    duplicates: usize,
    ended: Option<String>,
}

/// A flow at work.
struct Actor {
    line: usize,
    peer: PeerId,
    load: Load,
    flights: Vec<Flight>,
    next: usize,
    delivered: usize,
}

impl Play {
    fn new(scene: Scene) -> Play {
        warnings::listen();
        warnings::take();
        let mut world = World::new(scene.seed, scene.rule.server(scene.repair));
        let lines: Vec<_> = scene.flows.iter().map(|flow| join(&mut world, &scene, flow)).collect();
        for (flow, (line, _)) in scene.flows.iter().zip(&lines) {
            for direction in [Direction::Up, Direction::Down] {
                // New, so that chance does not depend on how many datagrams DTLS needed, which
                // nothing seeds.
                let mut link = Link::new(scene.seed, *line as u64, direction);
                link.conditions = Conditions { delay: flow.delay, ..scene.conditions };
                *world.link(*line, direction) = link;
            }
        }
        let began = world.now;
        let actors = scene.flows.iter().zip(lines);
        let actors = actors.map(|(flow, to)| Actor::new(flow, scene.time, began, to)).collect();
        let (samples, limit, loss, duplicates) = (Vec::new(), 0, 0, 0);
        Play { scene, world, began, actors, samples, limit, loss, duplicates, ended: None }
    }

    fn run(&mut self, watch: &mut dyn FnMut(&Sample)) {
        let end = self.began + self.scene.time + PATIENCE;
        loop {
            let sample = self.began + TICK * self.samples.len() as u32;
            let limit = self.scene.limits.get(self.limit).map(|(at, _)| self.began + *at);
            let loss = self.scene.losses.get(self.loss).map(|(at, _)| self.began + *at);
            let flight = self.actors.iter().filter_map(Actor::due).min();
            let next = flight.into_iter().chain(limit).chain(loss).fold(sample, Instant::min);
            if next > end {
                return;
            }
            self.wait(next);
            if limit.is_some_and(|at| at <= next) {
                self.set_limit();
            }
            if loss.is_some_and(|at| at <= next) {
                self.set_loss();
            }
            if sample <= next {
                self.sample();
                watch(&self.samples[self.samples.len() - 1]);
            }
            self.send();
        }
    }

    fn wait(&mut self, until: Instant) {
        while self.world.turn(until) {
            self.collect();
        }
    }

    fn set_limit(&mut self) {
        let (now, direction, seed) = (self.world.now, self.scene.direction, self.scene.seed);
        let (_, rate) = self.scene.limits[self.limit];
        self.limit += 1;
        match self.world.shared(direction) {
            Some(bottleneck) => bottleneck.set_rate(now, rate),
            None => {
                let mut bottleneck = Bottleneck::new(rate);
                for (number, cross) in (1..).zip(&self.scene.cross) {
                    bottleneck.add(now, *cross, seed.wrapping_mul(1_000).wrapping_add(number));
                }
                self.world.share(direction, Some(bottleneck));
            }
        }
    }

    fn set_loss(&mut self) {
        let (_, loss) = self.scene.losses[self.loss];
        self.loss += 1;
        for actor in &self.actors {
            self.world.link(actor.line, self.scene.direction).conditions.loss = loss;
        }
    }

    fn send(&mut self) {
        let now = self.world.now;
        for index in 0..self.actors.len() {
            while self.actors[index].due().is_some_and(|at| at <= now) {
                self.send_by(index);
            }
        }
        self.collect();
    }

    fn send_by(&mut self, index: usize) {
        let actor = &mut self.actors[index];
        let message = actor.load.message(actor.next);
        actor.next += 1;
        let (line, peer) = (actor.line, actor.peer);
        match self.scene.direction {
            Direction::Up => {
                self.world.act(line, |agent, now| agent.send(now, Delivery::Unreliable, message));
            }
            Direction::Down => {
                self.world.serve(|hub, now| hub.send(now, peer, Delivery::Unreliable, message));
            }
        }
    }

    fn collect(&mut self) {
        for seen in self.world.take_seen() {
            match seen {
                Seen::Received(peer, Delivery::Unreliable, message) => {
                    let actor = self.actors.iter().position(|actor| actor.peer == peer);
                    self.arrive(actor.expect("a client of ours"), &message);
                }
                Seen::Closed(_, reason) => self.ended = Some(format!("closed: {reason}")),
                _ => {}
            }
        }
        for index in 0..self.actors.len() {
            for heard in self.world.take_heard(self.actors[index].line) {
                if let Heard::Received(Delivery::Unreliable, message) = heard {
                    self.arrive(index, &message);
                }
            }
        }
    }

    fn arrive(&mut self, index: usize, message: &[u8]) {
        let (now, actor) = (self.world.now, &mut self.actors[index]);
        let number = Load::number(message).expect("nobody else sends");
        let flight = actor.flights.get_mut(number).expect("nobody else numbers");
        match flight.arrived {
            Some(_) => self.duplicates += 1,
            None => {
                flight.arrived = Some(now);
                actor.delivered += 1;
            }
        }
    }

    fn sample(&mut self) {
        let (now, direction) = (self.world.now, self.scene.direction);
        let world = &mut self.world;
        let flows = self.actors.iter().map(|actor| {
            let link = world.link(actor.line, direction);
            FlowSample {
                messages: actor.next,
                delivered: actor.delivered,
                bytes: link.traffic().bytes,
                lost: link.dropped().len(),
            }
        });
        let flows = flows.collect();
        let unsent = world.serve(|hub, _| hub.unreliable_dropped().total());
        let mut sample = Sample { at: now - self.began, flows, unsent, ..Sample::default() };
        if let Some(shared) = world.shared(direction) {
            sample.wait = shared.wait(now);
            sample.left = shared.left(now);
            sample.downloaded = shared.sources(now).iter().map(|source| source.downloaded()).sum();
        }
        self.samples.push(sample);
    }

    fn outcome(self) -> Outcome {
        Outcome {
            scene: self.scene,
            flights: self.actors.into_iter().map(|actor| actor.flights).collect(),
            samples: self.samples,
            duplicates: self.duplicates,
            ended: self.ended,
            warnings: warnings::take(),
        }
    }
}

impl Actor {
    fn new(flow: &Flow, time: Duration, began: Instant, (line, peer): (usize, PeerId)) -> Actor {
        let first = began + flow.from;
        let count = flow.load.messages(time.saturating_sub(flow.from));
        let flight = |number| Flight { sent: first + flow.load.time_of(number), arrived: None };
        let flights = (0..count).map(flight).collect();
        Actor { line, peer, load: flow.load, flights, next: 0, delivered: 0 }
    }

    fn due(&self) -> Option<Instant> {
        self.flights.get(self.next).map(|flight| flight.sent)
    }
}

/// Connects a client over a network that only delays.
fn join(world: &mut World, scene: &Scene, flow: &Flow) -> (usize, PeerId) {
    world.shape(Conditions { delay: flow.delay, ..Conditions::default() });
    let line = world.join_as(scene.manners, scene.client);
    let peer = connect(world, line);
    world.take_seen();
    (line, peer)
}
