//! Whole servers in bad weather, seed after seed, until one breaks an invariant:
//!
//! ```text
//! cargo run --release -p net-tests --bin storm -- --seeds 0..1000
//! ```
//!
//! | option | |
//! |---|---|
//! | `--seeds A..B` | these seeds; 0..200 if nothing is said |
//! | `--seed N` | this one |
//! | `--full` | up to 64 clients for 60 s, in place of up to 8 for 10 s; a release build then bounds the longest call |
//! | `--minutes M` | stops after so long; without `--seeds` it goes on that long |
//! | `--longest-call MS` | bounds the processor time of each call of the server, in ms |
//! | `--threads T` | seeds at a time, default 1 |
//! | `--compare` | each seed again without attackers: the honest must not notice |
//! | `--peaceful` | without attackers |
//! | `--trace` | says everything that happens |
//!
//! The exit code is 1 if an invariant broke; the seed and the command that replays it are
//! printed. Ctrl-C ends it with the closing line.

use std::alloc::System;
use std::error::Error;
use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use net_tests::memory::{self, Allocator};
use net_tests::numbers::tell;
use net_tests::storm::{self, Invariant, Options, Outcome, Plan, Price, Scale, Tally, Violation};

#[global_allocator]
static GLOBAL: Allocator<System> = Allocator::system();

/// The longest that one call of the server may take, in processor time.
const LONGEST_CALL: Duration = Duration::from_millis(10);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    env_logger::init();
    memory::count();
    let words: Vec<String> = env::args().skip(1).collect();
    let run = Run::parse(&words)?;
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed))?;
    let result = run.run();
    Ok(ExitCode::from(u8::from(!result.violations.is_empty())))
}

/// What is asked for.
#[derive(Debug)]
struct Run {
    seeds: Range<u64>,
    scale: Scale,
    until: Option<Instant>,
    threads: usize,
    compare: bool,
    peaceful: bool,
    options: Options,
}

/// What came of it.
#[derive(Debug, Default)]
struct Results {
    tally: Tally,
    price: Price,
    violations: Vec<Violation>,
    told: Option<Instant>,
}

impl Run {
    fn parse(words: &[String]) -> Result<Run, Box<dyn Error>> {
        let (mut seeds, mut until, mut scale, mut longest) = (None, None, Scale::Small, None);
        let (mut threads, mut compare, mut trace, mut peaceful) = (1, false, false, false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--full" => scale = Scale::Full,
                "--trace" => trace = true,
                "--peaceful" => peaceful = true,
                "--compare" => compare = true,
                "--seed" => seeds = Some(one(value()?.parse()?)),
                "--seeds" => seeds = Some(range(value()?)?),
                "--longest-call" => longest = Some(Duration::from_millis(value()?.parse()?)),
                "--threads" => threads = value()?.parse()?,
                "--minutes" => {
                    let minutes = Duration::from_secs_f64(60.0 * value()?.parse::<f64>()?);
                    until = Some(Instant::now() + minutes);
                }
                _ => return Err(format!("no option {word}").into()),
            }
        }
        let all = if until.is_some() { 0..u64::MAX } else { 0..200 };
        let bound = scale == Scale::Full && !cfg!(debug_assertions);
        let longest_call = longest.or(bound.then_some(LONGEST_CALL));
        let options = Options { trace, longest_call };
        let seeds = seeds.unwrap_or(all);
        Ok(Run { seeds, scale, until, threads, compare, peaceful, options })
    }

    fn run(&self) -> Results {
        let (next, result) = (AtomicU64::new(self.seeds.start), Mutex::new(Results::default()));
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| self.work(&next, &result));
            }
        });
        let result = result.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Results { tally, price, violations, .. } = &result;
        tell(format_args!(
            "{} seeds, {} violations, {price}, {tally}",
            tally.seeds,
            violations.len()
        ));
        result
    }

    fn work(&self, next: &AtomicU64, result: &Mutex<Results>) {
        while !self.is_over() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.seeds.end {
                return;
            }
            let mut outcome = self.outcome(seed);
            if let Some(violation) = &outcome.violation
                && violation.invariant == Invariant::Time
            {
                // The seed does all of it again. A call that is long only once was interrupted.
                println!("{violation}\nseed {seed} runs once more");
                outcome = self.outcome(seed);
            }
            let mut result = result.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            result.tally.add(&outcome.tally);
            result.price.add(outcome.price);
            if let Some(violation) = outcome.violation {
                println!("{violation}");
                result.violations.push(violation);
            }
            result.tell(seed);
        }
    }

    fn outcome(&self, seed: u64) -> Outcome {
        match (self.compare, self.peaceful) {
            (true, _) => storm::compare(seed, self.scale, self.options),
            (_, true) => storm::run_plan(Plan::draw(seed, self.scale).peaceful(), self.options),
            _ => storm::run(seed, self.scale, self.options),
        }
    }

    fn is_over(&self) -> bool {
        STOP.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

impl Results {
    /// Tells how far it is, now and then.
    fn tell(&mut self, seed: u64) {
        let now = Instant::now();
        let told = *self.told.get_or_insert(now);
        if now >= told + PROGRESS {
            self.told = Some(now);
            let (seeds, violations) = (self.tally.seeds, self.violations.len());
            // Nobody may be reading any more.
            _ = writeln!(io::stderr(), "seed {seed}: {seeds} seeds, {violations} violations");
        }
    }
}

fn one(seed: u64) -> Range<u64> {
    seed..seed + 1
}

fn range(text: &str) -> Result<Range<u64>, Box<dyn Error>> {
    let (from, to) = text.split_once("..").ok_or("--seeds wants A..B")?;
    Ok(from.parse()?..to.parse()?)
}
