//! A bad network between this machine and another.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::Value;

use super::{Lines, Step};
use crate::link::{Conditions, Loss};
use crate::namespace::Namespace;

/// Wires that this process has made; each has names and an address of its own.
static COUNT: AtomicU8 = AtomicU8::new(0);

/// Time for the link's program to start.
const SOON: Duration = Duration::from_secs(10);

/// Another machine, joined to this one by the program `lossy-link`.
///
/// It wants to be in `tests/lib/private-network`, for it makes a device and a route here. At
/// first the link only delays: see [`worsen`](Wire::worsen).
#[derive(Debug)]
pub struct Wire {
    // The order of the fields is the order in which they end.
    link: Lines,
    machine: Namespace,
    device: String,
    address: String,
    conditions: Conditions,
}

impl Wire {
    /// A new machine behind these conditions, of which only delay, loss and rate count.
    ///
    /// # Errors
    /// No right to make devices and machines, or somebody else has our names.
    pub fn new(program: &Path, conditions: Conditions, seed: u64) -> io::Result<Wire> {
        let number = COUNT.fetch_add(1, Relaxed) % 254 + 1;
        let machine = Namespace::new("server")?;
        let (here, there) = (format!("net-c{number}"), format!("net-s{number}"));
        let link = start(program, [&here, &there], conditions, seed)?;
        let address = format!("203.0.113.{number}");
        join(&machine, &address, [&here, &there])?;
        Ok(Wire { link, machine, device: there, address, conditions })
    }

    /// The other machine.
    #[must_use]
    pub fn machine(&self) -> &Namespace {
        &self.machine
    }

    /// The other machine's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on the link loses what it should, and has its bottleneck.
    ///
    /// # Errors
    /// The link is gone.
    pub fn worsen(&mut self) -> io::Result<()> {
        let (Loss::Random(share) | Loss::Runs { share, .. }) = self.conditions.loss;
        self.link.tell(&format!("loss {share}"))?;
        self.limit(self.conditions.rate.map_or(0, |rate| rate.bytes_per_second))
    }

    /// From now on so many bytes a second pass, or any amount (0).
    ///
    /// # Errors
    /// The link is gone.
    pub fn limit(&mut self, bytes_per_second: u64) -> io::Result<()> {
        self.link.tell(&format!("rate {bytes_per_second}"))
    }

    /// Lets the link do these, one after the other, and does not wait for it.
    ///
    /// # Errors
    /// The link is gone.
    pub fn play(&mut self, steps: &[Step]) -> io::Result<()> {
        steps.iter().try_for_each(|step| self.link.tell(&step.to_string()))
    }

    /// From now on the other machine's new TCP connections find their rate by CUBIC (RFC 9438),
    /// whatever its kernel's default.
    ///
    /// # Errors
    /// The kernel has no CUBIC.
    pub fn send_by_cubic(&self) -> io::Result<()> {
        let route = ["route", "change", "default", "dev", &self.device, "congctl", "cubic"];
        self.machine.ip(&route)
    }

    /// What the link has told of since the last time: see the program `lossy-link`.
    ///
    /// # Errors
    /// The link is gone.
    pub fn told(&self) -> io::Result<Vec<Value>> {
        let lines = self.link.waiting()?;
        lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn start(
    program: &Path,
    devices: [&str; 2],
    conditions: Conditions,
    seed: u64,
) -> io::Result<Lines> {
    let mut command = Command::new(program);
    command.args(devices).args(["--delay", &(conditions.delay.as_secs_f64() * 1e3).to_string()]);
    command.args(["--seed", &seed.to_string()]);
    if let Some(rate) = conditions.rate {
        command.args(["--queue", &rate.queue_bytes.to_string()]);
    }
    if let Some(max) = conditions.max_packet {
        command.args(["--max-packet", &max.to_string()]);
    }
    if let Loss::Runs { mean, .. } = conditions.loss {
        command.args(["--run-mean", &mean.to_string()]);
    }
    let link = Lines::start(&mut command)?;
    match link.next(SOON)?.as_str() {
        "ready" => Ok(link),
        other => Err(io::Error::other(format!("lossy-link said {other:?}"))),
    }
}

/// Moves one device to the other machine, and lets the two machines reach each other.
fn join(machine: &Namespace, address: &str, [here, there]: [&str; 2]) -> io::Result<()> {
    ip(&["link", "set", there, "netns", machine.name()])?;
    machine.address(there, &format!("{address}/32"))?;
    machine.ip(&["link", "set", there, "up"])?;
    machine.route(&format!("default dev {there}"))?;
    ip(&["link", "set", here, "up"])?;
    ip(&["route", "add", &format!("{address}/32"), "dev", here])
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {arguments:?}: {}", said.trim())))
}
