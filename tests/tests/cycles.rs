//! What is left in a server process when all have come and gone.

use std::path::Path;
use std::time::{Duration, Instant};

use net_tests::numbers::tell;
use net_tests::soak::{Cycles, Host};

/// What may be left of all cycles.
const LEFT_KIB: u64 = 5 * 1_024;
/// The server's goodbyes are over by then.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn t71_nothing_is_left_of_a_few_who_came_and_went() {
    assert_nothing_is_left(100, 300);
}

#[test]
#[ignore = "takes half a minute, see tests/all"]
fn t71_nothing_is_left_of_five_thousand_who_came_and_went() {
    assert_nothing_is_left(500, 5_000);
}

/// After the first so many, for which the allocator settles, come the others.
#[track_caller]
fn assert_nothing_is_left(warm_up: usize, count: usize) {
    let mut host = Host::start(Path::new(env!("CARGO_BIN_EXE_soak")), &[]).expect("a server");
    let mut cycles = Cycles::new(host.address(), 71).expect("a client");
    cycles.run(warm_up, || true).expect("the server goes on");
    let before = host.settled(PATIENCE).expect("the server settles");
    let began = Instant::now();
    cycles.run(count, || true).expect("the server goes on");
    let after = host.settled(PATIENCE).expect("the server settles");
    let (manifest, took) = (cycles.manifest(), began.elapsed());
    println!("before {before:?}\nafter  {after:?}\nopening {}", manifest.joining);
    let left = after.resident_kib as i64 - before.resident_kib as i64;
    tell(format_args!(
        "{count} connects and disconnects, {} of them hung up at any time, in {took:.1?}: left \
         behind {left} KiB, {} entries of tables, {} descriptors",
        cycles.abandoned(),
        after.entries,
        after.descriptors as i64 - before.descriptors as i64,
    ));
    assert_eq!((after.peers, after.pending(), after.entries), (0, 0, 0));
    assert_eq!(after.descriptors, before.descriptors);
    assert!(after.resident_kib <= before.resident_kib + LEFT_KIB);
    // The test itself: who meant to stay was let in, and of the others most were not yet open.
    assert_eq!(manifest.left, ((warm_up + count) / 2) as u64, "{manifest:?}");
    assert!(after.refused > count as u64 / 4, "{after:?}");
}
