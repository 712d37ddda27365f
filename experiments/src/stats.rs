//! Estimates with their uncertainty.
use rlx::Rng;
use serde::{Deserialize, Serialize};

/// A mean with its 95 % interval and what it is of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the 95 % interval of the mean.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Median of the values.
    pub median: f64,
    /// Standard deviation of the values.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Number of values.
    pub count: usize,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;

/// The percentile bootstrap's interval (Efron 1979) of the mean of independent `values`, its resamples drawn from a fixed seed.
/// None of no values.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let n = count as f64;
    let mean = values.iter().sum::<f64>() / n;
    let std = if count > 1 { (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt() } else { 0.0 };
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut rng = Rng::named(0, "bootstrap", 0);
    let mut means: Vec<f64> =
        (0..RESAMPLES).map(|_| (0..count).map(|_| values[rng.below(count)]).sum::<f64>() / n).collect();
    means.sort_by(f64::total_cmp);
    Some(Estimate {
        mean,
        low: quantile(&means, 0.025),
        high: quantile(&means, 0.975),
        median: quantile(&sorted, 0.5),
        std,
        min: sorted[0],
        max: sorted[count - 1],
        count,
    })
}

/// A quantile of ascending values, linear between neighbours.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let mut rng = Rng::stream(3, 0);
        let trials = 200;
        let covered = (0..trials)
            .filter(|_| {
                let values: Vec<f64> = (0..40).map(|_| rng.normal() + 5.0).collect();
                let e = estimate(&values).unwrap();
                e.low <= 5.0 && 5.0 <= e.high
            })
            .count();
        // 95 % of 200 less a known small-sample shortfall; six standard deviations below 93 % would be 165.
        assert!((170..=200).contains(&covered), "{covered}");
    }

    #[test]
    fn simple_cases() {
        assert!(estimate(&[]).is_none());
        let one = estimate(&[3.0]).unwrap();
        assert_eq!((one.mean, one.low, one.high, one.std), (3.0, 3.0, 3.0, 0.0));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(estimate(&[4.0, 1.0, 2.0]).unwrap().median, 2.0);
    }
}
