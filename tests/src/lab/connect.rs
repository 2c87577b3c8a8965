//! How long connections take.

use std::fmt;
use std::time::Duration;

use super::meeting::{Meeting, Met, switches};
use super::report::{Ms, rank};
use super::trial::misses;
use super::{Row, Table, Trial};

const ROUND_TRIPS: [u64; 3] = [20, 100, 200];
const LOSSES: [f64; 3] = [0.0, 0.05, 0.2];
/// Up to this loss every connection must open, with everything on.
const JUDGED: f64 = 0.05;
/// With everything on, no connection takes longer over an empty path: so many round trips, and
/// this for what is no network.
const TRIPS: u32 = 3;
const OVER: Duration = Duration::from_millis(60);

/// A connection by its row's name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// The switches.
    pub name: &'static str,
    /// The connection.
    pub meeting: Meeting,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (round_trip, loss) = (self.meeting.round_trip.as_millis(), self.meeting.loss * 100.0);
        write!(f, "{round_trip} ms, {loss:.0} %, {}", self.name)
    }
}

/// One connection of each row, by each of so many seeds.
pub fn meetings(seed: u64, seeds: u64) -> impl Iterator<Item = Named> {
    (seed..seed + seeds).flat_map(rows)
}

fn rows(seed: u64) -> impl Iterator<Item = Named> {
    let paths = ROUND_TRIPS.into_iter().flat_map(|ms| LOSSES.map(|loss| (ms, loss)));
    paths.flat_map(move |(ms, loss)| {
        switches().into_iter().map(move |(name, server)| {
            let round_trip = Duration::from_millis(ms);
            Named {
                name,
                meeting: Meeting { server, round_trip, loss, seed, ..Meeting::default() },
            }
        })
    })
}

/// The rows: a round trip, a loss, the server's switches; so many seeds each.
pub fn connect(seed: u64, seeds: u64) -> Table {
    let trials = rows(seed).map(|row| Trial::new(row.to_string(), move |_| measure(row, seeds)));
    Table {
        title: "Connecting",
        about: format!(
            "From the client's answer to `Open`: p50 / p95 / longest of {seeds} connections, \
             seeds from {seed}. The switches are the server's: none (stock), each alone, all. \
             The client is the library's own answering side, which knows all of them, begins \
             DTLS where it may, and repeats what is lost of DTLS and SCTP after 1 s: a model of \
             a browser, no browser. Its answer takes 1 ms longer than its first check. Datagrams \
             are those of both until both are open."
        ),
        head: "round trip | loss | switches | server p50 / p95 / longest \
               | client p50 / p95 / longest | slowest seed | failed | datagrams",
        trials: trials.collect(),
    }
}

fn measure(Named { name, meeting }: Named, seeds: u64) -> Row {
    let met: Vec<_> = (meeting.seed..meeting.seed + seeds)
        .map(|seed| (seed, Meeting { seed, ..meeting }.run()))
        .collect();
    let failed = met.iter().filter(|(_, met)| met.opened.contains(&None)).map(|(seed, _)| *seed);
    let failed: Vec<_> = failed.collect();
    let slowest = met.iter().max_by_key(|(_, met)| last(met)).map_or(0, |(seed, _)| *seed);
    let datagrams = met.iter().map(|(_, met)| met.datagrams.len()).sum::<usize>() as f64;
    let [server, client] = [0, 1].map(|end| times(&met, end));
    let cells = format!(
        "{} ms | {:.0} % | {name} | {} | {} | {slowest} | {} | {:.1}",
        meeting.round_trip.as_millis(),
        meeting.loss * 100.0,
        ranks(&server),
        ranks(&client),
        failed.len(),
        datagrams / seeds as f64,
    );
    if name != "all" {
        return Row::shown(cells);
    }
    let bound = meeting.round_trip * TRIPS + OVER;
    // Where so much is lost, some need longer than anyone waits.
    let never = !failed.is_empty() && meeting.loss <= JUDGED;
    let late = meeting.loss == 0.0 && rank(&server, 1.0) > bound;
    Row::judged(
        cells,
        misses([
            (never, format!("never open: seeds {failed:?}")),
            (late, format!("{} at the server", Ms(rank(&server, 1.0)))),
        ]),
    )
}

/// When both were open.
fn last(met: &Met) -> Duration {
    met.opened.iter().map(|opened| opened.unwrap_or(Duration::MAX)).max().unwrap_or_default()
}

fn times(met: &[(u64, Met)], end: usize) -> Vec<Duration> {
    let mut times: Vec<_> = met.iter().filter_map(|(_, met)| met.opened[end]).collect();
    times.sort_unstable();
    times
}

fn ranks(sorted: &[Duration]) -> String {
    let [half, most, all] = [0.5, 0.95, 1.0].map(|share| rank(sorted, share).as_millis());
    format!("{half} / {most} / {all} ms")
}
