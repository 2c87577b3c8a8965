//! The page's module away from browsers: its own tests under Node, in virtual time and with
//! websockets and peer connections that do what a test says, and on other WebRTC stacks.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use net::Config;
use net_tests::browser::Answerer;
use serde_json::Value;

#[test]
#[ignore = "needs Node: run tests/all"]
fn its_own_tests_pass() {
    let tests = root().join("clients/js/test/net.test.mjs");
    let output = run(Command::new("node").arg("--test").arg(tests));
    assert!(output.status.success());
}

#[test]
#[ignore = "needs Node with packages: run tests/all"]
fn libwebrtc_takes_every_buffer() {
    assert_takes_every_buffer("wrtc");
}

#[test]
#[ignore = "needs Node with packages: run tests/all"]
fn libdatachannel_takes_every_buffer() {
    assert_takes_every_buffer("datachannel");
}

#[track_caller]
fn assert_takes_every_buffer(stack: &str) {
    let answerer = Answerer::on((Ipv4Addr::LOCALHOST, 0), Config::default());
    let url = format!("ws://{}", answerer.address());
    let packages = env::var_os("NET_TESTS_NODE").unwrap_or(root().join("target/node").into());
    let mut command = Command::new("node");
    command.arg(root().join("tests/node/page.mjs")).args([&url, stack]);
    let output = run(command.env("NET_TESTS_NODE", packages));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let seen = seen.as_object().unwrap();
    assert_eq!(seen.len(), 10, "{seen:#?}");
    for (form, same) in seen {
        assert_eq!(same, true, "{form}");
    }
}

/// Runs a program to its end and shows what it said.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
