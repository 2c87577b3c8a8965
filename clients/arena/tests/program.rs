//! The program from outside: its link, its errors, its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn arena(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arena"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(args: &[&str]) -> Output {
    arena(args).output().expect("the program starts")
}

/// A running arena, killed at the end of a test that failed.
struct Running(Child);

impl Running {
    /// Starts on free ports; also returns the host and port of its link.
    fn start() -> (Self, String) {
        let mut child = arena(&["--http", "0", "--port", "0"]).spawn().expect("it starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("it prints its link");
        let link = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        (Self(child), link.expect("a link").to_owned())
    }

    /// Ends it as Ctrl-C does; whether that was a success, and how long it took.
    fn interrupt(mut self) -> (bool, Duration) {
        let start = Instant::now();
        let id = self.0.id().to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
        assert!(kill.success());
        let status = self.0.wait().expect("our child");
        (status.success(), start.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("the page is served");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn the_link_leads_to_the_page_and_the_page_to_the_game() {
    let (_running, host) = Running::start();
    let page = get(&host, "/");
    let port = page.split("data-game-port=\"").nth(1).and_then(|rest| rest.split('"').next());
    let port: u16 = port.expect("a port").parse().expect("a number");
    let (ip, _) = host.split_once(':').expect("IP and port");
    assert!(TcpStream::connect((ip, port)).is_ok());
    assert!(get(&host, "/net.js").contains("export async function connect"));
}

#[test]
fn ctrl_c_ends_it_cleanly_and_soon() {
    let (running, host) = Running::start();
    get(&host, "/");
    let (success, took) = running.interrupt();
    assert!(success);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn help_names_every_option() {
    let output = output(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(["--listen", "--http", "--port"].iter().all(|option| text.contains(option)), "{text}");
}

#[test]
fn a_wrong_argument_is_named() {
    let output = output(&["--port", "many"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("--port") && text.contains("many"), "{text}");
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let (_running, host) = Running::start();
    let (_, port) = host.split_once(':').expect("IP and port");
    for (option, other) in [("--http", "--port"), ("--port", "--http")] {
        let output = output(&[option, port, other, "0"]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(option) && text.contains(port), "{text}");
    }
}
