//! A small game on `net`: move, see the others move, catch sparks, talk.

mod args;
mod game;
mod protocol;
mod room;
mod site;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{io, thread};

use args::{Command, HELP, Settings};
use game::TICK_RATE;
use net::{Config, Event, EventQueue, PeerId, Server};
use room::{Mail, Path, Room, To};
use site::Site;

/// How long the players' goodbyes may take.
const FAREWELL: Duration = Duration::from_millis(1500);

/// Steps made up for after the machine was busy; older ones are left out.
const CATCH_UP: u32 = 6;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn,arena=info"))
        .init();
    match args::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Run(settings)) => run(&settings).map_or_else(complain, |()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("arena: {error}");
            ExitCode::from(2)
        }
    }
}

fn complain(error: String) -> ExitCode {
    eprintln!("arena: {error}");
    ExitCode::FAILURE
}

fn run(settings: &Settings) -> Result<(), String> {
    let (server, queue) = start_game(settings)?;
    let site = start_site(settings, server.local_addr().port())?;
    let running = stop_on_ctrl_c()?;
    println!("arena: open {} in a browser; Ctrl-C ends it", link(site.address()));
    play(&server, &queue, &running);
    drop(site);
    drop(server);
    say_goodbye(&queue);
    Ok(())
}

fn start_game(settings: &Settings) -> Result<(Server, EventQueue), String> {
    let address = SocketAddr::new(settings.listen, settings.port);
    Server::bind(address, Config::default()).map_err(|error| {
        format!("no game on {address}: {error}; --port and --listen choose another")
    })
}

fn start_site(settings: &Settings, game_port: u16) -> Result<Site, String> {
    let address = SocketAddr::new(settings.listen, settings.http);
    Site::start(settings.listen, settings.http, game_port).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "no page on {address}: port {} is taken; choose another with --http",
            settings.http
        ),
        _ => format!("no page on {address}: {error}; change --listen or --http"),
    })
}

fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>, String> {
    let running = Arc::new(AtomicBool::new(true));
    let stop = Arc::clone(&running);
    ctrlc::set_handler(move || stop.store(false, Ordering::Relaxed))
        .map_err(|error| format!("no Ctrl-C handler: {error}"))?;
    Ok(running)
}

/// The link to the page; for "all addresses" the one that works right here.
fn link(address: SocketAddr) -> String {
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}/", SocketAddr::new(here, address.port()))
}

/// The game's loop, until it is told to stop.
fn play(server: &Server, queue: &EventQueue, running: &AtomicBool) {
    let mut room = Room::new(seed());
    let mut next = Instant::now();
    while running.load(Ordering::Relaxed) {
        for event in queue.pop_all() {
            handle_event(&mut room, event);
        }
        room.step();
        room.take_mail().into_iter().for_each(|mail| send(server, mail));
        next = wait_for_tick(next);
    }
}

fn handle_event(room: &mut Room<PeerId>, event: Event) {
    match event {
        Event::Open(id) => {
            log::info!("{id} came");
            room.open(id);
        }
        Event::Closed(id) => {
            log::info!("{id} left");
            room.closed(id);
        }
        Event::Received(id, message) => room.received(id, &message),
    }
}

fn send(server: &Server, Mail { to, path, message }: Mail<PeerId>) {
    match (to, path) {
        (To::One(id), Path::Reliable) => server.send_reliable(id, message),
        (To::One(id), Path::Unreliable) => server.send_unreliable(id, message),
        (To::One(id), Path::Latest(key)) => server.send_latest(id, key, message),
        (To::All, Path::Reliable) => server.broadcast_reliable(message),
        (To::All, Path::Unreliable) => server.broadcast_unreliable(message),
        (To::All, Path::Latest(key)) => server.broadcast_latest(key, message),
    }
}

/// Sleeps until the tick after `last`, which it returns.
fn wait_for_tick(last: Instant) -> Instant {
    let tick = Duration::from_secs(1) / TICK_RATE;
    let next = last + tick;
    let now = Instant::now();
    thread::sleep(next.saturating_duration_since(now));
    if now > next + tick * CATCH_UP { now } else { next }
}

/// Gives the server's thread the time to tell everyone that it ends.
fn say_goodbye(queue: &EventQueue) {
    let end = Instant::now() + FAREWELL;
    while !queue.is_finished() && Instant::now() < end {
        drop(queue.wait(Duration::from_millis(50)));
    }
}

fn seed() -> u64 {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.map_or(1, |time| time.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_can_be_opened_on_this_machine() {
        let link_of = |address: &str| link(address.parse().expect("an address"));
        assert_eq!(link_of("0.0.0.0:80"), "http://127.0.0.1:80/");
        assert_eq!(link_of("[::]:80"), "http://[::1]:80/");
        assert_eq!(link_of("198.51.100.1:80"), "http://198.51.100.1:80/");
    }

    #[test]
    fn the_next_tick_keeps_the_beat_and_forgets_long_delays() {
        let tick = Duration::from_secs(1) / TICK_RATE;
        let last = Instant::now() - tick;
        assert_eq!(wait_for_tick(last), last + tick);
        let long_ago = last - tick * 100;
        assert!(wait_for_tick(long_ago) > last);
    }
}
