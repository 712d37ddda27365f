//! A worker of the local pool: a process that reads cell numbers from its standard input and answers in JSON lines. One process for
//! many cells, since loading libtorch takes as long as a short run; a process and no thread, so that a crash costs one cell.
use crate::unit::{Ended, Unit};
use anyhow::{Context, Result};
use rlx_runs::{interrupt::Stop, progress::Progress};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, Write},
    sync::mpsc,
    time::{Duration, Instant},
};

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Said {
    /// How far its cell is.
    Tick {
        /// Environment step.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Mean return of the last episodes.
        value: Option<f64>,
    },
    /// Its cell ended.
    Ended {
        /// How: `finished`, `already`, `interrupted`, `failed`, `failed before`, `elsewhere`, `refused`.
        how: String,
        /// Why it failed or was refused.
        error: Option<String>,
        /// Seconds of training.
        elapsed_s: f64,
    },
}

/// Between ticks.
const TICK: Duration = Duration::from_millis(200);

fn say(said: &Said) {
    // The pool may be gone: then there is nobody to tell, and the end of its input says to stop.
    if let Ok(text) = serde_json::to_string(said) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// Restricts this process to the cores `from..from + count` of those it may use.
///
/// # Errors
/// When the system refuses.
pub fn pin(from: usize, count: usize) -> Result<()> {
    let allowed = sched_getaffinity(None).context("asking for this process's cores")?;
    let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|c| allowed.is_set(*c)).collect();
    let mut mine = CpuSet::new();
    for core in all.iter().cycle().skip(from).take(count) {
        mine.set(*core);
    }
    sched_setaffinity(None, &mine).context("pinning to cores")
}

/// Runs the cells whose numbers come on standard input, until it ends. `stop` on a line, or the end of the input while a cell is being
/// run, saves and stops: no worker outlives its pool.
///
/// # Errors
/// Never for a cell; only when a number cannot be read.
pub fn work(unit: &Unit<'_>, stop: &Stop) -> Result<()> {
    let (tx, rx) = mpsc::channel::<String>();
    let heard = stop.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line {
                Ok(line) if line == "stop" => heard.ask(),
                Ok(line) => drop(tx.send(line)),
                Err(_) => break,
            }
        }
        heard.ask();
    });
    for line in rx {
        let index: u64 = line.trim().parse().with_context(|| format!("a cell's number, not '{line}'"))?;
        let mut last: Option<Instant> = None;
        let mut progress = Progress::relayed(move |step, steps, value| {
            if last.is_none_or(|l| l.elapsed() >= TICK) {
                last = Some(Instant::now());
                say(&Said::Tick { step, steps, value });
            }
        });
        let (how, error, elapsed_s) = match unit.run(index, &mut progress, stop) {
            Ok(Ended::Finished(r)) => ("finished", None, r.elapsed_s),
            Ok(Ended::Already(r)) => ("already", None, r.elapsed_s),
            Ok(Ended::Interrupted(r)) => ("interrupted", None, r.elapsed_s),
            Ok(Ended::Failed(r)) => ("failed", r.error, r.elapsed_s),
            Ok(Ended::FailedBefore(r)) => ("failed before", r.error, r.elapsed_s),
            Ok(Ended::Elsewhere) => ("elsewhere", None, 0.0),
            Err(e) => ("refused", Some(format!("{e:#}")), 0.0),
        };
        say(&Said::Ended { how: how.into(), error, elapsed_s });
        if stop.asked() {
            break;
        }
    }
    Ok(())
}
