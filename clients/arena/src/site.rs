//! The web server of the page; everything it serves is in the program.

use std::io::{self, Cursor, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

/// Requests answered at the same time.
const THREADS: usize = 2;

/// Where the page finds the game's port.
const PORT_MARK: &str = "{{game port}}";

/// The running web server; dropping it ends its threads.
pub(crate) struct Site {
    address: SocketAddr,
    server: Arc<Server>,
    threads: Vec<JoinHandle<()>>,
}

impl Site {
    /// Listens and begins to serve; the page will look for the game at `game_port`.
    pub(crate) fn start(ip: IpAddr, port: u16, game_port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, port))?;
        let address = listener.local_addr()?;
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        let server = Arc::new(server);
        let index: Arc<str> = INDEX.replace(PORT_MARK, &game_port.to_string()).into();
        let threads = (0..THREADS).map(|_| serve(Arc::clone(&server), Arc::clone(&index)));
        let threads = threads.collect();
        Ok(Self { address, server, threads })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.threads.iter().for_each(|_| self.server.unblock());
        for thread in self.threads.drain(..) {
            // It panicked at worst, and this is the end anyway.
            let _ = thread.join();
        }
    }
}

fn serve(server: Arc<Server>, index: Arc<str>) -> JoinHandle<()> {
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let response = answer(&request, &index);
            if let Err(error) = respond(request, response) {
                log::debug!("a page left before its answer: {error}");
            }
        }
    })
}

/// Answers as HTTP/1.0, after which the browser closes the connection.
///
/// tiny_http may let a new connection wait for a thread that an idle, open one
/// holds; without keep-alive there are no idle ones.
fn respond(request: Request, response: Response<Cursor<Vec<u8>>>) -> io::Result<()> {
    let head_only = *request.method() == Method::Head;
    let mut writer = request.into_writer();
    response.raw_print(&mut writer, HTTPVersion(1, 0), &[], head_only, None)?;
    writer.flush()
}

fn answer(request: &Request, index: &str) -> Response<Cursor<Vec<u8>>> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Response::from_string("only GET\n").with_status_code(405);
    }
    match content(request.url(), index) {
        Some((kind, text)) => Response::from_data(text)
            .with_header(header("Content-Type", kind))
            .with_header(header("Cache-Control", "no-cache"))
            .with_header(header("X-Content-Type-Options", "nosniff")),
        None => Response::from_string("not found\n").with_status_code(404),
    }
}

/// Content type and content of a path.
fn content<'a>(url: &str, index: &'a str) -> Option<(&'static str, &'a str)> {
    let path = url.split(['?', '#']).next()?;
    if matches!(path, "/" | "/index.html") {
        return Some((HTML, index));
    }
    let (_, kind, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    Some((kind, text))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("plain ASCII")
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const INDEX: &str = include_str!("../page/index.html");

const FILES: &[(&str, &str, &str)] = &[
    ("/style.css", CSS, include_str!("../page/style.css")),
    ("/icon.svg", SVG, include_str!("../page/icon.svg")),
    ("/main.js", JS, include_str!("../page/main.js")),
    ("/protocol.js", JS, include_str!("../page/protocol.js")),
    ("/world.js", JS, include_str!("../page/world.js")),
    ("/view.js", JS, include_str!("../page/view.js")),
    ("/input.js", JS, include_str!("../page/input.js")),
    ("/hud.js", JS, include_str!("../page/hud.js")),
    ("/net.js", JS, include_str!("../../js/net.js")),
];

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn get(site: &Site, path: &str) -> String {
        let mut stream = TcpStream::connect(site.address()).expect("the site listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the site reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the site answers");
        answer
    }

    #[test]
    fn the_page_knows_the_games_port() {
        assert!(INDEX.contains(PORT_MARK));
        let site = Site::start(HERE, 0, 4321).expect("a free port");
        let page = get(&site, "/?x");
        assert!(page.starts_with("HTTP/1.0 200") && page.contains("4321"), "{page}");
        assert!(!page.contains(PORT_MARK));
    }

    #[test]
    fn everything_the_page_imports_is_served() {
        let named = |text: &'static str| {
            let after = text.split("from './").skip(1);
            after.filter_map(|rest| rest.split('\'').next())
        };
        for name in FILES.iter().flat_map(|(_, _, text)| named(text)) {
            assert!(content(&format!("/{name}"), "").is_some(), "{name}");
        }
    }

    #[test]
    fn there_is_nothing_else() {
        let site = Site::start(HERE, 0, 1).expect("a free port");
        assert!(get(&site, "/../Cargo.toml").starts_with("HTTP/1.0 404"));
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let site = Site::start(HERE, 0, 1).expect("a free port");
        let second = Site::start(HERE, site.address().port(), 1);
        assert_eq!(second.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_stopped_site_has_ended_its_threads() {
        let site = Site::start(HERE, 0, 1).expect("a free port");
        let server = Arc::downgrade(&site.server);
        drop(site);
        assert!(server.upgrade().is_none());
    }
}
