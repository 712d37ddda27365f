//! An episode as it is filmed: what a world looked like at every step, and what was paid.
use anyhow::{Context, Result, bail};
use rlx::{Actor, Drawing, Rng, Rollout, Status, Vector};

/// A moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Steps before it.
    pub step: usize,
    /// Reward of the step that led here, over players averaged.
    pub reward: f64,
    /// Their sum.
    pub total: f64,
    /// Whether the goal is reached.
    pub success: Option<bool>,
    /// Further words.
    pub notes: Vec<(String, String)>,
    /// What is seen.
    pub drawing: Drawing,
}

/// Frames of one episode, the first before its first step.
#[derive(Clone, Debug, PartialEq)]
pub struct Film {
    /// The frames.
    pub frames: Vec<Frame>,
}

const UNSEEN: &str = "this world has no picture yet (a world of one's own gets one by Env::draw)";
/// Most steps of an episode.
pub const LONGEST: usize = 20_000;

fn frame(step: usize, reward: f64, total: f64, mut drawing: Drawing) -> Frame {
    let notes = std::mem::take(&mut drawing.notes);
    Frame { step, reward, total, success: drawing.success, notes, drawing }
}

/// Plays one episode of the first world of `worlds`.
///
/// # Errors
/// When nothing is to be seen, it does not end, or the world or who acts fails.
pub fn film(worlds: &mut dyn Vector, actor: &mut Actor<'_>, seed: u64) -> Result<Film> {
    worlds.film();
    let players = worlds.spec().players;
    let mut rollout = Rollout::new(worlds, |i| Rng::named(seed, "policy", i));
    let mut frames = vec![frame(0, 0.0, 0.0, rollout.envs().draw(0).context(UNSEEN)?)];
    let mut total = 0.0;
    for step in 1..=LONGEST {
        rollout.step(actor)?;
        let now = rollout.frame();
        let reward = now.reward[..players].iter().map(|r| f64::from(*r)).sum::<f64>() / players as f64;
        total += reward;
        let status = now.status[0];
        let worlds = rollout.envs();
        let drawing = if status == Status::Running {
            worlds.draw(0)
        } else {
            let ended = worlds.episodes();
            ended.worlds.iter().position(|w| *w == 0).and_then(|i| ended.drawings[i].take())
        };
        worlds.episodes().clear();
        frames.push(frame(step, reward, total, drawing.context(UNSEEN)?));
        if status != Status::Running {
            return Ok(Film { frames });
        }
    }
    bail!("the episode has not ended after {LONGEST} steps")
}
