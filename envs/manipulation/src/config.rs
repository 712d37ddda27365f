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
    /// The share of episodes that begin with what is to be moved between the fingers (a half in hindsight's own pick-and-place, arXiv
    /// 1707.01495); where nothing is taken hold of they begin as without, by other draws. Judge by `eval_set = ["held=0"]`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub held: f64,
}

/// The robot of the tasks that only the gantry hand does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnlyGantry {
    /// The two-finger hand on a gantry.
    #[default]
    Gantry,
}

/// Settings of the tasks with furniture and parts, which the gantry hand does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GantryConfig {
    /// Which robot works: the gantry alone.
    pub robot: OnlyGantry,
    /// What a step pays.
    pub reward: Reward,
    /// How finely time is cut.
    pub accuracy: Accuracy,
    /// Steps after which an episode times out; 0: the task's own number.
    pub time_limit: u32,
    /// The share of episodes that begin with what is to be moved between the fingers (a half in hindsight's own pick-and-place, arXiv
    /// 1707.01495); where nothing is taken hold of they begin as without, by other draws. Judge by `eval_set = ["held=0"]`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub held: f64,
}

/// Where an episode of a chain begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// At the beginning of the first skill.
    #[default]
    First,
    /// At the beginning of any skill, drawn uniformly.
    Any,
}

/// Settings of chains of skills, which the gantry hand does. `S` names the skills.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChainConfig<S: Default> {
    /// Which robot works: the gantry alone.
    pub robot: OnlyGantry,
    /// What a step pays.
    pub reward: Reward,
    /// How finely time is cut.
    pub accuracy: Accuracy,
    /// Steps after which an episode times out; 0: the chain's own number.
    pub time_limit: u32,
    /// The share of episodes that begin with what is to be moved between the fingers (a half in hindsight's own pick-and-place, arXiv
    /// 1707.01495); where nothing is taken hold of they begin as without, by other draws. Judge by `eval_set = ["held=0"]`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub held: f64,
    /// Where an episode begins.
    pub begin: Begin,
    /// One skill alone, from its beginning to its success; `all` for the whole chain.
    pub skill: S,
}

/// Names of the skills of a chain.
macro_rules! skills {
    ($(#[$about:meta])* $name:ident: $($(#[$meta:meta])* $skill:ident),+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            /// The whole chain.
            #[default]
            All,
            $($(#[$meta])* $skill),+
        }
        impl From<$name> for Option<usize> {
            fn from(skill: $name) -> Self {
                (skill as usize).checked_sub(1)
            }
        }
    };
}

skills! {
    /// Skills of `stack3`.
    Stack3Skill:
    /// The second block onto the first.
    Second,
    /// The third onto the second.
    Third
}

skills! {
    /// Skills of `drawer-store`.
    DrawerStoreSkill:
    /// The drawer is pulled open.
    Open,
    /// The block is carried over it.
    Pick,
    /// And put inside.
    Place,
    /// The drawer is pushed shut.
    Close
}

skills! {
    /// Skills of `assemble`.
    AssembleSkill:
    /// The peg is lifted.
    Pick,
    /// It is brought over the hole.
    Align,
    /// It goes in.
    Insert
}
