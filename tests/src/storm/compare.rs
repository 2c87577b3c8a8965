//! A storm with and without its attackers: invariant I9.

use std::time::Duration;

use super::{Entry, Invariant, Options, Outcome, Plan, Scale, Violation, run, run_plan};

/// By how much chance may differ.
const TICK: Duration = Duration::from_millis(1);

/// Runs the storm of a seed with and without its attackers: what the honest say to each other
/// must take as long. Of a client whose handshake somebody on its path has broken or put off,
/// nothing can be compared.
pub fn compare(seed: u64, scale: Scale, options: Options) -> Outcome {
    let mut attacked = run(seed, scale, options);
    let peaceful = Plan::draw(seed, scale).peaceful();
    let quiet = run_plan(peaceful, Options { trace: false, ..options });
    let [with, without] = p99s(&attacked, &quiet);
    let most = if attacked.meddled { without * 2 + 3 * TICK } else { without + TICK };
    if attacked.violation.is_none() && with > most {
        attacked.violation = Some(Violation {
            invariant: Invariant::Latency,
            seed,
            full: scale == Scale::Full,
            step: attacked.price.steps,
            at: Duration::ZERO,
            who: "all clients".into(),
            what: format!("p99 {with:?} under attack, {without:?} without (--compare)"),
        });
    }
    attacked.violation = attacked.violation.or(quiet.violation);
    attacked
}

/// What one of a hundred messages exceeds, of those that arrived in both.
fn p99s(one: &Outcome, other: &Outcome) -> [Duration; 2] {
    let comparable = |client: usize| opened(one, client) == opened(other, client);
    let both = one.latencies.iter().filter_map(|(message, age)| {
        comparable(message.0).then_some([*age, *other.latencies.get(message)?])
    });
    let both: Vec<[Duration; 2]> = both.collect();
    [0, 1].map(|which| {
        let mut ages: Vec<Duration> = both.iter().map(|ages| ages[which]).collect();
        ages.sort_unstable();
        ages.get(ages.len() * 99 / 100).copied().unwrap_or_default()
    })
}

/// When a client heard that it is open.
fn opened(outcome: &Outcome, client: usize) -> Option<Duration> {
    let opened = |(_, entry): &&(Duration, Entry)| *entry == Entry::Opened(client);
    outcome.log.iter().find(opened).map(|(at, _)| *at)
}
