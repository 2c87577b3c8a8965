//! Bodies of the fuzz targets: bytes decide what happens, and what must never happen is asserted.
//! Under libFuzzer (`tests/fuzz/run`) a search for new paths chooses the bytes; under `cargo test`
//! [`exercise`] draws them from the same corpus.

mod chunks;
pub mod exercise;
pub mod first_datagram;
pub mod frames;
pub mod hub;
pub mod open_datagram;
pub mod plane;
mod rig;
mod rtc_pair;
pub mod script;
pub mod sdp_answer;
pub mod signalling;
mod socket_life;
pub mod upgrade;
