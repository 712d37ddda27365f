//! A world that goes wrong in every way that there is, to see what Python gets of it. It also has several sets of choices, one of which
//! is shut, and observations of bytes in two dimensions.
use rlx::{Env, Error, Result, Rng, Space, Spec, Status, View, snapshot};

/// Settings of the world.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it panics when it is made.
    pub still_born: bool,
}

/// The world.
pub struct Faulty {
    ticks: u8,
}

impl Faulty {
    /// A world with that config.
    pub fn new(config: &Config) -> Self {
        assert!(!config.still_born, "it was to be still-born");
        Self { ticks: 0 }
    }
    fn show(&self, view: View<'_, u8>) {
        view.obs.fill(self.ticks);
        // The last choice of the second set opens after the first tick.
        view.mask[5] = self.ticks > 0;
    }
}

impl Env for Faulty {
    type Obs = u8;
    type Act = i64;

    fn spec(&self) -> Spec {
        let obs = Space::Box { shape: vec![2, 3], low: vec![0.0; 6], high: vec![255.0; 6] };
        Spec::solo("faulty", obs, Space::MultiDiscrete(vec![3, 3]))
    }

    fn reset(&mut self, _: &mut Rng, view: View<'_, u8>) {
        self.ticks = 0;
        self.show(view);
    }

    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, u8>, pay: &mut [f32]) -> Result<Status> {
        match act[1] {
            1 => panic!("it was told to break"),
            2 if self.ticks == 0 => return Err(Error::NonFinite { what: "its mood".into(), step: 3 }),
            _ => {}
        }
        self.ticks += 1;
        pay[0] = f32::from(self.ticks);
        self.show(view);
        Ok(if act[0] == 2 { Status::Terminated } else { Status::Running })
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &self.ticks);
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        self.ticks = snapshot::get(state)?;
        Ok(())
    }
}
