//! Playing episodes without learning from them: evaluations, films, records.
use crate::{ActionBuffer, Episodes, Frame, Mode, Policy, Result, Rng, Slab, Vector, random_actions};

/// Who acts.
pub enum Actor<'a> {
    /// The world's own player of that number ([`crate::Spec::bots`]).
    Bot(usize),
    /// Uniformly drawn actions.
    Random,
    /// A policy.
    Policy(&'a mut dyn Policy, Mode),
}

/// Environments that are being played in, from a fresh episode on.
pub struct Rollout<'a> {
    envs: &'a mut dyn Vector,
    slab: Slab,
    actions: ActionBuffer,
    rows: Vec<u32>,
    rngs: Vec<Rng>,
    now: usize,
}

impl<'a> Rollout<'a> {
    /// Starts an episode in every environment; row i of whoever acts draws from `stream(i)`.
    pub fn new(envs: &'a mut dyn Vector, stream: impl Fn(u64) -> Rng) -> Self {
        let n = envs.spec().rows * envs.len();
        let (mut slab, actions) = (envs.slab(2), ActionBuffer::new(&envs.spec().act, n));
        envs.reset(slab.frame_mut(0));
        envs.episodes().clear();
        let rngs = (0..n as u64).map(stream).collect();
        Self { envs, slab, actions, rows: (0..n as u32).collect(), rngs, now: 0 }
    }

    /// What is seen now.
    pub fn frame(&self) -> Frame<'_> {
        self.slab.frame(self.now).with_candidates(self.envs.candidates())
    }

    /// Where the stream of a row stands.
    pub fn stream(&self, row: usize) -> Rng {
        self.rngs[row].clone()
    }

    /// The environments.
    pub fn envs(&mut self) -> &mut dyn Vector {
        self.envs
    }

    /// Lets `actor` act once in every environment. The episodes that ended are the caller's to read and to clear.
    ///
    /// # Errors
    /// When the actor or an environment fails.
    pub fn step(&mut self, actor: &mut Actor<'_>) -> Result<&mut Episodes> {
        let frame = self.slab.frame(self.now).with_candidates(self.envs.candidates());
        match actor {
            Actor::Bot(number) => {
                let envs = &self.rows[..self.envs.len()];
                self.envs.bot(*number, envs, &mut self.rngs[..envs.len()], self.actions.get_mut())?;
            }
            Actor::Random => random_actions(self.envs.spec(), frame, &mut self.rngs[0], &mut self.actions),
            Actor::Policy(policy, mode) => {
                policy.act(frame, &self.rows, *mode, &mut self.rngs, self.actions.get_mut())?;
            }
        }
        self.envs.step(self.actions.get(), self.slab.frame_mut(1 - self.now))?;
        self.now = 1 - self.now;
        Ok(self.envs.episodes())
    }
}
