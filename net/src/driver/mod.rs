//! IO driver: sockets, threads and the clock around the [`Hub`](crate::hub::Hub).

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

use crate::driver::accept_pool::AcceptPool;
use crate::driver::bind::ServerSockets;
use crate::driver::event_loop::Driver;
use crate::driver::interfaces::InterfaceWatcher;
use crate::driver::local_addrs::ListenScope;
use crate::queues::Shared;
use crate::{BindError, Config};

/// Server with a running event loop.
pub(crate) struct RunningServer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local_addr: SocketAddr,
}

/// Binds the first of these addresses that can be bound, on this thread, and starts the loop on a
/// thread of its own.
pub(crate) fn start(candidates: &[SocketAddr], config: Config) -> Result<RunningServer, BindError> {
    let mut sockets = ServerSockets::bind_first(candidates, &config)?;
    let poll = Poll::new().map_err(BindError::EventLoop)?;
    let waker =
        Waker::new(poll.registry(), event_loop::WAKER_TOKEN).map_err(BindError::EventLoop)?;
    let shared = Arc::new(Shared::new(&config, move || wake(&waker)));
    let local = sockets.local_addr;
    let reachable = sockets.address_set.take_change().unwrap_or_default();
    sockets.log_startup(&reachable);
    let clerks = AcceptPool::start(&config, &shared).map_err(BindError::EventLoop)?;
    let found = std::mem::take(&mut sockets.interface_addrs);
    let watcher = ListenScope::new(local.ip()).follows_interfaces();
    let watcher = watcher.then(|| InterfaceWatcher::start(found, &shared)).transpose();
    let watcher = watcher.map_err(BindError::EventLoop)?;
    let mut driver = Driver::new(poll, sockets, config, shared.clone(), clerks, watcher)
        .map_err(BindError::EventLoop)?;
    driver.set_reachable_addrs(reachable);
    thread::Builder::new()
        .name(format!("net {local}"))
        .spawn(move || run_driver(driver))
        .map_err(BindError::EventLoop)?;
    Ok(RunningServer { shared, local_addr: local })
}

/// Runs the loop to its end. A panic in one connection ends that connection, see
/// [`Hub`](crate::hub::Hub); any other ends the server, which is reported to the application.
fn run_driver(driver: Driver) {
    let shared = driver.shared().clone();
    // A panic can leave only the driver inconsistent, and that is dropped; the port is free before
    // the queue reports the end.
    if panic::catch_unwind(AssertUnwindSafe(|| driver.run())).is_err() {
        log::error!("the loop has panicked, which ends the server and every connection");
    }
    shared.on_loop_stopped();
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!("the event loop cannot be woken: {error}");
    }
}
