//! A server that sends back what it receives: `echo-server 0.0.0.0:0`.
//!
//! `--connecting all,-snap` says how peers connect, see `net_tests::real::parse_connecting`.
//! `--public 203.0.113.5` is told to browsers beside what is bound.
//! `--patience 6` is how many seconds a peer may be silent. `--world 40x51200` sends each peer
//! that opens so many reliable messages of so many bytes, at least 4, which begin with their
//! number.
//! Messages that begin with `unreliable` go back over the data channel, all others over the
//! websocket. Prints `listening ADDRESS` and runs until it is ended; logs as `RUST_LOG` says.

use std::env;
use std::error::Error;
use std::time::Duration;

use log::info;
use net::{Config, Event, PeerId, Server};
use net_tests::real::{arguments, parse_connecting};

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let words: Vec<String> = env::args().skip(1).collect();
    let address = words.first().ok_or("echo-server ADDRESS [OPTIONS]")?;
    let (mut config, mut world) = (Config::default(), (0, 0));
    for (name, value) in arguments(&words[1..])? {
        match name {
            "--connecting" => config.handshake = parse_connecting(value)?,
            "--public" => config.public_addrs.push(value.parse()?),
            "--world" => {
                let (count, size) = value.split_once('x').ok_or("--world COUNTxSIZE")?;
                world = (count.parse()?, size.parse()?);
            }
            "--patience" => {
                config.idle_timeout = Duration::from_secs(value.parse()?);
                config.pong_timeout = config.idle_timeout;
                config.ping_interval = config.idle_timeout / 2;
                config.probe_after = config.idle_timeout / 2;
            }
            _ => return Err(format!("no option {name}").into()),
        }
    }
    let (server, queue) = Server::bind(address.as_str(), config)?;
    info!("announced {:?}", server.announced_addrs());
    println!("listening {}", server.local_addr());
    loop {
        for event in queue.wait(Duration::from_secs(60)) {
            if let Event::Open(id) = event {
                welcome(&server, id, world);
            }
            handle(&server, event);
        }
    }
}

fn welcome(server: &Server, id: PeerId, (count, size): (u32, usize)) {
    for number in 0..count {
        let mut message = vec![7; size.max(4)];
        message[..4].copy_from_slice(&number.to_be_bytes());
        server.send_reliable(id, message);
    }
}

fn handle(server: &Server, event: Event) {
    match event {
        Event::Open(id) => info!("{id} opened: {:?}", server.peer(id)),
        Event::Closed(id) => info!("{id} closed: {:?}", server.close_reason(id)),
        Event::Received(id, message) if message.starts_with(b"unreliable") => {
            server.send_unreliable(id, message);
        }
        Event::Received(id, message) => server.send_reliable(id, message),
    }
}
