//! A batch of worlds that learns from what it measured: between ticks, so that a world stays a function of its own past.
use crate::{ObjectiveConfig, RunObjective, SearchState, World};
use rlx::{
    Actions, ActionsMut, ColumnRef, Drawing, Episodes, FrameMut, Objective, Ragged, Result, Rng, Slab, Spec, VecEnv,
    Vector, objective::SharedObjective,
};
use std::sync::{Arc, Mutex};

/// Worlds over one objective, and the state of the search that they share.
pub struct SurrogateVector {
    envs: VecEnv<World>,
    objective: RunObjective,
}

impl SurrogateVector {
    /// `n` worlds, world i drawing from stream i of `seed`.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn new(shared: &SharedObjective, terms: &ObjectiveConfig, n: usize, seed: u64) -> Result<Self> {
        let mut state = SearchState::new(terms.clone());
        if terms.recall {
            state.recall(shared.recorded(terms.fidelity)?);
        }
        let state = Arc::new(Mutex::new(state));
        let make = || World::new(shared.clone(), terms.clone(), Some(state.clone()));
        let objective = make()?.run_objective().clone();
        // The second of two equal calls succeeds as the first did.
        let envs = VecEnv::new(n, seed, || make().expect("the first could be made"));
        Ok(Self { envs, objective })
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
        let Self { objective, .. } = self;
        objective.state(|s| s.commit(objective));
        let next = objective.state(|s| s.guess(objective).or_else(|| s.due())).flatten();
        if let Some(config) = next {
            let (fidelity, seed) = (objective.fidelity(), objective.seed());
            objective.evaluate(&config, fidelity, seed, &|| false)?;
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
    fn draw(&self, world: usize) -> Option<Drawing> {
        self.envs.draw(world)
    }
    fn film(&mut self) {
        self.envs.film();
    }
    fn episodes(&mut self) -> &mut Episodes {
        self.envs.episodes()
    }
    fn objective(&mut self) -> Option<&mut dyn Objective> {
        Some(&mut self.objective)
    }
    fn save(&self, out: &mut Vec<u8>) {
        self.objective.state(|s| s.save(out));
        self.envs.save(out);
    }
    fn load(&mut self, mut state: &[u8]) -> Result<()> {
        if let Some(done) = self.objective.state(|s| s.load(&mut state, &self.objective)) {
            done?;
        }
        self.envs.load(state)
    }
}
