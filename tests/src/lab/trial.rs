//! Tables of trials: what can be run by name, judged and shown as a row.

use std::fmt;

use super::Sample;

/// One row's worth of work.
pub struct Trial {
    /// By which it is found.
    pub name: String,
    work: Box<Work>,
}

type Work = dyn Fn(&mut dyn FnMut(&Sample)) -> Row + Send + Sync;

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's cells in Markdown, but for the verdict.
    pub cells: String,
    /// The targets that were missed, each in words.
    pub misses: Vec<String>,
}

/// Rows under one head.
#[derive(Debug)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// The names of its columns, `a | b | c`, but for the verdict's.
    pub head: &'static str,
    /// Its rows.
    pub trials: Vec<Trial>,
}

impl Trial {
    /// Work that may show samples while it goes on.
    pub fn new(
        name: String,
        work: impl Fn(&mut dyn FnMut(&Sample)) -> Row + Send + Sync + 'static,
    ) -> Trial {
        Trial { name, work: Box::new(work) }
    }

    /// Does it.
    pub fn run(&self, watch: &mut dyn FnMut(&Sample)) -> Row {
        (self.work)(watch)
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trial").field(&self.name).finish()
    }
}

impl Table {
    /// The head in Markdown.
    pub fn head(&self) -> String {
        let columns = self.head.split(" | ").count() + 1;
        format!("| {} | targets |\n|{}", self.head, "---|".repeat(columns))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.misses.is_empty() {
            true => "pass".to_owned(),
            false => format!("**missed**: {}", self.misses.join(", ")),
        };
        write!(f, "| {} | {verdict} |", self.cells)
    }
}

/// The words of those checks that failed.
pub(super) fn misses(checks: impl IntoIterator<Item = (bool, String)>) -> Vec<String> {
    checks.into_iter().filter_map(|(missed, words)| missed.then_some(words)).collect()
}
