//! How alike two sets of representations of the same texts are: linear CKA (Kornblith et al. 2019, arXiv 1905.00414, equation 5).
use rlx::{Error, Result};
use tch::{Kind, Tensor};

/// Linear CKA of `x` `[n, p]` and `y` `[n, q]`, rows the same `n` texts: 1 for a rotation with one scale, near 0 for what has nothing in
/// common. The plain estimate: of independent data it is above 0 when `n` is small beside the widths.
///
/// # Errors
/// When the sizes do not fit, or one of them does not vary.
pub fn linear_cka(x: &[f32], y: &[f32], n: usize) -> Result<f64> {
    if n < 2 || x.is_empty() || y.is_empty() || !x.len().is_multiple_of(n) || !y.len().is_multiple_of(n) {
        return Err(Error::mismatch(
            "representations",
            format!("{n} rows each, 2 at least"),
            format!("{} and {} numbers", x.len(), y.len()),
        ));
    }
    let centred = |v: &[f32]| {
        let t = Tensor::from_slice(v).to_kind(Kind::Double).view([n as i64, -1]);
        &t - t.mean_dim([0i64].as_slice(), true, Kind::Double)
    };
    let (x, y) = (centred(x), centred(y));
    let square = |a: &Tensor, b: &Tensor| a.tr().matmul(b).square().sum(Kind::Double).double_value(&[]);
    let (xx, yy) = (square(&x, &x), square(&y, &y));
    if !(xx > 0.0 && yy > 0.0 && xx.is_finite() && yy.is_finite()) {
        return Err(Error::invalid("a representation is the same for all texts, or not finite: it has no CKA"));
    }
    Ok(square(&x, &y) / (xx.sqrt() * yy.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::Rng;

    #[test]
    fn against_the_definition_by_gram_matrices_and_its_invariances() {
        let (n, p, q) = (30, 5, 7);
        let mut rng = Rng::stream(2, 1);
        let mut draw = |k: usize| -> Vec<f32> { (0..k).map(|_| rng.normal() as f32).collect() };
        let (x, noise) = (draw(n * p), draw(n * q));
        let y: Vec<f32> = (0..n * q).map(|i| x[i / q * p + i % p] * 2.0 + noise[i]).collect();
        // HSIC(K, L) = sum of the products of centred Gram matrices.
        let gram = |v: &[f32], w: usize| -> Vec<f64> {
            let dot =
                |i: usize, j: usize| (0..w).map(|k| f64::from(v[i * w + k]) * f64::from(v[j * w + k])).sum::<f64>();
            let k: Vec<f64> = (0..n * n).map(|ij| dot(ij / n, ij % n)).collect();
            let row: Vec<f64> = (0..n).map(|i| k[i * n..(i + 1) * n].iter().sum::<f64>() / n as f64).collect();
            let all = row.iter().sum::<f64>() / n as f64;
            (0..n * n).map(|ij| k[ij] - row[ij / n] - row[ij % n] + all).collect()
        };
        let hsic = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (k, l) = (gram(&x, p), gram(&y, q));
        let slow = hsic(&k, &l) / (hsic(&k, &k) * hsic(&l, &l)).sqrt();
        let fast = linear_cka(&x, &y, n).unwrap();
        assert!((fast - slow).abs() < 1e-9, "{fast}, {slow}");
        assert!((linear_cka(&x, &x, n).unwrap() - 1.0).abs() < 1e-12);
        // Columns in another order, all scaled and moved: a rotation, a scale, a shift.
        let moved: Vec<f32> = (0..n * p).map(|i| 3.0 * x[i / p * p + (p - 1 - i % p)] + 5.0).collect();
        assert!((linear_cka(&x, &moved, n).unwrap() - 1.0).abs() < 1e-6);
        assert!(linear_cka(&x, &x[1..], n).is_err() && linear_cka(&vec![1.0; n * p], &x, n).is_err());
    }
}
