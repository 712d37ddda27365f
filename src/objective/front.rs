//! Trade-offs between two things to be minimised: cost and loss.

/// Indices of the points that no other is at least as good as in both coordinates and better in one, by ascending first coordinate;
/// of equal points the first. A point with an undefined coordinate is never one.
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..points.len()).filter(|i| !points[*i].0.is_nan() && !points[*i].1.is_nan()).collect();
    order.sort_by(|a, b| {
        let ((x, y), (u, v)) = (points[*a], points[*b]);
        x.total_cmp(&u).then(y.total_cmp(&v)).then(a.cmp(b))
    });
    let mut best = f64::INFINITY;
    // `<` keeps an infinite loss out too: a model that is broken is no trade-off.
    order.retain(|i| {
        let better = points[*i].1 < best;
        best = best.min(points[*i].1);
        better
    });
    order
}

/// The exact area that `points` dominate below and left of `reference`, which bounds it: the sum of the rectangles between neighbours
/// of the front. Points beyond the reference add nothing.
pub fn hypervolume(points: &[(f64, f64)], reference: (f64, f64)) -> f64 {
    let mut total = 0.0;
    let mut height = reference.1;
    for (x, y) in front(points).into_iter().map(|i| points[i]) {
        if x < reference.0 && y < height {
            total += (reference.0 - x) * (height - y);
            height = y;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn the_front_is_what_no_other_point_dominates() {
        let points =
            [(1.0, 5.0), (2.0, 3.0), (2.0, 3.0), (3.0, 4.0), (4.0, 1.0), (f64::NAN, 0.0), (0.5, f64::INFINITY)];
        assert_eq!(front(&points), [0, 1, 4]);
        // Against the definition, on random points with ties.
        let mut rng = Rng::stream(1, 0);
        for _ in 0..50 {
            let points: Vec<(f64, f64)> = (0..40).map(|_| (rng.below(12) as f64, rng.below(12) as f64)).collect();
            let dominated = |i: usize| {
                points.iter().enumerate().any(|(k, q)| {
                    let p = points[i];
                    q.0 <= p.0 && q.1 <= p.1 && (q.0 < p.0 || q.1 < p.1 || k < i)
                })
            };
            let mut slow: Vec<usize> = (0..points.len()).filter(|i| !dominated(*i)).collect();
            slow.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0));
            assert_eq!(front(&points), slow);
        }
    }

    #[test]
    fn the_area_is_that_of_a_hand_worked_case_and_of_random_darts() {
        // Two steps: (4-1) x (4-3) + (4-2) x (3-1) = 7; a point beyond the reference adds nothing.
        let mut points = vec![(1.0, 3.0), (2.0, 1.0), (5.0, 0.0), (3.0, 9.0)];
        assert_eq!(hypervolume(&points, (4.0, 4.0)), 7.0);
        points.push((1.5, 2.0));
        assert_eq!(hypervolume(&points, (4.0, 4.0)), 7.0 + 0.5);
        let mut rng = Rng::stream(2, 0);
        for _ in 0..5 {
            let points: Vec<(f64, f64)> = (0..9).map(|_| (rng.unit() * 1.2, rng.unit() * 1.2)).collect();
            let (darts, n) = (0..40_000).fold((0u32, 0u32), |(hit, n), _| {
                let (x, y) = (rng.unit(), rng.unit());
                (hit + u32::from(points.iter().any(|p| p.0 <= x && p.1 <= y)), n + 1)
            });
            let share = f64::from(darts) / f64::from(n);
            // Standard error at most .0025; four of them.
            assert!((hypervolume(&points, (1.0, 1.0)) - share).abs() < 0.01);
        }
        assert_eq!(hypervolume(&[], (1.0, 1.0)), 0.0);
    }
}
