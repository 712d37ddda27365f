//! The unit of work: one cell, run to its end from wherever it stands. Idempotent, so that any engine may start it any number of times.
use crate::{
    cells::{Cell, Cells},
    results::{Record, Results, Status},
    workload::{Job, Lab},
};
use anyhow::{Context, Result, anyhow, bail};
use rlx::{Registry, Table};
use rlx_runs::{host_name, interrupt::Stop, lock, progress::Progress};
use serde_json::Value;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

/// What came of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It was run to its end now.
    Finished(Record),
    /// It was finished already.
    Already(Record),
    /// It was asked to stop and can go on.
    Interrupted(Record),
    /// It failed now.
    Failed(Record),
    /// It failed before and was not to be tried again.
    FailedBefore(Record),
    /// Another process is running it.
    Elsewhere,
}

/// Runs cells of a spec into a folder.
pub struct Unit<'a> {
    /// Worlds, algorithms and presets.
    pub registry: &'a Registry,
    /// The cells.
    pub cells: &'a Cells<'a>,
    /// Where results go.
    pub results: &'a Results,
    /// Whether a cell that failed is tried again, from its last checkpoint.
    pub retry_failed: bool,
    /// How long a cell that another process holds is waited for.
    pub patience: Duration,
    /// Whether runs with another config than the spec gives now are kept.
    pub accept: bool,
}

impl Unit<'_> {
    /// Runs a cell to its end, or on from where it stands.
    ///
    /// # Errors
    /// When the cell cannot be begun or its record not be written; an error of the run itself is in the record.
    pub fn run(&self, index: u64, progress: &mut Progress, stop: &Stop) -> Result<Ended> {
        let cell = self.cells.get(index)?;
        let Some(_lock) = self.results.lock(&cell, self.patience)? else { return Ok(Ended::Elsewhere) };
        let before = self.results.record(&cell.id())?;
        let job = self.cells.job(&cell)?;
        let run = format!("{}-{}-s{}", job.front(), cell.run_name(), cell.seed);
        let folder = self.results.runs().join(&run);
        if !self.accept {
            self.same_config(&cell, &folder, &*job)?;
        }
        match before {
            Some(r) if r.status == Status::Finished => return Ok(Ended::Already(r)),
            Some(r) if r.status == Status::Failed && !self.retry_failed => return Ok(Ended::FailedBefore(r)),
            _ => {}
        }
        let mut record = Record {
            id: cell.id(),
            index,
            task: cell.task.clone(),
            method: cell.method.clone(),
            seed: cell.seed,
            status: Status::Started,
            run,
            error: None,
            starts: before.as_ref().map_or(1, |r| r.starts + 1),
            steps: before.as_ref().map_or(0, |r| r.steps),
            elapsed_s: before.as_ref().map_or(0.0, |r| r.elapsed_s),
            host: host_name(),
            rlx: env!("CARGO_PKG_VERSION").into(),
            revision: rlx_runs::REVISION.into(),
        };
        self.results.write(&record)?;
        let ended = self.make(&cell, &*job, &folder, progress, stop);
        if let Some(summary) = summary(&folder) {
            record.steps = summary["steps"].as_u64().unwrap_or(record.steps);
            record.elapsed_s = summary["elapsed_s"].as_f64().unwrap_or(record.elapsed_s);
        }
        let held = ended.as_ref().is_err_and(|e| e.is::<lock::Held>());
        match ended {
            Ok(true) => record.status = Status::Finished,
            Ok(false) => record.status = Status::Interrupted,
            // Its run is held by another process (`rlx train --resume` by hand), or it was stopped while it waited for that.
            Err(e) if e.is::<lock::Held>() || matches!(e.downcast_ref(), Some(rlx::Error::Interrupted)) => {
                record.status = Status::Interrupted
            }
            Err(e) => (record.status, record.error) = (Status::Failed, Some(format!("{e:#}"))),
        }
        self.results.write(&record)?;
        Ok(match record.status {
            Status::Finished => Ended::Finished(record),
            Status::Failed => Ended::Failed(record),
            _ if held => Ended::Elsewhere,
            _ => Ended::Interrupted(record),
        })
    }

    /// True when it reached its end, false when it was asked to stop.
    fn make(&self, cell: &Cell, job: &dyn Job, folder: &Path, progress: &mut Progress, stop: &Stop) -> Result<bool> {
        sweep_newborn(folder)?;
        // A pool of its own: cells of one process may have different numbers of threads.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(job.threads()).build().context("starting threads")?;
        let (registry, runs) = (self.registry, self.results.runs());
        progress.set_total(job.steps(), 0);
        let go = || -> Result<bool> {
            let run = folder.file_name().and_then(|n| n.to_str()).context("a run has a name")?;
            go(job, registry, &runs, (run, &cell.run_name()), progress, stop)
        };
        catch_unwind(AssertUnwindSafe(|| pool.install(go))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(anyhow!("it panicked: {}", text.unwrap_or("without a message")))
        })
    }

    /// Refuses a run that was made with another config than the spec, its presets and this program's defaults give now.
    fn same_config(&self, cell: &Cell, folder: &Path, new: &dyn Job) -> Result<()> {
        let path = folder.join("config.toml");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
        let old = Lab::read(self.registry, &text).with_context(|| format!("{}", path.display()))?;
        let mut lines = Vec::new();
        let old: std::collections::HashMap<&str, Table> = old.choices().into_iter().collect();
        for (name, b) in new.choices() {
            lines.extend(difference(name, old.get(name).unwrap_or(&Table::new()), &b));
        }
        if lines.is_empty() {
            return Ok(());
        }
        bail!(
            "cell {} was run with another config than it has now (a preset or default changed):\n{}\nmove {} away to run it anew, or give \
             --accept-changes to keep it as it is",
            cell.index,
            lines.join("\n"),
            folder.display()
        )
    }
}

/// Runs a job as `name` under `runs`, or goes on with the run that is there. True when it reached its end, false when it was asked to stop.
///
/// # Errors
/// When it fails; what it saved before stays.
fn go(
    job: &dyn Job,
    registry: &Registry,
    runs: &Path,
    (run, name): (&str, &str),
    progress: &mut Progress,
    stop: &Stop,
) -> Result<bool> {
    let folder = runs.join(run);
    if !folder.join("config.toml").exists() {
        return job.start(registry, runs, name, progress, stop);
    }
    // Killed between the end of its run and its record: there is nothing left to do.
    if summary(&folder).is_some_and(|s| s["status"] == "finished") {
        return Ok(true);
    }
    job.resume(registry, runs, run, progress, stop)
}

fn difference(section: &str, old: &Table, new: &Table) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, value) in new {
        let before = old.get(key).unwrap_or(&Value::Null);
        if before != value {
            lines.push(format!("- {section}.{key} = {before}\n+ {section}.{key} = {value}"));
        }
    }
    lines
}

/// A run that was killed while its folder was being made has no config: nothing of it is worth anything.
fn sweep_newborn(folder: &Path) -> Result<()> {
    if folder.join("config.toml").exists() || !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name != ".lock" && name != ".config.toml.part" {
            bail!("{} is no run, and not empty: move it away", folder.display());
        }
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    fs::remove_dir(folder).with_context(|| format!("removing {}", folder.display()))
}

/// The summary of a run, when it has one.
pub fn summary(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(folder.join("summary.json")).ok()?).ok()
}
