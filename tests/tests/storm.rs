//! Whole servers in bad weather, by seeds. The failing one is printed with the command that
//! replays it; `STORM_SEED=n cargo test -p net-tests --test storm` runs it alone.

use std::alloc::System;

use net_tests::memory::{self, Allocator};
use net_tests::numbers::tell;
use net_tests::storm::{self, Options, Outcome, Price, Scale, Tally};

#[global_allocator]
static GLOBAL: Allocator<System> = Allocator::system();

/// Small seeds, in two halves for two processors.
const SEEDS: u64 = 200;
/// Of those so many run twice.
const TWICE: u64 = 100;
/// And of those so many without their attackers.
const COMPARED: u64 = 40;

#[test]
fn a_hundred_small_storms_do_the_same_again() {
    assert_same(TWICE..SEEDS);
}

#[test]
fn a_hundred_more_and_the_honest_do_not_notice_attackers() {
    run(0..TWICE, COMPARED);
}

/// Runs each seed, and again.
fn assert_same(seeds: std::ops::Range<u64>) {
    let (mut tally, mut price) = (Tally::default(), Price::default());
    for seed in chosen(seeds) {
        let [one, other] = [(); 2].map(|()| ran(storm::run(seed, Scale::Small, OPTIONS)));
        let differs = one.log.iter().zip(&other.log).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.log.len(), other.log.len(), "seed {seed}");
        assert_eq!(one.tally, other.tally, "seed {seed}");
        tally.add(&one.tally);
        price.add(one.price);
    }
    tell(format_args!("{} seeds twice, 0 violations, {price}, {tally}", tally.seeds));
}

fn run(seeds: std::ops::Range<u64>, compared: u64) {
    let (mut tally, mut price) = (Tally::default(), Price::default());
    for seed in chosen(seeds) {
        let outcome = match seed < compared {
            true => storm::compare(seed, Scale::Small, OPTIONS),
            false => storm::run(seed, Scale::Small, OPTIONS),
        };
        let outcome = ran(outcome);
        tally.add(&outcome.tally);
        price.add(outcome.price);
    }
    tell(format_args!("{} seeds, 0 violations, {price}, {tally}", tally.seeds));
    assert!(price.most_bytes > 0, "memory is counted");
}

const OPTIONS: Options = Options { trace: false, longest_call: None };

fn ran(outcome: Outcome) -> Outcome {
    if let Some(violation) = &outcome.violation {
        panic!("{violation}");
    }
    outcome
}

fn chosen(seeds: std::ops::Range<u64>) -> Vec<u64> {
    memory::count();
    match std::env::var("STORM_SEED") {
        Ok(seed) => vec![seed.parse().expect("STORM_SEED is a number")],
        Err(_) => seeds.collect(),
    }
}
