//! What a peer has to send, and its way into the plane or into SCTP.

use std::time::Instant;

use bytes::Bytes;
use str0m::channel::ChannelId;
use str0m::{Rtc, RtcError};

use crate::Config;
use crate::dtls::intercept::SharedPlane;
use crate::event::SendOptions;
use crate::peer::send_queue::Fresh;
use crate::stats::Dropped;

/// What SCTP takes at most where the other side's `a=max-message-size` is not known to it (RFC
/// 8841 §6.1).
pub(crate) const SCTP_MESSAGE: usize = 65_536;

/// Messages that wait, in front of whoever carries the channel's data.
#[derive(Debug)]
pub(crate) struct Outbox {
    fresh: Fresh,
    plane: SharedPlane,
    sctp_bytes: usize,
}

/// What was written; if anything, str0m must be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Nothing: there is nothing, or no room for it.
    Nothing,
    /// One message; there may be more.
    One,
    /// All that there is room for.
    All,
}

impl Outbox {
    pub(crate) fn new(now: Instant, config: &Config, plane: SharedPlane) -> Outbox {
        let fresh = Fresh::new(now, config.fresh_bytes, config.fresh_time);
        Outbox { fresh, plane, sctp_bytes: config.sctp_bytes }
    }

    /// Queues a message.
    pub(crate) fn push(&mut self, now: Instant, message: Bytes, options: SendOptions) {
        self.fresh.push(now, message, options);
    }

    /// Lets the plane take over once SCTP has sent all that belongs to the opening.
    pub(crate) fn engage(&mut self, rtc: &mut Rtc, channel: ChannelId) {
        let mut plane = self.plane.lock();
        if plane.is_watching()
            && let Some(stream) = rtc.direct_api().sctp_stream_id_by_channel_id(channel)
        {
            plane.engage(stream);
        }
    }

    /// Writes what is fresh, by the plane or, if it does not carry this peer, into SCTP.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        channel: ChannelId,
    ) -> Result<Written, RtcError> {
        if !self.plane.lock().is_engaged() {
            return self.write_to_sctp(now, rtc, channel);
        }
        if !self.write_to_plane(now) {
            return Ok(Written::Nothing);
        }
        rtc.handle_input(str0m::Input::Timeout(now)).map(|()| Written::All)
    }

    /// Drops what has grown too old.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.fresh.peek(now);
    }

    /// When there is something to drop.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.fresh.deadline()
    }

    /// When there is something to drop or to write.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let fresh = self.fresh.deadline();
        let waits = !self.fresh.is_empty();
        let room = waits.then(|| self.plane.lock().room().err()).flatten();
        fresh.into_iter().chain(room).min()
    }

    /// Messages that were dropped unsent.
    pub(crate) fn dropped(&self) -> Dropped {
        self.fresh.dropped()
    }

    /// Hands the plane what it has room for, and tells whether it has packets for DTLS to take.
    fn write_to_plane(&mut self, now: Instant) -> bool {
        let mut plane = self.plane.lock();
        loop {
            while self.fresh.peek(now).is_some() && plane.room().is_ok() {
                let (message, options) = self.fresh.pop().expect("peek saw it");
                plane.send(message, options.wanted_repair());
            }
            let has_packets = plane.flush();
            // What left just now may have been all that the next message waited for.
            if self.fresh.peek(now).is_none() || plane.room().is_err() {
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
    ) -> Result<Written, RtcError> {
        let Some(size) = self.fresh.peek(now) else { return Ok(Written::Nothing) };
        let Some(mut writer) = rtc.channel(channel) else { return Ok(Written::Nothing) };
        if size > SCTP_MESSAGE {
            self.fresh.drop_first();
            return Ok(Written::One);
        }
        let waiting = writer.buffered_amount();
        if waiting > 0 && waiting + size > self.sctp_bytes {
            return Ok(Written::Nothing);
        }
        let (message, _) = self.fresh.pop().expect("peek saw it");
        // The one byte of text stands for an empty message: see `text_to_empty`.
        match message.is_empty() {
            true => writer.write(false, &[0])?,
            false => writer.write(true, &message)?,
        };
        Ok(Written::One)
    }
}
