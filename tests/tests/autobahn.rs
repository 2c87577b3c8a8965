//! The Autobahn test suite against the echo server of `net-ws`: all its cases but those of
//! compression, which we do not offer.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../net-ws/examples/ws_echo.rs"]
#[allow(dead_code, reason = "its main is not needed")]
mod echo;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use net_ws::Config;
use serde_json::{Value, json};

/// The longest message of any case.
const LONGEST: usize = 16 << 20;
/// Cases that are no question of compression.
const CASES: usize = 301;
/// Here the suite would like text to fail in the middle of a frame; RFC 6455 §8.1 leaves the
/// moment open, and we fail when the frame is whole.
const LATER_THAN_WANTED: [&str; 2] = ["6.4.3", "6.4.4"];

#[test]
#[ignore = "needs Python 2.7 with autobahntestsuite, see tests/all"]
fn every_case_passes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config { max_message_size: LONGEST, ..Config::default() };
    thread::spawn(move || echo::serve(&listener, &config));

    let verdicts = verdicts(&run_suite(address));
    let of = |verdict: &str| -> Vec<_> {
        verdicts.iter().filter(|(_, one)| one[0] == verdict).map(|(case, _)| &**case).collect()
    };
    println!(
        "{} cases: {} OK, {} informational, {} not strict",
        verdicts.len(),
        of("OK").len(),
        of("INFORMATIONAL").len(),
        of("NON-STRICT").len()
    );
    assert_eq!(verdicts.len(), CASES);
    assert_eq!(of("NON-STRICT"), LATER_THAN_WANTED);
    let good = |verdict: &str| matches!(verdict, "OK" | "NON-STRICT" | "INFORMATIONAL");
    let bad: Vec<_> = verdicts.iter().filter(|(_, both)| !both.iter().all(|v| good(v))).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// Runs the suite; gives what it reports.
fn run_suite(address: SocketAddr) -> Value {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("autobahn");
    // There may be none of an earlier run.
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let plan = json!({
        "outdir": folder,
        "servers": [{"agent": "net-ws", "url": format!("ws://{address}")}],
        "cases": ["*"],
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let mut command = Command::new(variable("NET_TESTS_PYTHON2", "python2.7"));
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("autobahn/wstest.py"))
        .arg(packages())
        .args(["--mode", "fuzzingclient", "--spec"])
        .arg(folder.join("plan.json"))
        .current_dir(&folder);
    let output = command.output().expect("the Python that tests/all looks for");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report =
        fs::read_to_string(folder.join("index.json")).unwrap_or_else(|_| panic!("{errors}"));
    fs::remove_dir_all(&folder).unwrap();
    serde_json::from_str(&report).unwrap()
}

/// For each case, what the suite says of our messages and of our goodbye.
fn verdicts(report: &Value) -> BTreeMap<String, [String; 2]> {
    let cases = report["net-ws"].as_object().unwrap().iter();
    let word = |word: &Value| word.as_str().unwrap().to_owned();
    cases
        .map(|(case, said)| (case.clone(), [word(&said["behavior"]), word(&said["behaviorClose"])]))
        .collect()
}

/// The folder that `tests/all` fills with the suite.
fn packages() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python2");
    variable("NET_TESTS_PYTHON2_PACKAGES", folder)
}

fn variable(name: &str, default: impl Into<PathBuf>) -> PathBuf {
    env::var_os(name).map_or_else(|| default.into(), PathBuf::from)
}
