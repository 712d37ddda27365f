//! A batch of worlds that learns from what it measured: between ticks, so that a world stays a function of its own past.
use crate::{
    handle::{Handle, Shared},
    judge::Judge,
    world::{Terms, World},
};
use rlx::{
    Actions, ActionsMut, ColumnRef, Episodes, FrameMut, Objective, Ragged, Result, Rng, Slab, Spec, VecEnv, Vector,
};
use std::sync::{Arc, Mutex};

/// Worlds over one objective, and the judge that they share.
pub struct SurrogateVector {
    envs: VecEnv<World>,
    handle: Handle,
}

impl SurrogateVector {
    /// `n` worlds, world i drawing from stream i of `seed`.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn new(shared: &Shared, terms: &Terms, n: usize, seed: u64) -> Result<Self> {
        let mut judge = Judge::new(terms.clone());
        if terms.recall {
            judge.recall(shared.recorded(terms.fidelity)?);
        }
        let judge = Arc::new(Mutex::new(judge));
        let make = || World::new(shared.clone(), terms.clone(), Some(judge.clone()));
        let handle = make()?.handle().clone();
        // The second of two equal calls succeeds as the first did.
        let envs = VecEnv::new(n, seed, || make().expect("the first could be made"));
        Ok(Self { envs, handle })
    }
}

impl Vector for SurrogateVector {
    fn spec(&self) -> &Spec {
        self.envs.spec()
    }
    fn len(&self) -> usize {
        self.envs.len()
    }
    fn slab(&self, ticks: usize) -> Slab {
        self.envs.slab(ticks)
    }
    fn reset(&mut self, out: FrameMut<'_>) {
        self.envs.reset(out);
    }
    fn step(&mut self, act: Actions<'_>, out: FrameMut<'_>) -> Result<()> {
        self.envs.step(act, out)?;
        let view = self.handle.clone();
        self.handle.judge(|j| j.commit(&view));
        let next = self.handle.judge(|j| j.guess(&view).or_else(|| j.due())).flatten();
        if let Some(config) = next {
            let (fidelity, seed) = (self.handle.fidelity(), self.handle.seed());
            self.handle.evaluate(&config, fidelity, seed, &|| false)?;
        }
        Ok(())
    }
    fn candidates(&self) -> Option<Ragged<'_>> {
        self.envs.candidates()
    }
    fn privileged(&self) -> Option<ColumnRef<'_>> {
        self.envs.privileged()
    }
    fn bot(&self, number: usize, worlds: &[u32], rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        self.envs.bot(number, worlds, rng, out)
    }
    fn episodes(&mut self) -> &mut Episodes {
        self.envs.episodes()
    }
    fn objective(&mut self) -> Option<&mut dyn Objective> {
        Some(&mut self.handle)
    }
    fn save(&self, out: &mut Vec<u8>) {
        self.handle.judge(|j| j.save(out));
        self.envs.save(out);
    }
    fn load(&mut self, mut state: &[u8]) -> Result<()> {
        let view = self.handle.clone();
        if let Some(done) = self.handle.judge(|j| j.load(&mut state, &view)) {
            done?;
        }
        self.envs.load(state)
    }
}
