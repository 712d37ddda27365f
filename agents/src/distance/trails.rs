//! The states of past episodes, in the order they were passed.
use rlx::{Rng, Status};
use serde::{Deserialize, Serialize};

/// Time steps before anything is drawn.
const FEWEST: usize = 8;

/// A ring of time steps, each the states that the environments were led to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trails {
    worlds: usize,
    width: usize,
    ticks: usize,
    pushed: u64,
    rows: Vec<f32>,  // [steps, envs, width]
    ends: Vec<bool>, // [steps, envs]: whether an episode ended there
}

/// States and what came after them in the same episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pairs {
    /// `[anchors, width]`.
    pub anchors: Vec<f32>,
    /// `[anchors, targets, width]`, the nearest first.
    pub targets: Vec<f32>,
    /// Transitions from the anchor until what each target achieves was first achieved, `[anchors, targets]`, ascending.
    pub steps: Vec<f32>,
    /// States on the way from the anchor to the farthest of its targets, `[anchors, targets, width]`, the nearest to it first.
    pub between: Vec<f32>,
    /// The state right after each anchor, `[anchors, width]`.
    pub next: Vec<f32>,
}

impl Trails {
    pub fn new(capacity: usize, worlds: usize, width: usize) -> Self {
        let ticks = capacity.div_ceil(worlds).max(FEWEST);
        Self { worlds, width, ticks, pushed: 0, rows: Vec::new(), ends: Vec::new() }
    }

    /// Whether the other is of the same sizes.
    pub fn fits(&self, other: &Self) -> bool {
        let cells = self.ticks.min(self.pushed as usize) * self.worlds;
        (self.worlds, self.width, self.ticks) == (other.worlds, other.width, other.ticks)
            && self.rows.len() == cells * self.width
            && self.ends.len() == cells
    }

    pub fn push(&mut self, rows: &[f32], status: &[Status]) {
        let slot = (self.pushed % self.ticks as u64) as usize;
        let ended = status.iter().map(|s| *s != Status::Running);
        if self.pushed < self.ticks as u64 {
            self.rows.extend_from_slice(rows);
            self.ends.extend(ended);
        } else {
            let (n, w) = (self.worlds, self.worlds * self.width);
            self.rows[slot * w..(slot + 1) * w].copy_from_slice(rows);
            self.ends[slot * n..(slot + 1) * n].iter_mut().zip(ended).for_each(|(e, ended)| *e = ended);
        }
        self.pushed += 1;
    }

    fn cell(&self, tick: u64, world: usize) -> usize {
        (tick % self.ticks as u64) as usize * self.worlds + world
    }
    fn row(&self, tick: u64, world: usize) -> &[f32] {
        let at = self.cell(tick, world) * self.width;
        &self.rows[at..at + self.width]
    }

    /// `anchors` states drawn uniformly among those with a successor, each with `targets` uniform ones of the next `horizon`
    /// transitions of its episode; None until there are a few steps. `there` says whether the first row achieves what the second does:
    /// what has come to rest is reached when it first is there, not whenever it is looked at.
    pub fn sample(
        &self,
        rng: &mut Rng,
        (anchors, targets): (usize, usize),
        horizon: usize,
        there: &dyn Fn(&[f32], &[f32]) -> bool,
    ) -> Option<Pairs> {
        let filled = self.pushed.min(self.ticks as u64);
        if filled < FEWEST as u64 {
            return None;
        }
        let mut out = Pairs::default();
        let (mut steps, mut left) = (Vec::with_capacity(targets), Vec::with_capacity(targets));
        // An episode may be one transition long: then nothing follows, and another is drawn; a bound keeps this finite.
        for _ in 0..anchors * 100 {
            if out.steps.len() == anchors * targets {
                break;
            }
            let tick = self.pushed - filled + rng.below(filled as usize - 1) as u64;
            let world = rng.below(self.worlds);
            let last = (tick + horizon as u64).min(self.pushed - 1);
            let end = (tick..last).find(|t| self.ends[self.cell(*t, world)]).unwrap_or(last);
            if end == tick {
                continue;
            }
            out.anchors.extend_from_slice(self.row(tick, world));
            out.next.extend_from_slice(self.row(tick + 1, world));
            steps.clear();
            steps.extend((0..targets).map(|_| {
                let k = 1 + rng.below((end - tick) as usize) as u64;
                let target = self.row(tick + k, world);
                ((0..k).find(|t| there(self.row(tick + t, world), target)).unwrap_or(k), k)
            }));
            steps.sort_unstable();
            for &(first, k) in &steps {
                out.targets.extend_from_slice(self.row(tick + k, world));
                out.steps.push(first as f32);
            }
            let last = steps[targets - 1].0;
            left.clear();
            left.extend((0..targets).map(|_| last - rng.below(last.max(1) as usize) as u64));
            left.sort_unstable();
            for &k in &left {
                out.between.extend_from_slice(self.row(tick + last - k, world));
            }
        }
        (out.steps.len() == anchors * targets).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However few states are to be kept, enough are that pairs can be drawn.
    #[test]
    fn the_smallest_ring_can_be_drawn_from() {
        let (worlds, mut rng) = (64, Rng::stream(1, 1));
        let mut trails = Trails::new(100, worlds, 1);
        for _ in 0..20 {
            trails.push(&vec![0.0; worlds], &vec![Status::Running; worlds]);
        }
        assert!(trails.sample(&mut rng, (20, 4), 6, &|_, _| false).is_some());
    }

    /// Rows say (environment, episode, step): what is drawn must be of one episode, the stated transitions apart, and within the horizon.
    #[test]
    fn pairs_are_of_one_episode_and_as_far_apart_as_they_say() {
        let (worlds, horizon) = (3, 6);
        let mut trails = Trails::new(90, worlds, 3);
        let mut rng = Rng::stream(1, 1);
        let (mut episode, mut step) = ([0.0f32; 3], [0.0f32; 3]);
        for tick in 0..200 {
            let rows: Vec<f32> = (0..worlds).flat_map(|w| [w as f32, episode[w], step[w]]).collect();
            let status: Vec<Status> =
                (0..worlds).map(|w| if rng.below(7 + w) == 0 { Status::Truncated } else { Status::Running }).collect();
            trails.push(&rows, &status);
            for w in 0..worlds {
                step[w] += 1.0;
                if status[w] != Status::Running {
                    (episode[w], step[w]) = (episode[w] + 1.0, 0.0);
                }
            }
            if tick < 20 {
                continue;
            }
            let pairs = trails.sample(&mut rng, (20, 4), horizon, &|_, _| false).unwrap();
            // To where the step is the same but for its last bit: that of an even one, or the one before it.
            let coarse =
                trails.sample(&mut rng, (20, 4), horizon, &|a, b| (a[2] / 2.0).floor() == (b[2] / 2.0).floor());
            let coarse = coarse.unwrap();
            for (a, anchor) in coarse.anchors.chunks(3).enumerate() {
                for k in 4 * a..4 * a + 4 {
                    let target = (coarse.targets[3 * k + 2] / 2.0).floor() * 2.0;
                    assert_eq!(coarse.steps[k], (target - anchor[2]).max(0.0));
                    // From the anchor to where the farthest is reached, the nearest to that first.
                    let between = &coarse.between[3 * k..3 * k + 3];
                    assert_eq!(between[..2], anchor[..2]);
                    let end = anchor[2] + coarse.steps[4 * a + 3];
                    let before = if k == 4 * a { end } else { coarse.between[3 * k - 1] };
                    assert!((anchor[2]..=before).contains(&between[2]) && (between[2] < end || end == anchor[2]));
                }
            }
            for (a, anchor) in pairs.anchors.chunks(3).enumerate() {
                assert_eq!(pairs.next[3 * a..3 * a + 3], [anchor[0], anchor[1], anchor[2] + 1.0]);
                let mut before = 1.0;
                for k in 4 * a..4 * a + 4 {
                    let target = &pairs.targets[3 * k..3 * k + 3];
                    assert_eq!(target, [anchor[0], anchor[1], anchor[2] + pairs.steps[k]]);
                    assert!(pairs.steps[k] >= before && pairs.steps[k] <= horizon as f32);
                    before = pairs.steps[k];
                }
            }
        }
    }
}
