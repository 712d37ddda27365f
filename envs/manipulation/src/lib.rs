//! Robot manipulation on rapier3d: a table, a two-finger hand on a gantry or on a Franka Panda, and the field's tasks.
//!
//! Lengths are metres in a frame whose origin is the middle of the workspace on the table's top, x away from the robot, z up. Actions
//! and observations are Fetch's (Plappert et al., arXiv 1802.09464): 25 actions a second, each the tool's way in units of 5 cm and the
//! fingers'; what is faster than .8 m/s (1.25 m/s where a puck is struck) is slowed down, its direction kept. A thing's angles are about
//! the fixed axes x, y, z, as panda-gym has them; Fetch's are about the axes that turn with it, which differs where it is tilted about two.
mod config;
mod draw;
mod goal;
mod layout;
mod physics;
mod robot;
mod scene;
mod solid;
mod tasks;
mod world;

pub use config::{AssembleSkill, Begin, ChainConfig, Config, DrawerStoreSkill, GantryConfig, OnlyGantry, Stack3Skill};
pub use goal::{Convention, Reward};
pub use physics::{Accuracy, CONTROL_S};
pub use robot::RobotKind;
pub use world::Manipulation;

use tasks::{Task, basic, blocks, furniture, parts};
use world::{Chain, Options};

/// A world of those settings.
fn world(name: &'static str, config: &Config, limit: u32, task: impl Task + 'static) -> Manipulation {
    let options = Options {
        name,
        robot: config.robot,
        fine: config.accuracy == Accuracy::Fine,
        reward: config.reward,
        ends: config.convention == Convention::Panda,
        time_limit: if config.time_limit == 0 { limit } else { config.time_limit },
        held: config.held,
        chain: None,
    };
    Manipulation::new(options, Box::new(task))
}

/// A task of the gantry hand of those settings.
fn gantry(name: &'static str, config: &GantryConfig, limit: u32, task: impl Task + 'static) -> Manipulation {
    let GantryConfig { reward, accuracy, time_limit, held, .. } = *config;
    world(name, &Config { reward, accuracy, time_limit, held, ..Config::default() }, limit, task)
}

/// A chain of those settings.
fn chain<S: Copy + Default + Into<Option<usize>>>(
    name: &'static str,
    config: &ChainConfig<S>,
    limit: u32,
    task: impl Task + 'static,
) -> Manipulation {
    let options = Options {
        name,
        robot: RobotKind::Gantry,
        fine: config.accuracy == Accuracy::Fine,
        reward: config.reward,
        ends: true,
        time_limit: if config.time_limit == 0 { limit } else { config.time_limit },
        held: config.held,
        chain: Some(Chain { any: config.begin == Begin::Any, only: config.skill.into() }),
    };
    Manipulation::new(options, Box::new(task))
}

/// Ids of Gymnasium-Robotics and panda-gym: their worlds run on other engines of physics, so that none is one of these.
fn ids(name: &str) -> Vec<String> {
    let versions = (1..=4).map(|v| format!("Fetch{name}-v{v}"));
    versions.chain((1..=3).flat_map(|v| [format!("Panda{name}-v{v}"), format!("Panda{name}Dense-v{v}")])).collect()
}

/// Adds every world of this crate.
pub fn register(registry: &mut rlx::Registry) {
    let [reach, push, slide, pick, stack, flip] = ["Reach", "Push", "Slide", "PickAndPlace", "Stack", "Flip"].map(ids);
    registry
        .world("reach", "move a robot's tool to a place in the air (FetchReach, PandaReach)", |c: &Config| {
            world("reach", c, 50, basic::Reach(c.convention))
        })
        .also_known(&[], &reach.iter().map(String::as_str).collect::<Vec<_>>())
        .world("push", "push a block over the table to a place (FetchPush, PandaPush)", |c: &Config| {
            world("push", c, 50, basic::Push(c.convention))
        })
        .also_known(&[], &push.iter().map(String::as_str).collect::<Vec<_>>())
        .world(
            "slide",
            "strike a puck so that it slides to a place ahead, often out of reach (FetchSlide; PandaSlide but for friction)",
            |c: &Config| world("slide", c, 50, basic::Slide(c.convention)),
        )
        .also_known(&[], &slide.iter().map(String::as_str).collect::<Vec<_>>())
        .world(
            "pick-place",
            "carry a block to a place on the table or in the air (FetchPickAndPlace, PandaPickAndPlace)",
            |c: &Config| world("pick-place", c, 50, basic::PickPlace(c.convention)),
        )
        .also_known(&[], &pick.iter().map(String::as_str).collect::<Vec<_>>())
        .world("lift", "lift a block as high as is asked (robosuite's Lift)", |c: &Config| {
            world("lift", c, 50, blocks::Lift(c.convention))
        })
        .world("stack", "put one block upon another (PandaStack)", |c: &Config| {
            world("stack", c, 100, blocks::Stack(c.convention))
        })
        .also_known(&[], &stack.iter().map(String::as_str).collect::<Vec<_>>())
        .world("flip", "tip a block onto another face (PandaFlip's quarter turns)", |c: &Config| {
            world("flip", c, 50, blocks::Flip(c.convention))
        })
        .also_known(&[], &flip.iter().map(String::as_str).collect::<Vec<_>>())
        .world("stack3", "a tower of three blocks: a chain of two skills", |c: &ChainConfig<Stack3Skill>| {
            chain("stack3", c, 150, blocks::Stack3)
        })
        .world("drawer-open", "pull a drawer open by its handle", |c: &GantryConfig| {
            gantry("drawer-open", c, 50, furniture::DrawerOpen)
        })
        .world("door-open", "pull a door open by its handle", |c: &GantryConfig| {
            gantry("door-open", c, 75, furniture::DoorOpen)
        })
        .world("peg-insert", "put a peg into a hole, 4 mm to spare", |c: &GantryConfig| {
            gantry("peg-insert", c, 75, parts::PegInsert)
        })
        .world("nut-thread", "put a nut over a bolt (simplified: without its thread)", |c: &GantryConfig| {
            gantry("nut-thread", c, 75, parts::NutThread)
        })
        .world(
            "drawer-store",
            "open a drawer, pick a block, place it inside, close: a chain of four skills",
            |c: &ChainConfig<DrawerStoreSkill>| chain("drawer-store", c, 200, furniture::DrawerStore),
        )
        .world(
            "assemble",
            "pick a peg, align it with a hole, insert it: a chain of three skills",
            |c: &ChainConfig<AssembleSkill>| chain("assemble", c, 120, parts::Assemble),
        );
}
