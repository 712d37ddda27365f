//! Estimates with their uncertainty.
use crate::Rng;
use serde::{Deserialize, Serialize};

/// A mean with its 95 % interval and what it is of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the 95 % interval of the mean; NaN, in JSON null, of a single value, which says nothing of its spread.
    #[serde(deserialize_with = "or_nan")]
    pub low: f64,
    /// Upper end.
    #[serde(deserialize_with = "or_nan")]
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

fn or_nan<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// An interval as it is shown: `[1.20, 1.40]`, or a dash where there is none.
pub fn shown(low: f64, high: f64, number: impl Fn(f64) -> String) -> String {
    if low.is_finite() && high.is_finite() { format!("[{}, {}]", number(low), number(high)) } else { "[-]".into() }
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 10_000;

/// The mean of independent `values` with its interval by [`bootstrap`].
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
    let [(low, high)] =
        bootstrap(count, RESAMPLES, "bootstrap", |drawn| [drawn.iter().map(|i| values[*i]).sum::<f64>() / n]);
    let (low, high) = if count > 1 { (low, high) } else { (f64::NAN, f64::NAN) };
    Some(Estimate {
        mean,
        low,
        high,
        median: quantile(&sorted, 0.5),
        std,
        min: sorted[0],
        max: sorted[count - 1],
        count,
    })
}

/// The percentile bootstrap (Efron 1979): the 95 % interval of each figure of `statistic` over `resamples` draws, with replacement, of the
/// numbers below `count`. They are drawn from the stream of that name, so that the same input gives the same ends.
pub fn bootstrap<const N: usize>(
    count: usize,
    resamples: usize,
    stream: &str,
    mut statistic: impl FnMut(&[usize]) -> [f64; N],
) -> [(f64, f64); N] {
    let (mut rng, mut drawn) = (Rng::named(0, stream, 0), vec![0; count]);
    let mut figures = std::array::from_fn::<Vec<f64>, N, _>(|_| Vec::with_capacity(resamples));
    for _ in 0..resamples {
        drawn.iter_mut().for_each(|i| *i = rng.below(count));
        figures.iter_mut().zip(statistic(&drawn)).for_each(|(all, figure)| all.push(figure));
    }
    figures.map(|mut all| percentile_interval(&mut all))
}

/// The ends of the middle 95 % of some draws, which it sorts.
pub fn percentile_interval(draws: &mut [f64]) -> (f64, f64) {
    draws.sort_by(f64::total_cmp);
    (quantile(draws, 0.025), quantile(draws, 0.975))
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
        assert_eq!((one.mean, one.std, one.count), (3.0, 0.0, 1));
        assert!(one.low.is_nan() && one.high.is_nan(), "d6: one value has no interval");
        let json = serde_json::to_string(&one).unwrap();
        assert!(json.contains("\"low\":null"), "{json}");
        assert!(serde_json::from_str::<Estimate>(&json).unwrap().high.is_nan());
        assert_eq!(shown(one.low, one.high, |x| x.to_string()), "[-]");
        let same = estimate(&[3.0, 3.0]).unwrap();
        assert_eq!((same.low, same.high), (3.0, 3.0), "equal values are an interval without width");
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(estimate(&[4.0, 1.0, 2.0]).unwrap().median, 2.0);
    }
}
