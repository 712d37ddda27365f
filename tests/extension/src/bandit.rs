//! A world of one's own: arms with hidden mean rewards, which the first observation hints at.
use rlx::{Env, Error, Result, Rng, Space, Spec, Status, View, snapshot};

/// Settings of the world.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of arms.
    #[schemars(range(min = 2, max = 1000))]
    pub arms: usize,
    /// Pulls in an episode.
    #[schemars(range(min = 1))]
    pub pulls: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { arms: 10, pulls: 20 }
    }
}

/// The world.
pub struct Bandit {
    config: Config,
    best: usize,
    last: f32,
}

impl Bandit {
    /// A world with that config.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone(), best: 0, last: 0.0 }
    }
    fn show(&self, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[self.best] = 1.0;
        obs[self.config.arms] = self.last;
    }
}

impl Env for Bandit {
    type Obs = f32;
    type Act = i64;

    fn spec(&self) -> Spec {
        let arms = self.config.arms;
        Spec::solo("bandit", Space::uniform(arms + 1, 0.0, 1.0), Space::Discrete(arms)).limited(self.config.pulls)
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        (self.best, self.last) = (rng.below(self.config.arms), 0.0);
        self.show(view.obs);
    }

    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        let arm = usize::try_from(act[0]).ok().filter(|a| *a < self.config.arms);
        let arm = arm.ok_or_else(|| Error::invalid(format!("arm {}: there are {}", act[0], self.config.arms)))?;
        self.last = if arm == self.best { 1.0 } else { 0.0 };
        pay[0] = self.last;
        self.show(view.obs);
        Ok(Status::Running) // the time limit is the vector's
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &(self.best as u64, self.last));
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        let (best, last): (u64, f32) = snapshot::get(state)?;
        if best >= self.config.arms as u64 {
            return Err(Error::invalid(format!("snapshot: arm {best} of {}", self.config.arms)));
        }
        (self.best, self.last) = (best as usize, last);
        Ok(())
    }
}
