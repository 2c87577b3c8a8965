//! What each of the crates below takes of the settings.

use std::net::SocketAddr;

use super::Config;

impl Config {
    pub(crate) fn websocket(&self) -> net_ws::Config {
        net_ws::Config {
            upgrade_timeout: self.upgrade_timeout,
            head_bytes: self.head_bytes,
            head_headers: self.head_headers,
            // Whether it may is decided here.
            hold_upgrade: true,
            message_bytes: self.message_bytes.max(self.signal_bytes),
            // The mailbox holds the application to `backlog_bytes`; what the websocket adds,
            // headers and pongs, must not turn an accepted message away.
            backlog_bytes: self.backlog_bytes.saturating_add(self.message_bytes).saturating_mul(2),
            send_timeout: self.reliable_send_timeout,
            min_send_rate: self.min_reliable_send_rate,
            ping_after: self.ping_after,
            dead_after: self.dead_after,
            close_timeout: self.close_timeout,
            ..net_ws::Config::default()
        }
    }

    pub(crate) fn signalling(&self) -> net_signal::Limits {
        net_signal::Limits {
            text_bytes: self.signal_bytes,
            texts: self.signal_texts,
            texts_per_second: self.signal_texts_per_second,
            answer_timeout: self.answer_timeout,
        }
    }

    pub(crate) fn webrtc(
        &self,
        local: Vec<SocketAddr>,
        announce: Vec<SocketAddr>,
    ) -> net_rtc::Config {
        net_rtc::Config {
            announce,
            message_bytes: self.message_bytes,
            fresh_bytes: self.fresh_bytes,
            fresh_time: self.fresh_time,
            partial_messages: self.partial_messages,
            data_plane: self.data_plane,
            congestion: self.congestion,
            least_rate: self.least_rate,
            most_rate: self.most_rate,
            repair: self.repair,
            sctp_bytes: self.sctp_bytes,
            first_tsn: self.first_tsn,
            early_bytes: self.early_bytes,
            connecting: self.connecting,
            connect_timeout: self.connect_timeout,
            silent_timeout: self.silent_timeout,
            pause_after: self.pause_after,
            sources: self.sources,
            trials: self.trials,
            max_binding_answers: self.max_stun_answers,
            max_binding_answers_per_second: self.max_stun_answers_per_second,
            sdp_bytes: self.signal_bytes,
            ..net_rtc::Config::new(local)
        }
    }
}
