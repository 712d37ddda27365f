//! `rlx plot`: a metric of any runs. Runs that differ in their seed alone are one line with its band.
use crate::data;
use crate::data::Curve;
use anyhow::{Context, Result};
use clap::Args;
use rlx::config::choose;
use rlx::refuse;
use rlx_plot::charts::Axis;
use rlx_plot::charts::Lines;
use rlx_plot::charts::Series;
use rlx_plot::svg::Picture;
use rlx_runs::metrics;
use rlx_runs::run_dir::RunDir;
use rlx_stats::scores::Interval;
use rlx_stats::scores::band;
use std::{
    collections::BTreeSet,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

/// Points of a line.
const POINTS: usize = 256;

/// `rlx plot`.
#[derive(Debug, Args)]
pub struct Plot {
    /// Runs: their folders or names.
    #[arg(required = true, value_name = "RUN")]
    names: Vec<String>,
    /// The metric, as in metrics.jsonl.
    #[arg(long, default_value = "charts/episodic_return")]
    metric: String,
    /// Smoothing from 0 (none) to below 1: the weight of what came before, as TensorBoard has it.
    #[arg(long, default_value_t = 0.0)]
    smooth: f64,
    /// Over wall-clock time instead of environment steps.
    #[arg(long)]
    seconds: bool,
    /// The file to write, .svg or .png; by itself plot.svg.
    #[arg(long, short, default_value = "plot.svg", value_name = "FILE")]
    output: PathBuf,
}

/// Runs that differ in their seed alone.
struct Group {
    /// The world that they are in.
    env: String,
    /// Their common name.
    stem: String,
    /// Each seed with its curve.
    runs: Vec<(Option<u64>, Curve)>,
}

/// The world of a run, by its config.
fn env(dir: &RunDir) -> Result<String> {
    let config: toml::Table =
        toml::from_str(&dir.config()?).with_context(|| format!("{}/config.toml", dir.path().display()))?;
    let run = config.get("run").and_then(|r| r.get("env")).or_else(|| config.get("env"));
    Ok(run.and_then(toml::Value::as_str).unwrap_or("runs").to_owned())
}

/// The name without its seed, and the seed.
fn apart(name: &str) -> (String, Option<u64>) {
    match name.rsplit_once("-s").map(|(stem, seed)| (stem, seed.parse())) {
        Some((stem, Ok(seed))) => (stem.into(), Some(seed)),
        _ => (name.into(), None),
    }
}

/// Exponential smoothing whose start is not drawn to zero.
fn smooth(curve: &mut Curve, weight: f64) {
    let (mut sum, mut weights) = (0.0, 0.0);
    for p in &mut curve.points {
        sum = weight * sum + (1.0 - weight) * p.value;
        weights = weight * weights + (1.0 - weight);
        p.value = sum / weights;
    }
}

/// The metrics that a run has, for messages.
fn names(run: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for row in metrics::read(run)?.take(200) {
        names.extend(row?.into_iter().filter(|(_, v)| v.is_number()).map(|(k, _)| k));
    }
    Ok(names)
}

fn series(number: usize, stem: &str, runs: &[(Option<u64>, Curve)], by_time: bool) -> Option<Series> {
    let key = |p: &data::Point| if by_time { p.time } else { p.step };
    if let [(seed, curve)] = runs {
        let label = seed.map_or_else(|| stem.to_owned(), |s| format!("{stem} (seed {s})"));
        let points = curve.points.iter().map(|p| (key(p), Interval { value: p.value, low: p.value, high: p.value }));
        return Some(Series { number, label, points: points.collect() });
    }
    let first = |c: &Curve| c.points.first().map(key);
    let start = runs.iter().filter_map(|(_, c)| first(c)).fold(0.0, f64::max);
    let end = runs.iter().filter_map(|(_, c)| c.end(by_time)).fold(f64::INFINITY, f64::min);
    let x: Vec<f64> = (0..POINTS).map(|i| (start + (end - start) * i as f64 / (POINTS - 1) as f64).min(end)).collect();
    let rows: Vec<Vec<f64>> =
        runs.iter().map(|(_, c)| x.iter().map(|x| c.at(*x, by_time)).collect()).collect::<Option<_>>()?;
    let seeds: Vec<String> = runs.iter().filter_map(|(s, _)| s.map(|s| s.to_string())).collect();
    let label = format!("{stem} (seeds {})", seeds.join(", "));
    Some(Series { number, label, points: x.into_iter().zip(band(&rows)).collect() })
}

/// Draws and writes it.
///
/// # Errors
/// When a run or the metric is not there, or the file is.
pub fn run(folder: &Path, args: &Plot) -> Result<PathBuf> {
    if !(0.0..1.0).contains(&args.smooth) {
        refuse!("--smooth {}: it must be from 0 to below 1", args.smooth);
    }
    let kind = args.output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
    if !["svg", "png"].contains(&kind.as_str()) {
        refuse!("-o {}: it must end in .svg or .png", args.output.display());
    }
    let mut groups: Vec<Group> = Vec::new();
    for (i, run) in args.names.iter().enumerate() {
        if args.names[..i].contains(run) {
            refuse!("{run} is given twice: a run repeated is no second seed");
        }
        let dir = RunDir::open(folder, run)?;
        let mut curve = data::read(dir.path(), &[(args.metric.as_str(), None, false)])?.remove(0);
        if curve.points.is_empty() {
            let names = names(dir.path())?;
            if names.is_empty() {
                refuse!("{} has no metrics yet", dir.name());
            }
            let meant = choose("metric", &args.metric, names.iter().map(String::as_str));
            let meant = meant.with_context(|| dir.name())?;
            curve = data::read(dir.path(), &[(meant, None, false)])?.remove(0);
        }
        smooth(&mut curve, args.smooth);
        let (stem, seed) = apart(&dir.name());
        match groups.iter_mut().find(|g| g.stem == stem) {
            Some(group) => group.runs.push((seed, curve)),
            None => groups.push(Group { env: env(&dir)?, stem, runs: vec![(seed, curve)] }),
        }
    }
    let bands = groups.iter().any(|g| g.runs.len() > 1);
    let smoothed = if args.smooth > 0.0 { format!("smoothed with {}; ", args.smooth) } else { String::new() };
    let note = if bands {
        "line: IQM over the seeds named; band: its 95 % bootstrap interval, pointwise"
    } else {
        "one line a run"
    };
    // Returns of two worlds have nothing to do with each other: each has axes of its own.
    let mut worlds: Vec<&str> = groups.iter().map(|g| g.env.as_str()).collect();
    worlds.sort_unstable();
    worlds.dedup();
    let panel = |world: &&str| {
        let own = groups.iter().enumerate().filter(|(_, g)| g.env == **world);
        Lines {
            title: (*world).to_owned(),
            note: format!("{smoothed}{note}"),
            x: Axis::of(if args.seconds { "wall-clock time (s)" } else { "environment steps" }),
            y: Axis::of(args.metric.clone()),
            series: own.filter_map(|(i, g)| series(i, &g.stem, &g.runs, args.seconds)).collect(),
            level: None,
        }
        .draw()
    };
    let panels: Vec<Picture> = worlds.iter().map(panel).collect();
    let picture = Picture::stacked(&format!("{} in {}", args.metric, worlds.join(", ")), &panels);
    let bytes = if kind == "png" { picture.png()? } else { picture.file().into_bytes() };
    let shown = args.output.display();
    let mut file = match File::create_new(&args.output) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            refuse!("{shown} is there already, and a file that is there is never overwritten")
        }
        made => made.with_context(|| format!("making {shown}"))?,
    };
    file.write_all(&bytes).with_context(|| format!("writing {}", args.output.display()))?;
    Ok(args.output.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_told_from_names_and_smoothing_keeps_a_constant() {
        assert_eq!(apart("cartpole-ppo-a-s3"), ("cartpole-ppo-a".into(), Some(3)));
        assert_eq!(apart("other-slow"), ("other-slow".into(), None));
        let point = |step: f64, value: f64| data::Point { step, time: step, value };
        let mut c = Curve { points: vec![point(0.0, 2.0), point(1.0, 2.0), point(2.0, 5.0)], ..Curve::default() };
        smooth(&mut c, 0.5);
        assert_eq!((c.points[0].value, c.points[1].value), (2.0, 2.0));
        assert!(c.points[2].value > 2.0 && c.points[2].value < 5.0);
    }
}
