//! A server that sends back what it receives: `echo-server 0.0.0.0:0`.
//!
//! Messages that begin with `unreliable` go back over the data channel, all others over the
//! websocket. Prints `listening ADDRESS` and runs until it is ended; logs as `RUST_LOG` says.

use std::env;
use std::error::Error;
use std::time::Duration;

use log::info;
use net::{Config, Event, Server};

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let address = env::args().nth(1).ok_or("echo-server ADDRESS")?;
    let (server, queue) = Server::bind(address.as_str(), Config::default())?;
    info!("announced {:?}", server.announced_addrs());
    println!("listening {}", server.local_addr());
    loop {
        for event in queue.wait(Duration::from_secs(60)) {
            handle(&server, event);
        }
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
