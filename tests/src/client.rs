//! An [`Agent`] over real sockets.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use net::Delivery;

use crate::agent::{Agent, Input, Manners, Output};

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Both paths are up.
    Open,
    /// A message arrived.
    Received(Delivery, Bytes),
    /// It is over, with the websocket's close code and words.
    Closed(u16, String),
}

/// A blocking client for tests.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    tcp: TcpStream,
    udp: UdpSocket,
    local: SocketAddr,
    poll: Poll,
    news: VecDeque<News>,
}

impl Client {
    /// Connects, and waits up to 10 s until both paths are up.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub fn connect(server: SocketAddr) -> io::Result<Client> {
        Client::connect_to(server, "/")
    }

    /// The same, and asks for this path.
    ///
    /// # Errors
    /// As of [`connect`](Client::connect).
    pub fn connect_to(server: SocketAddr, path: &str) -> io::Result<Client> {
        let tcp = TcpStream::connect(server)?;
        let udp = UdpSocket::bind((tcp.local_addr()?.ip(), 0))?;
        let mut client = Client::asking(tcp, udp, path, Manners::Good)?;
        match client.next(Duration::from_secs(10)) {
            Some(News::Open) => Ok(client),
            Some(News::Closed(code, words)) => Err(io::Error::other(format!("{code} {words}"))),
            other => Err(io::Error::other(format!("instead of Open: {other:?}"))),
        }
    }

    /// Connects and waits for nothing.
    ///
    /// # Errors
    /// If the server cannot be reached over TCP.
    pub fn begin(server: SocketAddr, manners: Manners) -> io::Result<Client> {
        let tcp = TcpStream::connect(server)?;
        let udp = UdpSocket::bind((tcp.local_addr()?.ip(), 0))?;
        Client::over(tcp, udp, manners)
    }

    /// A client over these sockets.
    ///
    /// # Errors
    /// If the sockets are not to be had.
    pub fn over(tcp: TcpStream, udp: UdpSocket, manners: Manners) -> io::Result<Client> {
        Client::asking(tcp, udp, "/", manners)
    }

    fn asking(tcp: TcpStream, udp: UdpSocket, path: &str, manners: Manners) -> io::Result<Client> {
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let poll = Poll::new()?;
        watch(&poll, tcp.as_raw_fd(), Token(0))?;
        watch(&poll, udp.as_raw_fd(), Token(1))?;
        let local = udp.local_addr()?;
        let agent = Agent::new(Instant::now(), local, path, manners, None);
        Ok(Client { agent, tcp, udp, local, poll, news: VecDeque::new() })
    }

    /// The address that datagrams leave from.
    pub fn udp_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends over the websocket.
    pub fn send_reliable(&mut self, message: impl Into<Bytes>) -> bool {
        self.act(|agent, now| agent.send(now, Delivery::Reliable, message.into()))
    }

    /// Sends over the data channel.
    pub fn send_unreliable(&mut self, message: impl Into<Bytes>) -> bool {
        self.act(|agent, now| agent.send(now, Delivery::Unreliable, message.into()))
    }

    /// Sends a text, as signalling does.
    pub fn send_text(&mut self, text: &str) -> bool {
        self.act(|agent, now| agent.send_text(now, text))
    }

    /// Closes the websocket.
    pub fn close_websocket(&mut self) {
        self.act(|agent, now| agent.close_websocket(now));
    }

    /// Closes the peer connection.
    pub fn close_channel(&mut self) {
        self.act(|agent, now| agent.close_channel(now));
    }

    /// The next message of the server; `None` when the time is up or the connection is over.
    pub fn recv(&mut self, timeout: Duration) -> Option<(Delivery, Bytes)> {
        match self.next(timeout)? {
            News::Received(delivery, message) => Some((delivery, message)),
            News::Open | News::Closed(..) => None,
        }
    }

    /// The next thing that happens, if it happens in time.
    pub fn next(&mut self, timeout: Duration) -> Option<News> {
        let end = Instant::now() + timeout;
        loop {
            self.exchange();
            if let Some(news) = self.news.pop_front() {
                return Some(news);
            }
            if Instant::now() >= end {
                return None;
            }
            self.wait(end);
        }
    }

    fn act<T>(&mut self, action: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let result = action(&mut self.agent, Instant::now());
        self.flush();
        result
    }

    fn exchange(&mut self) {
        self.agent.read_from(&mut self.tcp);
        let mut buffer = [0; 2_048];
        while let Ok((length, source)) = self.udp.recv_from(&mut buffer) {
            let datagram = Input::Datagram(source, &buffer[..length]);
            self.agent.handle_input(Instant::now(), datagram);
        }
        self.agent.handle_input(Instant::now(), Input::Timeout);
        self.flush();
    }

    fn flush(&mut self) -> Option<Instant> {
        self.agent.write_to(&mut self.tcp);
        loop {
            match self.agent.poll_output() {
                Output::Timeout(wake) => return wake,
                Output::Open => self.news.push_back(News::Open),
                Output::Received(delivery, message) => {
                    self.news.push_back(News::Received(delivery, message));
                }
                Output::Closed(code, words) => self.news.push_back(News::Closed(code, words)),
                // A datagram that the system does not take is lost, as datagrams are.
                Output::Transmit(t) => _ = self.udp.send_to(&t.contents, t.destination),
            }
        }
    }

    fn wait(&mut self, end: Instant) {
        let wake = self.flush().map_or(end, |at| at.min(end));
        // Rounded up, for the system counts in milliseconds.
        let wait = wake.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        // An interrupted wait is a short wait.
        _ = self.poll.poll(&mut Events::with_capacity(8), Some(wait));
    }
}

fn watch(poll: &Poll, fd: RawFd, token: Token) -> io::Result<()> {
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut SourceFd(&fd), token, interest)
}
