//! Running mean and variance, to bring inputs to one scale.
use serde::{Deserialize, Serialize};

/// Mean and variance of each scalar of a row over everything seen, by Chan et al.'s parallel update in f64; what it normalises is
/// clipped to [-10, 10], as in OpenAI Baselines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalizer {
    count: f64,
    mean: Vec<f64>,
    square: Vec<f64>, // sum of squared deviations
}

/// Normalised values are clipped to this many standard deviations.
pub const CLIP: f32 = 10.0;

impl Normalizer {
    /// Of rows of `width` scalars; until it has seen any, it changes nothing but by the clip.
    pub fn new(width: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; width], square: vec![0.0; width] }
    }

    /// Takes rows into account.
    pub fn update(&mut self, rows: &[f32]) {
        let width = self.mean.len();
        let n = (rows.len() / width.max(1)) as f64;
        if n == 0.0 {
            return;
        }
        let total = self.count + n;
        for i in 0..width {
            let column = || rows.iter().skip(i).step_by(width).map(|&x| f64::from(x));
            let mean = column().sum::<f64>() / n;
            let square = column().map(|x| (x - mean).powi(2)).sum::<f64>();
            let delta = mean - self.mean[i];
            self.mean[i] += delta * n / total;
            self.square[i] += square + delta * delta * self.count * n / total;
        }
        self.count = total;
    }

    /// Mean of each scalar.
    pub fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|&m| m as f32).collect()
    }

    /// Standard deviation of each scalar; 1 before anything was seen, and never below 1e-4.
    pub fn std(&self) -> Vec<f32> {
        let of = |s: &f64| if self.count < 2.0 { 1.0 } else { (s / self.count).sqrt().max(1e-4) as f32 };
        self.square.iter().map(of).collect()
    }

    /// Writes the normalised rows of `from` to `to`.
    pub fn normalize(&self, from: &[f32], to: &mut [f32]) {
        let (mean, std) = (self.mean(), self.std());
        let width = mean.len().max(1);
        for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
            for (((y, x), m), s) in to.iter_mut().zip(from).zip(&mean).zip(&std) {
                *y = ((x - m) / s).clamp(-CLIP, CLIP);
            }
        }
    }

    /// Takes over a mean and standard deviation, as if from `count` rows.
    pub fn set(&mut self, mean: &[f32], std: &[f32], count: f64) {
        self.count = count;
        self.mean = mean.iter().map(|&m| f64::from(m)).collect();
        self.square = std.iter().map(|&s| f64::from(s).powi(2) * count).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_parts_equals_at_once_and_the_definition() {
        let mut rng = rlx::Rng::stream(1, 0);
        let rows: Vec<f32> = (0..600).map(|i| (rng.normal() * 3.0 + f64::from(i % 2) * 50.0) as f32).collect();
        let (mut parts, mut whole) = (Normalizer::new(2), Normalizer::new(2));
        whole.update(&rows);
        for part in rows.chunks(74) {
            parts.update(part);
        }
        for i in 0..2 {
            let column: Vec<f64> = rows.iter().skip(i).step_by(2).map(|&x| f64::from(x)).collect();
            let mean = column.iter().sum::<f64>() / 300.0;
            let std = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 300.0).sqrt();
            for n in [&parts, &whole] {
                assert!((f64::from(n.mean()[i]) - mean).abs() < 1e-5 && (f64::from(n.std()[i]) - std).abs() < 1e-5);
            }
        }
        let mut out = vec![0.0; 600];
        whole.normalize(&rows, &mut out);
        let mean = out.iter().sum::<f32>() / 600.0;
        assert!(mean.abs() < 1e-4);
        let mut one = vec![0.0; 2];
        whole.normalize(&[1e9, -1e9], &mut one);
        assert_eq!(one, [CLIP, -CLIP]);
    }
}
