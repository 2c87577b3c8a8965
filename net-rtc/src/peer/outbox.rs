//! What a peer has to send, and its way into the plane or into SCTP.

use std::time::Instant;

use bytes::Bytes;
use str0m::channel::ChannelId;
use str0m::{Rtc, RtcError};

use crate::Config;
use crate::dtls::intercept::SharedDataPath;
use crate::event::SendOptions;
use crate::peer::send_queue::SendQueue;
use crate::stats::DropStats;

/// What SCTP takes at most where the other side's `a=max-message-size` is not known to it (RFC
/// 8841 §6.1).
pub(crate) const MAX_SCTP_MESSAGE_SIZE: usize = 65_536;

/// Messages that wait, in front of whoever carries the channel's data.
#[derive(Debug)]
pub(crate) struct ChannelWriter {
    queue: SendQueue,
    data_path: SharedDataPath,
    sctp_send_buffer: usize,
}

/// What was written; if anything, str0m must be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Nothing: there is nothing, or no room for it.
    Nothing,
    /// One message; there may be more.
    One,
    /// All that there is room for.
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

    /// Lets the plane take over once SCTP has sent all that belongs to the opening.
    pub(crate) fn activate_data_path(&mut self, rtc: &mut Rtc, channel: ChannelId) {
        let mut plane = self.data_path.lock();
        if plane.is_handshaking()
            && let Some(stream) = rtc.direct_api().sctp_stream_id_by_channel_id(channel)
        {
            plane.activate(stream);
        }
    }

    /// Writes what is fresh, by the plane or, if it does not carry this peer, into SCTP.
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

    /// Drops what has grown too old.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.queue.peek(now);
    }

    /// When there is something to drop.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.queue.next_expiry()
    }

    /// When there is something to drop or to write.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let fresh = self.queue.next_expiry();
        let waits = !self.queue.is_empty();
        let room = waits.then(|| self.data_path.lock().poll_ready().err()).flatten();
        fresh.into_iter().chain(room).min()
    }

    /// Messages that were dropped unsent.
    pub(crate) fn dropped(&self) -> DropStats {
        self.queue.dropped()
    }

    /// Hands the plane what it has room for, and tells whether it has packets for DTLS to take.
    fn write_to_data_path(&mut self, now: Instant) -> bool {
        let mut plane = self.data_path.lock();
        loop {
            while self.queue.peek(now).is_some() && plane.poll_ready().is_ok() {
                let (message, options) = self.queue.pop().expect("peek saw it");
                plane.send(message, options.repair_override());
            }
            let has_packets = plane.flush();
            // What left just now may have been all that the next message waited for.
            if self.queue.peek(now).is_none() || plane.poll_ready().is_err() {
                return has_packets;
            }
        }
    }

    /// Only as long as little waits inside SCTP, where it would grow old.
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
        // The one byte of text stands for an empty message: see `text_to_empty`.
        match message.is_empty() {
            true => writer.write(false, &[0])?,
            false => writer.write(true, &message)?,
        };
        Ok(WriteOutcome::One)
    }
}
