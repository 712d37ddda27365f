//! SAC with TDRP's auxiliary reward: the transition distance to the goal, learnt along the way (arXiv 2402.07412). It is [`Sac`] with
//! another default of `auxiliary`, so that one name on the command line is the method; everything is in [`crate::distance`].
use crate::{Sac, distance::Method, sac};
use rlx::{
    ActionsMut, Algorithm, Checkpoint, Export, Frame, Learner, LoadDir, Mode, Policy, PolicyInfo, Result, Rng, SaveDir,
    Scalars, Setup, Spec, Vector, config,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Hyperparameters of SAC, the auxiliary reward on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(pub sac::Config);

impl Default for Config {
    fn default() -> Self {
        let mut config = sac::Config::default();
        config.distance.auxiliary = Method::Tdrp;
        Self(config)
    }
}

impl<'de> Deserialize<'de> for Config {
    /// What is missing has this default, not SAC's.
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let mut table = config::to_map(&Self::default());
        table.extend(rlx::Table::deserialize(from)?);
        serde_json::from_value(table.into()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The learner.
pub struct Tdrp(Sac);

impl Algorithm for Tdrp {
    type Config = Config;
    const NAME: &'static str = "tdrp";
    const ABOUT: &'static str =
        "sac with rewards from the learnt transition distance to the goal; auxiliary=ddl|qrl|laplacian for its rivals";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        Sac::fits(&config.0, spec)
    }
    fn worlds(config: &Config) -> usize {
        Sac::worlds(&config.0)
    }
    fn new(config: Config, setup: Setup) -> Result<Self> {
        Ok(Self(Sac::new(config.0, setup)?))
    }
}

impl Learner for Tdrp {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        self.0.iterate(envs, log)
    }
    fn policy(&mut self) -> &mut dyn Policy {
        self.0.policy()
    }
    fn export(&self) -> Result<Export> {
        self.0.export()
    }
    fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.0.init_from(policy)
    }
}

impl Policy for Tdrp {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        self.0.act(frame, rows, mode, rng, out)
    }
    fn info(&self, k: usize) -> Option<PolicyInfo> {
        self.0.info(k)
    }
}

impl Checkpoint for Tdrp {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        self.0.save(to)
    }
    fn load(&mut self, from: &LoadDir) -> Result<()> {
        self.0.load(from)
    }
}
