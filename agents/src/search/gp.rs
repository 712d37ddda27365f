//! A Gaussian process with a Matern-5/2 kernel and a noise term, and expected improvement in logarithms.
use rlx::{Result, objective::Cholesky};
use serde::{Deserialize, Serialize};

/// What the likelihood is maximised over. Distances are root mean squares over the inputs, so that a length says the same in any dimension.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hyper {
    /// Length scale of the kernel.
    pub length: f64,
    /// Variance of the noise, in units of the process's own.
    pub noise: f64,
}

/// A fitted process.
pub struct Gp<'a> {
    inputs: &'a [Vec<f64>],
    hyper: Hyper,
    factor: Cholesky,
    weights: Vec<f64>, // (K + noise)^-1 (y - mean)
    mean: f64,
    variance: f64,
    likelihood: f64,
}

/// Matern-5/2: (1 + s + s^2 / 3) exp(-s) with s = sqrt 5 r / length.
pub fn matern(a: &[f64], b: &[f64], length: f64) -> f64 {
    let square = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / a.len().max(1) as f64;
    let s = (5.0 * square).sqrt() / length;
    (1.0 + s + s * s / 3.0) * (-s).exp()
}

impl<'a> Gp<'a> {
    /// Fits it to values at inputs. Its mean is that of the values, its variance the one of highest likelihood given the rest.
    ///
    /// # Errors
    /// When there is nothing to fit, or the inputs are not finite.
    pub fn fit(inputs: &'a [Vec<f64>], y: &[f64], hyper: Hyper) -> Result<Self> {
        let n = inputs.len();
        let mut kernel = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                kernel[i * n + j] = matern(&inputs[i], &inputs[j], hyper.length);
            }
            // Equal inputs make the kernel singular; a jitter far below any noise that is tried.
            kernel[i * n + i] = 1.0 + hyper.noise + 1e-9;
        }
        let factor = Cholesky::new(kernel, n)?;
        let mean = y.iter().sum::<f64>() / n as f64;
        let mut weights: Vec<f64> = y.iter().map(|v| v - mean).collect();
        factor.solve(&mut weights);
        let fit: f64 = weights.iter().zip(y).map(|(w, v)| w * (v - mean)).sum();
        let variance = (fit / n as f64).max(1e-12);
        // The log marginal likelihood at that variance, without its constant (Rasmussen and Williams 2006, equation 5.8).
        let likelihood = -0.5 * (n as f64 * variance.ln() + factor.log_determinant());
        Ok(Self { inputs, hyper, factor, weights, mean, variance, likelihood })
    }

    /// The hyperparameters of highest marginal likelihood on a grid.
    ///
    /// # Errors
    /// As [`Gp::fit`].
    pub fn choose(inputs: &'a [Vec<f64>], y: &[f64]) -> Result<Hyper> {
        let mut best: Option<(f64, Hyper)> = None;
        for length in [0.15, 0.3, 0.6, 1.2, 2.4, 4.8] {
            for noise in [1e-4, 1e-3, 1e-2, 0.1, 0.5] {
                let hyper = Hyper { length, noise };
                let likelihood = Self::fit(inputs, y, hyper)?.likelihood;
                if best.is_none_or(|b| likelihood > b.0) {
                    best = Some((likelihood, hyper));
                }
            }
        }
        Ok(best.expect("the grid is not empty").1)
    }

    /// The log marginal likelihood, up to a constant.
    pub fn likelihood(&self) -> f64 {
        self.likelihood
    }
    /// Mean and variance of the process, without the noise, at `x`.
    pub fn predict(&self, x: &[f64]) -> (f64, f64) {
        let mut k: Vec<f64> = self.inputs.iter().map(|i| matern(i, x, self.hyper.length)).collect();
        let mean = self.mean + k.iter().zip(&self.weights).map(|(k, w)| k * w).sum::<f64>();
        self.factor.forward(&mut k);
        let known: f64 = k.iter().map(|v| v * v).sum();
        (mean, self.variance * (1.0 - known).max(1e-12))
    }
}

/// ln(phi(z) + z Phi(z)): expected improvement of a standard normal, in a form that does not underflow (Ament et al., arXiv 2310.20708).
pub fn log_h(z: f64) -> f64 {
    const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_7; // ln sqrt(2 pi)
    if z > -25.0 {
        let density = (-0.5 * z * z - LN_SQRT_TAU).exp();
        return (density + 0.5 * z * libm::erfc(-z / std::f64::consts::SQRT_2)).ln();
    }
    // phi(z) / z^2 (1 - 3 / z^2 + 15 / z^4 - 105 / z^6): at -25 the next term is 2e-9.
    let u = 1.0 / (z * z);
    -0.5 * z * z - LN_SQRT_TAU + u.ln() + (-3.0 * u + 15.0 * u * u - 105.0 * u * u * u).ln_1p()
}

/// Logarithm of the improvement over `best` that is expected of a normal with that mean and variance, where less is better.
pub fn log_expected_improvement(mean: f64, variance: f64, best: f64) -> f64 {
    let sigma = variance.sqrt();
    sigma.ln() + log_h((best - mean) / sigma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::Rng;

    /// Two points at 0 and 1, y = +-1, without noise: with k = matern(1) the weights are +-1 / (1 - k), the variance 1 / (1 - k), and the
    /// posterior at 0.5, where both kernels are alike, is the mean 0 with 1 - 2 k'^2 / (1 + k).
    #[test]
    fn the_posterior_of_two_points_is_that_of_the_hand() {
        let (inputs, y) = (vec![vec![0.0], vec![1.0]], [1.0, -1.0]);
        let gp = Gp::fit(&inputs, &y, Hyper { length: 0.7, noise: 0.0 }).unwrap();
        let s = 5f64.sqrt() / 0.7;
        let k = (1.0 + s + s * s / 3.0) * (-s).exp();
        assert!((gp.variance - 1.0 / (1.0 - k)).abs() < 1e-7);
        let half = matern(&[0.0], &[0.5], 0.7);
        let (mean, variance) = gp.predict(&[0.5]);
        assert!(mean.abs() < 1e-12);
        assert!((variance - gp.variance * (1.0 - 2.0 * half * half / (1.0 + k))).abs() < 1e-7);
        // Without noise it goes through its points; far away it is the mean with the whole variance.
        let (mean, variance) = gp.predict(&[0.0]);
        assert!((mean - 1.0).abs() < 1e-6 && variance < 1e-6, "{mean} {variance}");
        let (mean, variance) = gp.predict(&[100.0]);
        assert!(mean.abs() < 1e-12 && (variance - gp.variance).abs() < 1e-9);
    }

    /// The likelihood against its definition with an explicit inverse and determinant of a 2 x 2 matrix, and the noise that is found.
    #[test]
    fn the_likelihood_is_its_definition_and_finds_the_noise() {
        let (inputs, y) = (vec![vec![0.0], vec![0.4]], [0.3, 1.1]);
        let gp = Gp::fit(&inputs, &y, Hyper { length: 1.2, noise: 0.1 }).unwrap();
        let (k, d) = (matern(&[0.0], &[0.4], 1.2), 1.1 + 1e-9);
        let (det, c) = (d * d - k * k, [-0.4, 0.4]);
        let fit = (d * c[0] * c[0] - 2.0 * k * c[0] * c[1] + d * c[1] * c[1]) / det;
        assert!((gp.likelihood() + 0.5 * (2.0 * (fit / 2.0).ln() + det.ln())).abs() < 1e-9);
        let mut rng = Rng::stream(4, 0);
        let inputs: Vec<Vec<f64>> = (0..80).map(|_| vec![rng.unit() * 3.0]).collect();
        for (sd, noisy) in [(0.0, false), (1.0, true)] {
            let y: Vec<f64> = inputs.iter().map(|x| x[0].sin() + sd * rng.normal()).collect();
            assert_eq!(Gp::choose(&inputs, &y).unwrap().noise >= 0.1, noisy);
        }
    }

    /// d EI / d mean = -Phi and d EI / d sigma = phi; against central differences, and against the plain formula where that has digits.
    #[test]
    fn expected_improvement_has_its_derivatives_and_never_underflows() {
        let ei = |m: f64, s: f64| log_expected_improvement(m, s * s, 0.0).exp();
        for (m, s) in [(0.5f64, 1.0f64), (-1.0, 0.5), (2.0, 0.8)] {
            let z = -m / s;
            let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let below = 0.5 * libm::erfc(-z / 2f64.sqrt());
            assert!((ei(m, s) - (s * density + s * z * below)).abs() < 1e-12);
            let h = 1e-5;
            assert!(((ei(m + h, s) - ei(m - h, s)) / (2.0 * h) + below).abs() < 1e-7);
            assert!(((ei(m, s + h) - ei(m, s - h)) / (2.0 * h) - density).abs() < 1e-7);
        }
        // One branch meets the other, and far out it still ranks.
        assert!((log_h(-25.0 + 1e-9) - log_h(-25.0 - 1e-9)).abs() < 1e-6);
        assert!(log_h(-1e3).is_finite() && log_h(-1e3) > log_h(-2e3) && log_h(-1e8).is_finite());
    }
}
