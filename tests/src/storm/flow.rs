//! What was sent and what arrived, one way on one path: invariant I8.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::letter::Letters;

/// Reliable messages, which arrive as they were sent, up to some point.
#[derive(Debug)]
pub(super) struct Reliable {
    letters: Letters,
    /// When, and the stream and the number of a letter that others got too.
    sent: Vec<(Instant, Option<(Letters, u32)>)>,
    received: u32,
}

/// Unreliable messages, which arrive or not, in any order, once.
#[derive(Debug)]
pub(super) struct Unreliable {
    letters: Letters,
    sent: Vec<Instant>,
    seen: Vec<bool>,
    empty: [u32; 2],
}

/// A message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Its number, unless it was empty and may have been any empty one.
    pub(super) number: Option<u32>,
    /// When it was sent; of empty ones that is not known.
    pub(super) sent: Option<Instant>,
    /// In bytes.
    pub(super) size: usize,
}

impl Arrived {
    pub(super) fn age(self, now: Instant) -> Option<Duration> {
        self.sent.map(|sent| now - sent)
    }
}

impl Reliable {
    pub(super) fn new(key: u64) -> Reliable {
        Reliable { letters: Letters::new(key, false), sent: Vec::new(), received: 0 }
    }

    /// The next message.
    pub(super) fn next(&self) -> Bytes {
        self.letters.letter(self.sent.len() as u32)
    }

    /// The next message was accepted.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sent.push((now, None));
    }

    /// Another message than the next was accepted.
    pub(super) fn sent_other(&mut self, now: Instant, letters: Letters, number: u32) {
        self.sent.push((now, Some((letters, number))));
    }

    pub(super) fn received(&mut self, message: &[u8]) -> Result<Arrived, String> {
        let number = self.received;
        let Some((sent, other)) = self.sent.get(number as usize).copied() else {
            return Err(format!("message {number} of {}, which was never sent", message.len()));
        };
        let (letters, own) = other.unwrap_or((self.letters, number));
        let expected = letters.letter(own);
        if expected != message {
            let place = expected.iter().zip(message).position(|(one, other)| one != other);
            return Err(format!(
                "message {number} has {} bytes, of {}, and differs at {place:?}",
                message.len(),
                expected.len(),
            ));
        }
        self.received += 1;
        Ok(Arrived { number: Some(number), sent: Some(sent), size: message.len() })
    }

    /// Messages that were sent and have not arrived.
    pub(super) fn missing(&self) -> usize {
        self.sent.len() - self.received as usize
    }
}

impl Unreliable {
    pub(super) fn new(key: u64) -> Unreliable {
        let (sent, seen) = (Vec::new(), Vec::new());
        Unreliable { letters: Letters::new(key, true), sent, seen, empty: [0; 2] }
    }

    /// The next message.
    pub(super) fn next(&self) -> Bytes {
        self.letters.letter(self.sent.len() as u32)
    }

    /// The next message was accepted.
    pub(super) fn sent(&mut self, now: Instant, message: &[u8]) {
        self.empty[0] += u32::from(message.is_empty());
        self.sent.push(now);
        self.seen.push(false);
    }

    pub(super) fn received(&mut self, message: &[u8]) -> Result<Arrived, String> {
        if message.is_empty() {
            return self.received_empty();
        }
        let number = Letters::number_of(message);
        let number = number.ok_or_else(|| format!("{} bytes, too few", message.len()))?;
        let Some(seen) = self.seen.get_mut(number as usize) else {
            return Err(format!("message {number} of {}, which was never sent", message.len()));
        };
        if std::mem::replace(seen, true) {
            return Err(format!("message {number} for the second time"));
        }
        if self.letters.letter(number) != message {
            return Err(format!("message {number} was changed on its way"));
        }
        let sent = self.sent.get(number as usize).copied();
        Ok(Arrived { number: Some(number), sent, size: message.len() })
    }

    fn received_empty(&mut self) -> Result<Arrived, String> {
        self.empty[1] += 1;
        let [sent, received] = self.empty;
        match received <= sent {
            true => Ok(Arrived { number: None, sent: None, size: 0 }),
            false => Err(format!("empty message {received} of {sent}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t57_only_a_prefix_is_reliable() {
        let (now, mut flow) = (Instant::now(), Reliable::new(1));
        let letters: Vec<Bytes> = (0..3)
            .map(|_| {
                let letter = flow.next();
                flow.sent(now);
                letter
            })
            .collect();
        assert!(flow.received(&letters[0]).is_ok());
        assert!(flow.received(&letters[0]).is_err(), "twice");
        assert!(flow.received(&letters[2]).is_err(), "a hole");
        assert_eq!(flow.missing(), 2);
    }

    #[test]
    fn t57_an_unreliable_message_comes_once_and_whole() {
        let (now, mut flow) = (Instant::now(), Unreliable::new(1));
        let mut letters = Vec::new();
        for _ in 0..40 {
            let letter = flow.next();
            flow.sent(now, &letter);
            letters.push(letter);
        }
        let letter = letters.iter().rfind(|one| !one.is_empty()).expect("most are not").to_vec();
        let mut changed = letter.clone();
        changed.push(1);
        assert!(flow.received(&letter).is_ok());
        assert!(flow.received(&letter).is_err(), "twice");
        assert!(flow.received(&changed).is_err());
        assert!(flow.received(&[0xff; 9]).is_err(), "never sent");
    }
}
