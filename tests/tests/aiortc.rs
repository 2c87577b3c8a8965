//! A client from another family of software (Python: aiortc and websockets) that behaves as the
//! protocol's earlier clients did.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use net_tests::program::Program;
use serde_json::Value;

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

fn run_client(server: &Program) -> Value {
    let mut command = Command::new(python());
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("aiortc/client.py"))
        .arg(format!("ws://{}", server.address()))
        .arg(format!("--messages={MESSAGES}"));
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
