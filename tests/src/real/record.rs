//! What the two ends wrote down.

use std::mem;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::micros;
use crate::lab::{Cell, Flight, Log};
use crate::link::{Cause, Direction, Dropped, Traffic};

/// What one end sent and received since it last told. As JSON
/// `{"sent": [[number, time], ...], "arrived": [[number, sent, arrived], ...]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    sent: Vec<(u64, u64)>,
    arrived: Vec<(u64, u64, u64)>,
}

impl Rows {
    /// A message with its number was sent at that time.
    pub fn sent(&mut self, number: u64, at: u64) {
        self.sent.push((number, at));
    }

    /// A message of ours arrived at that time; any other is ignored.
    pub fn arrived(&mut self, message: &[u8], at: u64) {
        if let Some((number, sent)) = stamp_of(message) {
            self.arrived.push((number, sent, at));
        }
    }

    /// Everything so far, and begins anew.
    pub fn take(&mut self) -> Value {
        let Rows { sent, arrived } = mem::take(self);
        json!({ "sent": sent, "arrived": arrived })
    }
}

/// A message's number and the time when it was sent, which it begins with.
pub(super) fn stamp(message: &mut [u8], number: u64, at: u64) {
    message[..8].copy_from_slice(&number.to_le_bytes());
    message[8..16].copy_from_slice(&at.to_le_bytes());
}

fn stamp_of(message: &[u8]) -> Option<(u64, u64)> {
    let number = u64::from_le_bytes(*message.first_chunk()?);
    Some((number, u64::from_le_bytes(*message.get(8..16)?.first_chunk()?)))
}

/// One direction, from the first message on.
#[derive(Clone, Debug)]
pub struct Record {
    cell: Cell,
    began: (Instant, u64),
    flights: Vec<Flight>,
    dropped: Vec<Dropped>,
    duplicates: usize,
}

impl Record {
    /// An empty one, for what happens from now on.
    pub fn new(cell: Cell) -> Record {
        Record {
            cell,
            began: (Instant::now(), micros()),
            flights: Vec::new(),
            dropped: Vec::new(),
            duplicates: 0,
        }
    }

    /// What the sender sent, by the JSON of its [`Rows`].
    pub fn take_sent(&mut self, rows: &Value) {
        for [number, sent] in numbers(&rows["sent"]) {
            self.flight(number, sent);
        }
    }

    /// What the receiver received.
    pub fn take_arrived(&mut self, rows: &Value) {
        for [number, sent, arrived] in numbers(&rows["arrived"]) {
            let arrived = self.instant(arrived);
            let flight = self.flight(number, sent);
            match flight.arrived {
                None => flight.arrived = Some(arrived),
                Some(_) => self.duplicates += 1,
            }
        }
    }

    /// A line of the link: what it dropped, if that was in this direction.
    pub fn take_dropped(&mut self, line: &Value) {
        let dropped = &line["dropped"];
        if dropped[1] != self.cell.way() {
            return;
        }
        let number = |index: usize| dropped[index].as_u64().unwrap_or(0);
        self.dropped.push(Dropped {
            at: self.instant(number(0)),
            direction: self.cell.direction,
            number: number(2),
            size: number(3) as usize,
            cause: match dropped[4].as_str() {
                Some(name) if name == Cause::Queue.name() => Cause::Queue,
                Some(name) if name == Cause::Length.name() => Cause::Length,
                _ => Cause::Loss,
            },
        });
    }

    /// How long messages were sent so far, by their rhythm.
    pub fn sent_time(&self) -> Duration {
        self.cell.load.time_of(self.flights.len())
    }

    /// From this time, in microseconds since 1970, until a message arrived that was sent since;
    /// `None` if none did so far.
    pub fn resumed(&self, since: u64) -> Option<Duration> {
        let since = self.instant(since);
        let fresh = self.flights.iter().filter(|flight| flight.sent >= since);
        Some(fresh.filter_map(|flight| flight.arrived).min()? - since)
    }

    /// The share of messages that arrived of those that were sent between these times, in
    /// microseconds since 1970.
    pub fn delivered(&self, from: u64, until: u64) -> f64 {
        let (from, until) = (self.instant(from), self.instant(until));
        let sent: Vec<_> =
            self.flights.iter().filter(|flight| (from..until).contains(&flight.sent)).collect();
        let arrived = sent.iter().filter(|flight| flight.arrived.is_some()).count();
        arrived as f64 / sent.len().max(1) as f64
    }

    /// Which way.
    pub fn direction(&self) -> Direction {
        self.cell.direction
    }

    /// What happened to each message so far.
    pub fn log(&self) -> Log {
        Log {
            cell: self.cell,
            flights: self.flights.clone(),
            duplicates: self.duplicates,
            dropped: self.dropped.clone(),
            forth: Traffic::default(),
            back: Traffic::default(),
            ended: None,
        }
    }

    /// The flight of a message, which either end may be the first to tell of.
    fn flight(&mut self, number: u64, sent: u64) -> &mut Flight {
        let sent = self.instant(sent);
        let index = usize::try_from(number).unwrap_or(usize::MAX).min(self.flights.len() + 100_000);
        if index >= self.flights.len() {
            self.flights.resize(index + 1, Flight { sent, arrived: None });
        }
        let flight = &mut self.flights[index];
        flight.sent = sent;
        flight
    }

    fn instant(&self, time: u64) -> Instant {
        let (instant, began) = self.began;
        instant + Duration::from_micros(time.saturating_sub(began))
    }
}

/// The rows of a table.
fn numbers<const N: usize>(table: &Value) -> impl Iterator<Item = [u64; N]> {
    let rows = table.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| std::array::from_fn(|index| row[index].as_u64().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Load;

    const MS: Duration = Duration::from_millis(1);

    fn record() -> Record {
        Record::new(Cell::new(Load::steady(100, 200), 20 * MS, 0.05, Direction::Up))
    }

    #[test]
    fn rows_hold_what_a_message_says() {
        let mut rows = Rows::default();
        let mut message = [0; 20];
        stamp(&mut message, 7, 1_000);
        rows.sent(8, 2_000);
        rows.arrived(&message, 3_000);
        rows.arrived(b"too short", 3_000);
        let expected = json!({ "sent": [[8, 2_000]], "arrived": [[7, 1_000, 3_000]] });
        assert_eq!(rows.take(), expected);
        assert_eq!(rows, Rows::default());
    }

    #[test]
    fn either_end_may_tell_first() {
        let mut record = record();
        let t = record.began.1;
        record.take_arrived(&json!({ "arrived": [[1, t + 10_000, t + 31_000]] }));
        record.take_sent(&json!({ "sent": [[0, t], [1, t + 10_000]] }));
        let latencies: Vec<_> = record.log().flights.iter().map(Flight::latency).collect();
        assert_eq!(latencies, [None, Some(21 * MS)]);
    }

    #[test]
    fn what_arrives_again_is_a_duplicate() {
        let mut record = record();
        let t = record.began.1;
        record.take_arrived(&json!({ "arrived": [[0, t, t + 5], [0, t, t + 6]] }));
        assert_eq!((record.log().duplicates, record.log().flights.len()), (1, 1));
    }

    #[test]
    fn what_was_sent_before_is_no_return() {
        let mut record = record();
        let t = record.began.1;
        let rows = [[0, t, t + 90_000], [1, t + 60_000, t + 95_000], [2, t + 50_000, t + 99_000]];
        record.take_arrived(&json!({ "arrived": rows }));
        record.take_sent(&json!({ "sent": [[3, t + 70_000]] }));
        assert_eq!(record.resumed(t + 40_000), Some(55 * MS));
        assert_eq!(record.resumed(t + 61_000), None);
        assert_eq!(record.delivered(t + 50_000, t + 80_000), 2.0 / 3.0);
    }

    #[test]
    fn only_drops_of_this_direction_count() {
        let mut record = record();
        record.take_dropped(&json!({ "dropped": [record.began.1, "down", 1, 250, "chance"] }));
        assert!(record.log().dropped.is_empty());
        record.take_dropped(&json!({ "dropped": [record.began.1, "up", 2, 251, "queue"] }));
        let dropped = record.log().dropped[0];
        assert_eq!((dropped.size, dropped.cause), (251, Cause::Queue));
    }
}
