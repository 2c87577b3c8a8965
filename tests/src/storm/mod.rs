//! Whole servers in bad weather: a seed decides who comes, what is sent, what breaks and who
//! attacks, and after each step every [`Invariant`] is checked.
//!
//! Decisions are drawn from the seed, the client and the number of what is decided, never from
//! bytes, for the bytes of handshakes are never the same. So a seed does the same again.

mod act;
mod check;
mod client;
mod compare;
mod flow;
mod letter;
mod lives;
mod plan;
mod raids;
mod tally;
mod violation;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use net::PeerId;

use self::act::Act;
use self::client::Client;
pub use self::compare::compare;
use self::lives::Lives;
pub use self::plan::{Attack, End, Life, Mishap, Plan, Scale};
pub use self::tally::{Price, Tally};
pub use self::violation::{Invariant, Violation};
use crate::memory;
use crate::world::World;

/// How to watch a storm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Says everything that happens on stdout.
    pub trace: bool,
    /// Processor time that one call of the server may take, with its drain; where nobody asks
    /// for it, other work on the machine does not count.
    pub longest_call: Option<Duration>,
}

/// How a storm went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first invariant that broke, if one did; then the storm ended there.
    pub violation: Option<Violation>,
    /// What was counted.
    pub tally: Tally,
    /// What it cost.
    pub price: Price,
    /// Everything that anybody saw, and when.
    pub log: Vec<(Duration, Entry)>,
    /// Whether attackers could change which datagrams of the honest are lost: by speaking in their
    /// names, or by taking room in the sockets of a server that stood still.
    pub meddled: bool,
    /// How long honest messages took.
    pub latencies: BTreeMap<Message, Duration>,
}

/// Names a message of the honest: the client, whether it went up, whether it was reliable, and
/// its number.
pub type Message = (usize, bool, bool, u32);

/// What somebody saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A client, or an attacker (`None`), became this peer.
    Open(Option<usize>, PeerId),
    /// The server received this of a client: by the path, the number of the message.
    Up(usize, net::Delivery, Option<u32>),
    /// The server received something of an attacker.
    Strange(PeerId),
    /// A client received this.
    Down(usize, net::Delivery, Option<u32>),
    /// A peer closed, and why.
    Closed(PeerId, String),
    /// A client, or an attacker, was refused, and why.
    Refused(Option<usize>, String),
    /// A client heard that both its paths are up.
    Opened(usize),
    /// A client heard that it is over.
    Ended(usize, u16),
    /// Something befell somebody.
    Fault(&'static str, Option<usize>),
}

/// Runs the storm of a seed.
pub fn run(seed: u64, scale: Scale, options: Options) -> Outcome {
    run_plan(Plan::draw(seed, scale), options)
}

/// Runs this storm.
pub fn run_plan(plan: Plan, options: Options) -> Outcome {
    let mut storm = Storm::new(plan, options);
    let ran = catch_unwind(AssertUnwindSafe(|| storm.run()));
    let violation = ran.unwrap_or_else(|panic| Err(storm.panicked(&*panic))).err();
    storm.conclude(violation)
}

/// A storm that rages.
#[derive(Debug)]
struct Storm {
    plan: Plan,
    options: Options,
    world: World,
    began: Instant,
    clients: Vec<Client>,
    lives: Lives,
    agenda: BTreeMap<(Instant, u64), Act>,
    planned: u64,
    /// Attackers by their number in the plan, those that are there.
    raiders: BTreeMap<usize, usize>,
    /// Whether one that overhears the honest has come.
    spies: bool,
    /// What the memory held before.
    memory: i64,
    /// The last time that the server stood still.
    paused: Option<(Instant, Instant)>,
    refused: u64,
    /// Connections that asked for no websocket.
    plain: u64,
    steps: u64,
    tally: Tally,
    log: Vec<(Duration, Entry)>,
    latencies: BTreeMap<Message, Duration>,
}

impl Storm {
    fn new(plan: Plan, options: Options) -> Storm {
        let memory = memory::held().unwrap_or(0);
        let mut world = World::new(plan.seed, plan.config());
        world.measure();
        world.thinks = plan.thinks.unwrap_or_default();
        let lives = plan.clients.iter().cloned().enumerate();
        Storm {
            clients: lives.map(|(number, life)| Client::new(plan.seed, number, life)).collect(),
            began: world.now,
            plan,
            options,
            world,
            lives: Lives::default(),
            agenda: BTreeMap::new(),
            planned: 0,
            raiders: BTreeMap::new(),
            spies: false,
            memory,
            paused: None,
            refused: 0,
            plain: 0,
            steps: 0,
            tally: Tally { seeds: 1, ..Tally::default() },
            log: Vec::new(),
            latencies: BTreeMap::new(),
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        self.plan_all();
        while let Some(((at, _), act)) = self.agenda.pop_first() {
            self.until(at)?;
            self.act(act);
            self.check()?;
        }
        self.until(self.world.now + act::AFTERMATH)?;
        self.check_end()
    }

    fn until(&mut self, at: Instant) -> Result<(), Violation> {
        while self.world.turn(at) {
            self.check()?;
        }
        Ok(())
    }

    fn note(&mut self, entry: Entry) {
        let at = self.world.now - self.began;
        if self.options.trace {
            println!("{:12.6} {entry:?}", at.as_secs_f64());
        }
        self.log.push((at, entry));
    }

    fn conclude(mut self, violation: Option<Violation>) -> Outcome {
        let cost = self.world.cost();
        self.tally.accepted = self.world.accepted();
        self.tally.opened = self.lives.opened();
        let price = Price {
            longest: (cost.longest.0, self.plan.seed),
            calls: cost.calls,
            steps: self.steps,
            most_bytes: cost.most_bytes - self.memory,
        };
        let meddled = self.spies || self.paused.is_some();
        let Storm { tally, log, latencies, .. } = self;
        Outcome { violation, tally, price, log, meddled, latencies }
    }
}
