//! The folder of a sweep, the records of its trials, and their report.
use crate::data;
use crate::search::Range;
use crate::search::Space;
use crate::spec::Table;
use anyhow::{Context, Result, anyhow, bail};
use rlx_plot::charts::Axis;
use rlx_plot::charts::Lines;
use rlx_plot::charts::Series;
use rlx_plot::document::Block;
use rlx_plot::document::Document;
use rlx_plot::text::thousands;
use rlx_runs::run_dir::write_synced;
use rlx_stats::scores::Interval;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::PathBuf,
};

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// Begun; it goes on when the sweep does.
    Started,
    /// Done.
    Finished,
    /// Given up by the median rule.
    Pruned,
    /// Ended by an error.
    Failed,
}

/// The record of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) number: u64,
    pub(super) keys: Table,
    pub(super) status: Status,
    /// The metric; of a pruned trial where it was given up.
    pub(super) value: Option<f64>,
    pub(super) steps: u64,
    pub(super) elapsed_s: f64,
    pub(super) run: String,
    pub(super) error: Option<String>,
}

/// The folder of a sweep.
pub(super) struct Folder<'a> {
    pub(super) path: PathBuf,
    pub(super) space: &'a Space,
}

impl Folder<'_> {
    pub(super) fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }
    pub(super) fn file(&self, number: u64) -> PathBuf {
        self.path.join(format!("trials/{number:05}.json"))
    }
    pub(super) fn write(&self, trial: &Trial) -> Result<()> {
        write_synced(&self.file(trial.number), &serde_json::to_vec_pretty(trial).context("a trial serialises")?)
    }
    pub(super) fn read(&self, number: u64) -> Result<Option<Trial>> {
        let path = self.file(number);
        match fs::read(&path) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
        }
    }
    pub(super) fn trials(&self) -> Result<Vec<Trial>> {
        let all: Vec<Option<Trial>> = (0..self.space.trials).map(|n| self.read(n)).collect::<Result<_>>()?;
        Ok(all.into_iter().flatten().collect())
    }
    pub(super) fn curve(&self, trial: &Trial) -> Result<data::Curve> {
        let m = &self.space.metric;
        let mut read = data::read(&self.runs().join(&trial.run), &[(m.name.as_str(), None, m.lower_is_better)])?;
        Ok(read.remove(0))
    }
    /// Smaller is better from here on.
    pub(super) fn cost(&self, value: f64) -> f64 {
        if self.space.metric.lower_is_better { value } else { -value }
    }

    /// The folder is made, or is of the same sweep: more trials may be asked for, nothing else may change.
    pub(super) fn claim(&self, text: &str) -> Result<File> {
        for part in ["trials", "runs"] {
            let path = self.path.join(part);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let path = self.path.join(".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.with_context(|| format!("opening {}", path.display()))?;
        if lock.try_lock().is_err() {
            bail!("another process is running the sweep in {}", self.path.display());
        }
        let path = self.path.join("sweep.toml");
        if let Ok(old) = fs::read_to_string(&path) {
            let flat = |text: &str| -> Result<Vec<String>> {
                let mut table: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{}: {e}", path.display()))?;
                table.remove("about");
                if let Some(search) = table.get_mut("search").and_then(toml::Value::as_table_mut) {
                    search.remove("trials");
                }
                Ok(toml::to_string(&table).context("a sweep as text")?.lines().map(str::to_owned).collect())
            };
            let (old, new) = (flat(&old)?, flat(text)?);
            let gone = old.iter().filter(|l| !new.contains(l)).map(|l| format!("- {l}"));
            let come = new.iter().filter(|l| !old.contains(l)).map(|l| format!("+ {l}"));
            let lines: Vec<String> = gone.chain(come).collect();
            if !lines.is_empty() {
                bail!(
                    "{} has trials of another sweep:\n{}\ngive it another name or --out another folder",
                    self.path.display(),
                    lines.join("\n")
                );
            }
        }
        write_synced(&path, text.as_bytes())?;
        Ok(lock)
    }
}

/// The best of the trials that finished.
pub(super) fn best<'a>(folder: &Folder<'_>, trials: &'a [Trial]) -> Option<&'a Trial> {
    let finished = trials.iter().filter(|t| t.status == Status::Finished && t.value.is_some_and(f64::is_finite));
    let cost = |t: &Trial| folder.cost(t.value.unwrap_or(f64::NAN));
    finished.min_by(|a, b| cost(a).total_cmp(&cost(b)))
}

/// Its report.
pub(super) fn document(folder: &Folder<'_>, title: &str, trials: &[Trial]) -> Document {
    let space = folder.space;
    let count = |s: Status| trials.iter().filter(|t| t.status == s).count();
    let mut blocks = vec![Block::Text(format!(
        "{} {} of {} trials finished, {} pruned by the median rule, {} failed; {} search, seed {}.",
        space.about,
        count(Status::Finished),
        space.trials,
        count(Status::Pruned),
        count(Status::Failed),
        space.how(),
        space.seed
    ))];
    let mut sorted: Vec<&Trial> = trials.iter().filter(|t| t.value.is_some()).collect();
    sorted.sort_by(|a, b| {
        let key = |t: &Trial| (t.status != Status::Finished, folder.cost(t.value.unwrap_or(f64::NAN)));
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut heads =
        vec!["trial".to_owned(), "status".into(), space.metric.name.clone(), "steps".into(), "seconds".into()];
    heads.extend(space.ranges.iter().map(|(k, _)| k.clone()));
    let row = |t: &&Trial| {
        let mut cells = vec![
            t.number.to_string(),
            format!("{:?}", t.status).to_lowercase(),
            t.value.map_or_else(|| "missing".into(), |v| format!("{v:.4}")),
            thousands(t.steps),
            format!("{:.1}", t.elapsed_s),
        ];
        cells.extend(space.ranges.iter().map(|(k, _)| match t.keys.get(k) {
            Some(Value::Number(n)) if n.is_f64() => format!("{:.4e}", n.as_f64().unwrap_or(f64::NAN)),
            Some(v) => v.to_string(),
            None => "missing".into(),
        }));
        cells
    };
    let about =
        "Trials, best first; one seed each: what is chosen by it needs fresh seeds (rlx experiment) to be believed";
    blocks.push(Block::Table(about.into(), heads, sorted.iter().take(40).map(row).collect()));
    let exact = |x: f64, v: f64| (x, Interval { value: v, low: v, high: v });
    let mut so_far: Option<f64> = None;
    let mut line = Vec::new();
    for t in trials.iter().filter(|t| t.status == Status::Finished) {
        let Some(value) = t.value else { continue };
        so_far = Some(so_far.map_or(value, |b| if folder.cost(value) < folder.cost(b) { value } else { b }));
        line.push(exact(t.number as f64, so_far.unwrap_or(value)));
    }
    let unit = if space.metric.unit.is_empty() { space.metric.name.clone() } else { space.metric.unit.clone() };
    let lines = Lines {
        title: "best so far".into(),
        note: format!("finished trials, one seed ({}) each", space.seed),
        x: Axis::counts("trial"),
        y: Axis::of(unit.clone()),
        series: vec![Series { number: 0, label: space.how(), points: line }],
        level: None,
    };
    blocks.push(Block::Picture("best".into(), lines.draw()));
    for (key, range) in &space.ranges {
        let Range::Numbers { log, .. } = range else { continue };
        let x = |v: f64| if *log { v.log10() } else { v };
        let dots: Vec<(f64, f64, usize)> = trials
            .iter()
            .filter_map(|t| Some((x(t.keys.get(key)?.as_f64()?), t.value?, usize::from(t.status != Status::Finished))))
            .collect();
        let label = if *log { format!("log10 of {key}") } else { key.clone() };
        let title = format!("{} by {key}", space.metric.name);
        blocks.push(Block::Picture(
            format!("key-{}", key.replace(|c: char| !c.is_ascii_alphanumeric(), "-")),
            rlx_plot::charts::dots(&title, "blue: finished, orange: pruned", (&label, &unit), &dots),
        ));
    }
    Document { title: format!("sweep {title}"), blocks }
}
