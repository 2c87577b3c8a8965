//! Asks an `echo-server` and ends well if both paths answer: `echo-client 198.51.100.1:3000`, or
//! with messages of so many bytes at least: `echo-client 198.51.100.1:3000 5000`.

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
    let address: SocketAddr = env::args().nth(1).ok_or("echo-client ADDRESS [BYTES]")?.parse()?;
    let bytes: usize = env::args().nth(2).map_or(Ok(0), |bytes| bytes.parse())?;
    let mut client = Client::connect(address)?;
    let mut echoed = Echoed::default();
    for number in 0..MESSAGES {
        let padded = |text: String| format!("{text:<bytes$}");
        client.send_unreliable(padded(format!("unreliable {number}")));
        client.send_reliable(padded(format!("reliable {number}")));
        // One after the other: a path may have to learn how long its packets may be.
        echoed.wait(&mut client, |echoed| echoed.reliable > number);
    }
    echoed.wait(&mut client, |echoed| echoed.unreliable == MESSAGES);
    let Echoed { reliable, unreliable } = echoed;
    println!("echoed {reliable} reliable, {unreliable} unreliable of {MESSAGES}");
    // The network between two machines of a test loses nothing, but may.
    if reliable == MESSAGES && unreliable >= MESSAGES / 2 {
        return Ok(());
    }
    Err("echoes are missing".into())
}

/// What came back.
#[derive(Default)]
struct Echoed {
    reliable: usize,
    unreliable: usize,
}

impl Echoed {
    /// Counts until that is enough, or nothing comes any more.
    fn wait(&mut self, client: &mut Client, is_enough: impl Fn(&Echoed) -> bool) {
        while !is_enough(self) {
            match client.recv(PATIENCE) {
                Some((Delivery::Reliable, _)) => self.reliable += 1,
                Some((Delivery::Unreliable, _)) => self.unreliable += 1,
                None => return,
            }
        }
    }
}
