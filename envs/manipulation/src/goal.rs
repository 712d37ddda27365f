//! Goals: how far what is achieved is from what is desired, and what that is worth.
use rlx::{Judge, Judged};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a step pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reward {
    /// 0 at the goal, -1 elsewhere.
    #[default]
    Sparse,
    /// Minus the distance to the goal.
    Dense,
}

/// Whose conventions hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// Gymnasium-Robotics' Fetch: a block of 5 cm, episodes of 50 steps that success does not end.
    #[default]
    Fetch,
    /// panda-gym's: a block of 4 cm, its ranges of goals, episodes that success ends. Three tasks are near panda-gym 3.0.7's and not the same.
    /// `slide`: the puck has a friction of .1, begins .12 m ahead of the tool and is to go on to .25 m to .55 m ahead of it.
    /// `flip`: the block is to be tipped by a quarter turn, by closed fingers, and not to an orientation drawn from all. `stack`: both blocks
    /// begin on the table, more than .09 m apart and more than .09 m from the goal, where PandaStack-v3 drops the second one from one block
    /// above the table, lets blocks overlap and lets the goal lie anywhere.
    Panda,
}

/// How a distance is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    /// Euclid's, m.
    Distance,
    /// Between two unit quaternions, 1 - (p q)^2, as panda-gym's flip: 0 for the same orientation, 1 for opposite ones.
    Turn,
    /// By how much a number falls short.
    Shortfall,
}

/// A goal of a task: what it is called, how wide, and when it is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Aim {
    pub name: &'static str,
    pub width: usize,
    pub measure: Measure,
    /// Reached below this distance.
    pub within: f32,
    /// Unit of its scalars.
    pub unit: &'static str,
}

impl Aim {
    /// A position to be reached within so many metres.
    pub const fn position(name: &'static str, within: f32) -> Self {
        Self { name, width: 3, measure: Measure::Distance, within, unit: "m" }
    }

    pub fn distance(&self, achieved: &[f32], desired: &[f32]) -> f32 {
        let pairs = achieved.iter().zip(desired);
        match self.measure {
            Measure::Distance => pairs.map(|(a, d)| (a - d) * (a - d)).sum::<f32>().sqrt(),
            Measure::Turn => 1.0 - pairs.map(|(a, d)| a * d).sum::<f32>().powi(2),
            Measure::Shortfall => pairs.map(|(a, d)| (d - a).max(0.0)).sum(),
        }
    }

    /// The judgement of one pair. `ends`: whether success ends an episode.
    pub fn judge(&self, reward: Reward, ends: bool, achieved: &[f32], desired: &[f32]) -> Judged {
        let distance = self.distance(achieved, desired);
        let success = distance < self.within;
        let reward = match reward {
            Reward::Sparse if success => 0.0,
            Reward::Sparse => -1.0,
            Reward::Dense => -distance,
        };
        Judged { reward, terminated: ends && success, success }
    }

    pub fn judged_by(self, reward: Reward, ends: bool) -> Judge {
        Arc::new(move |achieved, desired| self.judge(reward, ends, achieved, desired))
    }
}
