//! Scores of a set of tasks over seeds, as one number with its interval (Agarwal et al. 2021, arXiv 2108.13264).
//!
//! Point estimates are those of rliable to 1e-6, and interval ends agree within the bootstrap's own error: `tests/golden/scores.py`
//! records the case that the tests compare with.
use rayon::prelude::*;
use rlx::{Rng, percentile_interval, quantile};
use serde::Serialize;

/// Scores by task, each a run's; tasks may have different numbers of runs.
pub type Scores = [Vec<f64>];

/// Resamples behind an interval.
pub const RESAMPLES: usize = 50_000;
/// Resamples behind each point of a band; its ends move by less than a line's width with more.
pub const BAND: usize = 2_000;
/// Resamples that share a random stream.
const CHUNK: usize = 500;

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end of the 95 % percentile bootstrap interval; NaN, in JSON null, where no task has two runs: one run says nothing of its
    /// spread.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The mean; NaN of no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The interquartile mean: the mean of the middle half, a quarter of the values (rounded down) cut off at either end. Reorders them.
pub fn iqm_of(values: &mut [f64]) -> f64 {
    let cut = values.len() / 4;
    let (n, end) = (values.len(), values.len() - cut);
    if cut > 0 {
        // Two selections in place of a sort: this is the inner loop of every bootstrap.
        values.select_nth_unstable_by(cut, f64::total_cmp);
        values[cut..].select_nth_unstable_by(n - 2 * cut, f64::total_cmp);
    }
    mean(&values[cut..end])
}

fn median_of(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 0.5)
}

fn task_means(scores: &Scores) -> Vec<f64> {
    scores.iter().map(|task| mean(task)).collect()
}

/// Interquartile mean over all runs of all tasks.
pub fn iqm(scores: &Scores) -> f64 {
    iqm_of(&mut scores.concat())
}
/// Median over tasks of their means.
pub fn median(scores: &Scores) -> f64 {
    median_of(&mut task_means(scores))
}
/// Mean over tasks of their means.
pub fn mean_of_tasks(scores: &Scores) -> f64 {
    mean(&task_means(scores))
}
/// How far runs fall short of score 1, on average; what is above it counts as 1.
pub fn optimality_gap(scores: &Scores) -> f64 {
    let all = scores.concat();
    1.0 - all.iter().map(|x| x.min(1.0)).sum::<f64>() / all.len() as f64
}
/// The share of runs with a score above `tau`.
pub fn above(scores: &Scores, tau: f64) -> f64 {
    let all: usize = scores.iter().map(Vec::len).sum();
    scores.iter().flatten().filter(|x| **x > tau).count() as f64 / all as f64
}

fn resample(from: &Scores, to: &mut [Vec<f64>], rng: &mut Rng) {
    for (from, to) in from.iter().zip(to) {
        for x in to.iter_mut() {
            *x = from[rng.below(from.len())];
        }
    }
}

/// The percentile bootstrap stratified by task: runs are drawn with replacement within each task, `statistic` writes its numbers for each draw. Gives for
/// each of them the interval of its `RESAMPLES` (or fewer) draws. The same input gives the same ends, whatever the number of threads.
pub fn bootstrap(
    sets: &[&Scores],
    resamples: usize,
    statistic: impl Fn(&[Vec<Vec<f64>>]) -> Vec<f64> + Sync,
) -> Vec<Interval> {
    let own: Vec<Vec<Vec<f64>>> = sets.iter().map(|s| s.to_vec()).collect();
    let values = statistic(&own);
    let width = values.len();
    if sets.iter().all(|tasks| tasks.iter().all(|runs| runs.len() < 2)) {
        return values.into_iter().map(|value| Interval { value, low: f64::NAN, high: f64::NAN }).collect();
    }
    let chunk = |number: usize| -> Vec<f64> {
        let mut rng = Rng::named(0, "stratified bootstrap", number as u64);
        let mut drawn = own.clone();
        let count = CHUNK.min(resamples - number * CHUNK);
        let mut out = Vec::with_capacity(count * width);
        for _ in 0..count {
            for (from, to) in own.iter().zip(&mut drawn) {
                resample(from, to, &mut rng);
            }
            out.extend(statistic(&drawn));
        }
        out
    };
    let draws: Vec<Vec<f64>> = (0..resamples.div_ceil(CHUNK)).into_par_iter().map(chunk).collect();
    let ends = |i: usize| {
        let mut column: Vec<f64> = draws.iter().flat_map(|c| c.iter().skip(i).step_by(width)).copied().collect();
        let (low, high) = percentile_interval(&mut column);
        Interval { value: values[i], low, high }
    };
    (0..width).into_par_iter().map(ends).collect()
}

/// The four aggregates of a method.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Aggregates {
    /// Interquartile mean.
    pub iqm: Interval,
    /// Median of task means.
    pub median: Interval,
    /// Mean of task means.
    pub mean: Interval,
    /// Optimality gap.
    pub optimality_gap: Interval,
}

/// The four aggregates with their stratified bootstrap intervals.
pub fn aggregates(scores: &Scores, resamples: usize) -> Aggregates {
    let all = bootstrap(&[scores], resamples, |s| {
        let means = task_means(&s[0]);
        let (gap, mut all) = (optimality_gap(&s[0]), s[0].concat());
        vec![iqm_of(&mut all), median_of(&mut means.clone()), mean(&means), gap]
    });
    Aggregates { iqm: all[0], median: all[1], mean: all[2], optimality_gap: all[3] }
}

/// The performance profile: the share of runs above each of `taus`, with pointwise bands.
pub fn profile(scores: &Scores, taus: &[f64]) -> Vec<Interval> {
    bootstrap(&[scores], BAND, |s| taus.iter().map(|t| above(&s[0], *t)).collect())
}

/// The IQM over runs at each point of a curve, with pointwise bands: the same runs are drawn for all points. `runs[run][point]`.
pub fn band(runs: &[Vec<f64>]) -> Vec<Interval> {
    let points = runs.first().map_or(0, Vec::len);
    let numbers: Vec<f64> = (0..runs.len()).map(|i| i as f64).collect();
    bootstrap(&[&[numbers]], BAND, |s| {
        let mut column = vec![0.0; runs.len()];
        let at = |p: usize| {
            for (x, run) in column.iter_mut().zip(&s[0][0]) {
                *x = runs[*run as usize][p];
            }
            iqm_of(&mut column)
        };
        (0..points).map(at).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn golden() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/scores.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
    /// Runs x tasks, as rliable has them, to tasks x runs.
    fn scores(v: &Value) -> Vec<Vec<f64>> {
        let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).unwrap();
        (0..rows[0].len()).map(|t| rows.iter().map(|r| r[t]).collect()).collect()
    }

    #[test]
    fn point_estimates_are_rliables_and_interval_ends_within_the_bootstraps_error() {
        let golden = golden();
        for case in golden["cases"].as_array().unwrap() {
            let scores = scores(&case["scores"]);
            let ours = aggregates(&scores, RESAMPLES);
            let all = [
                ("iqm", ours.iqm, iqm(&scores)),
                ("median", ours.median, median(&scores)),
                ("mean", ours.mean, mean_of_tasks(&scores)),
                ("optimality_gap", ours.optimality_gap, optimality_gap(&scores)),
            ];
            for (name, interval, point) in all {
                let theirs = &case[name];
                let expected = theirs["value"].as_f64().unwrap();
                assert!((interval.value - expected).abs() < 1e-6, "{name}: {} and {expected}", interval.value);
                assert!((point - expected).abs() < 1e-6, "{name}");
                // Ends over several seeds of rliable's own bootstrap: mean and spread.
                for (end, ours) in [("low", interval.low), ("high", interval.high)] {
                    let (mean, std) = (theirs[end][0].as_f64().unwrap(), theirs[end][1].as_f64().unwrap());
                    assert!((ours - mean).abs() < 6.0 * std + 1e-9, "{name} {end}: {ours}, rliable {mean} +- {std}");
                }
            }
            let taus: Vec<f64> = serde_json::from_value(case["taus"].clone()).unwrap();
            let expected: Vec<f64> = serde_json::from_value(case["profile"].clone()).unwrap();
            for (tau, expected) in taus.iter().zip(expected) {
                assert!((above(&scores, *tau) - expected).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn small_cases_by_hand() {
        assert_eq!(iqm_of(&mut [9.0, 1.0, 2.0, 3.0, 100.0, 4.0, 5.0, -7.0]), 3.5, "the middle four of eight");
        assert_eq!(iqm_of(&mut [1.0, 2.0, 6.0]), 3.0, "three have no quarter");
        let ragged = [vec![0.0, 1.0], vec![2.0]];
        assert_eq!((mean_of_tasks(&ragged), median(&ragged)), (1.25, 1.25));
        assert!((optimality_gap(&ragged) - 1.0 / 3.0).abs() < 1e-12, "0, 1 and a 2 that counts as 1");
        let one = aggregates(&[vec![0.5]], 100);
        assert!(one.iqm.value == 0.5 && one.iqm.low.is_nan() && one.iqm.high.is_nan(), "d6: one seed has no interval");
        let flat = band(&[vec![1.0, 2.0], vec![1.0, 4.0]]);
        assert_eq!((flat[0].low, flat[0].high, flat[1].value), (1.0, 1.0, 3.0));
    }
}
