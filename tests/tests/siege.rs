//! A server process alone on its processor, attacked over real sockets.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use net_tests::agent::Manners;
use net_tests::client::{Client, News};
use net_tests::numbers::tell;
use net_tests::soak::{Assault, Host, Latency, Place};

/// Honest clients that come while the flood goes on, one after the other.
const TRIES: usize = 300;
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
#[ignore = "for 20 seconds it wants both processors, see tests/all"]
fn t19_two_thousand_half_open_connections_leave_a_place_for_the_honest() {
    Place::Honest.enter();
    for words in [&[][..], &["--public"]] {
        let mut host = Host::start(soak(), words).expect("a server");
        let quiet = openings(&host);
        let flood = Assault::start(soak(), "half open", host.address(), 1).expect("a server");
        wait_for_a_crowd(&mut host);
        let under = openings(&host);
        let report = host.report().expect("a server");
        println!("{}; {report:?}; refused {:?}", flood.end().expect("a flood"), under.refused);
        let share = under.latency.share_within(Duration::from_secs(1)) * under.share();
        tell(format_args!(
            "2,000 half-open connections from 64 addresses, {}: {:.1} % open within 1 s; quiet {}; \
             under {}",
            if words.is_empty() { "local" } else { "public" },
            share * 100.0,
            quiet.latency,
            under.latency,
        ));
        assert!(share >= 0.99, "{share}");
    }
}

/// Every attacker in its turn, and what stays: see the program `soak`.
#[test]
#[ignore = "for 2 minutes it wants both processors, see tests/all"]
fn t12_the_honest_notice_no_attack() {
    let output =
        Command::new(soak()).args(["--minutes", "1", "--phase", "2"]).output().expect("a server");
    let (told, errors) = (&output.stdout, &output.stderr);
    print!("{}{}", String::from_utf8_lossy(told), String::from_utf8_lossy(errors));
    assert!(output.status.success());
}

/// What came of all tries.
#[derive(Default)]
struct Openings {
    latency: Latency,
    refused: Vec<String>,
}

impl Openings {
    /// Of those that opened.
    fn share(&self) -> f64 {
        self.latency.len() as f64 / TRIES as f64
    }
}

fn openings(host: &Host) -> Openings {
    let mut openings = Openings::default();
    for _ in 0..TRIES {
        let began = Instant::now();
        match open(host) {
            Ok(_client) => openings.latency.push(began.elapsed()),
            Err(words) => openings.refused.push(words),
        }
    }
    openings
}

fn open(host: &Host) -> Result<Client, String> {
    let mut client = Client::begin(host.address(), Manners::Good).map_err(|e| e.to_string())?;
    match client.next(PATIENCE) {
        Some(News::Open) => Ok(client),
        other => Err(format!("{other:?}")),
    }
}

/// Until connections give way for others.
fn wait_for_a_crowd(host: &mut Host) {
    let end = Instant::now() + PATIENCE;
    while host.report().expect("a server").refused < 1_000 {
        assert!(Instant::now() < end, "{:?}", host.report());
    }
}

fn soak() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_soak"))
}
