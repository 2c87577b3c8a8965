//! The program of the README, word for word. A test compares the two.
#![cfg_attr(rustfmt, rustfmt_skip)]
#![allow(unused_mut)]

use log::info;
use net::{Event, Server};

fn main() {
    let (mut server, mut queue) = Server::new("127.0.0.1:3000");
    loop {
        queue.pop_all().into_iter().for_each(handle_event);
        server.send_reliable(0, "hello!".as_bytes().to_vec());          // websocket
        server.send_unreliable(0, "hello again!".as_bytes().to_vec());  // WebRTC data channel
        // sleep(...)
    }
}
fn handle_event(event: Event) {
    match event {
        Event::Open(id) => info!("Connection opened for {}", id),
        Event::Closed(id) => info!("Connection closed for {}", id),
        Event::Received(id, message) => info!("Received {:?} from {}", message, id),
    }
}
