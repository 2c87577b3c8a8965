//! Messages that came before the channel was open on this side.

use bytes::Bytes;

/// What a message costs at least, in bytes: so many small ones are bounded too.
const LEAST: usize = 64;

/// A queue with a bound. On an unordered channel data can overtake the acknowledgement that
/// opens it (RFC 8832 §6).
#[derive(Debug, Default)]
pub(crate) struct Early {
    messages: Vec<Bytes>,
    room: usize,
}

impl Early {
    pub(crate) fn new(most_bytes: usize) -> Early {
        Early { messages: Vec::new(), room: most_bytes }
    }

    /// Keeps a message, or drops it if there is no room: the path is unreliable anyway.
    pub(crate) fn push(&mut self, message: Bytes) {
        let size = message.len().max(LEAST);
        if size <= self.room {
            self.room -= size;
            self.messages.push(message);
        }
    }

    pub(crate) fn into_messages(self) -> impl Iterator<Item = Bytes> {
        self.messages.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_there_is_room_for() {
        let mut early = Early::new(3 * LEAST);
        let long = "b".repeat(2 * LEAST);
        for message in ["a", "", &long, "c", "d", ""] {
            early.push(Bytes::copy_from_slice(message.as_bytes()));
        }
        assert_eq!(early.into_messages().collect::<Vec<_>>(), ["a", "", "c"]);
    }
}
