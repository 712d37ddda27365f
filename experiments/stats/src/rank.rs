//! Rank correlation.

/// Ranks with ties averaged.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let (mut rank, mut i) = (vec![0.0; x.len()], 0);
    while i < order.len() {
        let same = order[i..].iter().take_while(|k| x[**k] == x[order[i]]).count();
        for k in &order[i..i + same] {
            rank[*k] = i as f64 + (same as f64 - 1.0) / 2.0;
        }
        i += same;
    }
    rank
}

/// Spearman's rank correlation: Pearson's of the ranks, ties averaged.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b, n) = (ranks(a), ranks(b), a.len() as f64);
    let mean = (n - 1.0) / 2.0;
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases worked by hand: ranks with a tie, a perfect and a reversed order, and scipy's value for a mixed one.
    #[test]
    fn spearman_is_pearsons_of_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        assert!((spearman(&[1.0, 2.0, 5.0], &[0.1, 0.2, 0.3]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 5.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // Squared rank differences 1, 1, 0, 1, 1 of five: 1 - 6 * 4 / (5 * 24).
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 3.0, 5.0, 4.0]) - 0.8).abs() < 1e-12);
    }
}
