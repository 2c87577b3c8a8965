//! What a connect costs a server of its processor:
//!
//! ```text
//! cargo run --release -p net-tests --bin connect-cost -- --connecting all,-snap --connects 1000
//! ```
//!
//! Server and client are `net-rtc` endpoints in virtual time, 50 ms from one another, without
//! sockets; what counts is the real time that the server's calls take, from its offer to the
//! open channel. Prints median and mean of a connect in microseconds, its datagrams and its
//! round trips; other work on the machine shows in the mean. `--connecting` is as in
//! `net_tests::real::parse_connecting`, and may be given more than once: they take turns.

use std::collections::VecDeque;
use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use net::HandshakeOptions;
use net_rtc::{Config, Endpoint, Event, Input, OfferOptions, Output, Transmit};
use net_tests::real::{arguments, parse_connecting};

const SERVER: &str = "192.0.2.1:3000";
const CLIENT: &str = "192.0.2.2:5000";
const ONE_WAY: Duration = Duration::from_millis(50);
/// Connects before those that count.
const WARM_UP: usize = 20;
/// Virtual time for one.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let (mut connects, mut names) = (1_000, Vec::new());
    for (name, value) in arguments(&words)? {
        match name {
            "--connects" => connects = value.parse()?,
            "--connecting" => names.push(value),
            _ => return Err(format!("no option {name}").into()),
        }
    }
    if names.is_empty() {
        names = vec!["all", "all,-snap", "compatible", "stock"];
    }
    let mut rows: Vec<Row> = names.into_iter().map(Row::new).collect::<Result<_, _>>()?;
    for number in 0..WARM_UP + connects {
        for row in &mut rows {
            let cost = row.pair.connect()?;
            row.costs.extend((number >= WARM_UP).then_some(cost));
        }
    }
    println!(
        "| connecting | median | mean | datagrams to and from the server | to open, round trips |"
    );
    println!("|---|---|---|---|---|");
    rows.iter_mut().for_each(Row::print);
    Ok(())
}

/// One way to connect, and what its connects cost.
struct Row {
    name: String,
    pair: Pair,
    costs: Vec<Cost>,
}

/// What one connect took.
#[derive(Clone, Copy, Default)]
struct Cost {
    server: Duration,
    datagrams: usize,
    to_open: Duration,
}

impl Row {
    fn new(name: &str) -> Result<Row, Box<dyn Error>> {
        let pair = Pair::new(parse_connecting(name)?)?;
        Ok(Row { name: name.to_owned(), pair, costs: Vec::new() })
    }

    fn print(&mut self) {
        self.costs.sort_by_key(|cost| cost.server);
        let median = self.costs[self.costs.len() / 2];
        let total: Duration = self.costs.iter().map(|cost| cost.server).sum();
        println!(
            "| {} | {:.0} us | {:.0} us | {} | {:.1} |",
            self.name,
            median.server.as_secs_f64() * 1e6,
            total.as_secs_f64() * 1e6 / self.costs.len() as f64,
            median.datagrams,
            median.to_open.as_secs_f64() / (2 * ONE_WAY).as_secs_f64(),
        );
    }
}

/// A server and a client, and datagrams between them.
struct Pair {
    server: Endpoint<u32>,
    client: Endpoint<u32>,
    addresses: [SocketAddr; 2],
    connecting: HandshakeOptions,
    flying: VecDeque<(Instant, Transmit)>,
    now: Instant,
    key: u32,
    cost: Cost,
}

impl Pair {
    fn new(connecting: HandshakeOptions) -> Result<Pair, Box<dyn Error>> {
        let addresses = [SERVER.parse()?, CLIENT.parse()?];
        // The client can do everything; what the server does not offer it does not do.
        let [server, client] =
            [(addresses[0], connecting), (addresses[1], HandshakeOptions::default())].map(
                |(address, connecting)| {
                    Endpoint::new(Config { handshake: connecting, ..Config::new(vec![address]) })
                },
            );
        Ok(Pair {
            server,
            client,
            addresses,
            connecting,
            flying: VecDeque::new(),
            now: Instant::now(),
            key: 0,
            cost: Cost::default(),
        })
    }

    /// From offer to open at both ends, and away again.
    fn connect(&mut self) -> Result<Cost, Box<dyn Error>> {
        self.key += 1;
        self.cost = Cost::default();
        let (key, now) = (self.key, self.now);
        let remote = Some(self.addresses[1].ip());
        let options = OfferOptions { remote, ..Default::default() };
        let offer = self.at_server(|server| server.offer_with(now, key, options))?;
        if self.connecting.negotiated {
            let answer = self.client.accept_offer_negotiated(now, key, &offer.sdp)?;
            self.at_server(|server| server.accept_answer_negotiated(now, &key, &answer))?;
        } else {
            let answer = self.client.accept_offer(now, key, &offer.sdp)?;
            self.at_server(|server| server.accept_answer(now, &key, &answer))?;
        }
        self.open()?;
        let cost = self.cost;
        self.leave();
        Ok(Cost { to_open: self.now - now, ..cost })
    }

    fn open(&mut self) -> Result<(), Box<dyn Error>> {
        let end = self.now + PATIENCE;
        let mut open = 0;
        while open < 2 {
            let (wake, events) = self.poll();
            for event in events {
                match event {
                    Event::Open => open += 1,
                    other => return Err(format!("instead of open: {other:?}").into()),
                }
            }
            if open < 2 {
                let next = wake.into_iter().chain(self.flying.front().map(|(at, _)| *at)).min();
                self.now = next.filter(|next| *next < end).ok_or("it did not open")?.max(self.now);
                self.turn();
            }
        }
        Ok(())
    }

    /// Both sides forget each other; nothing of that counts.
    fn leave(&mut self) {
        self.client.close(self.now, &self.key);
        self.server.close(self.now, &self.key);
        self.poll();
        self.flying.clear();
    }

    /// Delivers what has arrived, then lets both sides see the time.
    fn turn(&mut self) {
        let now = self.now;
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, Transmit { source, destination, contents })) = self.flying.pop_front()
            else {
                break;
            };
            let input = Input::Datagram { source, destination, contents: &contents };
            if destination == self.addresses[0] {
                self.at_server(|server| server.handle_input(now, input));
            } else {
                self.client.handle_input(now, input);
            }
            self.cost.datagrams += 1;
        }
        self.at_server(|server| server.handle_input(now, Input::Timeout));
        self.client.handle_input(now, Input::Timeout);
    }

    /// When either wants to be woken, and what happened.
    fn poll(&mut self) -> (Option<Instant>, Vec<Event>) {
        let (mut wake, mut events) = (Vec::new(), Vec::new());
        let at = self.now + ONE_WAY;
        for is_server in [true, false] {
            loop {
                let output = match is_server {
                    true => self.at_server(Endpoint::poll_output),
                    false => self.client.poll_output(),
                };
                match output {
                    Output::Timeout(next) => break wake.extend(next),
                    Output::Event(_, event) => events.push(event),
                    Output::Transmit(transmit) => self.flying.push_back((at, transmit)),
                }
            }
        }
        (wake.into_iter().min(), events)
    }

    /// Calls the server, and counts the time it takes.
    fn at_server<R>(&mut self, call: impl FnOnce(&mut Endpoint<u32>) -> R) -> R {
        let began = Instant::now();
        let result = call(&mut self.server);
        self.cost.server += began.elapsed();
        result
    }
}
