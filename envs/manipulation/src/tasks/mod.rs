//! Tasks: what stands on the table, where an episode begins, what its goals are, and who can do it.
pub(crate) mod basic;
pub(crate) mod blocks;
pub(crate) mod furniture;
pub(crate) mod parts;
pub(crate) mod script;

use crate::{goal::Aim, robot::Bounds, scene::Scene};
use rapier3d::prelude::*;
use rlx::Rng;
use script::Hint;
use std::f32::consts::PI;

/// A task: one goal, or a chain of skills with a goal each.
pub(crate) trait Task: Send {
    /// Its goals, one for each skill.
    fn aims(&self) -> Vec<Aim>;
    /// Builds what stands on the table.
    fn build(&self, scene: &mut Scene);
    /// Places everything where skill `skill` begins and draws the goals of all skills into `desired`, one after another.
    fn begin(&self, skill: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]);
    /// Puts the hand where skill `skill` takes hold of what it moves, where it has yet to.
    fn hold(&self, _skill: usize, _scene: &mut Scene) {}
    /// Writes what skill `skill` has achieved.
    fn achieved(&self, skill: usize, scene: &Scene, out: &mut [f32]);
    /// What the scripted policy does for skill `skill`, whose goal is `desired`.
    fn script(&self, skill: usize, scene: &Scene, desired: &[f32]) -> Hint;
    /// Whether the fingers obey; they stay closed otherwise.
    fn grips(&self) -> bool {
        true
    }
    /// Where the tool may go.
    fn bounds(&self) -> Bounds {
        BOUNDS
    }
    /// Whether what the chain did before its last skill still stands, which its success asks for besides.
    fn kept(&self, _scene: &Scene) -> bool {
        true
    }
}

/// The workspace. Below .012 m a finger would press on the table; .8 m/s keeps what it hits slow.
pub(crate) const BOUNDS: Bounds =
    Bounds { low: Vector::new(-0.3, -0.3, 0.012), high: Vector::new(0.3, 0.3, 0.5), step: 0.032 };

/// A number within `half` of 0.
pub(crate) fn around(rng: &mut Rng, half: f32) -> f32 {
    rng.uniform(-f64::from(half), f64::from(half)) as f32
}

/// A number from `low` to `high`.
pub(crate) fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    rng.uniform(f64::from(low), f64::from(high)) as f32
}

/// The rotation that lays a cylinder's axis, its own y, upright.
pub(crate) fn upright() -> Rotation {
    Rotation::from_axis_angle(Vector::X, PI / 2.0)
}
