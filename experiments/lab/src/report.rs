//! What can be said of an experiment's results: figures first, pictures and pages are made of them.
//!
//! A cell that is missing (not run, failed, without the metric) is shown as missing. What is over a set of runs is given only when all of
//! them are there, unless `partial` asks for what there is; then how many there are stands beside it.
use crate::cells::Cell;
use crate::cells::Cells;
use crate::data;
use crate::data::Curve;
use crate::results::Record;
use crate::results::Results;
use crate::results::Status;
use crate::spec::Metric;
use anyhow::{Result, bail};
use rayon::prelude::*;
use rlx_stats::compare::holm;
use rlx_stats::compare::improvement;
use rlx_stats::compare::paired_test;
use rlx_stats::scores::Aggregates;
use rlx_stats::scores::Interval;
use rlx_stats::scores::RESAMPLES;
use rlx_stats::scores::aggregates;
use rlx_stats::scores::band;
use rlx_stats::scores::bootstrap;
use rlx_stats::scores::iqm_of;
use rlx_stats::scores::mean;
use rlx_stats::scores::profile;
use rlx_stats::threshold::ToThreshold;
use rlx_stats::threshold::to_threshold;
use serde::Serialize;
use std::collections::HashMap;

/// Methods that are compared at most: beyond it a picture is none.
pub const MOST_METHODS: usize = 64;
/// Points of a curve.
const POINTS: usize = 96;

/// A cell that is not in the figures.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// Its number.
    pub index: u64,
    /// Its task.
    pub task: String,
    /// Its method.
    pub method: String,
    /// Its seed.
    pub seed: u64,
    /// Why: not run, running or broken off, failed and how, no value of a metric.
    pub why: String,
}

/// A method in a task.
#[derive(Clone, Debug, Serialize)]
pub struct TaskRow {
    /// The task.
    pub task: String,
    /// The method.
    pub method: String,
    /// Runs that there are.
    pub runs: usize,
    /// Runs that there should be.
    pub of: usize,
    /// Mean over seeds.
    pub mean: Option<Interval>,
    /// Interquartile mean over seeds.
    pub iqm: Option<Interval>,
    /// The worst seed's value.
    pub worst: Option<f64>,
    /// The best seed's value.
    pub best: Option<f64>,
    /// Environment steps to the threshold.
    pub steps_to_threshold: Option<ToThreshold>,
    /// Seconds to the threshold.
    pub seconds_to_threshold: Option<ToThreshold>,
    /// Median seconds of a run.
    pub seconds: Option<f64>,
}

/// A method over all tasks.
#[derive(Clone, Debug, Serialize)]
pub struct MethodRow {
    /// The method.
    pub method: String,
    /// Runs that there are.
    pub runs: usize,
    /// Runs that there should be.
    pub of: usize,
    /// Its aggregates; None when runs are missing.
    pub scores: Option<Aggregates>,
}

/// A method against the baseline.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The method.
    pub method: String,
    /// What it is compared with.
    pub baseline: String,
    /// Pairs of the same task and seed.
    pub pairs: usize,
    /// Probability that a run of it is better than one of the baseline.
    pub probability_of_improvement: Option<Interval>,
    /// Mean difference of paired runs (scores where there are scales, the metric's own unit where not), with its interval.
    pub difference: Option<Interval>,
    /// Two-sided p of the paired randomisation test.
    pub p: Option<f64>,
    /// The same after Holm's correction for all comparisons of the metric.
    pub p_holm: Option<f64>,
}

/// A curve with its band.
#[derive(Clone, Debug, Serialize)]
pub struct Band {
    /// The task.
    pub task: String,
    /// The method.
    pub method: String,
    /// Seeds it is of.
    pub runs: usize,
    /// Seeds that there should be.
    pub of: usize,
    /// Steps or seconds.
    pub x: Vec<f64>,
    /// IQM over seeds, pointwise 95 % band.
    pub y: Vec<Interval>,
}

/// A performance profile.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// The method.
    pub method: String,
    /// Scores.
    pub tau: Vec<f64>,
    /// Share of runs above each.
    pub share: Vec<Interval>,
}

/// A metric's part of the report.
#[derive(Clone, Debug, Serialize)]
pub struct MetricReport {
    /// Name, unit, how a curve becomes a number, scales.
    pub metric: Metric,
    /// Whether all tasks have a scale, so that scores over tasks make sense.
    pub scored: bool,
    /// By task and method.
    pub tasks: Vec<TaskRow>,
    /// Over tasks.
    pub methods: Vec<MethodRow>,
    /// Against the baseline.
    pub comparisons: Vec<Comparison>,
    /// Performance profiles.
    pub profiles: Vec<Profile>,
    /// Curves over environment steps.
    pub by_steps: Vec<Band>,
    /// Curves over seconds.
    pub by_seconds: Vec<Band>,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The spec.
    pub experiment: String,
    /// Whether it is the quick variant.
    pub quick: bool,
    /// What it shows.
    pub about: String,
    /// Where the results are.
    pub folder: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The tasks.
    pub tasks: Vec<String>,
    /// The methods.
    pub methods: Vec<String>,
    /// Cells in all.
    pub cells: u64,
    /// Cells that are finished.
    pub finished: u64,
    /// Whether figures are of what there is although runs are missing.
    pub partial: bool,
    /// Cells that are not in the figures.
    pub missing: Vec<Missing>,
    /// Programs that made the runs: version and revision, and how many runs.
    pub made_by: Vec<(String, usize)>,
    /// The metrics.
    pub metrics: Vec<MetricReport>,
}

/// Runs by task and method: seed and curve, in the order of seeds.
type Runs = HashMap<(usize, usize), Vec<(u64, Curve)>>;

struct Tables<'a> {
    tasks: &'a [String],
    methods: &'a [String],
    of: usize,
    seconds: HashMap<(usize, usize), Vec<f64>>,
    partial: bool,
}

/// Reads the results and works out all figures.
///
/// # Errors
/// When results cannot be read, or there are too many methods to compare.
pub fn report(cells: &Cells<'_>, results: &Results, partial: bool) -> Result<Report> {
    let spec = cells.spec;
    let (tasks, methods) = cells.tasks_and_methods()?;
    if methods.len() > MOST_METHODS {
        bail!(
            "'{}' has {} methods, and a report compares at most {MOST_METHODS}: take a key of the grid as task, or fewer values",
            spec.name,
            methods.len()
        );
    }
    let records = results.records()?;
    let place = |names: &[String]| -> HashMap<String, usize> {
        names.iter().cloned().enumerate().map(|(i, n)| (n, i)).collect()
    };
    let (task_at, method_at) = (place(&tasks), place(&methods));
    let (mut missing, mut present): (Vec<Missing>, Vec<(Cell, &Record)>) = (Vec::new(), Vec::new());
    for cell in cells.iter() {
        let cell = cell?;
        let why = match records.get(&cell.id()) {
            None => "not run".into(),
            Some(r) if r.status == Status::Finished => {
                present.push((cell, r));
                continue;
            }
            Some(r) if r.status == Status::Failed => format!("failed: {}", r.error.as_deref().unwrap_or_default()),
            Some(_) => "running or broken off".into(),
        };
        missing.push(lost(cell, why));
    }
    let finished = present.len() as u64;
    // One pass over each file for all metrics.
    let read = |(cell, record): &(Cell, &Record)| -> Result<Vec<Curve>> {
        let wanted: Vec<_> =
            spec.metrics.iter().map(|m| (m.name.as_str(), m.scale(&cell.task).threshold, m.lower_is_better)).collect();
        data::read(&results.runs().join(&record.run), &wanted)
    };
    let curves: Vec<Vec<Curve>> = present.par_iter().map(read).collect::<Result<_>>()?;
    let mut by_metric: Vec<Runs> = vec![Runs::new(); spec.metrics.len()];
    let mut seconds: HashMap<(usize, usize), Vec<f64>> = HashMap::new();
    let mut made: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for ((cell, record), of_cell) in present.into_iter().zip(curves) {
        let key = (task_at[&cell.task], method_at[&cell.method]);
        seconds.entry(key).or_default().push(record.elapsed_s);
        *made.entry(format!("rlx {} ({})", record.rlx, record.revision)).or_default() += 1;
        for ((runs, curve), metric) in by_metric.iter_mut().zip(of_cell).zip(&spec.metrics) {
            if curve.reduced(metric).is_some_and(f64::is_finite) {
                runs.entry(key).or_default().push((cell.seed, curve));
            } else {
                missing.push(lost(cell.clone(), format!("it has no value of {}", metric.name)));
            }
        }
    }
    missing.sort_by_key(|m| m.index);
    let tables = Tables { tasks: &tasks, methods: &methods, of: spec.seeds.len(), seconds, partial };
    let baseline = spec.baseline.as_ref().and_then(|b| method_at.get(b)).copied().unwrap_or(0);
    let metrics = spec.metrics.iter().zip(&by_metric).map(|(m, runs)| tables.metric(m, runs, baseline)).collect();
    Ok(Report {
        experiment: spec.name.clone(),
        quick: spec.quick,
        about: spec.about.clone(),
        folder: results.path().display().to_string(),
        seeds: spec.seeds.clone(),
        cells: cells.len(),
        finished,
        partial,
        missing,
        made_by: made.into_iter().collect(),
        metrics,
        tasks,
        methods,
    })
}

fn lost(cell: Cell, why: String) -> Missing {
    Missing { index: cell.index, task: cell.task, method: cell.method, seed: cell.seed, why }
}

impl Tables<'_> {
    fn metric(&self, metric: &Metric, runs: &Runs, baseline: usize) -> MetricReport {
        let scored = self.tasks.iter().all(|t| metric.score(t, 0.0).is_some());
        let keys: Vec<(usize, usize)> =
            (0..self.tasks.len()).flat_map(|t| (0..self.methods.len()).map(move |m| (t, m))).collect();
        let scores: Vec<Option<Vec<Vec<f64>>>> =
            (0..self.methods.len()).map(|m| self.scores(metric, runs, m, scored)).collect();
        let methods = (0..self.methods.len())
            .map(|m| MethodRow {
                method: self.methods[m].clone(),
                runs: (0..self.tasks.len()).map(|t| runs.get(&(t, m)).map_or(0, Vec::len)).sum(),
                of: self.of * self.tasks.len(),
                scores: scores[m].as_ref().filter(|_| scored).map(|s| aggregates(s, RESAMPLES)),
            })
            .collect();
        let mut comparisons: Vec<Comparison> = (0..self.methods.len())
            .filter(|m| *m != baseline && (scored || self.tasks.len() == 1))
            .map(|m| self.compare(metric, runs, m, baseline, &scores, scored))
            .collect();
        let p: Vec<f64> = comparisons.iter().filter_map(|c| c.p).collect();
        for (c, p) in comparisons.iter_mut().filter(|c| c.p.is_some()).zip(holm(&p)) {
            c.p_holm = Some(p);
        }
        let profiles = if scored { self.profiles(&scores) } else { Vec::new() };
        MetricReport {
            metric: metric.clone(),
            scored,
            tasks: keys.iter().map(|k| self.task_row(metric, runs, *k)).collect(),
            methods,
            comparisons,
            profiles,
            by_steps: keys.iter().filter_map(|k| self.curve(runs, *k, false)).collect(),
            by_seconds: keys.iter().filter_map(|k| self.curve(runs, *k, true)).collect(),
        }
    }

    fn task_row(&self, metric: &Metric, runs: &Runs, key: (usize, usize)) -> TaskRow {
        let none = Vec::new();
        let own = runs.get(&key).unwrap_or(&none);
        let values: Vec<f64> = own.iter().filter_map(|(_, c)| c.reduced(metric)).collect();
        let whole = !values.is_empty() && (values.len() == self.of || self.partial);
        let both = whole.then(|| {
            bootstrap(&[std::slice::from_ref(&values)], RESAMPLES, |s| {
                vec![mean(&s[0][0]), iqm_of(&mut s[0][0].clone())]
            })
        });
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        let (worst, best) = if metric.lower_is_better { (high, low) } else { (low, high) };
        let threshold = |by_time: bool| {
            metric.scale(&self.tasks[key.0]).threshold.filter(|_| whole)?;
            let watched: Vec<_> = own.iter().filter_map(|(_, c)| c.watched(by_time)).collect();
            to_threshold(&watched)
        };
        let mut seconds = self.seconds.get(&key).cloned().unwrap_or_default();
        seconds.sort_by(f64::total_cmp);
        TaskRow {
            task: self.tasks[key.0].clone(),
            method: self.methods[key.1].clone(),
            runs: values.len(),
            of: self.of,
            mean: both.as_ref().map(|b| b[0]),
            iqm: both.as_ref().map(|b| b[1]),
            worst: whole.then_some(worst),
            best: whole.then_some(best),
            steps_to_threshold: threshold(false),
            seconds_to_threshold: threshold(true),
            seconds: (!seconds.is_empty()).then(|| rlx::quantile(&seconds, 0.5)),
        }
    }

    /// Scores of a method by task, in the metric's unit where there are no scales; None when runs are missing.
    fn scores(&self, metric: &Metric, runs: &Runs, m: usize, scored: bool) -> Option<Vec<Vec<f64>>> {
        let of_task = |t: usize| {
            let own = runs.get(&(t, m))?;
            if own.len() != self.of && !self.partial {
                return None;
            }
            own.iter().map(|(_, c)| self.score(metric, t, c, scored)).collect::<Option<Vec<f64>>>()
        };
        (0..self.tasks.len()).map(of_task).collect()
    }

    fn score(&self, metric: &Metric, task: usize, curve: &Curve, scored: bool) -> Option<f64> {
        let value = curve.reduced(metric)?;
        match scored {
            true => metric.score(&self.tasks[task], value),
            // Larger is better from here on.
            false if metric.lower_is_better => Some(-value),
            false => Some(value),
        }
    }

    fn compare(
        &self,
        metric: &Metric,
        runs: &Runs,
        m: usize,
        baseline: usize,
        scores: &[Option<Vec<Vec<f64>>>],
        scored: bool,
    ) -> Comparison {
        let mut differences: Vec<Vec<f64>> = Vec::new();
        for t in 0..self.tasks.len() {
            let (Some(own), Some(other)) = (runs.get(&(t, m)), runs.get(&(t, baseline))) else { continue };
            let other: HashMap<u64, &Curve> = other.iter().map(|(seed, c)| (*seed, c)).collect();
            let pair = |(seed, c): &(u64, Curve)| {
                Some(self.score(metric, t, c, scored)? - self.score(metric, t, other.get(seed)?, scored)?)
            };
            differences.push(own.iter().filter_map(pair).collect());
        }
        differences.retain(|d| !d.is_empty());
        let all: Vec<f64> = differences.concat();
        let whole = scores[m].is_some() && scores[baseline].is_some() && !all.is_empty();
        Comparison {
            method: self.methods[m].clone(),
            baseline: self.methods[baseline].clone(),
            pairs: all.len(),
            probability_of_improvement: match (&scores[m], &scores[baseline]) {
                (Some(x), Some(y)) => Some(improvement(x, y, RESAMPLES)),
                _ => None,
            },
            difference: whole.then(|| bootstrap(&[&differences], RESAMPLES, |s| vec![mean(&s[0].concat())])[0]),
            p: if whole { paired_test(&all) } else { None },
            p_holm: None,
        }
    }

    fn profiles(&self, scores: &[Option<Vec<Vec<f64>>>]) -> Vec<Profile> {
        let all = || scores.iter().flatten().flatten().flatten().copied().filter(|v| v.is_finite());
        let low = all().fold(0.0, f64::min).max(-1.0);
        let high = all().fold(1.0, f64::max).min(3.0);
        let tau: Vec<f64> = (0..=100).map(|i| low + (high - low) * f64::from(i) / 100.0).collect();
        let one = |(m, s): (usize, &Option<Vec<Vec<f64>>>)| {
            let share = profile(s.as_ref()?, &tau);
            Some(Profile { method: self.methods[m].clone(), tau: tau.clone(), share })
        };
        scores.iter().enumerate().filter_map(one).collect()
    }

    /// The IQM over seeds at points that all of them have reached: no run drops out on the way.
    fn curve(&self, runs: &Runs, key: (usize, usize), by_time: bool) -> Option<Band> {
        let own = runs.get(&key)?;
        let start = own.iter().filter_map(|(_, c)| c.points.first()).map(|p| if by_time { p.time } else { p.step });
        let start = start.fold(0.0, f64::max);
        let end = own.iter().filter_map(|(_, c)| c.end(by_time)).fold(f64::INFINITY, f64::min);
        if !start.is_finite() || !end.is_finite() || end < start {
            return None;
        }
        // No farther than the end, which rounding may pass.
        let at = |i: usize| (start + (end - start) * i as f64 / (POINTS - 1) as f64).min(end);
        let x: Vec<f64> = (0..POINTS).map(at).collect();
        let rows: Vec<Vec<f64>> =
            own.iter().map(|(_, c)| x.iter().map(|x| c.at(*x, by_time)).collect()).collect::<Option<_>>()?;
        let (task, method) = (self.tasks[key.0].clone(), self.methods[key.1].clone());
        Some(Band { task, method, runs: own.len(), of: self.of, y: band(&rows), x })
    }
}
