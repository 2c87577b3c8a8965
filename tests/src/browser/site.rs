//! The web server the test pages come from and report to.

use std::io::{self, Cursor, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

/// Serves `tests/pages` and the client's `/net.js`; takes a page's reports.
///
/// A page posts its result as JSON to `/report`, and lines for the log to
/// `/log`.
pub struct Site {
    address: SocketAddr,
    server: Arc<Server>,
    reports: Receiver<Value>,
    log: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// A site on a free port of 127.0.0.1.
    pub fn new() -> Self {
        Self::on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// A site on a free port of an address of this machine.
    ///
    /// # Panics
    /// When the address is not this machine's.
    pub fn on(ip: IpAddr) -> Self {
        let server = Server::http((ip, 0)).expect("a free port on an address of this machine");
        let address = server.server_addr().to_ip().expect("an IP listener");
        let server = Arc::new(server);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, reports) = channel();
        let visit = Visit { reports: sender, log: Arc::clone(&log) };
        let listener = Arc::clone(&server);
        let thread = thread::spawn(move || {
            for request in listener.incoming_requests() {
                visit.handle(request);
            }
        });
        Self { address, server, reports, log, thread: Some(thread) }
    }

    /// The link to a page, as `echo.html?port=3000`.
    pub fn url(&self, page: &str) -> String {
        format!("http://{}/{page}", self.address)
    }

    /// The next report of a page.
    ///
    /// # Panics
    /// When none comes within the timeout, with what the pages logged.
    pub fn report(&self, timeout: Duration) -> Value {
        match self.reports.recv_timeout(timeout) {
            Ok(report) => report,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no report within {timeout:?}; log:\n{}", self.log())
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the site's thread ended"),
        }
    }

    /// What the pages logged so far, one line each.
    pub fn log(&self) -> String {
        let lines = self.log.lock().expect("no holder panics");
        lines.join("\n")
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the site's thread does with a request.
struct Visit {
    reports: Sender<Value>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Visit {
    fn handle(&self, mut request: Request) {
        let response = match (request.method(), path_of(request.url())) {
            (Method::Post, "/report") => self.take_report(&body(&mut request)),
            (Method::Post, "/log") => self.take_line(body(&mut request)),
            (Method::Get, path) => serve(path),
            _ => Response::from_string("").with_status_code(405),
        };
        // A page that is gone needs no answer.
        let _ = respond(request, response);
    }

    fn take_report(&self, body: &str) -> Response<Cursor<Vec<u8>>> {
        match serde_json::from_str(body) {
            Ok(report) => {
                // The test may be over.
                let _ = self.reports.send(report);
                Response::from_string("")
            }
            Err(error) => Response::from_string(error.to_string()).with_status_code(400),
        }
    }

    fn take_line(&self, line: String) -> Response<Cursor<Vec<u8>>> {
        println!("page: {line}");
        self.log.lock().expect("no holder panics").push(line);
        Response::from_string("")
    }
}

/// Answers as HTTP/1.0, after which the browser closes the connection.
///
/// tiny_http may let a new connection wait for a thread that an idle, open one
/// holds; without keep-alive there are no idle ones.
fn respond(request: Request, response: Response<Cursor<Vec<u8>>>) -> io::Result<()> {
    let mut writer = request.into_writer();
    response.raw_print(&mut writer, HTTPVersion(1, 0), &[], false, None)?;
    writer.flush()
}

fn body(request: &mut Request) -> String {
    let mut text = String::new();
    let _ = request.as_reader().read_to_string(&mut text);
    text
}

fn path_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

fn serve(path: &str) -> Response<Cursor<Vec<u8>>> {
    match file(path).and_then(|file| std::fs::read(file).ok()) {
        Some(bytes) => Response::from_data(bytes)
            .with_header(header("Content-Type", content_type(path)))
            .with_header(header("Cache-Control", "no-store"))
            // Isolated pages have fine clocks: Firefox otherwise rounds to whole milliseconds.
            .with_header(header("Cross-Origin-Opener-Policy", "same-origin"))
            .with_header(header("Cross-Origin-Embedder-Policy", "require-corp")),
        None => Response::from_string("not found").with_status_code(404),
    }
}

/// The file behind a path, `None` for one that leads out of the folder.
fn file(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if path == "/net.js" {
        return Some(root.join("../clients/js/net.js"));
    }
    let name = Path::new(path.strip_prefix('/')?);
    let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
    inside.then(|| root.join("pages").join(name))
}

fn content_type(path: &str) -> &'static str {
    match Path::new(path).extension().and_then(|end| end.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("plain ASCII")
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    fn ask(site: &Site, request: &str) -> String {
        let mut stream = TcpStream::connect(site.address).expect("the site listens");
        let text = request.replace('\n', "\r\n");
        stream.write_all(text.as_bytes()).expect("the site reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the site answers");
        answer
    }

    #[test]
    fn it_serves_the_client() {
        let answer = ask(&Site::new(), "GET /net.js?x HTTP/1.1\nHost: x\nConnection: close\n\n");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert!(answer.contains("text/javascript"));
        assert!(answer.contains("export async function connect"));
    }

    #[test]
    fn it_serves_nothing_outside_its_folder() {
        let answer =
            ask(&Site::new(), "GET /../Cargo.toml HTTP/1.1\nHost: x\nConnection: close\n\n");
        assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
        assert_eq!(file("//etc/passwd"), None);
    }

    #[test]
    fn a_report_arrives() {
        let site = Site::new();
        let post =
            "POST /report HTTP/1.1\nHost: x\nContent-Length: 8\nConnection: close\n\n{\"ok\":1}";
        ask(&site, post);
        assert_eq!(site.report(Duration::from_secs(5))["ok"], 1);
    }

    #[test]
    fn an_open_connection_gets_its_answer_at_once() {
        let site = Site::new();
        let mut stream = TcpStream::connect(site.address).expect("the site listens");
        let timeout = Some(Duration::from_secs(5));
        stream.set_read_timeout(timeout).expect("not zero");
        let post = b"POST /report HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(post).expect("the site reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer in time");
        assert_eq!(&answer, b"HTTP/1.0 200");
    }
}
