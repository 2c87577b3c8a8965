//! Half an hour of loss in virtual time. Alone in its process, whose memory it watches.

use net_tests::lab::Long;
use net_tests::link::Direction;

#[test]
fn half_an_hour_of_loss_changes_nothing() {
    for direction in [Direction::Down, Direction::Up] {
        let long = Long::run(direction, 1);
        println!("{direction:?}\n{long}");
        let misses = long.misses();
        assert!(misses.is_empty(), "{direction:?}: {}", misses.join(", "));
    }
}
