//! What a stranger does: a new crate, in a folder of its own, that takes ours by
//! path in the very words of the README; and one that takes `net-rtc` alone.
//!
//! Builds all dependencies anew, so these tests wait for `tests/all`. The crates
//! share `target/consumer`.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{fs, io, thread};

use bytes::Bytes;
use net::Delivery;
use net_tests::client::Client;

/// The line of the README before the shell lines that install.
const INSTALL_MARK: &str = "<!-- install -->";
/// Where the README's program listens.
const ADDRESS: &str = "127.0.0.1:3000";
/// Packages of the parts that a user of `net-rtc` alone does not want.
const FOREIGN: &[&str] = &["mio", "tungstenite", "crossbeam", "serde_json", "socket2", "net"];
/// How long a started program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn the_readme_has_an_install_block_and_a_program() {
    let readme = readme();
    assert!(install_lines(&readme).contains("cargo add net "), "no install block");
    assert!(program(&readme).contains("fn main()"), "no program");
}

#[test]
#[ignore = "builds everything anew and takes port 3000, see tests/all"]
fn the_readme_leads_to_a_server_that_runs() {
    let workshop = Workshop::new("readme");
    let readme = readme();
    workshop.shell(".", "cargo new game");
    workshop.shell("game", &install_lines(&readme));
    let game = workshop.path("game");
    fs::write(game.join("src/main.rs"), program(&readme)).unwrap();
    workshop.run(workshop.cargo(&game).arg("build"));

    assert!(TcpStream::connect(ADDRESS).is_err(), "{ADDRESS} is in use");
    let mut server = workshop.start("game");
    server.wait_until_listening(ADDRESS.parse().unwrap());
    let mut client = Client::connect(ADDRESS.parse().unwrap()).unwrap();
    hears(&mut client, &[(Delivery::Reliable, "hello!"), (Delivery::Unreliable, "hello again!")]);
    drop(client);
    server.stays_alive(Duration::from_secs(1));
}

#[test]
#[ignore = "builds everything anew, see tests/all"]
fn net_rtc_alone_brings_no_sockets_and_no_websocket() {
    let workshop = Workshop::new("rtc");
    workshop.shell(".", "cargo new rtc-echo");
    workshop.shell("rtc-echo", "cargo add net-rtc --path ../net/net-rtc");
    let echo = workshop.path("rtc-echo");
    let example = repository().join("net-rtc/examples/echo.rs");
    fs::copy(example, echo.join("src/main.rs")).unwrap();

    let packages = workshop.packages(&echo);
    assert!(packages.contains(&"str0m".to_owned()), "{packages:?}");
    for foreign in FOREIGN {
        let brought = packages.iter().find(|package| is_of(package, foreign));
        assert_eq!(brought, None, "net-rtc brings {foreign}");
    }
    workshop.run(workshop.cargo(&echo).arg("run"));
}

/// Waits until each of these has arrived, in any order and among others.
fn hears(client: &mut Client, greetings: &[(Delivery, &'static str)]) {
    let mut missing: Vec<_> =
        greetings.iter().map(|(delivery, text)| (*delivery, Bytes::from(*text))).collect();
    while !missing.is_empty() {
        let message = client.recv(PATIENCE).unwrap_or_else(|| panic!("missing: {missing:?}"));
        missing.retain(|greeting| *greeting != message);
    }
}

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).expect("README.md")
}

/// The fenced `sh` block that follows the mark.
fn install_lines(readme: &str) -> String {
    let (_, after) = readme.split_once(INSTALL_MARK).unwrap_or_default();
    block(after, "sh")
}

/// The first program a reader sees.
fn program(readme: &str) -> String {
    block(readme, "rust,no_run")
}

/// The first fenced block of this language, empty if there is none.
fn block(text: &str, language: &str) -> String {
    let fence = format!("```{language}");
    let lines = text.lines().skip_while(|line| *line != fence).skip(1);
    lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in it").to_owned()
}

/// Is `package` the package `name` or one of its family (`crossbeam-utils`)?
fn is_of(package: &str, name: &str) -> bool {
    let family = package.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
    package == name || (family && name != "net")
}

/// A folder far from the workspace with a copy of the repository named `net`.
struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    fn new(name: &str) -> Self {
        // The process id alone is not unique: tests may run in a process namespace.
        let now = UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let folder = format!("net-consumer-{}-{now}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        copy(&repository(), &folder.join("net")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where cargo builds, beside the workspace's own `debug`.
    fn target() -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("consumer")
    }

    /// Runs shell lines in a folder of the workshop, and stops at the first that fails.
    fn shell(&self, folder: &str, lines: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", lines]);
        self.run(Self::offline(&mut shell).current_dir(self.path(folder)));
    }

    fn cargo(&self, package: &Path) -> Command {
        let mut cargo = Command::new("cargo");
        Self::offline(&mut cargo).current_dir(package);
        cargo
    }

    /// What the workspace was built from is on this machine and has to do.
    fn offline(command: &mut Command) -> &mut Command {
        command.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", Self::target())
    }

    fn run(&self, command: &mut Command) {
        let status = command.stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command:?} in {}: {status}", self.folder.display());
    }

    /// The names of all packages that `package` is built from, without itself.
    fn packages(&self, package: &Path) -> Vec<String> {
        let arguments = ["tree", "--edges", "normal,build", "--prefix", "none"];
        let output = self.cargo(package).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let names = tree.lines().skip(1).filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect()
    }

    fn start(&self, program: &str) -> Running {
        let path = Self::target().join("debug").join(program);
        Running(Command::new(path).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _left_for_the_curious = fs::remove_dir_all(&self.folder);
    }
}

/// Copies what a clone would bring.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() && !is_left_out(&entry.file_name().to_string_lossy()) {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn is_left_out(folder: &str) -> bool {
    ["target", ".git", "node_modules"].contains(&folder)
}

/// A program at work, ended when dropped.
struct Running(Child);

impl Running {
    fn wait_until_listening(&mut self, address: SocketAddr) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "nobody listens on {address}");
            self.stays_alive(Duration::from_millis(20));
        }
    }

    fn stays_alive(&mut self, time: Duration) {
        thread::sleep(time);
        assert_eq!(self.0.try_wait().unwrap(), None, "the program ended");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _status = self.0.wait();
    }
}
