//! What a peer can cost in memory.

use crate::Config;

impl Config {
    /// Most memory that one peer can take, in bytes, whatever it does: about 17.4 MiB with the
    /// defaults. Of these 16 MiB are unsent reliable messages
    /// ([`backlog_bytes`](Config::backlog_bytes)), which for all peers together are no more than
    /// [`total_reliable_send_buffer`](Config::total_reliable_send_buffer); so `peers` of them can
    /// take that, and 1.4 MiB each. It is the bound of each queue and what its smallest items
    /// cost: besides, pieces of one message that arrives (three times
    /// [`message_bytes`](Config::message_bytes)), and what
    /// [`net_rtc::Config::most_memory_per_peer`] has: unsent unreliable messages, pieces, what is
    /// known of what was sent. Not in it, because no peer can make more of it: the C heap of its
    /// DTLS session (8 KB measured), and unreliable messages that the application has handed over
    /// since the last turn of the loop, [`fresh_bytes`](Config::fresh_bytes) at most. Events that
    /// wait for the application are bounded for all peers together
    /// ([`event_bytes`](Config::event_bytes)).
    pub fn most_memory_per_peer(&self) -> usize {
        let (backlog, message) = (self.backlog_bytes, self.message_bytes.max(self.signal_bytes));
        let websocket = backlog.saturating_add(message.saturating_mul(3));
        // Before it is open: its head as bytes or as headers, both for a moment, and what came
        // behind it.
        let half_open = self.head_bytes.saturating_mul(2).saturating_add(message);
        websocket
            .max(half_open)
            .saturating_add(self.webrtc(Vec::new(), Vec::new()).most_memory_per_peer())
    }
}
