//! Tests of whole endpoints in virtual time.

pub(crate) mod amplification;
pub(crate) mod amplification_util;
pub(crate) mod data_channel;
pub(crate) mod dtls_missing_fragment;
pub(crate) mod handshake;
pub(crate) mod handshake_loss;
pub(crate) mod malicious_dtls;
pub(crate) mod malicious_sctp;
pub(crate) mod migration;
pub(crate) mod nat_sim;
pub(crate) mod outage;
pub(crate) mod send_queue;
pub(crate) mod spoofed_addresses;
pub(crate) mod str0m_assumptions;
pub(crate) mod trial_decryption;
pub(crate) mod util;
