//! Choosing from logits: masked, exact, and never a choice that is not allowed.
use rlx::{Error, Result, Rng};

/// One set of choices: logits and which of them are allowed. An empty mask allows all.
#[derive(Clone, Copy, Debug)]
pub struct Choices<'a> {
    /// Unnormalised log-probabilities.
    pub logits: &'a [f32],
    /// Which choices are allowed.
    pub mask: &'a [bool],
}

impl Choices<'_> {
    fn allowed(&self, i: usize) -> bool {
        self.mask.is_empty() || self.mask[i]
    }

    /// Writes each allowed choice's probability, 0 for the others, and returns (largest logit, log of the sum of exponentials
    /// above it): log p(i) = logit i - largest - log sum.
    ///
    /// # Errors
    /// When nothing is allowed, or an allowed logit is not finite.
    pub fn probabilities(&self, out: &mut [f32]) -> Result<(f32, f32)> {
        let mut largest = f32::NEG_INFINITY;
        for (i, &x) in self.logits.iter().enumerate() {
            if self.allowed(i) {
                if !x.is_finite() {
                    return Err(Error::NonFinite { what: format!("logit {i} of the policy ({x})"), step: 0 });
                }
                largest = largest.max(x);
            }
        }
        if largest == f32::NEG_INFINITY {
            return Err(Error::invalid("a row has no allowed choice"));
        }
        let mut sum = 0.0;
        for (i, (p, &x)) in out.iter_mut().zip(self.logits).enumerate() {
            *p = if self.allowed(i) { (x - largest).exp() } else { 0.0 };
            sum += *p;
        }
        out.iter_mut().for_each(|p| *p /= sum);
        Ok((largest, sum.ln()))
    }

    /// Draws a choice by inverting the distribution function, and its log-probability. `scratch` is as long as the logits.
    ///
    /// # Errors
    /// As [`Choices::probabilities`].
    pub fn sample(&self, rng: &mut Rng, scratch: &mut [f32]) -> Result<(usize, f32)> {
        let (largest, log_sum) = self.probabilities(scratch)?;
        let mut left = rng.unit() as f32;
        let mut choice = None;
        for (i, p) in scratch.iter().enumerate() {
            if self.allowed(i) {
                // The last allowed one catches what rounding leaves over.
                choice = Some(i);
                left -= p;
                if left < 0.0 {
                    break;
                }
            }
        }
        let i = choice.expect("an allowed choice was found above");
        Ok((i, self.logits[i] - largest - log_sum))
    }

    /// The most likely allowed choice, the first of equals.
    ///
    /// # Errors
    /// As [`Choices::probabilities`].
    pub fn best(&self) -> Result<usize> {
        let mut best: Option<usize> = None;
        for (i, &x) in self.logits.iter().enumerate() {
            if self.allowed(i) {
                if !x.is_finite() {
                    return Err(Error::NonFinite { what: format!("logit {i} of the policy ({x})"), step: 0 });
                }
                if best.is_none_or(|b| x > self.logits[b]) {
                    best = Some(i);
                }
            }
        }
        best.ok_or_else(|| Error::invalid("a row has no allowed choice"))
    }
}

/// Log-density of `action` under independent normals.
pub fn gaussian_log_prob(action: &[f32], mean: &[f32], log_std: &[f32]) -> f32 {
    let half_log_tau = 0.918_938_5; // ln sqrt(2 pi)
    action.iter().zip(mean).zip(log_std).map(|((a, m), s)| -0.5 * ((a - m) / s.exp()).powi(2) - s - half_log_tau).sum()
}

/// Entropy of independent normals.
pub fn gaussian_entropy(log_std: &[f32]) -> f32 {
    log_std.iter().map(|s| s + 1.418_938_5).sum() // (1 + ln 2 pi) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frequencies against probabilities, over random logits and masks: chi-square with its 1 - 1e-6 quantile, by Wilson and
    /// Hilferty's approximation.
    #[test]
    fn frequencies_are_the_probabilities_and_nothing_masked_is_drawn() {
        let mut rng = Rng::stream(1, 2);
        for case in 0..30 {
            let n = 2 + case % 7;
            let logits: Vec<f32> = (0..n).map(|_| rng.normal() as f32 * 2.0).collect();
            let mut mask: Vec<bool> = (0..n).map(|_| rng.below(3) > 0).collect();
            mask[case % n] = true;
            let choices = Choices { logits: &logits, mask: &mask };
            let mut p = vec![0.0; n];
            choices.probabilities(&mut p).unwrap();
            let draws = 20_000;
            let (mut counts, mut scratch) = (vec![0.0f64; n], vec![0.0; n]);
            for _ in 0..draws {
                let (i, log_p) = choices.sample(&mut rng, &mut scratch).unwrap();
                assert!(mask[i] && (log_p.exp() - p[i]).abs() < 1e-5);
                counts[i] += 1.0;
            }
            let live: Vec<usize> = (0..n).filter(|&i| f64::from(p[i]) * f64::from(draws) > 5.0).collect();
            let chi: f64 =
                live.iter().map(|&i| (counts[i] - f64::from(p[i]) * 2e4).powi(2) / (f64::from(p[i]) * 2e4)).sum();
            let k = live.len().max(2) as f64 - 1.0;
            let bound = k * (1.0 - 2.0 / (9.0 * k) + 4.75 * (2.0 / (9.0 * k)).sqrt()).powi(3);
            assert!(chi < bound, "case {case}: {chi} > {bound}");
        }
    }

    #[test]
    fn extremes_are_handled_or_refused() {
        let mut s = [0.0; 3];
        let mut rng = Rng::stream(0, 0);
        let at = |logits: &'static [f32], mask: &'static [bool]| Choices { logits, mask };
        for _ in 0..100 {
            assert_eq!(at(&[1e30, -1e30, 0.0], &[]).sample(&mut rng, &mut s).unwrap().0, 0);
            assert_ne!(at(&[1e30, -1e30, 0.0], &[false, true, true]).sample(&mut rng, &mut s).unwrap().0, 0);
            assert_eq!(at(&[f32::NAN, 1.0, 0.0], &[false, false, true]).sample(&mut rng, &mut s).unwrap().0, 2);
        }
        assert!(at(&[f32::NAN, 1.0, 0.0], &[]).sample(&mut rng, &mut s).is_err());
        assert!(at(&[f32::INFINITY, 1.0, 0.0], &[]).best().is_err());
        assert!(at(&[0.0, 1.0, 0.0], &[false; 3]).best().is_err());
        assert_eq!(at(&[2.0, 2.0, 1.0], &[false, true, true]).best().unwrap(), 1);
    }

    #[test]
    fn gaussian_agrees_with_its_integral() {
        // The density integrates to one and -E log p is the entropy: a Riemann sum over ten standard deviations.
        let (mean, log_std) = ([0.3f32], [-0.5f32]);
        let (mut mass, mut entropy) = (0.0, 0.0);
        let h = 1e-3;
        for i in -6000..6000 {
            let x = [mean[0] + i as f32 * h];
            let lp = f64::from(gaussian_log_prob(&x, &mean, &log_std));
            mass += lp.exp() * f64::from(h);
            entropy -= lp.exp() * lp * f64::from(h);
        }
        assert!((mass - 1.0).abs() < 1e-4 && (entropy - f64::from(gaussian_entropy(&log_std))).abs() < 1e-3);
    }
}
