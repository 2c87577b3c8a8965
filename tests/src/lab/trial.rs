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
    /// The targets that were missed, each in words; `None` for a row without targets.
    pub misses: Option<Vec<String>>,
}

/// Rows under one head.
#[derive(Debug)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// How it was measured: units, times and seeds, in Markdown.
    pub about: String,
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

impl Row {
    /// A row with targets, of which these were missed.
    pub fn judged(cells: String, misses: Vec<String>) -> Row {
        Row { cells, misses: Some(misses) }
    }

    /// A row for comparison.
    pub fn shown(cells: String) -> Row {
        Row { cells, misses: None }
    }

    /// Whether a target was missed.
    pub fn is_missed(&self) -> bool {
        self.misses.as_ref().is_some_and(|misses| !misses.is_empty())
    }
}

impl Table {
    /// All above the first row, in Markdown.
    pub fn head(&self) -> String {
        let (title, about, head) = (self.title, &self.about, self.head);
        let columns = head.split(" | ").count() + 1;
        let line = "---|".repeat(columns);
        format!("### {title}\n\n{about}\n\n| {head} | targets |\n|{line}")
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.misses.as_deref() {
            None => "-".to_owned(),
            Some([]) => "pass".to_owned(),
            Some(misses) => format!("**missed**: {}", misses.join(", ")),
        };
        write!(f, "| {} | {verdict} |", self.cells)
    }
}

/// The words of those checks that failed.
pub(super) fn misses(checks: impl IntoIterator<Item = (bool, String)>) -> Vec<String> {
    checks.into_iter().filter_map(|(missed, words)| missed.then_some(words)).collect()
}
