//! The latency table's rows.

use super::report::Ms;
use super::{Cell, Report};

/// The names of the latency table's columns.
pub const HEAD: &str = "\
way | load | one way | loss | stock: arrived | median / p99 / max | silence (unexplained) \
| datagrams + back | bytes + back | ours: arrived | median / p99 / max | silence (unexplained) \
| datagrams + back | bytes + back";

/// A cell's row: both planes side by side.
pub fn row(cell: &Cell, stock: &Report, ours: &Report) -> String {
    let (way, load, delay) = (cell.way(), cell.load, cell.conditions.delay.as_millis());
    let loss = cell.loss() * 100.0;
    let (stock, ours) = (columns(stock), columns(ours));
    format!("{way} | {load} | {delay} ms | {loss:.0} % | {stock} | {ours}")
}

fn columns(report: &Report) -> String {
    let arrived = report.delivered_share() * 100.0;
    let (median, p99, max) = (Ms(report.median), Ms(report.p99), Ms(report.max));
    let (silence, unexplained) = (Ms(report.silence), Ms(report.unexplained));
    let (forth, back) = (report.forth, report.back);
    format!(
        "{arrived:.1} % | {median} / {p99} / {max} | {silence} ({unexplained}) \
         | {:.2} + {:.2} | {:.0} + {:.0}",
        forth.datagrams, back.datagrams, forth.bytes, back.bytes
    )
}
