//! A hyperparameter over time.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a value goes from the start of training to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same all along.
    Constant,
    /// Down to zero in a straight line.
    #[default]
    Linear,
}

impl Schedule {
    /// The factor after `done` of `total` steps.
    pub fn factor(self, done: u64, total: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => (1.0 - done as f64 / total.max(1) as f64).clamp(0.0, 1.0),
        }
    }
}
