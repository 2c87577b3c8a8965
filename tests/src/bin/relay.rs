//! Passes TCP connections on: `relay 198.51.100.1:0 127.0.0.1:3000`.
//!
//! Stands for the reverse proxy in front of a server that listens on loopback only. Prints
//! `listening ADDRESS` and runs until it is ended.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::{env, io, thread};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(front), Some(back)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("relay LISTEN-ADDRESS SERVER-ADDRESS"));
    };
    let listener = TcpListener::bind(front)?;
    println!("listening {}", listener.local_addr()?);
    for client in listener.incoming() {
        join(client?, TcpStream::connect(&back)?)?;
    }
    Ok(())
}

fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || pass(client, server));
    thread::spawn(move || pass(server_too, client_too));
    Ok(())
}

/// Either end's failure ends this direction; the other follows by itself.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _failed = io::copy(&mut from, &mut to);
    let _closed_already = to.shutdown(Shutdown::Write);
}
