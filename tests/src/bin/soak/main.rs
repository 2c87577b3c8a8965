//! A server under attack for a long time, with honest clients who must not notice:
//!
//! ```text
//! cargo build --release -p net-tests --bin soak
//! tests/lib/private-network target/release/soak --minutes 60
//! ```
//!
//! The server runs alone on the first processor, everybody else on the last: `--clients` honest
//! ones (50), each with 60 unreliable messages of 64 bytes a second and 10 reliable ones, all of
//! which come back, some of them coming and going; and attackers, who take turns of `--phase`
//! seconds (5), with a quiet time of as long after each four, for `--minutes` (10).
//! `--attackers` names them, with commas between: `all`, which is the default, and `none` are
//! names too. Then so many clients come and go as `--cycles` says (0), half of them in the
//! middle of the handshake. `--seed` (1) begins everybody's chances.
//!
//! Prints a line for each time, one a minute about the server, and what came of it: memory and
//! how it grows, descriptors, what is left of whom, the longest turn of the server's loop, lost
//! reliable messages, and latencies under each attack and without. The exit status is 0 if all
//! is as it should be. Ctrl-C ends it with the report so far.
//!
//! As anybody but root, outside of `tests/lib/private-network`, attackers overhear nobody and
//! forge no addresses.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use net::Config;
use net_tests::real::arguments;
use net_tests::soak::{Campaign, Habits, Place, Plan, attack, enemies, serve};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let parts: Vec<&str> = words.iter().map(String::as_str).collect();
    match parts[..] {
        // What the program starts itself.
        ["serve", address] => serve(address, Config::default())?,
        ["serve", address, "--public"] => serve(address, public())?,
        ["attack", name, server, seed] => attack(name, server.parse()?, seed.parse()?)?,
        ["--help" | "-h", ..] => help(),
        _ => return besiege(parse(&words)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Local addresses count as any others.
fn public() -> Config {
    let config = Config::default();
    Config {
        max_peers_per_private_ip: config.max_peers_per_ip,
        max_protected_handshakes_per_private_ip: config.max_protected_handshakes_per_ip,
        ..config
    }
}

fn help() {
    let page = include_str!("main.rs").lines().map_while(|line| line.strip_prefix("//!"));
    page.for_each(|line| println!("{}", line.trim_start()));
    println!("\nAttackers: {}", enemies().join(", "));
}

fn parse(words: &[String]) -> Result<Plan, Box<dyn Error>> {
    let mut plan = Plan {
        time: Duration::from_secs(600),
        phase: Duration::from_secs(5),
        habits: Habits::default(),
        enemies: enemies(),
        cycles: 0,
    };
    for (name, value) in arguments(words)? {
        match name {
            "--minutes" => plan.time = Duration::from_secs_f64(60.0 * value.parse::<f64>()?),
            "--phase" => plan.phase = Duration::from_secs_f64(value.parse()?),
            "--clients" => plan.habits.members = value.parse()?,
            "--seed" => plan.habits.seed = value.parse()?,
            "--cycles" => plan.cycles = value.parse()?,
            "--attackers" => plan.enemies = chosen(value)?,
            _ => return Err(format!("no option {name}, try --help").into()),
        }
    }
    Ok(plan)
}

fn chosen(names: &str) -> Result<Vec<&'static str>, String> {
    let find = |name| enemies().into_iter().find(|enemy| *enemy == name);
    match names {
        "all" => Ok(enemies()),
        "none" => Ok(Vec::new()),
        _ => names.split(',').map(|name| find(name).ok_or(format!("who is {name:?}?"))).collect(),
    }
}

fn besiege(plan: Plan) -> Result<ExitCode, Box<dyn Error>> {
    Place::Honest.enter();
    let running = Arc::new(AtomicBool::new(true));
    let stop = running.clone();
    ctrlc::set_handler(move || stop.store(false, Relaxed))?;
    let goes_on = || running.load(Relaxed);
    let misses = Campaign::new(&env::current_exe()?, plan, &goes_on)?.run()?;
    Ok(ExitCode::from(u8::from(!misses.is_empty())))
}
