//! Symmetric positive definite systems of a few hundred unknowns, by Cholesky's factorisation.
use crate::{Error, Result};

/// The lower triangle L of A = L L^T.
#[derive(Clone, Debug, Default)]
pub struct Cholesky {
    n: usize,
    lower: Vec<f64>, // [n, n], row-major; above the diagonal is never read
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums, so that the compiler may use vector registers: floating-point addition does not associate by itself.
    let (mut sums, n) = ([0.0; 4], a.len() / 4 * 4);
    for (x, y) in a[..n].chunks_exact(4).zip(b[..n].chunks_exact(4)) {
        for k in 0..4 {
            sums[k] += x[k] * y[k];
        }
    }
    let rest: f64 = a[n..].iter().zip(&b[n..]).map(|(x, y)| x * y).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

impl Cholesky {
    /// Factorises `a`, `[n, n]` row-major, of which the lower triangle is read.
    ///
    /// # Errors
    /// When it is not square, or not positive definite to rounding.
    pub fn new(mut a: Vec<f64>, n: usize) -> Result<Self> {
        if a.len() != n * n {
            return Err(Error::mismatch("a square matrix", (n * n).to_string(), a.len().to_string()));
        }
        for i in 0..n {
            for j in 0..=i {
                let (head, tail) = a.split_at_mut(i * n);
                let row_j: &[f64] = if j < i { &head[j * n..j * n + j] } else { &tail[..j] };
                let value = tail[j] - dot(&tail[..j], row_j);
                if j < i {
                    tail[j] = value / head[j * n + j];
                } else if value > 0.0 && value.is_finite() {
                    tail[j] = value.sqrt();
                } else {
                    return Err(Error::invalid(format!(
                        "a matrix that is not positive definite: pivot {i} is {value}"
                    )));
                }
            }
        }
        Ok(Self { n, lower: a })
    }

    /// Solves L x = b in place.
    ///
    /// # Panics
    /// When `b` is not `n` long.
    pub fn forward(&self, b: &mut [f64]) {
        assert_eq!(b.len(), self.n, "one right-hand side");
        for i in 0..self.n {
            let row = &self.lower[i * self.n..=i * self.n + i];
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// Solves A x = b in place.
    ///
    /// # Panics
    /// When `b` is not `n` long.
    pub fn solve(&self, b: &mut [f64]) {
        self.forward(b);
        for i in (0..self.n).rev() {
            let x = b[i] / self.lower[i * self.n + i];
            b[i] = x;
            let row = &self.lower[i * self.n..i * self.n + i];
            b[..i].iter_mut().zip(row).for_each(|(b, l)| *b -= l * x);
        }
    }

    /// ln |A|.
    pub fn log_determinant(&self) -> f64 {
        (0..self.n).map(|i| 2.0 * self.lower[i * self.n + i].ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// [[4, 2], [2, 3]] = L L^T with L = [[2, 0], [1, sqrt 2]]; its determinant is 8.
    #[test]
    fn a_case_worked_by_hand() {
        let c = Cholesky::new(vec![4.0, f64::NAN, 2.0, 3.0], 2).unwrap();
        assert_eq!(c.lower[2], 1.0);
        assert!((c.lower[3] - 2f64.sqrt()).abs() < 1e-15 && (c.log_determinant() - 8f64.ln()).abs() < 1e-14);
        let mut b = [8.0, 7.0];
        c.solve(&mut b);
        assert!((b[0] - 1.25).abs() < 1e-14 && (b[1] - 1.5).abs() < 1e-14, "{b:?}");
        assert!(Cholesky::new(vec![1.0, 0.0, 2.0, 1.0], 2).is_err() && Cholesky::new(vec![1.0], 2).is_err());
    }

    #[test]
    fn a_random_system_is_solved() {
        let (n, mut rng) = (57, Rng::stream(3, 0));
        let m: Vec<f64> = (0..n * n).map(|_| rng.normal()).collect();
        let at =
            |i: usize, j: usize| (0..n).map(|k| m[i * n + k] * m[j * n + k]).sum::<f64>() + f64::from(u8::from(i == j));
        let a: Vec<f64> = (0..n * n).map(|k| at(k / n, k % n)).collect();
        let x: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mut b: Vec<f64> = (0..n).map(|i| (0..n).map(|j| a[i * n + j] * x[j]).sum()).collect();
        Cholesky::new(a, n).unwrap().solve(&mut b);
        assert!(b.iter().zip(&x).all(|(b, x)| (b - x).abs() < 1e-9));
    }
}
