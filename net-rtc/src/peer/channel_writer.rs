//! Send queue of a peer, and its writer into the data path or SCTP.

use std::time::Instant;

use bytes::Bytes;
use str0m::channel::ChannelId;
use str0m::{Rtc, RtcError};

use crate::Config;
use crate::dtls::intercept::SharedDataPath;
use crate::event::SendOptions;
use crate::peer::send_queue::SendQueue;
use crate::stats::DropStats;

/// Maximum message size of str0m's SCTP if the other side's `a=max-message-size` is unknown to it
/// (RFC 8841 §6.1).
pub(crate) const MAX_SCTP_MESSAGE_SIZE: usize = 65_536;

/// Writer of a peer's queued messages into the data path, or into str0m's SCTP after a fallback.
#[derive(Debug)]
pub(crate) struct ChannelWriter {
    queue: SendQueue,
    data_path: SharedDataPath,
    sctp_send_buffer: usize,
}

/// Result of a write; unless it is `Nothing`, str0m must be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Nothing: the queue is empty, or there is no room.
    Nothing,
    /// One message; there may be more.
    One,
    /// All messages that there is room for.
    All,
}

impl ChannelWriter {
    pub(crate) fn new(now: Instant, config: &Config, data_path: SharedDataPath) -> ChannelWriter {
        let queue = SendQueue::new(now, config.unreliable_send_buffer, config.unreliable_max_age);
        ChannelWriter { queue, data_path, sctp_send_buffer: config.sctp_send_buffer }
    }

    /// Queues a message.
    pub(crate) fn push(&mut self, now: Instant, message: Bytes, options: SendOptions) {
        self.queue.push(now, message, options);
    }

    /// Activates the data path once SCTP has sent everything of the channel's opening.
    pub(crate) fn activate_data_path(&mut self, rtc: &mut Rtc, channel: ChannelId) {
        let mut plane = self.data_path.lock();
        if plane.is_handshaking()
            && let Some(stream) = rtc.direct_api().sctp_stream_id_by_channel_id(channel)
        {
            plane.activate(stream);
        }
    }

    /// Writes queued messages to the data path or, if it is not active, into SCTP.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        channel: ChannelId,
    ) -> Result<WriteOutcome, RtcError> {
        if !self.data_path.lock().is_active() {
            return self.write_to_sctp(now, rtc, channel);
        }
        if !self.write_to_data_path(now) {
            return Ok(WriteOutcome::Nothing);
        }
        rtc.handle_input(str0m::Input::Timeout(now)).map(|()| WriteOutcome::All)
    }

    /// Drops expired messages.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.queue.peek(now);
    }

    /// Returns the time of the next expiry.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.queue.next_expiry()
    }

    /// Returns the time of the next expiry or write.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let fresh = self.queue.next_expiry();
        let waits = !self.queue.is_empty();
        let room = waits.then(|| self.data_path.lock().poll_ready().err()).flatten();
        fresh.into_iter().chain(room).min()
    }

    /// Returns the number of messages dropped before they were sent, by cause.
    pub(crate) fn dropped(&self) -> DropStats {
        self.queue.dropped()
    }

    /// Passes messages to the data path while it has room; returns whether it has packets for DTLS.
    fn write_to_data_path(&mut self, now: Instant) -> bool {
        let mut plane = self.data_path.lock();
        loop {
            while self.queue.peek(now).is_some() && plane.poll_ready().is_ok() {
                let (message, options) = self.queue.pop().expect("peek saw it");
                plane.send(message, options.repair_override());
            }
            let has_packets = plane.flush();
            // The flush may have made room for the next message.
            if self.queue.peek(now).is_none() || plane.poll_ready().is_err() {
                return has_packets;
            }
        }
    }

    /// Writes one message into SCTP while little data is queued there, because that does not
    /// expire.
    fn write_to_sctp(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        channel: ChannelId,
    ) -> Result<WriteOutcome, RtcError> {
        let Some(size) = self.queue.peek(now) else { return Ok(WriteOutcome::Nothing) };
        let Some(mut writer) = rtc.channel(channel) else { return Ok(WriteOutcome::Nothing) };
        if size > MAX_SCTP_MESSAGE_SIZE {
            self.queue.drop_front();
            return Ok(WriteOutcome::One);
        }
        let waiting = writer.buffered_amount();
        if waiting > 0 && waiting + size > self.sctp_send_buffer {
            return Ok(WriteOutcome::Nothing);
        }
        let (message, _) = self.queue.pop().expect("peek saw it");
        // An empty message is sent as one byte of text: see `text_to_empty`.
        match message.is_empty() {
            true => writer.write(false, &[0])?,
            false => writer.write(true, &message)?,
        };
        Ok(WriteOutcome::One)
    }
}
