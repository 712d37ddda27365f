//! The keys that every run has.
use anyhow::{Result, bail};
use rlx::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where tensors live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// Main memory.
    #[default]
    Cpu,
    /// The first CUDA device.
    Cuda,
    /// CUDA if there is one.
    Auto,
}

/// A device as libtorch names it.
pub fn torch(device: Device) -> tch::Device {
    match device {
        Device::Cpu => tch::Device::Cpu,
        Device::Cuda(n) => tch::Device::Cuda(n),
    }
}

impl DeviceChoice {
    /// The device that is chosen.
    ///
    /// # Errors
    /// When CUDA is asked for and not there.
    pub fn device(self) -> Result<Device> {
        match (self, tch::Cuda::is_available()) {
            (Self::Cpu, _) | (Self::Auto, false) => Ok(Device::Cpu),
            (_, true) => Ok(Device::Cuda(0)),
            (Self::Cuda, false) => bail!(
                "device = \"cuda\": libtorch finds no CUDA device; the libtorch that `make install` gets is for CPUs, point LIBTORCH at a \
                 full one to build for CUDA"
            ),
        }
    }
}

/// What every run has, whatever its world and algorithm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// The world.
    pub env: String,
    /// The algorithm.
    pub algo: String,
    /// The preset that the choices started from; empty for none.
    pub preset: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Environment steps to train for.
    #[schemars(range(min = 1))]
    pub steps: u64,
    /// Seconds to train for at most, over all starts of the run; 0 for no limit.
    #[schemars(range(min = 0.0))]
    pub time_s: f64,
    /// Where tensors live.
    pub device: DeviceChoice,
    /// Threads for worlds and tensors. Small networks run fastest on one.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: usize,
    /// Environment steps between rows of metrics.
    #[schemars(range(min = 1))]
    pub log_every: u64,
    /// Environment steps between checkpoints.
    #[schemars(range(min = 1))]
    pub checkpoint_every: u64,
    /// Checkpoints kept, beside the best.
    #[schemars(range(min = 1))]
    pub keep_checkpoints: usize,
    /// Environment steps between evaluations on held-out episodes; 0 for none.
    pub eval_every: u64,
    /// Episodes of such an evaluation.
    #[schemars(range(min = 1))]
    pub eval_episodes: usize,
    /// What evaluations change of the world's config, each `key=value`: a chain that is learnt from anywhere, judged from its beginning.
    pub eval_set: Vec<String>,
    /// Whether a held-out episode of the last evaluation is put beside TensorBoard's curves as a film, where the world has a picture. Runs of a
    /// pool and trials of a sweep have none.
    pub film: bool,
    /// The run folder whose policy training starts from; empty for a fresh one.
    pub init_from: String,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            env: String::new(),
            algo: String::new(),
            preset: String::new(),
            seed: 0,
            steps: 1_000_000,
            time_s: 0.0,
            device: DeviceChoice::Cpu,
            threads: 1,
            log_every: 5_000,
            checkpoint_every: 50_000,
            keep_checkpoints: 3,
            eval_every: 25_000,
            eval_episodes: 20,
            eval_set: Vec::new(),
            film: true,
            init_from: String::new(),
        }
    }
}
