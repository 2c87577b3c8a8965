//! What a server process says of itself.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fs, io};

use net::Server;
use net::hub::ResourceUsage;
use serde_json::{Value, json};

/// Bytes of a page; the same on every machine that this was written for.
const PAGE_KIB: u64 = 4;

/// What a server process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Its resident set.
    pub resident_kib: u64,
    /// Its open files.
    pub descriptors: u64,
    /// Time that its threads ran.
    pub cpu: Duration,
    /// Peers that are open.
    pub peers: u64,
    /// TCP connections that were accepted.
    pub accepted: u64,
    /// Those that became peers.
    pub opened: u64,
    /// Those that did not.
    pub refused: u64,
    /// Connections that asked for no websocket.
    pub plain: u64,
    /// What all tables of its loop hold together.
    pub entries: u64,
    /// The longest turn of its loop since the last report, in time on a processor.
    pub longest_turn: Duration,
    /// Why peers were closed, and how many.
    pub reasons: BTreeMap<String, u64>,
}

impl Report {
    /// Of this process, whose server has these counters.
    pub(super) fn of(server: &Server, reasons: &BTreeMap<String, u64>) -> Report {
        let stats = server.stats();
        let longest_turn = server.take_longest_iteration();
        // The loop's answer comes after what it has closed in the same turn.
        let entries = server.resource_usage().map_or(u64::MAX, entries);
        Report {
            resident_kib: resident_kib(),
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
            cpu: cpu(),
            peers: stats.open_peers,
            accepted: stats.tcp_accepted,
            opened: stats.peers_opened,
            refused: stats.connect_failures,
            plain: stats.plain_http,
            entries,
            longest_turn: Duration::from_micros(longest_turn.as_micros() as u64),
            reasons: reasons.clone(),
        }
    }

    /// Connections that are neither peers nor over: those on their way.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.accepted - self.opened - self.refused - self.plain
    }

    /// Whether nobody is left, and nothing of anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers + self.pending() + self.entries == 0
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Report { resident_kib, descriptors, entries, cpu, peers, .. } = self;
        let Report { accepted, opened, refused, plain, longest_turn, .. } = self;
        let pending = self.pending();
        format!(
            "{resident_kib} KiB, {descriptors} descriptors, {entries} entries, {peers} peers, \
             {pending} on the way, {accepted} accepted = {opened} opened + {refused} refused \
             + {plain} plain, \
             longest turn {longest_turn:.1?}, {cpu:.1?} of CPU"
        )
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "residentKib": self.resident_kib,
            "descriptors": self.descriptors,
            "cpuUs": self.cpu.as_micros() as u64,
            "peers": self.peers,
            "accepted": self.accepted,
            "opened": self.opened,
            "refused": self.refused,
            "plain": self.plain,
            "entries": self.entries,
            "longestTurnUs": self.longest_turn.as_micros() as u64,
            "reasons": self.reasons,
        })
    }

    pub(super) fn parse(line: &str) -> io::Result<Report> {
        let json: Value = serde_json::from_str(line)?;
        let missing = || io::Error::other(format!("no report: {line}"));
        let number = |name: &str| json[name].as_u64().ok_or_else(missing);
        let reasons = json["reasons"].as_object().ok_or_else(missing)?;
        let counted = reasons.iter().map(|(name, n)| (name.clone(), n.as_u64().unwrap_or(0)));
        Ok(Report {
            resident_kib: number("residentKib")?,
            descriptors: number("descriptors")?,
            cpu: Duration::from_micros(number("cpuUs")?),
            peers: number("peers")?,
            accepted: number("accepted")?,
            opened: number("opened")?,
            refused: number("refused")?,
            plain: number("plain")?,
            entries: number("entries")?,
            longest_turn: Duration::from_micros(number("longestTurnUs")?),
            reasons: counted.collect(),
        })
    }
}

fn entries(sizes: ResourceUsage) -> u64 {
    let ResourceUsage {
        connections,
        handshakes: waiting,
        peers,
        client_ips: addresses,
        timers: deadlines,
        queued_outputs: outputs,
        endpoint,
    } = sizes;
    let net_rtc::EndpointUsage { keys, routes, migration_lookup: findable, unflushed, .. } =
        endpoint;
    let hub = connections + waiting + peers + addresses + deadlines + outputs;
    let endpoint =
        endpoint.peers + keys + routes + endpoint.timers + findable + endpoint.outputs + unflushed;
    (hub + endpoint) as u64
}

fn resident_kib() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map_or(0, |pages| pages * PAGE_KIB)
}

/// The sum over all threads that live, in microseconds on a processor.
fn cpu() -> Duration {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ran = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_micros(ran.sum::<u64>() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_can_be_read_again() {
        let reasons = BTreeMap::from([("Lost".to_owned(), 3)]);
        let (server, _queue) = Server::new("127.0.0.1:0");
        let report = Report { opened: 7, accepted: 9, ..Report::of(&server, &reasons) };
        assert_eq!(Report::parse(&report.to_json().to_string()).unwrap(), report);
        assert!(report.resident_kib > 0 && report.descriptors > 0);
        assert_eq!((report.entries, report.pending()), (0, 2));
        assert!(Report::parse("{}").is_err());
    }
}
