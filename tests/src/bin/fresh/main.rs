//! Measures the unreliable path over loads and bad networks in virtual time.

mod arguments;
mod crew;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use net_tests::lab::{
    self, Cell, Duel, Duels, Hunt, Long, Profile, Row, Rule, Sample, Table, Trial,
};
use net_tests::link::Direction;
use net_tests::plane::Plane;

use self::arguments::{Command, HELP, Name, Settings, parse};

/// How long each rule plays a profile.
const PROFILE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    lab::warnings::listen();
    match parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Long(settings)) => exit(Ok(long(settings.seed))),
        Ok(Command::Tables(names, settings)) => exit(show_all(&names, &settings)),
        Err(error) => exit(Err(error)),
    }
}

/// Whether every target was reached, or why nothing was measured.
fn exit(result: Result<bool, String>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fresh: {error}");
            ExitCode::from(2)
        }
    }
}

fn long(seed: u64) -> bool {
    let mut passed = true;
    // One after the other, for the memory that is measured is that of the whole process.
    for direction in [Direction::Down, Direction::Up] {
        let long = Long::run(direction, seed);
        let misses = long.misses();
        passed &= misses.is_empty();
        println!("{direction:?}\n{long}\n{}\n", verdict(&misses));
    }
    passed
}

fn verdict(misses: &[String]) -> String {
    match misses {
        [] => "pass".to_owned(),
        _ => format!("MISSED: {}", misses.join(", ")),
    }
}

fn show_all(names: &[Name], settings: &Settings) -> Result<bool, String> {
    let mut passed = true;
    for name in names {
        passed &= match (name, settings.profile) {
            (Name::Profiles, Some(number)) => profile(number, settings),
            (Name::Profiles, None) => profiles(settings),
            (Name::Hunt, _) => hunt(settings),
            (Name::Connect, _) => connect(settings)?,
            (name, _) if settings.seeds > 1 => repeat(*name, settings)?,
            (name, _) => show(table(*name, settings), settings)?,
        };
    }
    Ok(passed)
}

fn table(name: Name, settings: &Settings) -> Table {
    let (seed, minute) = (settings.seed, settings.minute());
    match name {
        Name::Latency | Name::Profiles | Name::Hunt => latency(settings),
        Name::Bounds => lab::bounds(seed, minute),
        Name::Connect => lab::connect(seed, connections(settings)),
        Name::Overload => lab::overload(seed, minute),
        Name::Share => lab::share(seed, minute),
        Name::Tcp => lab::tcp(seed, minute),
        Name::Lift => lab::lift(seed),
        Name::Slow => lab::slow(seed, settings.time),
        Name::Repair => lab::repair(seed, settings.time.unwrap_or(Duration::from_secs(300))),
    }
}

/// Runs what is wanted of a table and prints it.
fn show(mut table: Table, settings: &Settings) -> Result<bool, String> {
    choose(&mut table, settings)?;
    let rows = match settings.trace {
        true => table.trials.iter().map(traced).collect(),
        false => run(&table.trials),
    };
    print(&table, &rows);
    Ok(!rows.iter().any(Row::is_missed))
}

/// Leaves the rows that are wanted.
fn choose(table: &mut Table, settings: &Settings) -> Result<(), String> {
    let names: Vec<_> = table.trials.iter().map(|trial| trial.name.clone()).collect();
    table.trials.retain(|trial| settings.wants(&trial.name));
    match table.trials.is_empty() {
        false => Ok(()),
        true => {
            let (only, names) = (&settings.only, names.join("\n  "));
            Err(format!("no row has {only:?} in its name; there are\n  {names}"))
        }
    }
}

fn run(trials: &[Trial]) -> Vec<Row> {
    crew::work(trials, |trial| {
        let row = trial.run(&mut |_| {});
        (format!("{}: {row}", trial.name), row)
    })
}

/// Runs what is wanted of a table by several seeds, and prints which seeds miss a target.
fn repeat(name: Name, settings: &Settings) -> Result<bool, String> {
    let seeds = settings.seed..settings.seed + settings.seeds;
    let mut missed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for seed in seeds.clone() {
        let mut table = table(name, &Settings { seed, ..settings.clone() });
        choose(&mut table, settings)?;
        for (trial, row) in table.trials.iter().zip(run(&table.trials)) {
            let Some(misses) = row.misses else { continue };
            let words = (!misses.is_empty()).then(|| format!("{seed}: {}", misses.join(", ")));
            missed.entry(trial.name.clone()).or_default().extend(words);
        }
    }
    println!("### {name:?}, seeds {seeds:?}\n\n| row | missed | seed: by what |\n|---|---|---|");
    missed.iter().for_each(|(row, by)| println!("| {row} | {} | {} |", by.len(), by.join("; ")));
    println!();
    Ok(missed.values().all(Vec::is_empty))
}

fn traced(trial: &Trial) -> Row {
    println!("{}", trial.name);
    let mut before = None;
    let row = trial.run(&mut |sample| trace(&mut before, sample));
    println!();
    row
}

/// Prints what happened since the sample before.
fn trace(before: &mut Option<Sample>, sample: &Sample) {
    match before {
        Some(before) if before.at < sample.at => println!("{}", sample.line(before)),
        _ => println!("{}", Sample::head(sample.flows.len())),
    }
    *before = Some(sample.clone());
}

fn print(table: &Table, rows: &[Row]) {
    println!("{}", table.head());
    rows.iter().for_each(|row| println!("{row}"));
    let judged = rows.iter().filter(|row| row.misses.is_some()).count();
    let passed = judged - rows.iter().filter(|row| row.is_missed()).count();
    println!("\n{passed} of {judged} rows with targets reached them all.\n");
}

/// The grid, our data plane beside plain SCTP.
fn latency(settings: &Settings) -> Table {
    let (time, seed) = (settings.minute(), settings.seed);
    let cells = lab::grid().into_iter().map(|cell| Cell { time, seed, ..cell });
    let trial = |cell: Cell| {
        Trial::new(cell.to_string(), move |_| {
            let [stock, ours] = [Plane::Stock, Plane::Ours].map(|plane| cell.by(plane).measure());
            Row::judged(lab::row(&cell, &stock, &ours), ours.misses())
        })
    };
    let about = format!(
        "A server with plain SCTP (stock) beside one with our data plane; the client is stock. \
         Latency is that of the messages that arrived. Silence is the longest time between two \
         arrivals, in brackets the longest in which the network had not dropped what was due. \
         Datagrams and bytes of their payload are per message, and those that come back. {} s a \
         row, seed {seed}; to the server the first 3 s do not count.",
        time.as_secs()
    );
    Table { title: "Latency", about, head: lab::HEAD, trials: cells.map(trial).collect() }
}

fn profiles(settings: &Settings) -> bool {
    let drawn = (0..settings.count).map(|number| draw(number, settings));
    let wanted: Vec<_> = drawn.filter(|profile| settings.wants(&profile.to_string())).collect();
    let duels = Duels(crew::work(&wanted, |profile| {
        let duel = Duel::play(profile, &mut |_, _| {});
        (format!("{profile}: {duel}"), duel)
    }));
    println!("### The default congestion control against the simple one\n");
    println!(
        "{} random links: 0.1 to 5 Mbit/s with 20 to 500 ms of queue, 5 to 150 ms one way, half \
         of them with jitter up to 20 ms, half with loss up to 3 %, a third each alone, with \
         steady cross traffic and with bursts of it; 0.8 to 10 times what the link carries is \
         offered. {} s each by each rule, the first 3 not counted, seed {}.\n",
        wanted.len(),
        settings.time.unwrap_or(PROFILE).as_secs(),
        settings.seed,
    );
    println!("{}\n\n{}\n", duels.table(), verdict(&duels.misses()));
    duels.misses().is_empty()
}

/// How many connections make a row.
fn connections(settings: &Settings) -> u64 {
    if settings.seeds > 1 || settings.trace { settings.seeds } else { 200 }
}

/// Connections; with a trace, each datagram of them.
fn connect(settings: &Settings) -> Result<bool, String> {
    if settings.trace {
        for meeting in lab::meetings(settings.seed, connections(settings)) {
            if settings.wants(&meeting.to_string()) {
                println!("{meeting}, seed {}", meeting.meeting.seed);
                let met = meeting.meeting.run();
                met.datagrams.iter().for_each(|sent| println!("{sent}"));
                println!("opened at {:?}, {:?}\n", met.opened, met.ended);
            }
        }
        return Ok(true);
    }
    show(table(Name::Connect, settings), settings)
}

/// What must never happen, over random networks.
fn hunt(settings: &Settings) -> bool {
    let hunts = (0..settings.count).map(|number| Hunt::draw(settings.seed, number));
    let wanted: Vec<_> = hunts.filter(|hunt| settings.wants(&hunt.to_string())).collect();
    let found = crew::work(&wanted, |hunt| {
        let faults = hunt.run();
        (format!("{hunt}: {}", verdict(&faults)), faults)
    });
    let found = wanted.iter().zip(&found).filter(|(_, faults)| !faults.is_empty());
    let lines: Vec<_> =
        found.map(|(hunt, faults)| format!("- {hunt}: {}\n", faults.join(", "))).collect();
    println!("### Faults over random networks, seed {}\n", settings.seed);
    println!("{} of {} runs show a fault.\n\n{}", lines.len(), wanted.len(), lines.concat());
    lines.is_empty()
}

/// One profile, by both rules.
fn profile(number: u64, settings: &Settings) -> bool {
    let profile = draw(number, settings);
    println!("{profile}");
    let (mut rule_before, mut before) = (None, None);
    let duel = Duel::play(&profile, &mut |rule: Rule, sample| {
        if settings.trace {
            if rule_before.replace(rule) != Some(rule) {
                println!("\n{rule}");
            }
            trace(&mut before, sample);
        }
    });
    println!("adaptive: {}\nsimple: {}\n{duel}", duel.adaptive, duel.simple);
    Duels(vec![duel]).misses().is_empty()
}

fn draw(number: u64, settings: &Settings) -> Profile {
    let mut profile = Profile::draw(settings.seed, number);
    profile.scene.time = settings.time.unwrap_or(PROFILE);
    profile
}
