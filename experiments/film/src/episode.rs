//! An episode as it is filmed: what a world looked like at every step, and what was paid.
use anyhow::{Context, Result, bail};
use rlx::{ActionBuffer, Drawing, Mode, Policy, Rng, Status, Vector};

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

/// Who acts.
pub enum Actor<'a> {
    /// The world's own player of that number.
    Bot(usize),
    /// Uniformly drawn actions.
    Random,
    /// A policy.
    Policy(&'a mut dyn Policy, Mode),
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
    let (spec, rows) = (worlds.spec().clone(), worlds.spec().rows * worlds.len());
    let mut slab = worlds.slab(2);
    worlds.reset(slab.frame_mut(0));
    worlds.episodes().clear();
    let mut act = ActionBuffer::new(&spec.act, rows);
    let all: Vec<u32> = (0..rows as u32).collect();
    let mut rngs: Vec<Rng> = all.iter().map(|i| Rng::named(seed, "policy", u64::from(*i))).collect();
    let mut frames = vec![frame(0, 0.0, 0.0, worlds.draw(0).context(UNSEEN)?)];
    let mut total = 0.0;
    for step in 1..=LONGEST {
        choose(worlds, actor, slab.frame((step - 1) % 2), &all, &mut rngs, &mut act)?;
        worlds.step(act.get(), slab.frame_mut(step % 2))?;
        let now = slab.frame(step % 2);
        let reward = now.reward[..spec.players].iter().map(|r| f64::from(*r)).sum::<f64>() / spec.players as f64;
        total += reward;
        let status = now.status[0];
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

fn choose(
    worlds: &dyn Vector,
    actor: &mut Actor<'_>,
    frame: rlx::Frame<'_>,
    all: &[u32],
    rngs: &mut [Rng],
    act: &mut ActionBuffer,
) -> Result<()> {
    let frame = frame.with_candidates(worlds.candidates());
    match actor {
        Actor::Bot(number) => {
            let worlds_of: Vec<u32> = (0..worlds.len() as u32).collect();
            worlds.bot(*number, &worlds_of, &mut rngs[..worlds_of.len()], act.get_mut())?;
        }
        Actor::Random => {
            rlx::random_actions(worlds.spec(), frame, &mut rngs[0], act);
        }
        Actor::Policy(policy, mode) => policy.act(frame, all, *mode, rngs, act.get_mut())?,
    }
    Ok(())
}
