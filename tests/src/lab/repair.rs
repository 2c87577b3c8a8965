//! What repair brings, and what it costs.

use std::time::Duration;

use net::Repair;

use super::report::Ms;
use super::trial::misses;
use super::{Cell, Load, Log, Report, Row, Run, Table, Trial};
use crate::link::{Conditions, Direction, Loss};

const LOAD: Load = Load::steady(60, 200);
const TICK: Duration = Duration::from_micros(16_667);
const DELAY: Duration = Duration::from_millis(20);
/// Until then the server may not have seen that there is loss.
const UNSEEN: Duration = Duration::from_secs(5);
/// How much latency is no more than rounding.
const OVER: Duration = Duration::from_millis(1);

const LOSSES: [Loss; 6] = [
    Loss::Random(0.0),
    Loss::Random(0.01),
    Loss::Random(0.05),
    Loss::Random(0.1),
    Loss::Random(0.2),
    Loss::Runs { share: 0.05, mean: 3.0 },
];

/// 60 messages of 200 bytes a second to the client over 20 ms.
pub fn repair_cell(loss: Loss, repair: Repair) -> Cell {
    let cell = Cell::new(LOAD, DELAY, 0.0, Direction::Down);
    Cell { repair, conditions: Conditions { loss, ..cell.conditions }, ..cell }
}

/// The targets that were missed. [`Repair::WhileLossy`] has to see loss first.
pub fn repair_misses(log: &Log) -> Vec<String> {
    let report = counted(log);
    let (wanted, ticks) = match (log.cell.repair, log.cell.conditions.loss) {
        (Repair::Off, _) => (0.0, 0),
        (_, Loss::Random(loss)) if loss <= 0.051 => (0.995, 2),
        (_, Loss::Random(loss)) if loss <= 0.11 => (0.985, 2),
        (_, Loss::Random(_)) => (0.0, 20),
        (_, Loss::Runs { .. }) => (0.99, 4),
    };
    let (share, longest) = (report.delivered_share(), DELAY + OVER + TICK * ticks);
    let mut missed = log.faults();
    missed.extend(misses([
        (share < wanted, format!("{:.2} % arrived", share * 100.0)),
        (report.median > DELAY + OVER, format!("median {}", Ms(report.median))),
        (report.p99 > longest, format!("p99 {}", Ms(report.p99))),
    ]));
    missed
}

/// Every kind of repair under every kind of loss.
pub fn repair(seed: u64, time: Duration) -> Table {
    let mut trials = Vec::new();
    for loss in LOSSES {
        for repair in [Repair::Off, Repair::WhileLossy, Repair::On] {
            let cell = Cell { seed, time, ..repair_cell(loss, repair) };
            let name = format!("{}, {}", loss_words(loss), words(repair));
            trials.push(Trial::new(name, move |_| row(&Run::new(cell).finish())));
        }
    }
    Table {
        title: "Repair",
        about: format!(
            "60/s x 200 B to the client, 20 ms one way, loss both ways. Datagrams and bytes of \
             their payload are per message, and those that come back. Latency is that of the \
             messages that arrived after the first 5 s. Targets, on and while lossy after the \
             first 5 s: 99.5 % arrive at 1 and 5 % loss, 98.5 % at 10 %, 99 % at 5 % in \
             runs of 3; the median stays, p99 is at most 2 ticks later (4 against runs). {} s a \
             row, seed {seed}.",
            time.as_secs()
        ),
        head: "loss | repair | arrived | after 5 s | median / p99 / max | datagrams + back | bytes + back",
        trials,
    }
}

fn row(log: &Log) -> Row {
    let (report, after) = (Report::of(log), counted(log));
    let (forth, back) = (report.forth, report.back);
    let cells = format!(
        "{} | {} | {:.2} % | {:.2} % | {} / {} / {} | {:.2} + {:.2} | {:.0} + {:.0}",
        loss_words(log.cell.conditions.loss),
        words(log.cell.repair),
        report.delivered_share() * 100.0,
        after.delivered_share() * 100.0,
        Ms(after.median),
        Ms(after.p99),
        Ms(after.max),
        forth.datagrams,
        back.datagrams,
        forth.bytes,
        back.bytes,
    );
    let judged = log.cell.repair != Repair::Off;
    Row { cells, misses: judged.then(|| repair_misses(log)) }
}

fn counted(log: &Log) -> Report {
    Report::of(&log.part(UNSEEN, log.cell.time))
}

fn words(repair: Repair) -> &'static str {
    match repair {
        Repair::Off => "off",
        Repair::WhileLossy => "while lossy",
        Repair::On => "on",
    }
}

fn loss_words(loss: Loss) -> String {
    match loss {
        Loss::Random(share) => format!("{:.0} %", share * 100.0),
        Loss::Runs { share, mean } => format!("{:.0} % in runs of {mean:.0}", share * 100.0),
    }
}
