//! Asks an `echo-server` and ends well if both paths answer: `echo-client 198.51.100.1:3000`.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use net::Delivery;
use net_tests::client::Client;

/// Messages on each path.
const MESSAGES: usize = 20;
/// How long to wait for the next echo.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let address: SocketAddr = env::args().nth(1).ok_or("echo-client ADDRESS")?.parse()?;
    let mut client = Client::connect(address)?;
    for number in 0..MESSAGES {
        client.send_reliable(format!("reliable {number}"));
        client.send_unreliable(format!("unreliable {number}"));
    }
    let (reliable, unreliable) = count_echoes(&mut client);
    println!("echoed {reliable} reliable, {unreliable} unreliable of {MESSAGES}");
    // The network between two machines of a test loses nothing, but may.
    if reliable == MESSAGES && unreliable >= MESSAGES / 2 {
        return Ok(());
    }
    Err("echoes are missing".into())
}

fn count_echoes(client: &mut Client) -> (usize, usize) {
    let (mut reliable, mut unreliable) = (0, 0);
    while reliable + unreliable < 2 * MESSAGES {
        match client.recv(PATIENCE) {
            Some((Delivery::Reliable, _)) => reliable += 1,
            Some((Delivery::Unreliable, _)) => unreliable += 1,
            None => break,
        }
    }
    (reliable, unreliable)
}
