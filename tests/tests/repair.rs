//! What repair brings to an unmodified client, in virtual time. The same over minutes: `cargo run
//! --release -p net-tests --bin fresh -- repair`.

use std::time::Duration;

use net::Repair;
use net_tests::lab::{self, Cell, Log, Report, Run};
use net_tests::link::Loss;

const TIME: Duration = Duration::from_secs(120);
const NONE: Loss = Loss::Random(0.0);
const RUNS: Loss = Loss::Runs { share: 0.05, mean: 3.0 };

fn run(loss: Loss, repair: Repair) -> Log {
    Run::new(Cell { time: TIME, ..lab::repair_cell(loss, repair) }).finish()
}

fn assert_repaired(loss: Loss) {
    for repair in [Repair::WhileLossy, Repair::On] {
        let misses = lab::repair_misses(&run(loss, repair));
        assert!(misses.is_empty(), "{loss:?}, {repair:?}: {}", misses.join(", "));
    }
}

#[test]
fn single_losses_are_repaired() {
    for share in [0.01, 0.05, 0.1] {
        assert_repaired(Loss::Random(share));
    }
}

#[test]
fn runs_of_losses_are_repaired() {
    assert_repaired(RUNS);
}

/// Without this the tests before could not tell good from bad.
#[test]
fn without_it_what_is_lost_is_lost() {
    for loss in [Loss::Random(0.05), RUNS] {
        let report = Report::of(&run(loss, Repair::Off));
        let share = report.delivered_share();
        assert!((0.93..0.97).contains(&share) && report.p99 == report.median, "{report}");
    }
}

#[test]
fn without_loss_the_default_costs_nothing() {
    let [off, lossy] =
        [Repair::Off, Repair::WhileLossy].map(|repair| Report::of(&run(NONE, repair)));
    assert_eq!((off.forth, off.back), (lossy.forth, lossy.back));
    let on = Report::of(&run(NONE, Repair::On));
    assert!(on.forth.bytes > 1.7 * off.forth.bytes, "{:?}", on.forth);
    assert!(on.forth.datagrams < 1.02, "copies ride, they do not walk: {:?}", on.forth);
}
