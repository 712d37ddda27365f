//! A cheap stand-in for an objective, fitted to what was measured, and trusted only as far as it has shown to be right.
use super::{Cholesky, Objective};

/// Ridge regression of the logarithm of the loss above a floor on the levels of each dimension (indicators) and the objective's
/// features. Additive in the logarithm: a block that is ruined ruins what the others saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Surrogate {
    weights: Vec<f64>,
    means: Vec<f64>,
    scales: Vec<f64>,
    centre: f64,
    ends: (f64, f64),
    floor: f64,
    explained: f64,
}

/// Fold of a measurement: every fifth is held out once.
const FOLDS: usize = 5;
/// Penalties that are tried, in units of the number of measurements.
const PENALTIES: [f64; 6] = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];
/// The share of the variance of held-out points that must be explained for it to be trusted.
const TRUST: f64 = 0.2;

fn inputs(objective: &dyn Objective, config: &[u16], out: &mut Vec<f64>) {
    let start = out.len();
    for (d, level) in objective.space().dimensions().iter().zip(config) {
        out.extend((1..d.len() as u16).map(|l| f64::from(u8::from(l == *level))));
    }
    let mut features = vec![0.0; objective.feature_width()];
    objective.features(config, &mut features);
    out.extend(features.iter().map(|f| f64::from(*f)));
    out[start..].iter_mut().for_each(|x| *x = if x.is_finite() { *x } else { 0.0 });
}

/// Normal equations over some of the rows, without the penalty: X^T X and X^T y.
fn normal(rows: &[f64], y: &[f64], width: usize, keep: impl Fn(usize) -> bool) -> (Vec<f64>, Vec<f64>, usize) {
    let (mut gram, mut moment, mut n) = (vec![0.0; width * width], vec![0.0; width], 0);
    for (i, row) in rows.chunks_exact(width).enumerate().filter(|(i, _)| keep(*i)) {
        for (a, x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            gram[a * width..=a * width + a].iter_mut().zip(row).for_each(|(g, z)| *g += x * z);
            moment[a] += x * y[i];
        }
        n += 1;
    }
    (gram, moment, n)
}

fn ridge(gram: &[f64], moment: &[f64], penalty: f64) -> Option<Vec<f64>> {
    let width = moment.len();
    let mut a = gram.to_vec();
    (0..width).for_each(|i| a[i * width + i] += penalty);
    let mut w = moment.to_vec();
    Cholesky::new(a, width).ok()?.solve(&mut w);
    Some(w)
}

impl Surrogate {
    /// Fits it to configurations and their losses; None with fewer than ten finite ones, or where they are all alike.
    pub fn fit(objective: &dyn Objective, measured: &[(Vec<u16>, f64)]) -> Option<Self> {
        let mut finite: Vec<f64> = measured.iter().map(|m| m.1).filter(|l| l.is_finite()).collect();
        finite.sort_by(f64::total_cmp);
        let (low, high) = (*finite.first()?, *finite.last()?);
        if finite.len() < 2 * FOLDS || low == high {
            return None;
        }
        let floor = low - 0.1 * (finite[finite.len() / 2] - low) - 1e-3 * (high - low);
        // A broken model counts as the worst whole one.
        let raw: Vec<f64> = measured
            .iter()
            .map(|m| (m.1.clamp(low, high).max(low) - floor).ln())
            .map(|y| if y.is_nan() { (high - floor).ln() } else { y })
            .collect();
        let mut rows = Vec::new();
        measured.iter().for_each(|m| inputs(objective, &m.0, &mut rows));
        let (width, n) = (rows.len() / measured.len(), measured.len() as f64);
        let mut means = vec![0.0; width];
        let mut scales = vec![0.0; width];
        rows.chunks_exact(width).for_each(|r| means.iter_mut().zip(r).for_each(|(m, x)| *m += x / n));
        for row in rows.chunks_exact(width) {
            scales.iter_mut().zip(row.iter().zip(&means)).for_each(|(s, (x, m))| *s += (x - m) * (x - m) / n);
        }
        scales.iter_mut().for_each(|s| *s = if *s > 1e-18 { s.sqrt() } else { f64::INFINITY });
        rows.chunks_exact_mut(width).for_each(|row| standardise(row, &means, &scales));
        let centre = raw.iter().sum::<f64>() / n;
        let y: Vec<f64> = raw.iter().map(|v| v - centre).collect();
        let folds: Vec<_> = (0..FOLDS).map(|f| normal(&rows, &y, width, |i| i % FOLDS != f)).collect();
        let error = |penalty: f64| -> Option<f64> {
            let mut total = 0.0;
            for (f, (gram, moment, count)) in folds.iter().enumerate() {
                let w = ridge(gram, moment, penalty * *count as f64)?;
                let held = rows.chunks_exact(width).zip(&y).enumerate().filter(|(i, _)| i % FOLDS == f);
                total += held.map(|(_, (row, y))| (product(row, &w) - y).powi(2)).sum::<f64>();
            }
            Some(total)
        };
        let tried = PENALTIES.iter().filter_map(|p| Some((error(*p)?, *p)));
        let (best, penalty) = tried.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let (gram, moment, count) = normal(&rows, &y, width, |_| true);
        let weights = ridge(&gram, &moment, penalty * count as f64)?;
        // The constant predictor is held to the same folds.
        let constant: f64 = (0..FOLDS)
            .map(|f| {
                let others: Vec<f64> = y.iter().enumerate().filter(|(i, _)| i % FOLDS != f).map(|(_, v)| *v).collect();
                let mean = others.iter().sum::<f64>() / others.len() as f64;
                y.iter().enumerate().filter(|(i, _)| i % FOLDS == f).map(|(_, v)| (v - mean).powi(2)).sum::<f64>()
            })
            .sum();
        let ends = raw.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        Some(Self { weights, means, scales, centre, ends, floor, explained: 1.0 - best / constant.max(1e-300) })
    }

    /// The share of the variance of held-out points that it explains, in the logarithm; below 0 where a constant is better.
    pub fn explained(&self) -> f64 {
        self.explained
    }
    /// Whether it beats a constant on held-out points by enough to steer by it.
    pub fn trusted(&self) -> bool {
        self.explained > TRUST
    }
    /// The loss that it expects, never far outside of what was measured.
    pub fn predict(&self, objective: &dyn Objective, config: &[u16]) -> f64 {
        let mut row = Vec::with_capacity(self.weights.len());
        inputs(objective, config, &mut row);
        standardise(&mut row, &self.means, &self.scales);
        let y = self.centre + product(&row, &self.weights);
        let margin = 0.25 * (self.ends.1 - self.ends.0);
        self.floor + y.clamp(self.ends.0 - margin, self.ends.1 + margin).exp()
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn standardise(row: &mut [f64], means: &[f64], scales: &[f64]) {
    row.iter_mut().zip(means.iter().zip(scales)).for_each(|(x, (m, s))| *x = (*x - m) / s);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measure, Result, Rng, SearchSpace, objective::Dimension};

    /// Ten dimensions of four levels; the logarithm of the loss is additive, or the loss is noise.
    struct Additive {
        space: SearchSpace,
        noise: bool,
    }

    impl Additive {
        fn new(noise: bool) -> Self {
            let dimensions = (0..10).map(|d| Dimension::ordinal(format!("block {d} bits"), &[2.0, 3.0, 4.0, 8.0]));
            let space = SearchSpace::new(dimensions.collect()).unwrap();
            Self { space, noise }
        }
        fn loss(&self, config: &[u16]) -> f64 {
            if self.noise {
                let seed = config.iter().fold(7, |h: u64, l| h.wrapping_mul(31).wrapping_add(u64::from(*l)));
                return 3.0 + Rng::stream(seed, 0).normal();
            }
            let log: f64 = config.iter().enumerate().map(|(d, l)| -0.1 * (d + 1) as f64 * f64::from(*l)).sum();
            2.0 + log.exp()
        }
    }

    impl Objective for Additive {
        fn name(&self) -> &str {
            "additive"
        }
        fn version(&self) -> &str {
            "v"
        }
        fn space(&self) -> &SearchSpace {
            &self.space
        }
        fn fidelities(&self) -> &[String] {
            &[]
        }
        fn cost(&self, config: &[u16]) -> f64 {
            config.iter().map(|l| f64::from(*l)).sum()
        }
        fn feature_names(&self) -> &[String] {
            &[]
        }
        fn features(&self, _: &[u16], _: &mut [f32]) {}
        fn evaluate(&mut self, config: &[u16], _: u32, _: u64, _: &dyn Fn() -> bool) -> Result<Measure> {
            Ok(Measure { loss: self.loss(config), ..Measure::default() })
        }
    }

    /// What is additive is learnt well enough to rank unseen configurations; what is noise is not trusted.
    #[test]
    fn a_surrogate_is_trusted_where_it_is_right() {
        let mut rng = Rng::stream(5, 0);
        for noise in [false, true] {
            let objective = Additive::new(noise);
            let mut draw = |n: usize| -> Vec<(Vec<u16>, f64)> {
                let one = |_| {
                    let mut c = vec![0; 10];
                    objective.space().sample(&mut rng, &mut c);
                    let loss = objective.loss(&c);
                    (c, loss)
                };
                (0..n).map(one).collect()
            };
            let (seen, fresh) = (draw(150), draw(100));
            let surrogate = Surrogate::fit(&objective, &seen).unwrap();
            assert_eq!(surrogate.trusted(), !noise, "explained {}", surrogate.explained());
            let mut right = 0;
            for pair in fresh.chunks_exact(2) {
                let p = |i: usize| surrogate.predict(&objective, &pair[i].0);
                right += u32::from((p(0) < p(1)) == (pair[0].1 < pair[1].1));
            }
            assert!(noise || right >= 45, "{right} of 50 pairs are ranked as they are");
            assert!(Surrogate::fit(&objective, &seen[..9]).is_none());
        }
        assert!(
            (Additive::new(false).guess(&[3; 10])).abs() < 1e-12
                && (Additive::new(false).guess(&[0; 10]) - 10.0).abs() < 1e-12
        );
    }
}
