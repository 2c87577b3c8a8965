//! Quiet and attacks by turns, and what the honest notice.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Assault, Crowd, Cycles, Habits, Host, Latency, Report, Slope};
use crate::numbers::tell;

/// Time for the honest to come, and for the allocator to settle, before anything is measured.
const WARM_UP: Duration = Duration::from_secs(5);
/// For the crowd to be complete.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever vanished is given up by then, and all goodbyes are over.
const SETTLED: Duration = Duration::from_secs(40);
/// Between two lines about the server.
const LINE: Duration = Duration::from_secs(60);
/// Clients that may come and go at a time, so that Ctrl-C is heard.
const CYCLES: usize = 1_000;

/// What may be left of everybody, beyond what was there after the warm-up.
const LEFT_KIB: i64 = 5 * 1_024;
/// By how much memory may grow in an hour, in a run of half an hour and more.
const SLOPE_KIB: f64 = 4.0 * 1_024.0;
const LONG: Duration = Duration::from_secs(30 * 60);
/// The share of the honest that must get in at the first try: whoever hears them and speaks in
/// their name can spoil a handshake, and they have to come again.
const LET_IN: f64 = 0.95;

/// Attacks after each of which there is a quiet time.
const ATTACKS: usize = 4;
/// How often somebody who was noticed has another turn.
const RETAKES: usize = 3;

/// The longest turn of the server's loop, in time on a processor.
const TURN: Duration = Duration::from_millis(10);

/// Those whom a server keeps most for. The allocator does not give everything back of what it
/// once had: what is left of others is measured from there.
const GREEDY: [&str; 2] = ["half open", "crowd"];

const QUIET: &str = "quiet";

/// Whether to go on.
type Asked<'a> = &'a dyn Fn() -> bool;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long, about: each enemy has its turn, however long that takes.
    pub time: Duration,
    /// How long each attack, and each quiet time between some of them.
    pub phase: Duration,
    /// The honest.
    pub habits: Habits,
    /// Who attacks, by name, in turn.
    pub enemies: Vec<&'static str>,
    /// Connects and disconnects at the end, half of them mid-handshake.
    pub cycles: usize,
}

/// A plan at work.
pub struct Campaign<'a> {
    plan: Plan,
    program: &'a Path,
    goes_on: Asked<'a>,
    host: Host,
    crowd: Crowd,
    began: Instant,
    told: Instant,
    idle: Report,
    resident: Slope,
    longest_turn: (Duration, &'static str),
    quiet: Latency,
    under: BTreeMap<&'static str, Latency>,
    misses: Vec<String>,
}

impl Campaign<'_> {
    /// Starts the server and lets everybody come and go once. `program` is `soak` itself; what
    /// is done ends early once `goes_on` says no.
    ///
    /// # Errors
    /// The server cannot be started, or ended.
    pub fn new<'a>(program: &'a Path, plan: Plan, goes_on: Asked<'a>) -> io::Result<Campaign<'a>> {
        let mut host = Host::start(program, &[])?;
        warm_up(&host, program, &plan, goes_on)?;
        let idle = host.settled(SETTLED)?;
        println!("    0 s  server, warm and empty: {}", idle.words());
        let crowd = Crowd::new(host.address(), plan.habits)?;
        Ok(Campaign {
            plan,
            program,
            goes_on,
            host,
            crowd,
            began: Instant::now(),
            told: Instant::now(),
            idle,
            resident: Slope::default(),
            longest_turn: (Duration::ZERO, QUIET),
            quiet: Latency::default(),
            under: BTreeMap::new(),
            misses: Vec::new(),
        })
    }

    /// Does it all and prints what came of it; what was missed, in words.
    ///
    /// # Errors
    /// The server or an attacker is gone.
    pub fn run(mut self) -> io::Result<Vec<String>> {
        self.gather()?;
        let enemies_count = self.plan.enemies.len();
        for number in 0.. {
            if number % ATTACKS == 0 {
                self.phase(None)?;
            }
            let enemies = &self.plan.enemies;
            let enemy = (!enemies.is_empty()).then(|| enemies[number % enemies.len()]);
            if enemy.is_some() {
                self.phase(enemy)?;
            }
            let all_had_a_turn = number + 1 >= enemies_count;
            if all_had_a_turn && self.began.elapsed() >= self.plan.time || !(self.goes_on)() {
                break;
            }
        }
        self.retake()?;
        self.crowd.leave()?;
        self.cycle()?;
        self.conclude()
    }

    /// Whoever was noticed has another turn, a few times: what other programs of the machine do
    /// meanwhile is no attack.
    fn retake(&mut self) -> io::Result<()> {
        for _ in 0..RETAKES {
            for name in self.noticed() {
                if (self.goes_on)() {
                    self.phase(None)?;
                    self.under.remove(name);
                    self.phase(Some(name))?;
                }
            }
        }
        Ok(())
    }

    /// Those under whose attacks messages took too long.
    fn noticed(&self) -> Vec<&'static str> {
        let noticed = self.under.iter().filter(|(_, latency)| !latency.is_calm(&self.quiet));
        noticed.map(|(name, _)| *name).collect()
    }

    /// Waits until all the honest are there.
    fn gather(&mut self) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !self.crowd.is_full() && Instant::now() < end && (self.goes_on)() {
            self.crowd.run(Duration::from_millis(100), self.goes_on)?;
        }
        _ = self.crowd.take_latency();
        Ok(())
    }

    fn phase(&mut self, enemy: Option<&'static str>) -> io::Result<()> {
        if !(self.goes_on)() {
            return Ok(());
        }
        let (server, seed) = (self.host.address(), self.began.elapsed().as_secs());
        let start = |name| Assault::start(self.program, name, server, seed);
        let assault = enemy.map(start).transpose()?;
        self.crowd.run(self.plan.phase, self.goes_on)?;
        let latency = self.crowd.take_latency();
        let (turn, name) = (self.host.report()?.longest_turn, enemy.unwrap_or(QUIET));
        self.longest_turn = self.longest_turn.max((turn, name));
        let did = assault.map(Assault::end).transpose()?;
        let at = self.began.elapsed().as_secs();
        println!("{at:5} s  {name:24} {latency}; longest turn {turn:.1?}");
        match enemy {
            None => self.quiet.extend(&latency),
            Some(name) => self.under.entry(name).or_default().extend(&latency),
        }
        log::info!("{}", did.unwrap_or_default());
        self.tell()
    }

    /// A line about the server, once in a while.
    fn tell(&mut self) -> io::Result<()> {
        if self.told.elapsed() < LINE {
            return Ok(());
        }
        self.told += LINE;
        let report = self.host.report()?;
        self.resident.push(self.began.elapsed(), report.resident_kib as f64);
        println!(
            "{:5} s  server: {} KiB, {:+.0} KiB an hour; {}; lost reliable {}",
            self.began.elapsed().as_secs(),
            report.resident_kib,
            self.resident.per_hour(),
            report.words(),
            self.crowd.manifest().lost,
        );
        Ok(())
    }

    fn cycle(&mut self) -> io::Result<()> {
        let mut cycles = Cycles::new(self.host.address(), self.plan.habits.seed)?;
        let mut left = self.plan.cycles;
        while left > 0 && (self.goes_on)() {
            cycles.run(left.min(CYCLES), self.goes_on)?;
            left -= left.min(CYCLES);
            let (done, report) = (self.plan.cycles - left, self.host.report()?);
            println!("{done} connects and disconnects: {} KiB", report.resident_kib);
        }
        self.expect(cycles.manifest().harms().is_empty(), || cycles.manifest().harms().join(", "));
        Ok(())
    }

    fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.misses.push(otherwise());
        }
    }

    fn conclude(mut self) -> io::Result<Vec<String>> {
        let last = self.host.settled(SETTLED)?;
        self.judge_latency();
        self.judge_honest();
        self.judge_rest(&last);
        match self.misses.is_empty() {
            true => tell(format_args!("VERDICT: all met")),
            false => tell(format_args!("VERDICT: MISSED: {}", self.misses.join("; "))),
        }
        Ok(self.misses)
    }

    fn judge_latency(&mut self) {
        println!();
        tell("honest messages there and back:");
        tell(format_args!("  {QUIET:24} {}", self.quiet));
        for (name, latency) in std::mem::take(&mut self.under) {
            let calm = latency.is_calm(&self.quiet);
            tell(format_args!("  {name:24} {latency}{}", if calm { "" } else { "  MISSED" }));
            let (here, quiet) = (latency.at(0.99), self.quiet.at(0.99));
            self.expect(calm, || format!("{name}: p99 {here:.1?}, quiet {quiet:.1?}"));
        }
    }

    fn judge_honest(&mut self) {
        let manifest = self.crowd.manifest().clone();
        let turned_away: u64 = manifest.turned_away.values().sum();
        let share = manifest.opened as f64 / (manifest.opened + turned_away).max(1) as f64;
        tell(format_args!(
            "honest: {} opened ({:.2} %; {}), {} left, {} vanished, {turned_away} turned away {:?}",
            manifest.opened,
            share * 100.0,
            manifest.joining,
            manifest.left,
            manifest.vanished,
            manifest.turned_away,
        ));
        tell(format_args!(
            "messages: reliable {} sent, {} echoed in order, {} lost; unreliable {} sent, {:.3} % echoed",
            manifest.reliable_sent,
            manifest.reliable_echoed,
            manifest.lost,
            manifest.unreliable_sent,
            manifest.unreliable_echoed as f64 * 100.0 / manifest.unreliable_sent.max(1) as f64,
        ));
        self.misses.extend(manifest.harms());
        self.expect(share >= LET_IN, || format!("only {share:.3} of the honest got in"));
    }

    fn judge_rest(&mut self, last: &Report) {
        let left = last.resident_kib as i64 - self.idle.resident_kib as i64;
        let (turn, name) = self.longest_turn;
        tell(format_args!("longest turn of the loop: {turn:.1?} of a processor's time, {name}"));
        self.expect(turn <= TURN, || format!("a turn of {turn:.1?}, {name}"));
        tell(format_args!("server, nobody left: {}", last.words()));
        tell(format_args!("left behind: {left:+} KiB; closed: {:?}", last.reasons));
        self.expect(last.is_empty(), || format!("not empty: {}", last.words()));
        let before = self.idle.descriptors;
        self.expect(last.descriptors == before, || {
            format!("{} descriptors, {before} before", last.descriptors)
        });
        self.expect(left <= LEFT_KIB, || format!("{left} KiB left behind"));
        let (slope, long) = (self.resident.per_hour(), self.began.elapsed() >= LONG);
        self.expect(!long || slope <= SLOPE_KIB, || format!("grows {slope:.0} KiB an hour"));
    }
}

/// Everybody comes and goes once.
fn warm_up(host: &Host, program: &Path, plan: &Plan, goes_on: Asked<'_>) -> io::Result<()> {
    let mut crowd = Crowd::new(host.address(), Habits { churn: None, ..plan.habits })?;
    crowd.run(WARM_UP, goes_on)?;
    for name in GREEDY.iter().filter(|name| plan.enemies.contains(name)) {
        let assault = Assault::start(program, name, host.address(), plan.habits.seed)?;
        crowd.run(WARM_UP, goes_on)?;
        assault.end()?;
    }
    crowd.leave()
}
