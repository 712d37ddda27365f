//! Settings of the worlds.
use crate::{
    goal::{Convention, Reward},
    physics::Accuracy,
    robot::RobotKind,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the tasks that Fetch, panda-gym or robosuite have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which robot works.
    pub robot: RobotKind,
    /// Whose ranges of goals, size of block and endings.
    pub convention: Convention,
    /// What a step pays.
    pub reward: Reward,
    /// How finely time is cut.
    pub accuracy: Accuracy,
    /// Steps after which an episode times out; 0: the task's own number (50, 100 where blocks are stacked).
    pub time_limit: u32,
}
