//! A world to step many of: it draws at random, ends now and then, and may have legal moves and hidden state.
use super::super::*;
use super::LIMIT;
use crate::Scalars;
use crate::Space;

/// Two runners side by side, each with a row of its own: first past the post ends it, the time limit cuts it off. A runner draws
/// chance every tick; legal moves are ragged when asked for.
#[derive(Clone, Debug, Default)]
pub struct Race {
    pub at: [f32; 2],
    pub post: f32,
    pub secret: f32,
    pub ragged: bool,
    /// Fails once this world's first runner is that far.
    pub fails_at: Option<f32>,
}

impl Race {
    fn show(&self, noise: f32, view: View<'_, f32>) {
        for row in 0..2 {
            view.obs[row * 3..row * 3 + 3].copy_from_slice(&[self.at[row], self.post, noise]);
            if !self.ragged {
                // One choice is shut at the start, another towards the end.
                let shut = if self.at[row] <= 1.0 { 2 } else { 1 };
                view.mask[row * 3 + shut] = false;
            }
        }
        // Row 0 relies on the seat it is lent, as the masks do on their flags.
        view.seat[1] = 1;
    }
}

impl Env for Race {
    type Obs = f32;
    type Act = i64;
    fn spec(&self) -> Spec {
        let mut spec = Spec::solo("race", Space::uniform(3, -100.0, 100.0), Space::Discrete(3)).limited(LIMIT);
        (spec.rows, spec.players) = (2, 2);
        if self.ragged {
            (spec.act, spec.candidates) = (Space::Discrete(0), Some(1));
        }
        spec
    }
    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.at = [0.0; 2];
        self.post = 4.0 + rng.below(9) as f32;
        self.secret = rng.unit() as f32;
        self.show(0.0, view);
    }
    fn step(&mut self, act: &[i64], rng: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        for ((at, act), pay) in self.at.iter_mut().zip(act).zip(pay) {
            *at += *act as f32 * 0.5 + rng.below(2) as f32 * 0.25;
            *pay += *at * 0.1;
        }
        if self.fails_at.is_some_and(|limit| self.at[0] > limit) {
            return Err(Error::invalid(format!("the track broke at post {}", self.post)));
        }
        self.show(rng.unit() as f32, view);
        Ok(if self.at.iter().any(|a| *a >= self.post) { Status::Terminated } else { Status::Running })
    }
    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &(self.at, self.post, self.secret));
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        (self.at, self.post, self.secret) = snapshot::get(state)?;
        Ok(())
    }
    fn metrics(&self, out: &mut Scalars) {
        out.put("lead", f64::from(self.at[0] - self.at[1]));
    }
    fn candidates(&self, rows: &mut Vec<f32>, counts: &mut Vec<u32>) {
        for at in self.at {
            let n = 1 + at as u32 % 3;
            rows.extend((0..n).map(|k| at + k as f32));
            counts.push(n);
        }
    }
}

impl Oracle for Race {
    fn hidden_width(&self) -> usize {
        1
    }
    fn reveal(&self, out: &mut [f32]) {
        out[0] = self.secret;
    }
}
