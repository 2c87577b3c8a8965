//! The only part with sockets, a thread and a clock: it drives the [`Hub`](crate::hub::Hub).

mod accept_pool;
mod bind;
mod event_loop;
mod interfaces;
mod local_addrs;
mod tcp;
mod udp_sockets;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::{panic, thread};

use mio::{Poll, Waker};

use crate::driver::accept_pool::Clerks;
use crate::driver::bind::Sockets;
use crate::driver::event_loop::Driver;
use crate::driver::interfaces::Watcher;
use crate::driver::local_addrs::Scope;
use crate::queues::Shared;
use crate::{BindError, Config};

/// A server whose loop runs.
pub(crate) struct Started {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local: SocketAddr,
}

/// Binds the first of these addresses that can be had, on this thread, and starts the loop on
/// one of its own.
pub(crate) fn start(candidates: &[SocketAddr], config: Config) -> Result<Started, BindError> {
    let mut sockets = Sockets::bind_first(candidates, &config)?;
    let poll = Poll::new().map_err(BindError::Loop)?;
    let waker = Waker::new(poll.registry(), event_loop::WAKER).map_err(BindError::Loop)?;
    let shared = Arc::new(Shared::new(&config, move || wake(&waker)));
    let local = sockets.local;
    let reachable = sockets.addresses.take_change().unwrap_or_default();
    sockets.log(&reachable);
    let clerks = Clerks::start(&config, &shared).map_err(BindError::Loop)?;
    let found = std::mem::take(&mut sockets.found);
    let watcher = Scope::of(local.ip()).follows_interfaces();
    let watcher = watcher.then(|| Watcher::start(found, &shared)).transpose();
    let watcher = watcher.map_err(BindError::Loop)?;
    let mut driver = Driver::new(poll, sockets, config, shared.clone(), clerks, watcher)
        .map_err(BindError::Loop)?;
    driver.announce(reachable);
    thread::Builder::new()
        .name(format!("net {local}"))
        .spawn(move || run(driver))
        .map_err(BindError::Loop)?;
    Ok(Started { shared, local })
}

/// Runs the loop to its end. A panic in one connection ends that connection, see
/// [`Hub`](crate::hub::Hub); any other ends the server, and the application hears so.
fn run(driver: Driver) {
    let shared = driver.shared().clone();
    // What may be left half done is the driver's own, and that is gone afterwards; the port is
    // free before the queue says that all is over.
    if panic::catch_unwind(AssertUnwindSafe(|| driver.run())).is_err() {
        log::error!("the loop has panicked, which ends the server and every connection");
    }
    shared.stopped();
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!("the event loop cannot be woken: {error}");
    }
}
