//! Random play.
use crate::{ActionBuffer, Frame, Rng, Space, Spec};

/// Draws an allowed action for every row of `frame`, uniformly; within [-1, 1] where a box has no bound. Every tenth continuous
/// action is at an end of its range, where clipping shows.
pub fn random_actions(spec: &Spec, frame: Frame<'_>, rng: &mut Rng, out: &mut ActionBuffer) {
    match (out, &spec.act) {
        (ActionBuffer::Continuous(actions), Space::Box { low, high, .. }) => {
            for (i, x) in actions.iter_mut().enumerate() {
                let (low, high) = (low[i % low.len()], high[i % high.len()]);
                let low = if low.is_finite() { low } else { -1.0 };
                let high = if high.is_finite() { high } else { 1.0 };
                *x = match rng.below(20) {
                    0 => low,
                    1 => high,
                    _ => rng.uniform(f64::from(low), f64::from(high)) as f32,
                };
            }
        }
        (ActionBuffer::Discrete(ids), _) => {
            let (choices, sets) = (spec.act.choices(), spec.act.sets());
            for (row, ids) in ids.chunks_exact_mut(spec.act.width()).enumerate() {
                if let Some(candidates) = frame.candidates {
                    ids[0] = rng.below(candidates.count(row).max(1)) as i64;
                    continue;
                }
                let mut start = row * choices;
                for (&n, id) in sets.iter().zip(ids) {
                    let mask = &frame.mask[start..start + n];
                    let allowed = mask.iter().filter(|m| **m).count();
                    let pick = rng.below(allowed.max(1));
                    *id = mask.iter().enumerate().filter(|(_, m)| **m).nth(pick).map_or(0, |(i, _)| i) as i64;
                    start += n;
                }
            }
        }
        _ => {}
    }
}
