//! Clients of other families of software over a bad network: libwebrtc and libdatachannel under
//! Node, and Pion. Each has messages echoed on both paths, then sends 10,000 numbered messages
//! over the data channel while as many come back, and 5 % are lost each way. Then each gets
//! messages of many packets, some of which are lost: as many as chance leaves whole arrive, and
//! none waits long for one that is not. Browsers and aiortc get them in `fragmented.rs`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use net_tests::link::{Conditions, Loss};
use net_tests::numbers::tell;
use net_tests::real::{Lines, Wire};
use serde_json::Value;

const ECHOES: u64 = 200;
const FLOW: u64 = 10_000;
const LOSS: f64 = 0.05;
const DELAY: Duration = Duration::from_millis(20);
/// For a program to start.
const SOON: Duration = Duration::from_secs(10);
/// For a client to come to the end of a part.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of the numbered messages, with nothing repaired: the loss, and 3 % more for what a client's
/// own stack does not send in time.
const LEAST_ARRIVED: f64 = 0.92;

#[test]
#[ignore = "needs root and Node with packages, see tests/all"]
fn libwebrtc_echoes_and_flows() {
    assert_serves("libwebrtc", &mut node("wrtc"), "websocket");
}

#[test]
#[ignore = "needs root and Node with packages, see tests/all"]
fn libdatachannel_echoes_and_flows() {
    assert_serves("libdatachannel", &mut node("datachannel"), "channel");
}

#[test]
#[ignore = "needs root and the Go client, see tests/all"]
fn pion_echoes_and_flows() {
    assert_serves("Pion", &mut pion(), "channel");
}

#[test]
#[ignore = "needs root and Node with packages, see tests/all"]
fn libwebrtc_gets_messages_of_many_packets() {
    fragmented::assert_delivered("libwebrtc", || node("wrtc"));
}

/// Its SCTP is usrsctp, which puts one message together at a time.
#[test]
#[ignore = "needs root and Node with packages, see tests/all"]
fn libdatachannel_gets_messages_of_many_packets() {
    fragmented::assert_delivered("libdatachannel", || node("datachannel"));
}

#[test]
#[ignore = "needs root and the Go client, see tests/all"]
fn pion_gets_messages_of_many_packets() {
    fragmented::assert_delivered("Pion", pion);
}

/// Both sides begin the association, and then Pion has no window before the first SACK.
#[test]
#[ignore = "needs root and the Go client, see tests/all"]
fn pion_is_heard_at_once() {
    for _ in 0..4 {
        let (_wire, _server, address) = serve(0.0);
        let mut client = pion();
        client.arg(format!("ws://{address}")).arg("--echoes=1");
        let echoed = part(&Lines::start(&mut client).expect("a client"), "echoed");
        assert_eq!(echoed["unreliable"]["echoed"], 1, "{echoed}");
        let heard = echoed["heardMs"].as_u64().expect("a number");
        assert!(heard < 1_000, "{echoed}");
    }
}

/// Between a client and a server that has started, which loses that share once it is told.
fn serve(loss: f64) -> (Wire, Lines, String) {
    let conditions = Conditions { delay: DELAY, loss: Loss::Random(loss), ..Conditions::default() };
    let link = Path::new(env!("CARGO_BIN_EXE_lossy-link"));
    let wire = Wire::new(link, conditions, 7).expect("a wire");
    let mut server = wire.machine().command(env!("CARGO_BIN_EXE_tally-server"));
    let server = Lines::start(server.arg(format!("{}:0", wire.address()))).expect("a server");
    let address = listening(&server);
    (wire, server, address)
}

#[track_caller]
fn assert_serves(who: &str, client: &mut Command, closes_first: &str) {
    let (mut wire, server, address) = serve(LOSS);
    client.arg(format!("ws://{address}")).args(["--close", closes_first]);
    client.arg(format!("--echoes={ECHOES}")).arg(format!("--flow={FLOW}"));
    let mut client = Lines::start(client).expect("a client");
    assert_echoed(&part(&client, "echoed"));
    wire.worsen().expect("a wire");
    client.tell("go on").expect("it listens");
    assert_flowed(who, &part(&client, "flowed"));
    println!("closed: {}", part(&client, "closed"));
    assert_lived(&line(&server));
}

fn assert_echoed(result: &Value) {
    println!("echoed: {result}");
    let (channel, reliable, unreliable) =
        (&result["channel"], &result["reliable"], &result["unreliable"]);
    assert_eq!(channel["label"], "unreliable", "{result}");
    if channel["told"] != false {
        assert_eq!(channel["ordered"], false, "{result}");
        assert_eq!(channel["maxRetransmits"], 0, "{result}");
        // @roamhq/wrtc writes 65,535 where the standard has null.
        let life_time = channel["maxPacketLifeTime"].as_u64();
        assert!(matches!(life_time, None | Some(65_535)), "{result}");
    }
    for path in [reliable, unreliable] {
        assert_eq!(path["sent"], ECHOES, "{result}");
        assert_eq!((&path["strange"], &path["duplicates"]), (&0.into(), &0.into()), "{result}");
        assert_eq!(path["echoed"], ECHOES, "nothing is lost yet: {result}");
    }
    assert_eq!(reliable["inOrder"], true, "{result}");
}

fn assert_flowed(who: &str, result: &Value) {
    tell(format_args!("{FLOW} messages each way at 5 % loss, {who}: {result}"));
    for way in ["up", "down"] {
        let [arrived, distinct] =
            ["arrived", "distinct"].map(|n| result[way][n].as_u64().expect("a number"));
        assert_eq!(arrived, distinct, "{way}, one came twice: {result}");
        let share = arrived as f64 / FLOW as f64;
        assert!(share >= LEAST_ARRIVED, "{way}, {share} of all: {result}");
        assert!(way == "down" || share < 1.0, "was anything lost? {result}");
    }
}

/// What the server says of a peer: `Open Received* Closed`, as it ought to be.
fn assert_lived(told: &Value) {
    println!("server: {told}");
    assert_eq!(told["id"], "0", "{told}");
    assert_eq!(told["offences"], Value::Array(Vec::new()), "{told}");
    assert_eq!(told["reason"], "Some(ClosedByPeer)", "{told}");
    let least = ECHOES * 2 + (FLOW as f64 * LEAST_ARRIVED) as u64;
    assert!(told["received"].as_u64().expect("a number") > least, "{told}");
}

/// The client's next line, which should be about this.
fn part(client: &Lines, name: &str) -> Value {
    let mut line = line(client);
    assert!(line.get(name).is_some(), "instead of {name}: {line}");
    line[name].take()
}

fn line(program: &Lines) -> Value {
    let line = program.next(PATIENCE).expect("a line");
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

fn listening(server: &Lines) -> String {
    let line = server.next(SOON).expect("a line");
    line.strip_prefix("listening ").unwrap_or_else(|| panic!("instead: {line}")).to_owned()
}

fn pion() -> Command {
    Command::new(installed("NET_TESTS_PION", "pion/client"))
}

fn node(stack: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("node/client.mjs"))
        .env("NET_TESTS_NODE", installed("NET_TESTS_NODE", "node"))
        .args(["--stack", stack]);
    command
}

/// What `tests/all` has put into the target's folder.
fn installed(variable: &str, place: &str) -> PathBuf {
    env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(place), PathBuf::from)
}

mod fragmented {
    use super::*;

    /// The data of a packet, in bytes.
    const PIECE: u32 = 1_088;
    /// Without a message, while several whole ones come in that time.
    const LONGEST_SILENCE: u64 = 250;

    /// Bytes, how many, how many a second, and the share of packets that are lost.
    const FLOWS: [(u32, u32, u32, f64); 3] =
        [(2_500, 400, 50, 0.05), (3_000, 400, 50, 0.1), (20_000, 100, 10, 0.05)];

    #[track_caller]
    pub(super) fn assert_delivered(who: &str, client: impl Fn() -> Command) {
        for (bytes, count, rate, loss) in FLOWS {
            let (mut wire, _server, address) = serve(loss);
            let mut client = client();
            client.arg(format!("ws://{address}")).args(["--close=channel", "--echoes=0"]);
            client.args([format!("--flow={count}"), format!("--rate={rate}")]);
            let mut client =
                Lines::start(client.arg(format!("--bytes={bytes}"))).expect("a client");
            part(&client, "echoed");
            wire.worsen().expect("a wire");
            client.tell("go on").expect("it listens");
            let flowed = part(&client, "flowed");
            let of = format!("{count} of {bytes} bytes at {loss} loss, {who}");
            tell(format_args!("{of}: {}", flowed["down"]));
            let number = |way: &str, name: &str| flowed[way][name].as_u64().expect("a number");
            assert_eq!(number("down", "arrived"), number("down", "distinct"), "{of}: {flowed}");
            // On a busy machine the path seems to be.
            let unsent = number("up", "unsent");
            let left = f64::from(count) - unsent as f64;
            let share = number("down", "distinct") as f64 / left;
            let whole = (1.0 - loss).powi(bytes.div_ceil(PIECE) as i32);
            let deviation = (whole * (1.0 - whole) / left).sqrt();
            assert!(share >= whole - 4.0 * deviation, "{of}, {share} of {whole}: {flowed}");
            // Of the longest messages few are whole.
            let is_silent = unsent == 0 && number("down", "longestMs") > LONGEST_SILENCE;
            assert!(whole < 0.5 || !is_silent, "{of}: {flowed}");
        }
    }
}
