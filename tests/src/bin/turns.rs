//! How long the turns of a server's loop become with many peers: `turns [PEERS]`, in release.
//!
//! Everything at once that can be at once: connecting, broadcasts, full mailboxes, messages from
//! everyone, timers, the end. Prints the longest turn so far after each; each client has four
//! descriptors, so `ulimit -n` must be high enough. The clients share the machine with the
//! server, so what is printed is an upper bound.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::{Config, EventQueue, Server};
use net_tests::agent::Manners;
use net_tests::client::{Client, News};

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let peers = env::args().nth(1).map_or(Ok(1_024), |word| word.parse())?;
    let config = Config {
        peers,
        half_open: peers,
        half_open_per_local: peers,
        upgrade_timeout: Duration::from_secs(60),
        answer_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let (server, queue) = Server::bind("127.0.0.1:0", config)?;
    let mut stage = Stage { began: Instant::now(), server, queue, clients: Vec::new() };
    stage.connect(peers)?;
    stage.told("all connected");
    stage.broadcast();
    stage.told("five seconds of broadcasts at 60 Hz, both ways");
    stage.fill(peers);
    stage.told("full mailboxes, 2,000 messages each");
    stage.talk();
    stage.told("100 messages from everyone at once, both ways");
    stage.sweep(Duration::from_secs(10));
    stage.told("ten quiet seconds");
    stage.end();
    Ok(())
}

struct Stage {
    began: Instant,
    server: Server,
    queue: EventQueue,
    clients: Vec<Client>,
}

impl Stage {
    fn connect(&mut self, peers: usize) -> Result<(), Box<dyn Error>> {
        let address: SocketAddr = self.server.local_addr();
        for _ in 0..peers {
            self.clients.push(Client::begin(address, Manners::Good)?);
        }
        let mut open = 0;
        while open < peers {
            let refused = self.server.stats().refused;
            if refused > 0 {
                return Err(
                    format!("{refused} refused: {:?}", self.server.refusals().totals).into()
                );
            }
            for client in &mut self.clients {
                open += usize::from(client.next(Duration::ZERO) == Some(News::Open));
            }
            self.queue.pop_all();
        }
        Ok(())
    }

    fn broadcast(&mut self) {
        let began = Instant::now();
        let message = Bytes::from(vec![7; 300]);
        for tick in 0..300 {
            self.server.broadcast_reliable(message.clone());
            self.server.broadcast_unreliable(message.clone());
            let next = began + Duration::from_secs(1) * tick / 60;
            self.sweep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn fill(&mut self, peers: usize) {
        for _ in 0..2_000 {
            for id in 0..peers as u64 {
                self.server.send_reliable(id, Bytes::from_static(&[7; 100]));
                self.server.send_unreliable(id, Bytes::from_static(&[7; 60]));
            }
        }
        self.sweep(Duration::from_secs(3));
    }

    fn talk(&mut self) {
        for client in &mut self.clients {
            for _ in 0..100 {
                client.send_reliable(Bytes::from_static(b"up"));
                client.send_unreliable(Bytes::from_static(b"up"));
            }
        }
        self.sweep(Duration::from_secs(3));
    }

    /// Lets the clients do their part for so long, once at least.
    fn sweep(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            for client in &mut self.clients {
                while client.next(Duration::ZERO).is_some() {}
            }
            self.queue.pop_all();
            if Instant::now() >= end {
                return;
            }
        }
    }

    fn told(&self, what: &str) {
        let stats = self.server.stats();
        let at = self.began.elapsed().as_secs_f32();
        println!("{at:6.1} s: {what}: {:?}, {} peers", stats.longest_turn, stats.peers);
    }

    fn end(self) {
        let Stage { began, server, queue, mut clients } = self;
        let ended = Instant::now();
        drop(server);
        while !queue.is_finished() {
            for client in &mut clients {
                while client.next(Duration::ZERO).is_some() {}
            }
            queue.pop_all();
        }
        let at = began.elapsed().as_secs_f32();
        println!("{at:6.1} s: the end took {:?}", ended.elapsed());
    }
}
