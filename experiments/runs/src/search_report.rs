//! What a search of an objective found: the trade-off of bytes and loss, how it came about, and what was chosen for which budget.
use anyhow::{Context, Result};
use rlx::{
    Objective, Scalars,
    objective::{Trial, front},
};
use rlx_plot::{
    charts::{Axis, Lines, Series, dots, heat_map},
    document::{Block, Document},
    svg::Picture,
    text::thousands,
};
use rlx_stats::scores::Interval;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The front as JSON, for programs: a list of [`Point`].
const FRONT: &str = "front.json";

/// A model of the front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its cost, as it was counted.
    pub bytes: f64,
    /// Its loss.
    pub loss: f64,
    /// The number of the fidelity that it was measured at.
    pub fidelity: u32,
    /// The level of each dimension.
    pub levels: Vec<u16>,
}

/// The front that a report in `folder` holds; empty where there is no report.
///
/// # Errors
/// When its file cannot be read, or is damaged.
pub fn front_of(folder: &Path) -> Result<Vec<Point>> {
    let path = folder.join(FRONT);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| {
        format!("{} is damaged: without it the command works, and `rlx train --resume` writes it again", path.display())
    })
}

/// The trials than which none is both smaller and better, lightest first.
fn on_front(trials: &[Trial]) -> Vec<&Trial> {
    let points: Vec<(f64, f64)> = trials.iter().map(|t| (t.cost, t.loss)).collect();
    front(&points).into_iter().map(|i| &trials[i]).filter(|t| t.loss.is_finite()).collect()
}

/// Budgets that configurations are shown for.
const COLUMNS: usize = 6;

fn exact(value: f64) -> Interval {
    Interval { value, low: value, high: value }
}

fn line(label: &str, number: usize, points: Vec<(f64, f64)>) -> Series {
    Series { number, label: label.into(), points: points.into_iter().map(|(x, y)| (x, exact(y))).collect() }
}

/// The best loss under the highest budget after each measurement, from the first that fits on.
fn progress(trials: &[Trial], budget: f64, dense: Option<f64>) -> Picture {
    let mut best = f64::INFINITY;
    let mut points = Vec::new();
    for (i, t) in trials.iter().enumerate() {
        if t.cost <= budget && t.loss.is_finite() {
            best = best.min(t.loss);
        }
        if best.is_finite() {
            points.push(((i + 1) as f64, best));
        }
    }
    let lines = Lines {
        title: "best loss under the highest budget".into(),
        note:
            "the least held-out loss so far; configurations that were measured before, in this run, do not count again"
                .into(),
        x: Axis::counts("measurements"),
        y: Axis::of("loss"),
        series: vec![line("best so far", 0, points)],
        level: dense.map(|d| (d, "dense".into())),
    };
    lines.draw()
}

fn trade_off(trials: &[Trial], best: &[&Trial]) -> Picture {
    // A broken model would flatten all others.
    let mut finite: Vec<f64> = trials.iter().map(|t| t.loss).filter(|l| l.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    let most = finite.get(finite.len() * 9 / 10).copied().unwrap_or(f64::INFINITY);
    let on_front = |t: &Trial| best.iter().any(|b| b.config == t.config && b.fidelity == t.fidelity);
    let mut points: Vec<(f64, f64, usize)> = trials
        .iter()
        .filter(|t| t.loss <= most)
        .map(|t| (t.cost / 1e6, t.loss, if on_front(t) { 1 } else { 0 }))
        .collect();
    // The front is drawn last, over the others.
    points.sort_by_key(|p| p.2);
    let note = "blue: each measured model; orange: those than which none is both smaller and better. The worst tenth is left out";
    dots("size and loss", note, ("MB", "held-out loss"), &points)
}

/// For each kind of decision a map: blocks down, budgets across.
fn maps(objective: &dyn Objective, best: &[&Trial]) -> Vec<(String, Picture)> {
    let step = (best.len().saturating_sub(1) as f64 / (COLUMNS - 1) as f64).max(1.0);
    let mut picked: Vec<&Trial> =
        (0..COLUMNS.min(best.len())).map(|k| best[((k as f64 * step) as usize).min(best.len() - 1)]).collect();
    if let (Some(last), Some(end)) = (picked.last_mut(), best.last()) {
        *last = end;
    }
    picked.dedup_by(|a, b| a.config == b.config);
    let space = objective.space().dimensions();
    let kind = |name: &str| name.rsplit(' ').next().unwrap_or_default().to_owned();
    let mut kinds: Vec<String> = Vec::new();
    for d in space {
        if !kinds.contains(&kind(&d.name)) {
            kinds.push(kind(&d.name));
        }
    }
    let columns: Vec<String> = picked.iter().map(|t| format!("{:.1} MB: {:.3}", t.cost / 1e6, t.loss)).collect();
    let map = |name: String| {
        let own: Vec<usize> = (0..space.len()).filter(|d| kind(&space[*d].name) == name).collect();
        let rows: Vec<String> =
            own.iter().map(|d| space[*d].name.rsplit_once(' ').map_or("model", |n| n.0).to_owned()).collect();
        let value =
            |d: usize, t: &Trial| space[d].level(t.config[d]).parse::<f64>().ok().or(Some(f64::from(t.config[d])));
        let values: Vec<Vec<Option<f64>>> = own.iter().map(|d| picked.iter().map(|t| value(*d, t)).collect()).collect();
        let note = "a column a model of the front: its size and its loss";
        (format!("chosen-{name}"), heat_map(&format!("{name} of each block"), note, &rows, &columns, &values))
    };
    kinds.into_iter().map(map).collect()
}

/// The document.
pub fn document(objective: &dyn Objective, title: &str) -> Option<Document> {
    let trials = objective.history();
    if trials.is_empty() {
        return None;
    }
    let mut log = Scalars::default();
    objective.report(&mut log);
    let dense = log.get("search/dense_loss");
    let best = on_front(&trials);
    let (low, high) = objective.budgets();
    let mut blocks = vec![Block::Text(format!(
        "{} measurements of {} under budgets from {:.1} to {:.1} MB; bytes are those of what is stored. Hypervolume {:.4}.",
        trials.len(),
        objective.name(),
        low / 1e6,
        high / 1e6,
        log.get("search/hypervolume").unwrap_or(f64::NAN)
    ))];
    blocks.push(Block::Picture("size-and-loss".into(), trade_off(&trials, &best)));
    blocks.push(Block::Picture("progress".into(), progress(&trials, high, dense)));
    let fidelity = |t: &Trial| objective.fidelities().get(t.fidelity as usize).cloned().unwrap_or_default();
    let row = |t: &&Trial| {
        let above = dense.map_or("missing".into(), |d| format!("{:+.4}", t.loss - d));
        vec![
            thousands(t.cost.round() as u64),
            format!("{:.2}", t.cost / 1e6),
            format!("{:.4}", t.loss),
            above,
            fidelity(t),
        ]
    };
    let heads = ["bytes", "MB", "loss", "above dense", "fidelity"].map(String::from).to_vec();
    blocks.push(Block::Heading(2, "The front".into()));
    blocks.push(Block::Table(
        "Models than which none is both smaller and better".into(),
        heads,
        best.iter().map(row).collect(),
    ));
    blocks.push(Block::Heading(2, "What was chosen".into()));
    blocks.extend(maps(objective, &best).into_iter().map(|(name, picture)| Block::Picture(name, picture)));
    Some(Document { title: title.into(), blocks })
}

/// Writes the report of what was measured through `objective` into `folder`; nothing where nothing was.
///
/// # Errors
/// When the disk cannot take it.
pub fn write(objective: &dyn Objective, title: &str, folder: &Path) -> Result<()> {
    let Some(document) = document(objective, title) else { return Ok(()) };
    document.write(folder)?;
    let point = |t: &&Trial| Point { bytes: t.cost, loss: t.loss, fidelity: t.fidelity, levels: t.config.clone() };
    let all: Vec<Point> = on_front(&objective.history()).iter().map(point).collect();
    let text = serde_json::to_vec_pretty(&all).context("writing the front")?;
    crate::run_dir::write_synced(&folder.join(FRONT), &text)
}
