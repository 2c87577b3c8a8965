//! Keyed queue: a bounded FIFO in which a newer item supersedes the queued one of the same key.

use std::collections::{HashMap, VecDeque};

use crate::stats::DropStats;

/// Minimum cost of an item, in bytes, which bounds the number of empty ones.
pub(crate) const MIN_ITEM_COST: usize = 64;

/// Bounded queue in which an item replaces a queued one of the same key and takes its
/// position; above the bound the oldest item is dropped. Both are reported as [`DropStats`]. Each
/// call takes constant time, whatever the number of keys.
#[derive(Debug)]
pub struct KeyedQueue<T> {
    items: VecDeque<QueueItem<T>>,
    /// Number of the front item; those behind it are numbered consecutively.
    front_index: u64,
    /// Number of the item with a key.
    index_by_key: HashMap<u64, u64>,
    total_cost: usize,
    max_cost: usize,
}

/// One queued value, with its key and its cost in bytes.
#[derive(Debug)]
struct QueueItem<T> {
    key: Option<u64>,
    cost: usize,
    value: T,
}

impl<T> KeyedQueue<T> {
    /// An empty queue with this bound. An item counts as at least 64 bytes; one is always admitted,
    /// whatever its size.
    pub fn new(most_bytes: usize) -> KeyedQueue<T> {
        KeyedQueue {
            items: VecDeque::new(),
            front_index: 0,
            index_by_key: HashMap::new(),
            total_cost: 0,
            max_cost: most_bytes,
        }
    }

    /// Admits an item of this size, always; returns the number of items dropped for it, by cause.
    pub fn push(&mut self, key: Option<u64>, bytes: usize, item: T) -> DropStats {
        let place = QueueItem { key, cost: bytes.max(MIN_ITEM_COST), value: item };
        self.total_cost += place.cost;
        let (number, replaced) = match self.find(key) {
            Some((number, waiting)) => {
                let older = std::mem::replace(waiting, place);
                self.total_cost -= older.cost;
                (number, 1)
            }
            None => (self.push_back(place), 0),
        };
        DropStats { superseded: replaced, overflow: self.evict(number), ..DropStats::default() }
    }

    /// Removes and returns the front item.
    pub fn pop(&mut self) -> Option<T> {
        let QueueItem { key, cost, value: item } = self.items.pop_front()?;
        self.front_index += 1;
        self.total_cost -= cost;
        if let Some(key) = key {
            self.index_by_key.remove(&key);
        }
        Some(item)
    }

    /// Returns the front item.
    pub fn front(&self) -> Option<&T> {
        self.items.front().map(|place| &place.value)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the item with this key, and its number.
    fn find(&mut self, key: Option<u64>) -> Option<(u64, &mut QueueItem<T>)> {
        let number = *self.index_by_key.get(&key?)?;
        let place = self.items.get_mut((number - self.front_index) as usize)?;
        Some((number, place))
    }

    fn push_back(&mut self, place: QueueItem<T>) -> u64 {
        let number = self.front_index + self.items.len() as u64;
        if let Some(key) = place.key {
            self.index_by_key.insert(key, number);
        }
        self.items.push_back(place);
        number
    }

    /// Drops front items until the rest fits, but never the newest item, which may be at the front;
    /// returns how many.
    fn evict(&mut self, mut newest: u64) -> u64 {
        let mut dropped = 0;
        while self.total_cost > self.max_cost && self.items.len() > 1 {
            if newest == self.front_index {
                newest += 1;
                self.swap_front();
            }
            self.pop();
            dropped += 1;
        }
        dropped
    }

    /// Swaps the first two items.
    fn swap_front(&mut self) {
        self.items.swap(0, 1);
        for (number, place) in (self.front_index..).zip(self.items.iter().take(2)) {
            if let Some(key) = place.key {
                self.index_by_key.insert(key, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn pushed(latest: &mut KeyedQueue<char>, key: u64, bytes: usize, item: char) -> (u64, u64) {
        let dropped = latest.push(Some(key), bytes, item);
        (dropped.superseded, dropped.overflow)
    }

    fn rest(latest: &mut KeyedQueue<char>) -> String {
        std::iter::from_fn(|| latest.pop()).collect()
    }

    #[test]
    fn a_newer_one_takes_the_place_of_the_older() {
        let mut latest = KeyedQueue::new(1_000);
        assert_eq!(pushed(&mut latest, 1, 10, 'a'), (0, 0));
        assert_eq!(pushed(&mut latest, 2, 10, 'b'), (0, 0));
        latest.push(None, 10, 'x');
        latest.push(None, 10, 'y');
        assert_eq!(pushed(&mut latest, 2, 10, 'B'), (1, 0));
        assert_eq!(pushed(&mut latest, 1, 10, 'A'), (1, 0));
        assert_eq!(latest.pop(), Some('A'));
        assert_eq!(pushed(&mut latest, 1, 10, 'n'), (0, 0), "the old one has left");
        assert_eq!(rest(&mut latest), "Bxyn");
    }

    #[test]
    fn the_newest_stays_even_where_it_is_first() {
        let mut latest = KeyedQueue::new(1_000);
        assert_eq!(pushed(&mut latest, 1, 100, 'a'), (0, 0));
        assert_eq!(pushed(&mut latest, 2, 300, 'b'), (0, 0));
        assert_eq!(pushed(&mut latest, 3, 300, 'c'), (0, 0));
        assert_eq!(pushed(&mut latest, 1, 600, 'A'), (1, 1), "b gave way");
        assert_eq!(pushed(&mut latest, 3, 300, 'C'), (1, 0), "and c is still found");
        assert_eq!(pushed(&mut latest, 1, 5_000, 'Z'), (1, 1));
        assert_eq!(rest(&mut latest), "Z");
    }

    #[test]
    fn empty_ones_are_bounded() {
        let mut latest = KeyedQueue::new(10 * MIN_ITEM_COST);
        let dropped: u64 = (0..100).map(|_| latest.push(None, 0, ()).overflow).sum();
        assert_eq!((latest.len(), dropped), (10, 90));
    }

    /// Reference model.
    #[derive(Default)]
    struct Model(Vec<(Option<u64>, usize, u32)>);

    impl Model {
        fn push(&mut self, most: usize, key: Option<u64>, bytes: usize, item: u32) -> (u64, u64) {
            let old = self.0.iter().position(|place| key.is_some() && place.0 == key);
            match old {
                Some(index) => self.0[index] = (key, bytes, item),
                None => self.0.push((key, bytes, item)),
            }
            let mut dropped = 0;
            while self.0.iter().map(|place| place.1.max(MIN_ITEM_COST)).sum::<usize>() > most
                && self.0.len() > 1
            {
                let first_other = usize::from(self.0[0].2 == item);
                self.0.remove(first_other);
                dropped += 1;
            }
            (u64::from(old.is_some()), dropped)
        }
    }

    #[test]
    fn does_what_a_simple_list_does() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let most = random.random_range(1..4_000);
            let (mut latest, mut model) = (KeyedQueue::new(most), Model::default());
            for item in 0..500 {
                if random.random_bool(0.3) {
                    let expected = (!model.0.is_empty()).then(|| model.0.remove(0).2);
                    assert_eq!(latest.pop(), expected, "seed {seed}");
                }
                let key = random.random_bool(0.7).then(|| random.random_range(0..20));
                let bytes = random.random_range(0..600);
                let dropped = latest.push(key, bytes, item);
                let expected = model.push(most, key, bytes, item);
                assert_eq!((dropped.superseded, dropped.overflow), expected, "seed {seed}");
                assert_eq!(latest.front(), model.0.first().map(|place| &place.2));
                assert_eq!(latest.len(), model.0.len());
                assert!(latest.index_by_key.len() <= latest.len());
            }
            let left: Vec<u32> = std::iter::from_fn(|| latest.pop()).collect();
            assert_eq!(left, model.0.iter().map(|place| place.2).collect::<Vec<_>>());
            assert_eq!((latest.total_cost, latest.index_by_key.len()), (0, 0));
        }
    }

    #[test]
    fn many_keys_cost_no_more_than_few() {
        let time = |keys: u64| {
            let mut latest = KeyedQueue::new(usize::MAX);
            (0..keys).for_each(|key| _ = latest.push(Some(key), 0, key));
            let began = Instant::now();
            (0..20_000).for_each(|item| _ = latest.push(Some(item * 7_919 % keys), 0, item));
            began.elapsed()
        };
        // A linear search would take a thousand times as long.
        assert!(time(20_000) < time(20) * 50 + Duration::from_millis(50));
    }
}
