//! Other machines on this one: named network namespaces joined by cables.
//!
//! Needs root (or the user namespace of `tests/lib/private-network`) and the
//! program `ip`. Addresses should come from the documentation ranges:
//! 198.51.100.0/24, 203.0.113.0/24, 192.0.2.0/24 and 2001:db8::/32.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{self, Command};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

const DIRECTORY: &str = "/run/netns";
const PREFIX: &str = "net-tests";

/// Machines that this process has made.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A machine of its own as far as its network goes, gone when dropped.
///
/// It begins with a loopback device that is up, no other, and filters that
/// would hide mistakes (reverse paths, address detection) turned off.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a machine; `role` is part of its name.
    ///
    /// Removes first what test processes that were killed have left behind.
    ///
    /// # Errors
    ///
    /// What `ip` said: not root, no such program.
    pub fn new(role: &str) -> io::Result<Self> {
        remove_leftovers();
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{role}", process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        namespace.sysctl("net.ipv4.conf.all.rp_filter=0")?;
        namespace.sysctl("net.ipv4.conf.default.rp_filter=0")?;
        namespace.sysctl("net.ipv6.conf.default.accept_dad=0")?;
        Ok(namespace)
    }

    /// The name under which `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in this machine.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` with these arguments for this machine.
    ///
    /// # Errors
    ///
    /// What `ip` said.
    pub fn ip(&self, arguments: &[&str]) -> io::Result<()> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Sets a kernel parameter (`name=value`) in this machine.
    ///
    /// # Errors
    ///
    /// The parameter does not exist or may not be written.
    pub fn sysctl(&self, setting: &str) -> io::Result<()> {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let write = r#"echo "$0" >"$1""#;
        run(self.command("sh").args(["-c", write, value, &path]))
    }

    /// Connects `device` here to `other_device` there with a cable (a veth
    /// pair), both ends up and without address.
    ///
    /// # Errors
    ///
    /// What `ip` said: a device of that name exists, or one over 15 bytes.
    pub fn connect(&self, device: &str, other: &Self, other_device: &str) -> io::Result<()> {
        let pair = [
            "link",
            "add",
            device,
            "type",
            "veth",
            "peer",
            "name",
            other_device,
            "netns",
            &other.name,
        ];
        self.ip(&pair)?;
        self.ip(&["link", "set", device, "up"])?;
        other.ip(&["link", "set", other_device, "up"])
    }

    /// Gives `device` an address with prefix length, such as `198.51.100.1/24`.
    ///
    /// # Errors
    ///
    /// What `ip` said.
    pub fn address(&self, device: &str, address: &str) -> io::Result<()> {
        self.ip(&["address", "add", address, "dev", device])
    }

    /// Adds a route, in the words of `ip route add`.
    ///
    /// # Errors
    ///
    /// What `ip` said.
    pub fn route(&self, route: &str) -> io::Result<()> {
        let words: Vec<&str> = route.split_whitespace().collect();
        self.ip(&[&["route", "add"], words.as_slice()].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _gone_already = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", said.trim())))
}

fn remove_leftovers() {
    let Ok(entries) = Path::new(DIRECTORY).read_dir() else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(is_gone) {
            let _gone_already = ip(&["netns", "delete", &name]);
        }
    }
}

/// The process that made the namespace `name`, if it was one of ours.
fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix('-')?;
    rest.split_once('-')?.0.parse().ok()
}

fn is_gone(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("net-tests-4711-0-server"), Some(4711));
        assert_eq!(owner("net-tests-x-server"), None);
        assert_eq!(owner("vpn-4711-server"), None);
        assert_eq!(owner("net-tests-4711"), None);
    }

    #[test]
    fn a_process_that_runs_is_not_gone() {
        assert!(!is_gone(process::id()));
        assert!(is_gone(u32::MAX));
    }

    #[test]
    #[ignore = "needs root and ip, see tests/all"]
    fn what_a_killed_process_left_is_removed() {
        let left = format!("{PREFIX}-{}-left", u32::MAX);
        ip(&["netns", "add", &left]).unwrap();
        let path = Path::new(DIRECTORY).join(&left);
        assert!(path.exists());
        let namespace = Namespace::new("next").unwrap();
        assert!(!path.exists());
        let ours = Path::new(DIRECTORY).join(namespace.name());
        assert!(ours.exists());
        drop(namespace);
        assert!(!ours.exists());
    }

    #[test]
    #[ignore = "needs root and ip, see tests/all"]
    fn two_machines_reach_each_other_by_cable_only() {
        let (left, right) = (Namespace::new("l").unwrap(), Namespace::new("r").unwrap());
        left.connect("cable", &right, "cable").unwrap();
        left.address("cable", "198.51.100.1/24").unwrap();
        right.address("cable", "198.51.100.2/24").unwrap();
        let reaches =
            |address: &str| run(left.command("ip").args(["route", "get", address])).is_ok();
        assert!(reaches("198.51.100.2"));
        assert!(!reaches("203.0.113.1"));
    }
}
