//! Takes a UDP port, as another program does: `hold-udp 172.17.0.1:3000`.
//!
//! Prints `listening ADDRESS` and runs until it is ended.

use std::net::UdpSocket;
use std::{env, io, thread};

fn main() -> io::Result<()> {
    let address = env::args().nth(1).ok_or_else(|| io::Error::other("hold-udp ADDRESS"))?;
    let socket = UdpSocket::bind(address)?;
    println!("listening {}", socket.local_addr()?);
    loop {
        thread::park();
    }
}
