//! Robot manipulation on rapier3d: a table, a two-finger hand on a gantry or on a Franka Panda, and the field's tasks.
//!
//! Lengths are metres in a frame whose origin is the middle of the workspace on the table's top, x away from the robot, z up. Actions
//! and observations are Fetch's (Plappert et al., arXiv 1802.09464): 25 actions a second, each the tool's way in units of 5 cm and the
//! fingers'; what is faster than .8 m/s (1.25 m/s where a puck is struck) is slowed down, its direction kept.
mod config;
mod draw;
mod goal;
mod layout;
mod physics;
mod robot;
mod scene;
mod tasks;
mod world;

pub use config::Config;
pub use goal::{Convention, Reward};
pub use physics::{Accuracy, CONTROL_S};
pub use robot::RobotKind;
pub use world::Manipulation;

use tasks::{Task, basic};
use world::Options;

/// A world of those settings.
fn world(name: &'static str, config: &Config, limit: u32, task: impl Task + 'static) -> Manipulation {
    let options = Options {
        name,
        robot: config.robot,
        fine: config.accuracy == Accuracy::Fine,
        reward: config.reward,
        ends: config.convention == Convention::Panda,
        time_limit: if config.time_limit == 0 { limit } else { config.time_limit },
        yaw: false,
        chain: None,
    };
    Manipulation::new(options, Box::new(task))
}

/// Adds every world of this crate.
pub fn register(registry: &mut rlx::Registry) {
    registry
        .world("reach", "move a robot's tool to a place in the air (FetchReach, PandaReach)", |c: &Config| {
            world("reach", c, 50, basic::Reach(c.convention))
        })
        .world("push", "push a block over the table to a place (FetchPush, PandaPush)", |c: &Config| {
            world("push", c, 50, basic::Push(c.convention))
        })
        .world(
            "slide",
            "strike a puck so that it slides to a place out of reach (FetchSlide, PandaSlide)",
            |c: &Config| world("slide", c, 50, basic::Slide(c.convention)),
        )
        .world(
            "pick-place",
            "carry a block to a place on the table or in the air (FetchPickAndPlace, PandaPickAndPlace)",
            |c: &Config| world("pick-place", c, 50, basic::PickPlace(c.convention)),
        );
}
