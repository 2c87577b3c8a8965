//! placeholder
use std::env;
use std::error::Error;
use std::io;

use net_tests::soak::{attack, serve};

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", address] => Ok(serve(address, net::Config::default())?),
        ["serve", address, "--public"] => Ok(serve(address, public())?),
        ["attack", name, server, seed] => Ok(attack(name, server.parse()?, seed.parse()?)?),
        _ => Err(io::Error::other("todo").into()),
    }
}

fn public() -> net::Config {
    let config = net::Config::default();
    net::Config {
        peers_per_local: config.peers_per_address,
        half_open_per_local: config.half_open_per_address,
        ..config
    }
}
