//! Sends messages in their rhythm.

use std::thread;
use std::time::{Duration, Instant};

use super::micros;
use super::record::stamp;
use crate::lab::Load;

/// The smallest message, in bytes: it carries its number and its time.
const LEAST: usize = 16;

/// Sends the messages of this time, each when it is due; `send` gets the message's number, the
/// time and the message, and says whether to go on.
pub fn send_all(load: Load, time: Duration, mut send: impl FnMut(u64, u64, Vec<u8>) -> bool) {
    let began = Instant::now();
    for number in 0..load.messages(time) {
        let due = began + load.time_of(number);
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        let mut message = vec![0x5A; load.bytes.max(LEAST)];
        let (number, now) = (number as u64, micros());
        stamp(&mut message, number, now);
        if !send(number, now, message) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_sent() {
        let mut sent = Vec::new();
        send_all(Load::bursts(3, 100, 20), Duration::from_millis(20), |number, _, message| {
            sent.push((number, message.len()));
            true
        });
        assert_eq!(sent, (0..6).map(|number| (number, 20)).collect::<Vec<_>>());
    }

    #[test]
    fn the_receiver_of_messages_may_stop() {
        let mut sent = 0;
        send_all(Load::steady(1_000, 20), Duration::from_secs(3_600), |_, _, _| {
            sent += 1;
            sent < 2
        });
        assert_eq!(sent, 2);
    }
}
