//! A client from another family of software (Python: aiortc and websockets) that behaves as the
//! protocol's earlier clients did.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

use net_tests::program::Program;
use serde_json::{Value, json};

const MESSAGES: u64 = 100;

#[test]
#[ignore = "needs Python with aiortc, see tests/all"]
fn an_earlier_client_in_python_gets_its_echoes() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_echo-server"));
    let server = Program::start(server.arg("127.0.0.1:0")).unwrap();
    let result = run_client(&server);
    assert_eq!(result["ordered"], false, "{result}");
    assert_eq!(result["max_retransmits"], 0, "{result}");
    assert_eq!(result["max_packet_life_time"], Value::Null, "{result}");
    assert_eq!(result["reliable"]["sent"], MESSAGES, "{result}");
    assert_eq!(result["passed"], true, "{result}");
}

/// Rows 15, 46-53: each evil peer ends itself or nobody, an honest one beside them goes on.
#[test]
#[ignore = "needs Python with aiortc, see tests/all"]
fn t46_to_t53_evil_peers_in_python_end_only_themselves() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_echo-server"));
    let server = Program::start(server.arg("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}", server.address());
    let (fates, honest) = thread::scope(|scope| {
        let evil = scope.spawn(|| run_script("evil.py", &[&url]));
        // They take about 4 s.
        let honest = run_script("client.py", &[&url, "--messages=500"]);
        (evil.join().expect("evil.py runs"), honest)
    });
    assert_eq!(honest["passed"], true, "{honest}");
    let Value::Object(fates) = fates else { panic!("{fates}") };
    for (deed, fate) in &fates {
        let expected = match fate_of(deed) {
            Fate::Welcome => fate.is_null(),
            Fate::Limit(words) => *fate == json!([1008, format!("limit: {words}")]),
            Fate::ByItself => fate[0] == 1000,
            Fate::Any => true,
        };
        assert!(expected, "{deed}: {fate}");
    }
    assert_eq!(fates.len(), 15);
    // And after them all the server is as it was.
    assert_eq!(run_client(&server)["passed"], true);
}

enum Fate {
    /// It was still a peer at the end.
    Welcome,
    /// It was closed for this.
    Limit(&'static str),
    /// It has closed itself.
    ByItself,
    Any,
}

fn fate_of(deed: &str) -> Fate {
    match deed {
        "duplicates" | "no_window" | "gaps_without_end" => Fate::Welcome,
        "wrong_tsns" | "jump" => Fate::Limit("a TSN far beyond the last"),
        "pieces_without_end" => Fate::Limit("a message that is too long, or in too many pieces"),
        "streams" | "channels" => Fate::Limit("one channel is all a peer may have"),
        "inits" | "cookies" | "resets" => Fate::Limit("too many reconfigurations"),
        "false_sacks" => Fate::Limit("a SACK for data never sent"),
        "abort" | "shutdown" => Fate::ByItself,
        "lengths_that_lie" => Fate::Any,
        other => panic!("{other}?"),
    }
}

fn run_client(server: &Program) -> Value {
    let messages = format!("--messages={MESSAGES}");
    run_script("client.py", &[&format!("ws://{}", server.address()), &messages])
}

/// Runs a script to its end; gives the line of JSON that it prints.
fn run_script(name: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("aiortc").join(name)).args(arguments);
    let output = command.output().expect("the Python that tests/all sets up");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{errors}"))
}

/// The interpreter that `tests/all` fills with packages.
fn python() -> PathBuf {
    env::var_os("NET_TESTS_PYTHON").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python/bin/python"),
        PathBuf::from,
    )
}
