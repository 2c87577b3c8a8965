//! The attackers' process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{io, iter, thread};

use super::{HalfOpen, Place};
use crate::attack::{Attacker, Kind, Means};
use crate::raid::Raid;
use crate::real::Lines;

/// For the process to begin, and to say what it did.
const SOON: Duration = Duration::from_secs(20);
const HALF_OPEN: &str = "half open";
/// How many times faster than in the simulator: about as fast as one processor goes.
const PACE: u32 = 50;
/// Addresses of an attacker.
const ADDRESSES: u32 = 64;
/// The first of them; the honest are at 127.0.0.1.
const FIRST: u32 = u32::from_be_bytes([127, 10, 0, 1]);

/// The ports of its datagrams: above those that the system gives away.
const PORTS: Range<u16> = 61_000..65_000;

/// Who can be sent, by name: everybody of [`Kind`], and the half open.
#[must_use]
pub fn enemies() -> Vec<&'static str> {
    let kinds = Kind::all().iter().map(|kind| kind.name());
    iter::once(HALF_OPEN).chain(kinds).collect()
}

fn start(name: &str, seed: u64) -> Option<Box<dyn Attacker>> {
    let addresses: Vec<IpAddr> =
        (FIRST..FIRST + ADDRESSES).map(|ip| Ipv4Addr::from(ip).into()).collect();
    if name == HALF_OPEN {
        return Some(Box::new(HalfOpen::new(addresses, 2_000)));
    }
    let means = Means { addresses, ports: PORTS, pace: PACE };
    Some(Kind::named(name)?.start(seed, means))
}

/// Attacks until its input ends or has a line, then prints what it did.
///
/// # Errors
/// Nobody has this name, or the kernel tells nothing any more.
pub fn attack(name: &str, server: SocketAddr, seed: u64) -> io::Result<()> {
    let attacker = start(name, seed).ok_or_else(|| io::Error::other(format!("who is {name}?")))?;
    let goes_on = Arc::new(AtomicBool::new(true));
    let stop = goes_on.clone();
    thread::spawn(move || {
        _ = io::stdin().lines().next();
        stop.store(false, Relaxed);
    });
    let mut raid = Raid::begin(server, attacker)?;
    println!("begun");
    let tally = raid.run(|| goes_on.load(Relaxed))?;
    println!("{tally:?}");
    Ok(())
}

/// An attackers' process at work, ended when dropped.
#[derive(Debug)]
pub struct Assault {
    lines: Lines,
}

impl Assault {
    /// Starts `program attack ..`, where and when nobody else wants the processor.
    ///
    /// # Errors
    /// It cannot be started, or does not begin.
    pub fn start(program: &Path, name: &str, server: SocketAddr, seed: u64) -> io::Result<Assault> {
        let mut command = Place::Idle.command(program);
        let words = ["attack", name, &server.to_string(), &seed.to_string()];
        let lines = Lines::start(command.args(words))?;
        match lines.next(SOON)?.as_str() {
            "begun" => Ok(Assault { lines }),
            other => Err(io::Error::other(format!("it said {other:?}"))),
        }
    }

    /// Ends it; what it did, in words.
    ///
    /// # Errors
    /// It is gone, or does not end.
    pub fn end(mut self) -> io::Result<String> {
        self.lines.tell("stop")?;
        self.lines.next(SOON)
    }
}
