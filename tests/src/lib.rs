//! The harness of the workspace's tests.
pub mod agent;
pub mod bottleneck;
pub mod browser;
pub mod client;
pub mod cross;
pub mod cubic;
pub mod fuzz;
pub mod lab;
pub mod link;
pub mod namespace;
pub mod nat;
pub mod plane;
pub mod program;
pub mod real;
pub mod tcp;
pub mod tun;
pub mod world;
