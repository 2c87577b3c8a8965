//! A server and a client shake hands in memory, and every text is printed.
//!
//! Run it with `cargo run -p net-signal --example hand`.

use std::time::Instant;

use net_signal::{Answerer, Candidate, Input, Limits, Offerer, Output, answerer};

fn main() {
    let now = Instant::now();
    let mut server = Offerer::offer(now, Limits::default(), offer(), vec![candidate()]);
    let mut client = Answerer::new(Limits::default());

    while serve(now, &mut server, &mut client) | reply(now, &mut client, &mut server) {}
    println!("nothing more to say");
}

/// Does what the server wants; `true` if it wanted something.
fn serve(now: Instant, server: &mut Offerer, client: &mut Answerer) -> bool {
    match server.poll_output() {
        Output::Send(text) => {
            println!("server -> client  {text}");
            client.handle_input(now, Input::Text(&text));
        }
        Output::Answer { sdp, negotiated } => {
            println!("server            has the answer {sdp:?}, negotiated: {negotiated}");
        }
        Output::Failed(refusal) => println!("server            refuses: {refusal}"),
        Output::Timeout(_) => return false,
    }
    true
}

/// Does what the client wants; `true` if it wanted something.
fn reply(now: Instant, client: &mut Answerer, server: &mut Offerer) -> bool {
    match client.poll_output() {
        answerer::Output::Offer { sdp, .. } => {
            println!("client            has the offer {sdp:?}");
            client.answer(now, answer()).expect("the offer just came");
        }
        answerer::Output::Send(text) => {
            println!("client -> server  {text}");
            server.handle_input(now, Input::Text(&text));
        }
        answerer::Output::Failed(refusal) => println!("client            refuses: {refusal}"),
        answerer::Output::Timeout(_) => return false,
    }
    true
}

// In earnest a WebRTC stack writes the following three.

fn offer() -> String {
    "v=0\r\ns=offer\r\n".into()
}

fn answer() -> String {
    "v=0\r\ns=answer\r\n".into()
}

fn candidate() -> Candidate {
    Candidate {
        candidate: "candidate:1 1 udp 2130706431 192.0.2.1 3000 typ host".into(),
        sdp_mid: "0".into(),
        sdp_m_line_index: 0,
        username_fragment: "ufrag".into(),
    }
}
