//! One rule against the other over many random links.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::report::Ms;
use super::{Profile, Rule, Sample, Scene, Summary};

/// What does not count.
const WARM_UP: Duration = Duration::from_secs(3);
/// Latencies that are as good as equal.
const EQUAL: Duration = Duration::from_millis(1);
/// The targets: in how many of those that differ the default is better, and what it must
/// deliver of what the other does.
const LEAST_BETTER: f64 = 0.9;
const LEAST_DELIVERED: f64 = 0.8;
/// The quantiles that are shown.
const QUANTILES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// Profiles that are named at most.
const NAMED: usize = 12;

/// One profile by both rules.
#[derive(Clone, Debug)]
pub struct Duel {
    /// Which profile.
    pub number: u64,
    /// Its one-way delay.
    pub delay: Duration,
    /// By delay and loss, the default.
    pub adaptive: Summary,
    /// By loss alone.
    pub simple: Summary,
    /// Why a connection ended too early, if one did.
    pub ended: Option<String>,
}

/// Many of them.
#[derive(Clone, Debug, Default)]
pub struct Duels(pub Vec<Duel>);

impl Duel {
    /// Plays a profile by both rules; `watch` sees which, and every sample.
    pub fn play(profile: &Profile, watch: &mut dyn FnMut(Rule, &Sample)) -> Duel {
        let mut ended = None;
        let mut play = |rule| {
            let scene = Scene { rule, ..profile.scene.clone() };
            let outcome = scene.play(&mut |sample| watch(rule, sample));
            ended = ended.take().or(outcome.ended.as_ref().map(|why| format!("{rule} {why}")));
            outcome.summary(0, WARM_UP..profile.scene.time)
        };
        let (adaptive, simple) = (play(Rule::Adaptive), play(Rule::Simple));
        let delay = profile.scene.conditions.delay;
        Duel { number: profile.number, delay, adaptive, simple, ended }
    }

    fn is_better(&self) -> bool {
        self.adaptive.p99 + EQUAL < self.simple.p99
    }

    fn is_worse(&self) -> bool {
        self.adaptive.p99 > self.simple.p99 + EQUAL
    }

    /// 99th percentile of latency, one by the other.
    fn latency_ratio(&self) -> f64 {
        self.adaptive.p99.as_secs_f64() / self.simple.p99.as_secs_f64().max(1e-6)
    }

    /// Messages that arrived, one by the other.
    fn delivery_ratio(&self) -> f64 {
        self.adaptive.delivered as f64 / self.simple.delivered.max(1) as f64
    }
}

impl fmt::Display for Duel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.is_better(), self.is_worse()) {
            (true, _) => "better",
            (_, true) => "WORSE",
            _ => "equal",
        };
        let over = |summary: &Summary| Ms(summary.p99.saturating_sub(self.delay)).to_string();
        write!(
            f,
            "p99 over the delay {} against {} ({verdict}), delivered {} against {} ({:.2})",
            over(&self.adaptive),
            over(&self.simple),
            self.adaptive.delivered,
            self.simple.delivered,
            self.delivery_ratio(),
        )?;
        self.ended.iter().try_for_each(|why| write!(f, ", {why}"))
    }
}

impl Duels {
    /// The targets that were missed, each in words.
    pub fn misses(&self) -> Vec<String> {
        let (better, worse) = (self.count(Duel::is_better), self.count(Duel::is_worse));
        let share = better as f64 / (better + worse).max(1) as f64;
        let (poor, ended) = (self.poor().len(), self.count(|duel| duel.ended.is_some()));
        super::trial::misses([
            (
                better + worse > 0 && share < LEAST_BETTER,
                format!("better in {:.1} % of those that differ", share * 100.0),
            ),
            (ended > 0, format!("{ended} end too early")),
            (poor > 0, format!("{poor} deliver less than {:.0} %", LEAST_DELIVERED * 100.0)),
        ])
    }

    /// Quantiles and counts in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from("| quantile |");
        QUANTILES.iter().for_each(|q| _ = write!(table, " {:.0} % |", q * 100.0));
        table += "\n|---|";
        table += &"---|".repeat(QUANTILES.len());
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let over = |summary: &Summary, delay| ms(summary.p99.saturating_sub(delay));
        self.line(&mut table, "p99 over the delay, adaptive, ms", 1, |d| {
            over(&d.adaptive, d.delay)
        });
        self.line(&mut table, "p99 over the delay, simple, ms", 1, |d| over(&d.simple, d.delay));
        self.line(&mut table, "p99, adaptive / simple", 3, Duel::latency_ratio);
        self.line(&mut table, "delivered, adaptive / simple", 3, Duel::delivery_ratio);
        self.line(&mut table, "delivered of sent, adaptive, %", 1, |d| d.adaptive.share() * 100.0);
        self.line(&mut table, "delivered of sent, simple, %", 1, |d| d.simple.share() * 100.0);
        table + "\n\n" + &self.counts()
    }

    fn line(&self, table: &mut String, name: &str, digits: usize, value: impl Fn(&Duel) -> f64) {
        let mut values: Vec<f64> = self.0.iter().map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        _ = write!(table, "\n| {name} |");
        for quantile in QUANTILES {
            let index = (values.len() as f64 * quantile) as usize;
            let value = values.get(index.min(values.len().saturating_sub(1))).copied();
            _ = write!(table, " {:.digits$} |", value.unwrap_or_default());
        }
    }

    fn counts(&self) -> String {
        let all = self.0.len();
        let (better, worse) = (self.count(Duel::is_better), self.count(Duel::is_worse));
        let mut worse_ones: Vec<_> = self.0.iter().filter(|duel| duel.is_worse()).collect();
        worse_ones.sort_by(|a, b| b.latency_ratio().total_cmp(&a.latency_ratio()));
        let poor = self.poor();
        let ended: Vec<_> = self.0.iter().filter(|duel| duel.ended.is_some()).collect();
        format!(
            "Of {all} profiles p99 is better in {better}, equal within {} in {}, worse in {worse}{}. \
             Under {:.0} % of the other's delivery: {}{}. Ended too early: {}{}.",
            Ms(EQUAL),
            all - better - worse,
            named(&worse_ones),
            LEAST_DELIVERED * 100.0,
            poor.len(),
            named(&poor),
            ended.len(),
            named(&ended),
        )
    }

    /// Those that deliver too little, the worst first.
    fn poor(&self) -> Vec<&Duel> {
        let few = |duel: &&Duel| duel.delivery_ratio() < LEAST_DELIVERED;
        let mut poor: Vec<_> = self.0.iter().filter(few).collect();
        poor.sort_by(|a, b| a.delivery_ratio().total_cmp(&b.delivery_ratio()));
        poor
    }

    fn count(&self, what: impl Fn(&Duel) -> bool) -> usize {
        self.0.iter().filter(|duel| what(duel)).count()
    }
}

fn named(duels: &[&Duel]) -> String {
    let names: Vec<_> = duels.iter().take(NAMED).map(|duel| format!("#{}", duel.number)).collect();
    match duels.len() {
        0 => String::new(),
        many if many > NAMED => format!(" ({}, ...)", names.join(", ")),
        _ => format!(" ({})", names.join(", ")),
    }
}
