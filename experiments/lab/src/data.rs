//! A run's `metrics.jsonl` read for one or a few metrics: a stream, so that a file may be of any size, kept as a curve of bounded length.
use crate::spec::{Metric, Reduce, Scale};
use anyhow::{Context, Result, anyhow, bail};
use memchr::memmem::Finder;
use rlx_runs::metrics;
use rlx_stats::threshold::Watched;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Environment step.
    pub step: f64,
    /// Seconds since the run began.
    pub time: f64,
    /// The metric.
    pub value: f64,
}

/// Points of a curve that are kept; pictures are less wide.
const KEPT: usize = 512;

/// What one metric of one run says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// At most 513 points, the first and last among them.
    pub points: Vec<Point>,
    /// Rows that have the metric.
    pub rows: u64,
    /// The last value.
    pub last: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The mean over rows.
    pub mean: Option<f64>,
    /// First crossing of the threshold, in steps.
    pub crossed: Option<Point>,
}

/// Keeps every so-manieth point, twice as sparse each time that there are too many.
struct Thin {
    every: u64,
    seen: u64,
    last: Option<Point>,
}

impl Thin {
    fn add(&mut self, points: &mut Vec<Point>, p: Point) {
        if self.seen.is_multiple_of(self.every) {
            points.push(p);
            if points.len() == KEPT {
                let mut i = 0;
                points.retain(|_| {
                    i += 1;
                    i % 2 == 1
                });
                self.every *= 2;
            }
        }
        self.seen += 1;
        self.last = Some(p);
    }
}

/// The number after `"name":` in a line of this program's making; None where it has none, an error where it is none.
fn number(line: &[u8], find: &Finder<'_>) -> Option<std::result::Result<f64, ()>> {
    let start = find.find(line)? + find.needle().len();
    let rest = &line[start..];
    let end = rest.iter().position(|b| matches!(b, b',' | b'}')).unwrap_or(rest.len());
    let text = std::str::from_utf8(&rest[..end]).ok()?.trim();
    match text {
        "null" => None,
        text => Some(text.parse().map_err(|_| ())),
    }
}

fn needle(name: &str) -> String {
    format!("\"{name}\":")
}

/// The curves of `wanted` (name, threshold, whether smaller is better) in a run folder. A torn last line is left out.
///
/// # Errors
/// When the file cannot be read, or a line that is not the last is broken.
pub fn read(run: &Path, wanted: &[(&str, Option<f64>, bool)]) -> Result<Vec<Curve>> {
    let path = run.join(metrics::NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![Curve::default(); wanted.len()]),
        Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
    };
    let needles: Vec<String> = wanted.iter().map(|(name, ..)| needle(name)).collect();
    let finders: Vec<Finder<'_>> = needles.iter().map(Finder::new).collect();
    let (of_step, of_time) = (needle("step"), needle("perf/elapsed_s"));
    let (of_step, of_time) = (Finder::new(&of_step), Finder::new(&of_time));
    let mut curves = vec![Curve::default(); wanted.len()];
    let mut thins: Vec<Thin> = wanted.iter().map(|_| Thin { every: 1, seen: 0, last: None }).collect();
    let mut sums = vec![0.0; wanted.len()];
    let mut input = BufReader::with_capacity(1 << 18, file);
    let (mut line, mut at, mut torn): (Vec<u8>, u64, Option<u64>) = (Vec::new(), 0, None);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).with_context(|| format!("reading {}", path.display()))? == 0 {
            break;
        }
        at += 1;
        if let Some(broken) = torn {
            bail!("{}: line {broken} is broken", path.display());
        }
        if !line.ends_with(b"}\n") {
            torn = Some(at);
            continue;
        }
        let broken = || anyhow!("{}: line {at} is broken", path.display());
        for (i, find) in finders.iter().enumerate() {
            let Some(value) = number(&line, find) else { continue };
            let value = value.map_err(|()| anyhow!("{}: line {at}: {} is no number", path.display(), wanted[i].0))?;
            let step = number(&line, &of_step).and_then(std::result::Result::ok).ok_or_else(broken)?;
            let time = number(&line, &of_time).and_then(std::result::Result::ok).unwrap_or(f64::NAN);
            let (point, curve) = (Point { step, time, value }, &mut curves[i]);
            thins[i].add(&mut curve.points, point);
            sums[i] += value;
            curve.rows += 1;
            curve.last = Some(value);
            curve.max = Some(curve.max.map_or(value, |m| m.max(value)));
            curve.min = Some(curve.min.map_or(value, |m| m.min(value)));
            let (_, threshold, lower) = wanted[i];
            let there = threshold.is_some_and(|t| if lower { value <= t } else { value >= t });
            if there && curve.crossed.is_none() {
                curve.crossed = Some(point);
            }
        }
    }
    for ((curve, thin), sum) in curves.iter_mut().zip(thins).zip(sums) {
        if let Some(last) = thin.last.filter(|l| curve.points.last() != Some(l)) {
            curve.points.push(last);
        }
        curve.mean = (curve.rows > 0).then(|| sum / curve.rows as f64);
    }
    Ok(curves)
}

impl Curve {
    /// The run's one number.
    pub fn reduced(&self, metric: &Metric) -> Option<f64> {
        match (metric.reduce, metric.lower_is_better) {
            (Reduce::Last, _) => self.last,
            (Reduce::Best, false) => self.max,
            (Reduce::Best, true) => self.min,
            (Reduce::Mean, _) => self.mean,
        }
    }

    /// The value at `x` steps (or seconds), linear between points; None outside of them.
    pub fn at(&self, x: f64, by_time: bool) -> Option<f64> {
        let key = |p: &Point| if by_time { p.time } else { p.step };
        let after = self.points.partition_point(|p| key(p) <= x);
        let before = self.points.get(after.checked_sub(1)?)?;
        let Some(next) = self.points.get(after) else { return (key(before) >= x).then_some(before.value) };
        let part = (x - key(before)) / (key(next) - key(before));
        Some(before.value + part * (next.value - before.value))
    }

    /// The end of the curve, in steps or seconds.
    pub fn end(&self, by_time: bool) -> Option<f64> {
        self.points.last().map(|p| if by_time { p.time } else { p.step })
    }

    /// When it crossed the threshold, or until when it did not.
    pub fn watched(&self, by_time: bool) -> Option<Watched> {
        let key = |p: Point| if by_time { p.time } else { p.step };
        match self.crossed {
            Some(p) => Some(Watched { time: key(p), reached: true }),
            None => Some(Watched { time: self.end(by_time)?, reached: false }),
        }
    }
}

impl Metric {
    /// The scale of a task.
    pub fn scale(&self, task: &str) -> Scale {
        self.tasks.get(task).copied().unwrap_or_default()
    }

    /// A value as a score: 0 at `low`, 1 at `high`. None where the task has no scale.
    pub fn score(&self, task: &str, value: f64) -> Option<f64> {
        let scale = self.scale(task);
        let (low, high) = (scale.low?, scale.high?);
        Some((value - low) / (high - low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::testing::TempDir;
    use std::{fmt::Write as _, fs};

    #[test]
    fn a_long_file_becomes_a_short_curve_that_ends_where_it_does() {
        let dir = TempDir::new();
        let mut text = String::new();
        for i in 1..=5000u32 {
            let _ = writeln!(
                text,
                "{{\"step\":{i},\"charts/x\":{}.5,\"h\":{{\"count\":1,\"mean\":9.0}},\"perf/elapsed_s\":{}}}",
                i % 7,
                i / 2
            );
            text += "{\"step\":0,\"other\":1.0}\n{\"step\":0,\"charts/x\":null}\n";
        }
        fs::write(dir.0.join(metrics::NAME), format!("{text}{{\"step\":9999,\"charts/x\":1")).unwrap();
        let curve = &read(&dir.0, &[("charts/x", Some(6.5), false)]).unwrap()[0];
        assert_eq!((curve.rows, curve.last, curve.max, curve.min), (5000, Some(2.5), Some(6.5), Some(0.5)));
        assert!(curve.points.len() <= KEPT + 1 && curve.points.len() > KEPT / 3);
        assert_eq!((curve.points[0].step, curve.points.last().unwrap().step), (1.0, 5000.0));
        assert_eq!(curve.crossed.map(|p| p.step), Some(6.0));
        assert_eq!(curve.at(0.5, false), None);
        assert_eq!(
            (curve.at(1.0, false), curve.at(5000.0, false), curve.at(5001.0, false)),
            (Some(1.5), Some(2.5), None)
        );
        assert_eq!(curve.end(true), Some(2500.0));
        // Against the reader that parses everything.
        let slow: Vec<f64> =
            metrics::read(&dir.0).unwrap().filter_map(|r| r.unwrap().get("charts/x")?.as_f64()).collect();
        assert_eq!(slow.len(), 5000);
        assert!((curve.mean.unwrap() - slow.iter().sum::<f64>() / 5000.0).abs() < 1e-9);
        let none = read(&dir.0, &[("charts/y", None, false)]).unwrap();
        assert_eq!(none[0], Curve::default());
        fs::write(dir.0.join(metrics::NAME), "{\"step\":1,\"charts/x\":1.0}\n{\"step\n{\"step\":3,\"charts/x\":1.0}\n")
            .unwrap();
        let error = read(&dir.0, &[("charts/x", None, false)]).unwrap_err().to_string();
        assert!(error.contains("line 2 is broken"), "{error}");
    }
}
