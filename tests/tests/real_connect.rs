//! How soon real browsers connect: real kernels, a real server, and a link of 100 ms each way,
//! for the websocket and for WebRTC alike.
//!
//! The time is from the page's `setLocalDescription` to its channel's `open`. The long table,
//! with every switch of [`HandshakeOptions`](net::HandshakeOptions) on its own, is left out unless asked
//! for (6 minutes):
//!
//! ```text
//! NET_REAL=connect tests/lib/private-network cargo test --offline --workspace \
//!     --test real_connect table_of -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use net_tests::agent::Manners;
use net_tests::browser::Kind::{self, Chromium, Firefox};
use net_tests::client::{Client, News};
use net_tests::link::{Conditions, Loss};
use net_tests::program::Program;
use net_tests::real::{
    BROWSERS, Packet, Page, Request, SWITCHES, Step, Tries, Visitor, Wire, asked_for, assert_met,
    connect,
};

/// One way.
const FAR: Duration = Duration::from_millis(100);
/// The address of this machine that Firefox uses; see `tests/lib/private-network`.
const HERE: &str = "198.51.100.1";
const LOSS: f64 = 0.05;
const SERVER: &str = env!("CARGO_BIN_EXE_echo-server");

/// Chromium 156 has SNAP behind this.
const SNAP: Visitor =
    Visitor { kind: Chromium, arguments: &["--enable-blink-features=WebRtcSctpSnap"] };

/// Most that the median may take, and 95 of 100 tries.
#[derive(Clone, Copy)]
struct Bar {
    median: Duration,
    p95: Duration,
}

const CHROMIUM_OURS: Bar = Bar::median(700);
const CHROMIUM_OLD: Bar = Bar::median(900);
const CHROMIUM_SNAP: Bar = Bar::median(450);
const FIREFOX_OURS: Bar = Bar::median(650);
const FIREFOX_OLD: Bar = Bar::median(1_050);
const CHROMIUM_LOSSY: Bar =
    Bar { median: Duration::from_millis(900), p95: Duration::from_millis(2_500) };
const NARROW: Bar = Bar::median(3_500);
/// How much slower than stock a connect may be on loopback, where there is little to save.
const LOOPBACK_OVER: Duration = Duration::from_millis(3);

/// Within which all of a crowd are open.
const CROWD: Duration = Duration::from_secs(5);

const HEAD: &str = "\
| server | page | browser | link | median / p95 / most | failed | manner | targets |
|---|---|---|---|---|---|---|---|";

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn from_far_away() {
    println!("{HEAD}");
    assert_met(far_away(&["all"], 6));
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn with_snap() {
    println!("{HEAD}");
    assert_met(snap(&["all"], 6));
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn over_a_link_that_loses() {
    println!("{HEAD}");
    assert_met(lossy(&["all"], 50));
}

/// A browser that begins DTLS has a ClientHello that is too long for such a path, and cuts it anew.
#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn where_long_packets_vanish() {
    println!("{HEAD}");
    for (server, max_packet) in [("compatible", 1_280), ("all", 800)] {
        assert_met(narrow(server, max_packet));
    }
}

#[test]
#[ignore = "needs root, Chromium and Firefox: run tests/all"]
fn on_loopback() {
    println!("{HEAD}");
    assert_met(loopback(10));
}

/// All at once, each for itself and without another try. Forty in one page would be no crowd: a
/// browser opens its websockets to one host one after the other (RFC 6455 §4.1).
#[test]
#[ignore = "needs root: run tests/all"]
fn sixty_behind_one_address() {
    let (_wire, place) = Place::far(&["all"], 0.0);
    let address = format!("{}:{}", place.host, place.servers[0].1.port()).parse().unwrap();
    let players = (0..60).map(|_| thread::spawn(move || opens(address))).collect::<Vec<_>>();
    let heard: Vec<_> = players.into_iter().map(|player| player.join().unwrap()).collect();
    let slowest = heard.iter().flatten().max();
    println!("sixty at 200 ms, the slowest: {slowest:?}");
    let refused: Vec<_> = heard.iter().filter_map(|heard| heard.as_ref().err()).collect();
    assert!(refused.is_empty(), "{} of 60: {:?}", refused.len(), refused[0]);
    assert!(slowest < Some(&CROWD), "{slowest:?}");
}

/// How long it took.
fn opens(server: SocketAddr) -> Result<Duration, String> {
    let began = Instant::now();
    let mut client = Client::begin(server, Manners::Good).map_err(|error| error.to_string())?;
    match client.next(CROWD) {
        Some(News::Open) => Ok(began.elapsed()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
#[ignore = "with NET_REAL=connect, about 6 minutes"]
fn table_of_connects() {
    if !asked_for("connect") {
        return;
    }
    let without: Vec<String> = SWITCHES.iter().map(|(name, _)| format!("all,-{name}")).collect();
    let named = ["all", "compatible", "stock"];
    let all: Vec<&str> = named.into_iter().chain(without.iter().map(String::as_str)).collect();
    println!("{HEAD}");
    let missed = [
        far_away(&all, 10),
        snap(&["all", "stock"], 10),
        lossy(&["all", "stock"], 50),
        loopback(30),
    ];
    assert_met(missed.concat());
}

/// What went over the link in the slowest of many connects, packet by packet.
#[test]
#[ignore = "with NET_REAL=trace, about 3 minutes"]
fn trace_of_the_slowest_connect() {
    if !asked_for("trace") {
        return;
    }
    for kind in [Chromium, Firefox] {
        let (mut wire, place) = Place::far(&["all"], LOSS);
        wire.play(&[Step::Record(1_500)]).unwrap();
        let row = place.rows(plain(kind), &[Page::Ours], 60, 1).remove(0);
        println!("{HEAD}\n{row} |");
        let slowest = row.tries.connected.last().unwrap();
        let began = slowest.ended - slowest.took.as_micros() as u64;
        for packet in Packet::told(&wire.told().unwrap()) {
            if (began..slowest.ended + 200_000).contains(&packet.at) {
                println!("{:7.1} ms {packet}", (packet.at - began) as f64 / 1e3);
            }
        }
    }
}

/// Both browsers, with both pages.
fn far_away(servers: &[&str], tries: usize) -> Vec<String> {
    let (_wire, place) = &Place::far(servers, 0.0);
    let chromium = [(Page::Ours, CHROMIUM_OURS), (Page::Old, CHROMIUM_OLD)];
    let firefox = [(Page::Ours, FIREFOX_OURS), (Page::Old, FIREFOX_OLD)];
    thread::scope(|scope| {
        let other = scope.spawn(move || place.visit(plain(Firefox), &firefox, tries, 2));
        [place.visit(plain(Chromium), &chromium, tries, 2), other.join().unwrap()].concat()
    })
}

fn snap(servers: &[&str], tries: usize) -> Vec<String> {
    let (_wire, place) = Place::far(servers, 0.0);
    place.visit(SNAP, &[(Page::Ours, CHROMIUM_SNAP)], tries, 2)
}

fn lossy(servers: &[&str], tries: usize) -> Vec<String> {
    let pages = [(Page::Ours, CHROMIUM_LOSSY)];
    let (_wire, place) = Place::far(servers, LOSS);
    place.visit(plain(Chromium), &pages, tries, 5)
}

fn narrow(server: &str, max_packet: usize) -> Vec<String> {
    let (_wire, place) = &Place::narrow(&[server], max_packet);
    let missed = BROWSERS.map(|kind| place.visit(plain(kind), &[(Page::Ours, NARROW)], 3, 3));
    missed.concat()
}

/// One after the other, in turns with a stock server.
fn loopback(tries: usize) -> Vec<String> {
    let place = Place::here(&["stock", "all"]);
    [Chromium, Firefox].into_iter().filter_map(|kind| slower(&place, kind, tries)).collect()
}

fn slower(place: &Place, kind: Kind, tries: usize) -> Option<String> {
    let rows = place.rows(plain(kind), &[Page::Ours], tries, 1);
    rows.iter().for_each(|row| println!("{row} - |"));
    let [stock, ours] = [0, 1].map(|index| rows[index].tries.quantile(0.5));
    let most = stock.unwrap() + LOOPBACK_OVER;
    ours.is_none_or(|ours| ours > most).then(|| format!("{kind:?}: {ours:?} after {stock:?}"))
}

const fn plain(kind: Kind) -> Visitor {
    Visitor { kind, arguments: &[] }
}

/// Servers on one machine, each with its way to connect.
struct Place {
    servers: Vec<(String, Program)>,
    words: String,
    host: String,
}

/// One line of the table but for its end.
struct Row {
    server: String,
    page: Page,
    visitor: Visitor,
    link: String,
    tries: Tries,
}

impl Bar {
    const fn median(milliseconds: u64) -> Bar {
        Bar { median: Duration::from_millis(milliseconds), p95: Duration::MAX }
    }

    fn missed(self, tries: &Tries) -> Vec<&'static str> {
        let over = |share, most: Duration| tries.quantile(share).is_none_or(|took| took > most);
        let checks = [
            (over(0.5, self.median), "median"),
            (self.p95 < Duration::MAX && over(0.95, self.p95), "p95"),
        ];
        checks.into_iter().filter_map(|(missed, word)| missed.then_some(word)).collect()
    }
}

impl Place {
    /// On another machine.
    fn far(servers: &[&str], loss: f64) -> (Wire, Place) {
        let loss = Loss::Random(loss);
        Place::over(servers, Conditions { delay: FAR, loss, ..Conditions::default() })
    }

    /// On another machine, and longer packets vanish on the way.
    fn narrow(servers: &[&str], max_packet: usize) -> (Wire, Place) {
        let max_packet = Some(max_packet);
        Place::over(servers, Conditions { delay: FAR, max_packet, ..Conditions::default() })
    }

    fn over(servers: &[&str], conditions: Conditions) -> (Wire, Place) {
        let link = env!("CARGO_BIN_EXE_lossy-link");
        let mut wire = Wire::new(link.as_ref(), conditions, 1).unwrap();
        wire.worsen().unwrap();
        let host = wire.address().to_owned();
        let serve = |words: &&str| serve(wire.machine().command(SERVER), &host, words);
        let servers = servers.iter().map(serve).collect();
        let words = match (conditions.loss, conditions.max_packet) {
            (_, Some(max)) => format!("{FAR:?}, {max} B at most"),
            (Loss::Random(loss) | Loss::Runs { share: loss, .. }, None) => {
                format!("{FAR:?}, {:.0} %", loss * 100.0)
            }
        };
        (wire, Place { servers, words, host })
    }

    /// On this machine.
    fn here(servers: &[&str]) -> Place {
        let servers = servers.iter().map(|words| serve(Command::new(SERVER), HERE, words));
        let servers = servers.collect();
        Place { servers, words: "loopback".into(), host: HERE.into() }
    }

    /// Prints a row for each server and page; what the first server missed.
    fn visit(
        &self,
        visitor: Visitor,
        pages: &[(Page, Bar)],
        tries: usize,
        parallel: usize,
    ) -> Vec<String> {
        let names: Vec<Page> = pages.iter().map(|(page, _)| *page).collect();
        let rows = self.rows(visitor, &names, tries, parallel);
        let mut all = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let missed = match pages.get(index) {
                Some((_, bar)) => bar.missed(&row.tries),
                None => Vec::new(),
            };
            let verdict = match (index < pages.len(), missed.is_empty()) {
                (false, _) => "-".to_owned(),
                (true, true) => "met".to_owned(),
                (true, false) => format!("**missed**: {}", missed.join(", ")),
            };
            println!("{row} {verdict} |");
            row.tries.failed.first().iter().for_each(|why| println!("failed: {why}"));
            if !missed.is_empty() {
                all.push(format!("{row} {verdict}"));
            }
        }
        all
    }

    fn rows(&self, visitor: Visitor, pages: &[Page], tries: usize, parallel: usize) -> Vec<Row> {
        let of = |server: &Program| pages.iter().map(|page| (*page, server.port())).collect();
        let runs: Vec<_> =
            self.servers.iter().flat_map(|(_, server)| -> Vec<_> { of(server) }).collect();
        let request = Request { host: &self.host, runs: &runs, tries, parallel };
        let all = connect(visitor, &request).unwrap();
        let names =
            self.servers.iter().flat_map(|(name, _)| pages.iter().map(move |page| (name, page)));
        let row = |((server, page), tries): ((&String, &Page), Tries)| {
            let (server, link) = (server.clone(), self.words.clone());
            Row { server, page: *page, visitor, link, tries }
        };
        names.zip(all).map(row).collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { server, page, visitor, link, tries } = self;
        let browser = match visitor.arguments {
            [] => format!("{:?}", visitor.kind),
            some => format!("{:?} {}", visitor.kind, some.join(" ")),
        };
        let ms = |took: Option<Duration>| match took {
            Some(took) => format!("{:.0}", took.as_secs_f64() * 1e3),
            None => "-".to_owned(),
        };
        let [median, p95] = [0.5, 0.95].map(|share| ms(tries.quantile(share)));
        let most = ms(tries.connected.last().map(|one| one.took));
        write!(f, "| {server} | {page} | {browser} | {link} | {median} / {p95} / {most} ms |")?;
        write!(f, " {} of {} | {} |", tries.failed.len(), tries.count(), tries.manner)
    }
}

fn serve(mut command: Command, host: &str, words: &str) -> (String, Program) {
    let address = format!("{host}:0");
    let server = Program::start(command.args([&address, "--connecting", words])).unwrap();
    (words.to_owned(), server)
}
