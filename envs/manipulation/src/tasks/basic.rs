//! Fetch's four tasks (Plappert et al., arXiv 1802.09464), and panda-gym's of the same names (Gallouedec et al., arXiv 2106.13687).
use super::{
    BOUNDS, Task, around, between,
    script::{self, CLOSE, Grip, Hint, flat},
    upright,
};
use crate::{
    goal::{Aim, Convention},
    robot::Bounds,
    scene::{Scene, colour},
};
use rapier3d::prelude::*;
use rlx::Rng;

/// How near counts, m.
pub(crate) const NEAR: f32 = 0.05;

/// Half the block's edge, m.
pub(crate) fn block_half(convention: Convention) -> f32 {
    match convention {
        Convention::Fetch => 0.025,
        Convention::Panda => 0.02,
    }
}

/// Where the tool begins: Fetch's low where it pushes, panda-gym's always in the middle.
pub(crate) fn home(convention: Convention, pushes: bool) -> Vector {
    match (convention, pushes) {
        (Convention::Fetch, true) => Vector::new(0.0, 0.0, 0.04),
        (Convention::Fetch, false) => Vector::new(0.0, 0.0, 0.13),
        (Convention::Panda, _) => Vector::new(0.04, 0.0, 0.2),
    }
}

/// A place on the table within `half` of the middle, and for Fetch not under the tool, which begins there.
pub(crate) fn spot(convention: Convention, rng: &mut Rng, half: f32, z: f32) -> Vector {
    loop {
        let at = Vector::new(around(rng, half), around(rng, half), z);
        if convention == Convention::Panda || flat(at).length() >= 0.1 {
            return at;
        }
    }
}

/// The tool to a place in the air.
pub(crate) struct Reach(pub Convention);

impl Task for Reach {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("reach", NEAR)]
    }
    fn build(&self, _: &mut Scene) {}
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let home = home(self.0, false);
        scene.put_tool(home, 0.0);
        let goal = match self.0 {
            // Fetch's goals may lie a little below the table; none is farther from the tool's lowest place than counts as near.
            Convention::Fetch => home + Vector::new(around(rng, 0.15), around(rng, 0.15), around(rng, 0.15)),
            Convention::Panda => Vector::new(around(rng, 0.15), around(rng, 0.15), between(rng, 0.0, 0.3)),
        };
        desired.copy_from_slice(&goal.to_array());
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.tool().to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        script::to(scene, Vector::from_slice(desired), CLOSE)
    }
    fn grips(&self) -> bool {
        false
    }
}

/// A block over the table to a place, with closed fingers.
pub(crate) struct Push(pub Convention);

impl Task for Push {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("push", NEAR)]
    }
    fn build(&self, scene: &mut Scene) {
        scene.block("object", block_half(self.0), colour::BLOCK);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let z = block_half(self.0);
        scene.put_tool(home(self.0, true), 0.0);
        scene.put(0, spot(self.0, rng, 0.15, z), Rotation::IDENTITY);
        desired.copy_from_slice(&[around(rng, 0.15), around(rng, 0.15), z]);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        script::push(scene, 0, Vector::from_slice(desired), block_half(self.0))
    }
    fn grips(&self) -> bool {
        false
    }
}

/// A puck to a place ahead, beyond the tool's reach where it is more than .3 m from the middle: struck, it slides there.
pub(crate) struct Slide(pub Convention);

/// The puck: half its height and its radius, m.
const PUCK: (f32, f32) = (0.02, 0.03);
/// Friction of puck and table.
const SLIPPERY: f32 = 0.1;
/// What slows the puck, m/s^2: the engine's friction is 3 % short of Coulomb's.
const SLOWDOWN: f32 = 0.97 * SLIPPERY * 9.81;
/// The tool begins this far back.
const BACK: f32 = -0.15;

impl Task for Slide {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("slide", NEAR)]
    }
    fn build(&self, scene: &mut Scene) {
        let puck = ColliderBuilder::cylinder(PUCK.0, PUCK.1)
            .rotation(upright().to_scaled_axis())
            .friction(SLIPPERY)
            .friction_combine_rule(CoefficientCombineRule::Min);
        scene.loose("object", puck, 0.1, colour::BLOCK);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let tool = Vector::new(BACK, 0.0, 0.04);
        scene.put_tool(tool, 0.0);
        // Ahead of the tool and not on it.
        let (near, wide) = match self.0 {
            Convention::Fetch => (0.1, 0.3),
            Convention::Panda => (0.15, 0.15),
        };
        let puck = loop {
            let at = Vector::new(BACK + 0.12 + around(rng, near), around(rng, near), PUCK.0);
            if flat(at - tool).length() >= PUCK.1 + 0.03 {
                break at;
            }
        };
        scene.put(0, puck, Rotation::IDENTITY);
        let goal = [BACK + 0.4 + around(rng, wide), around(rng, wide), PUCK.0];
        desired.copy_from_slice(&goal);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        script::strike(scene, 0, Vector::from_slice(desired), PUCK.1, SLOWDOWN)
    }
    fn grips(&self) -> bool {
        false
    }
    fn bounds(&self) -> Bounds {
        // 1.25 m/s, the whole of the largest action: .7 m away takes a puck 1.2 m/s.
        Bounds { step: 0.05, ..BOUNDS }
    }
}

/// A block to a place on the table or in the air.
pub(crate) struct PickPlace(pub Convention);

impl Task for PickPlace {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("pick-place", NEAR)]
    }
    fn build(&self, scene: &mut Scene) {
        scene.block("object", block_half(self.0), colour::BLOCK);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let z = block_half(self.0);
        scene.put_tool(home(self.0, false), 0.0);
        scene.put(0, spot(self.0, rng, 0.15, z), Rotation::IDENTITY);
        // Half of Fetch's goals are in the air, 70 % of panda-gym's.
        let (share, high) = match self.0 {
            Convention::Fetch => (0.5, 0.45),
            Convention::Panda => (0.7, 0.2),
        };
        let goal = [around(rng, 0.15), around(rng, 0.15)];
        let air = if rng.unit() < share { between(rng, 0.0, high) } else { 0.0 };
        desired.copy_from_slice(&[goal[0], goal[1], z + air]);
    }
    fn hold(&self, _: usize, scene: &mut Scene) {
        // A little narrower than the block: the springs hold it from the first step on.
        scene.put_tool(scene.at(0), block_half(self.0) - 0.001);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        Grip::cube(0, block_half(self.0)).carry(scene, Vector::from_slice(desired), 0.0)
    }
}
