//! Whether one method is better than another: probability of improvement, a paired test, and the correction for many of them.
use crate::scores::{Interval, Scores, bootstrap, mean};
use rlx::Rng;

/// The probability that a run of `x` is better than one of `y`, per task by the Mann-Whitney statistic (ties count half), over tasks
/// averaged (arXiv 2108.13264, section 4.3).
pub fn probability_of_improvement(x: &Scores, y: &Scores) -> f64 {
    let each: Vec<f64> = x.iter().zip(y).map(|(x, y)| wins(x, y)).collect();
    mean(&each)
}

/// The share of pairs that the one of `x` wins.
fn wins(x: &[f64], y: &[f64]) -> f64 {
    let mut sorted = y.to_vec();
    sorted.sort_by(f64::total_cmp);
    let won = |a: &f64| {
        let (below, up_to) = (sorted.partition_point(|b| b < a), sorted.partition_point(|b| b <= a));
        0.5 * (below + up_to) as f64
    };
    x.iter().map(won).sum::<f64>() / (x.len() * y.len()) as f64
}

/// The same with its interval: runs of both are drawn independently within each task.
pub fn improvement(x: &Scores, y: &Scores, resamples: usize) -> Interval {
    bootstrap(&[x, y], resamples, |s| vec![probability_of_improvement(&s[0], &s[1])])[0]
}

/// Differences up to which all sign patterns are gone through: 2^16 of them.
const EXACT: usize = 16;
/// Sign patterns drawn when there are more.
const DRAWS: usize = 100_000;

/// Two-sided p of the paired randomisation test (Fisher 1935): were the two methods the same, each pair's difference might as well have
/// the other sign. It asks nothing of the distribution. Exact up to 16 pairs, 100,000 random patterns beyond. None without pairs.
pub fn paired_test(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order differ in their last bits.
    let limit = observed - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let sum = |mut signs: u64, part: &[f64]| {
        let mut total = 0.0;
        for d in part {
            total += if signs & 1 == 1 { *d } else { -*d };
            signs >>= 1;
        }
        total
    };
    if n <= EXACT {
        let all = 1u64 << n;
        let as_far = (0..all).filter(|signs| sum(*signs, differences).abs() >= limit).count();
        return Some(as_far as f64 / all as f64);
    }
    let mut rng = Rng::named(0, "randomisation test", 0);
    let as_far = (0..DRAWS)
        .filter(|_| differences.chunks(64).map(|part| sum(rng.bits(), part)).sum::<f64>().abs() >= limit)
        .count();
    // The observed pattern is one of them: a p of 0 cannot be (Phipson and Smyth 2010, arXiv 1603.05766).
    Some((as_far + 1) as f64 / (DRAWS + 1) as f64)
}

/// Holm's step-down correction (1979): p values that may be judged as if each were the only one.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut out, mut least) = (vec![0.0; p.len()], 0.0f64);
    for (rank, i) in order.into_iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        out[i] = least;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::RESAMPLES;
    use serde_json::Value;

    #[test]
    fn as_rliable_and_scipy_have_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/scores.json");
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let scores = |i: usize| -> Vec<Vec<f64>> {
            let rows: Vec<Vec<f64>> = serde_json::from_value(golden["cases"][i]["scores"].clone()).unwrap();
            (0..rows[0].len()).map(|t| rows.iter().map(|r| r[t]).collect()).collect()
        };
        let (x, y) = (scores(0), scores(1));
        let ours = improvement(&x, &y, RESAMPLES);
        let theirs = &golden["improvement"];
        assert!((ours.value - theirs["value"].as_f64().unwrap()).abs() < 1e-6);
        for (end, ours) in [("low", ours.low), ("high", ours.high)] {
            let (mean, std) = (theirs[end][0].as_f64().unwrap(), theirs[end][1].as_f64().unwrap());
            assert!((ours - mean).abs() < 6.0 * std + 1e-9, "{end}: {ours}, rliable {mean} +- {std}");
        }
        for case in golden["paired"].as_array().unwrap() {
            let d: Vec<f64> = serde_json::from_value(case["differences"].clone()).unwrap();
            let (ours, theirs) = (paired_test(&d).unwrap(), case["p"].as_f64().unwrap());
            // Exact on both sides for few pairs; both drawn for many.
            let tolerance = if d.len() <= EXACT { 1e-9 } else { 6.0 * (theirs / DRAWS as f64).sqrt() };
            assert!((ours - theirs).abs() < tolerance, "{} pairs: {ours}, scipy {theirs}", d.len());
        }
    }

    #[test]
    fn small_cases_by_hand() {
        assert_eq!(probability_of_improvement(&[vec![1.0, 2.0]], &[vec![1.0, 0.0]]), 0.875);
        // All of one sign: two of the 2^4 patterns are as far out.
        assert_eq!(paired_test(&[1.0, 2.0, 3.0, 4.0]), Some(0.125));
        assert_eq!(paired_test(&[0.0, 0.0]), Some(1.0));
        assert_eq!(paired_test(&[]), None);
        // Holm's own example scheme: 4 * .01, 3 * .02, then never less than before.
        assert_eq!(holm(&[0.02, 0.01, 0.04, 0.03]), [0.06, 0.04, 0.06, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
