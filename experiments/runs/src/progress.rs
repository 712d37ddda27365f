//! What a person sees while training: a live line on a terminal, plain lines when piped. All of it goes to standard error.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rlx::Estimate;
use rlx::objective::Tell;
use rlx::shown;
use rlx::{Outcome, say};
use rlx_plot::text::thousands;
use std::{io::IsTerminal, time::Duration};

/// The live line, or the plain lines.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    quiet: bool,
    relay: Option<Relay>,
}

/// Where a pool's worker sends its ticks: step, steps in all, mean return.
type Relay = Box<dyn FnMut(u64, u64, Option<f64>) + Send>;

/// An evaluation in a line: `return 500.00 [500.00, 500.00] over 20 episodes`; `unit` is what it counts. A metric `win_X` is the share of wins
/// against X.
pub fn in_a_line(outcome: &Outcome, unit: &str) -> String {
    let win = |(name, e): (&String, &Estimate)| {
        let bot = name.strip_prefix("win_")?;
        let ends = shown(e.low, e.high, |x| format!("{:.0}", 100.0 * x));
        Some(format!(", wins {:.0} % {ends} against {bot}", 100.0 * e.mean))
    };
    let wins: String = outcome.metrics.iter().filter_map(win).collect();
    let r = &outcome.returns;
    format!("return {:.2} {} over {} {unit}{wins}", r.mean, shown(r.low, r.high, |x| format!("{x:.2}")), r.count)
}

fn describe(mean: Option<f64>, rate: f64) -> String {
    let value = mean.map_or("no episode yet".into(), |m| format!("return {m:.1}"));
    format!("{value} (last 100)  {} steps/s", thousands(rate as u64))
}

/// Seconds until the steps or the time that is left are spent, whichever is sooner.
fn eta(steps: u64, rate: f64, limit: Option<Duration>) -> f64 {
    let by_steps = steps as f64 / rate.max(1e-9);
    limit.map_or(by_steps, |left| by_steps.min(left.as_secs_f64()))
}

impl Progress {
    /// For `total` steps. With `quiet` only warnings are shown.
    pub fn new(total: u64, quiet: bool) -> Self {
        let live = !quiet && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:24} {percent:>3}%  {human_pos} steps  {msg}  ETA {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, total, quiet, relay: None }
    }

    /// For a pool's worker: nothing is shown, every tick goes to `relay`.
    pub fn relayed(relay: impl FnMut(u64, u64, Option<f64>) + Send + 'static) -> Self {
        Self { bar: None, total: 0, quiet: true, relay: Some(Box::new(relay)) }
    }

    /// Sets how many steps there are in all.
    pub fn set_total(&mut self, total: u64, from: u64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(from);
            bar.reset_eta();
        }
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        }
    }

    /// After an iteration.
    pub fn tick(&mut self, step: u64, mean: Option<f64>, rate: f64) {
        if let Some(relay) = &mut self.relay {
            relay(step, self.total, mean);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(step.min(self.total));
            bar.set_message(describe(mean, rate));
        }
    }

    /// After a step of something that is no play: what is shown of it, and its value for who watches from afar.
    pub fn told(&mut self, step: u64, message: String, value: Option<f64>) {
        if let Some(relay) = &mut self.relay {
            relay(step, self.total, value);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(step.min(self.total));
            bar.set_message(message);
        }
    }

    /// When a row of metrics was written.
    pub fn row(&mut self, step: u64, mean: Option<f64>, rate: f64, limit: Option<Duration>) {
        if self.bar.is_none() && !self.quiet {
            let eta = eta(self.total.saturating_sub(step), rate, limit);
            say!("{:>12} steps  {}  ETA {eta:.0} s", thousands(step), describe(mean, rate));
        }
    }

    /// After an evaluation.
    pub fn evaluation(&mut self, step: u64, outcome: &Outcome, unit: &str) {
        if !self.quiet {
            self.print(&format!("{:>12} steps  held-out {}", thousands(step), in_a_line(outcome, unit)));
        }
    }

    /// Something the person should know.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.print(text);
        }
    }

    /// What tells a person from elsewhere, as [`Progress::note`] does.
    pub fn teller(&self) -> Tell {
        let (bar, quiet) = (self.bar.clone(), self.quiet);
        Tell::new(move |line| match &bar {
            _ if quiet => {}
            Some(bar) => bar.suspend(|| say!("{line}")),
            None => say!("{line}"),
        })
    }

    /// Something that is not as it should be.
    pub fn warn(&self, text: &str) {
        self.print(&format!("warning: {text}"));
    }

    /// Whether it is one of many that a pool watches.
    pub fn is_relayed(&self) -> bool {
        self.relay.is_some()
    }

    /// Leaves the terminal tidy.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// How far something long has come: a live line on a terminal, a plain one every tenth when piped.
pub struct Counting {
    bar: Option<ProgressBar>,
    unit: &'static str,
    total: u64,
    tenth: u64,
    quiet: bool,
}

impl Counting {
    /// Counts `unit`s up to `total`.
    pub fn new(unit: &'static str, total: u64, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:24} {percent:>3}%  {human_pos} {msg}  ETA {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(unit);
            bar
        });
        Self { bar, unit, total, tenth: 0, quiet }
    }
}

impl rlx::Counting for Counting {
    fn tick(&mut self, done: u64) {
        let tenth = done * 10 / self.total.max(1);
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if !self.quiet && tenth > self.tenth && done < self.total => {
                say!("{} of {} {}", thousands(done), thousands(self.total), self.unit);
            }
            None => {}
        }
        self.tenth = tenth;
    }
}

impl Drop for Counting {
    /// Leaves the terminal tidy.
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4_the_end_is_that_of_the_steps_or_of_the_time() {
        assert_eq!(eta(1000, 10.0, None), 100.0);
        assert_eq!(eta(1000, 10.0, Some(Duration::from_secs(60))), 60.0);
        assert_eq!(eta(1000, 10.0, Some(Duration::from_secs(600))), 100.0);
    }
}
