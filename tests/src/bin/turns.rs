//! How long the turns of a server's loop become with many peers: `turns [PEERS]`, in release.
//!
//! Everything at once that can be at once: connecting, broadcasts, full mailboxes, messages from
//! everyone, timers, a minute in which the application takes no events, the end. Prints the
//! longest turn so far after each; each client has four descriptors, so `ulimit -n` must be high
//! enough. The clients share the machine with the server, so what is printed is an upper bound.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{env, thread};

use bytes::Bytes;
use net::{Config, Event, EventQueue, Server};
use net_tests::agent::Manners;
use net_tests::client::{Client, News};

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let peers = env::args().nth(1).map_or(Ok(1_024), |word| word.parse())?;
    let config = Config {
        max_peers: peers,
        max_handshakes: peers,
        max_protected_handshakes_per_private_ip: peers,
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
    let waited = stage.ignore_events(Duration::from_secs(60))?;
    stage.told(&waited);
    stage.sweep(Duration::from_secs(10));
    stage.told("ten seconds in which they are taken again");
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
            let refused = self.server.stats().connect_failures;
            if refused > 0 {
                return Err(format!(
                    "{refused} refused: {:?}",
                    self.server.connect_failures().by_reason
                )
                .into());
            }
            for client in &mut self.clients {
                open += usize::from(client.next(Duration::ZERO) == Some(News::Open));
            }
            drop(self.queue.pop_all());
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

    /// Everyone sends 20 times a second on both paths, and no event is taken; one of them goes.
    fn ignore_events(&mut self, time: Duration) -> Result<String, Box<dyn Error>> {
        let ended = Instant::now() + time;
        while Instant::now() < ended {
            let next = Instant::now() + Duration::from_millis(50);
            for client in &mut self.clients {
                client.send_reliable(Bytes::from_static(&[7; 100]));
                client.send_unreliable(Bytes::from_static(&[7; 100]));
                while client.next(Duration::ZERO).is_some() {}
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        self.clients[0].close_channel();
        // Its word may be lost, and its websocket is not read: the others must not fall silent
        // while it is missed.
        while self.server.close_reason(0).is_none() {
            for client in &mut self.clients {
                while client.next(Duration::ZERO).is_some() {}
            }
        }
        let (waiting, dropped) = (self.queue.pop_all(), self.server.stats().events_dropped);
        let closed: Vec<_> = waiting.iter().filter(|e| matches!(e, Event::Closed(_))).collect();
        let words = format!(
            "a minute without events taken: {} wait, {} closed, {dropped} dropped",
            waiting.len(),
            closed.len()
        );
        let is_bounded = waiting.len() <= Config::default().event_queue_len + 64;
        match is_bounded && closed == [&Event::Closed(0.into())] {
            true => Ok(words),
            false => Err(words.into()),
        }
    }

    /// Lets the clients do their part for so long, once at least.
    fn sweep(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            for client in &mut self.clients {
                while client.next(Duration::ZERO).is_some() {}
            }
            drop(self.queue.pop_all());
            if Instant::now() >= end {
                return;
            }
        }
    }

    fn told(&self, what: &str) {
        let stats = self.server.stats();
        let at = self.began.elapsed().as_secs_f32();
        println!("{at:6.1} s: {what}: {:?}, {} peers", stats.longest_iteration, stats.open_peers);
    }

    fn end(self) {
        let Stage { began, server, queue, mut clients } = self;
        let ended = Instant::now();
        drop(server);
        while !queue.is_finished() {
            for client in &mut clients {
                while client.next(Duration::ZERO).is_some() {}
            }
            drop(queue.pop_all());
        }
        let at = began.elapsed().as_secs_f32();
        println!("{at:6.1} s: the end took {:?}", ended.elapsed());
    }
}
