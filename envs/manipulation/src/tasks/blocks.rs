//! Blocks: lifted (robosuite's Lift, arXiv 2009.12293), stacked and flipped (panda-gym's, arXiv 2106.13687), and a tower of three.
use super::{
    Task, around,
    basic::{block_half, home, spot},
    between,
    script::{self, CLOSE, Grip, Hint, OPEN, flat},
};
use crate::{
    goal::{Aim, Convention, Measure},
    scene::{Scene, colour},
};
use rapier3d::prelude::*;
use rlx::Rng;
use std::f32::consts::FRAC_PI_2;

/// How near a stacked block must be, m: half a block away it would fall.
const STACKED: f32 = 0.02;

/// A block as high as is asked.
pub(crate) struct Lift(pub Convention);

impl Task for Lift {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim { name: "lift", width: 1, measure: Measure::Shortfall, within: 0.005, unit: "m" }]
    }
    fn build(&self, scene: &mut Scene) {
        scene.block("object", block_half(self.0), colour::BLOCK);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let z = block_half(self.0);
        scene.put_tool(home(self.0, false), 0.0);
        scene.put(0, spot(self.0, rng, 0.15, z), Rotation::IDENTITY);
        // robosuite asks for 4 cm above the table.
        desired[0] = z + between(rng, 0.04, 0.3);
    }
    fn hold(&self, _: usize, scene: &mut Scene) {
        scene.put_tool(scene.at(0), block_half(self.0) - 0.001);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out[0] = scene.at(0).z;
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let at = scene.at(0);
        Grip::cube(0, block_half(self.0)).carry(scene, Vector::new(at.x, at.y, desired[0] + 0.02), 0.0)
    }
}

/// Whether a block is where it should be.
fn there(scene: &Scene, thing: usize, goal: Vector) -> bool {
    (scene.at(thing) - goal).length() < 0.012
}

/// Lets go of what the fingers hold and moves off upwards.
fn let_go(scene: &Scene) -> Hint {
    let by = if scene.opening() > 0.03 { Vector::new(0.0, 0.0, 0.04) } else { Vector::ZERO };
    Hint { by, open: OPEN }
}

/// Brings a block to `goal` over what is lower than `high`, and lets go of it there.
fn place(scene: &Scene, thing: usize, half: f32, goal: Vector, high: f32) -> Hint {
    if there(scene, thing, goal) { let_go(scene) } else { Grip::cube(thing, half).carry(scene, goal, high) }
}

/// A free place on the table, `apart` from those that are taken.
fn free(convention: Convention, rng: &mut Rng, taken: &[Vector], z: f32) -> Vector {
    loop {
        let at = spot(convention, rng, 0.15, z);
        if taken.iter().all(|t| flat(at - *t).length() > 0.09) {
            return at;
        }
    }
}

/// One block upon another. The goals are those of both, the lower one first: for Fetch it may stay where it is.
pub(crate) struct Stack(pub Convention);

impl Task for Stack {
    fn aims(&self) -> Vec<Aim> {
        // panda-gym counts .1 m over both positions together.
        let within = if self.0 == Convention::Panda { 0.1 } else { STACKED };
        vec![Aim { name: "stack", width: 6, measure: Measure::Distance, within, unit: "m" }]
    }
    fn build(&self, scene: &mut Scene) {
        scene.block("object1", block_half(self.0), colour::SECOND);
        scene.block("object2", block_half(self.0), colour::BLOCK);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let z = block_half(self.0);
        scene.put_tool(home(self.0, false), 0.0);
        let lower = spot(self.0, rng, 0.15, z);
        scene.put(0, lower, Rotation::IDENTITY);
        let upper = free(self.0, rng, &[lower], z);
        scene.put(1, upper, Rotation::IDENTITY);
        let goal = match self.0 {
            Convention::Fetch => lower,
            // Not where the other block stands.
            Convention::Panda => free(self.0, rng, &[upper], z),
        };
        desired.copy_from_slice(&[goal.x, goal.y, z, goal.x, goal.y, 3.0 * z]);
    }
    fn hold(&self, _: usize, scene: &mut Scene) {
        scene.put_tool(scene.at(1), block_half(self.0) - 0.001);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out[..3].copy_from_slice(&scene.at(0).to_array());
        out[3..].copy_from_slice(&scene.at(1).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let half = block_half(self.0);
        let (lower, upper) = (Vector::from_slice(desired), Vector::from_slice(&desired[3..]));
        let high = 4.0 * half + 0.02;
        let held = Grip::cube(0, half).held(scene);
        let placed = (scene.at(0) - lower).length() < if held { 0.0 } else { 0.02 };
        if !placed {
            return place(scene, 0, half, lower, high);
        }
        let off = scene.tool() - scene.at(0);
        if flat(off).length() < 0.03 && off.z < 0.06 && !Grip::cube(1, half).held(scene) && !there(scene, 1, upper) {
            // Straight up from what was just placed.
            return let_go(scene);
        }
        place(scene, 1, half, upper, high)
    }
}

/// A block onto another face: the goal is an orientation, a quarter turn about a horizontal axis.
pub(crate) struct Flip(pub Convention);

impl Task for Flip {
    fn aims(&self) -> Vec<Aim> {
        // panda-gym's threshold: sin^2 of half the angle that is left.
        vec![Aim { name: "flip", width: 4, measure: Measure::Turn, within: 0.2, unit: "" }]
    }
    fn build(&self, scene: &mut Scene) {
        scene.block("object", block_half(self.0), colour::BLOCK);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let z = block_half(self.0);
        scene.put_tool(home(self.0, false), 0.0);
        scene.put(0, spot(self.0, rng, 0.12, z), Rotation::IDENTITY);
        let axis = [Vector::X, Vector::Y, -Vector::X, -Vector::Y][rng.below(4)];
        let q = Rotation::from_axis_angle(axis, FRAC_PI_2);
        desired.copy_from_slice(&[q.x, q.y, q.z, q.w]);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        let q = scene.pose(0).rotation;
        out.copy_from_slice(&[q.x, q.y, q.z, q.w]);
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let half = block_half(self.0);
        let pose = scene.pose(0);
        let goal = Rotation::from_xyzw(desired[0], desired[1], desired[2], desired[3]);
        let mut left = goal * pose.rotation.inverse();
        if left.w < 0.0 {
            left = -left;
        }
        let turn = left.to_scaled_axis();
        let (tool, at) = (scene.tool(), pose.translation);
        if turn.length() < 0.35 {
            return to_above(scene, tool, 0.15);
        }
        // About an axis w the top goes along w x z: there it is pushed at its upper edge, where it tips before it slides.
        let ahead = flat(turn.cross(Vector::Z)).normalize_or_zero();
        let height = 2.0 * half - 0.003;
        let off = tool - at;
        let (along, across) = (off.dot(ahead), flat(off) - ahead * off.dot(ahead));
        let tilt = (FRAC_PI_2 - turn.length()).max(0.0);
        let low = tool.z < 2.0 * half + 0.01 || tilt > 0.1;
        if low && across.length() < 0.02 && along < 0.0 {
            if tilt < 0.02 && along < -half - 0.012 {
                return script::to(scene, flat(tool + ahead * 0.012 - across * 0.5) + Vector::Z * height, CLOSE);
            }
            // It turns about its far lower edge, and the finger goes along: held at one height it would drag the block.
            let (sin, cos) = tilt.sin_cos();
            let (x, z) = (2.0 * half, height - 0.005);
            let by = ahead * (x * sin + z * cos) + Vector::Z * (x * cos - z * sin);
            return script::to(scene, tool + by * 0.4 - across * 0.5, CLOSE);
        }
        let behind = at - ahead * (half + 0.035);
        if flat(tool - behind).length() < 0.01 {
            return script::to(scene, flat(behind) + Vector::new(0.0, 0.0, height), CLOSE);
        }
        if tool.z < 2.0 * half + 0.03 && flat(off).length() < half + 0.06 {
            return to_above(scene, tool, 2.0 * half + 0.05);
        }
        script::to(scene, flat(behind) + Vector::new(0.0, 0.0, 2.0 * half + 0.05), CLOSE)
    }
    fn grips(&self) -> bool {
        false
    }
}

/// Straight up to a height.
fn to_above(scene: &Scene, tool: Vector, z: f32) -> Hint {
    script::to(scene, flat(tool) + Vector::new(0.0, 0.0, z), CLOSE)
}

/// A tower of three, a chain of two skills: the second block onto the first, the third onto the second. A skill is done when its block is
/// in place, in the hand or not: what follows begins there.
pub(crate) struct Stack3;

const HALF: f32 = 0.025;

impl Task for Stack3 {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("second", STACKED), Aim::position("third", STACKED)]
    }
    fn build(&self, scene: &mut Scene) {
        scene.block("object1", HALF, colour::SECOND);
        scene.block("object2", HALF, colour::BLOCK);
        scene.block("object3", HALF, colour::THIRD);
    }
    fn begin(&self, skill: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let one = spot(Convention::Fetch, rng, 0.15, HALF);
        let two = free(Convention::Fetch, rng, &[one], HALF);
        // The palm is 20 cm wide and passes lower than a tower of two is high.
        let three = loop {
            let at = free(Convention::Fetch, rng, &[one, two], HALF);
            if (at.x - one.x).abs() > 0.075 || (at.y - one.y).abs() > 0.14 {
                break at;
            }
        };
        let (second, third) = (one + Vector::Z * (2.0 * HALF), one + Vector::Z * (4.0 * HALF));
        desired[..3].copy_from_slice(&second.to_array());
        desired[3..].copy_from_slice(&third.to_array());
        if skill == 0 {
            scene.put_tool(home(Convention::Fetch, false), 0.0);
        } else {
            // Where the second skill may find the hand: over the block that it has just let go, the fingers open.
            let aside = Vector::new(around(rng, 0.01), around(rng, 0.01), between(rng, 0.0, 0.1));
            scene.put_tool(second + aside, 0.04);
        }
        scene.put(0, one, Rotation::IDENTITY);
        scene.put(1, if skill == 0 { two } else { second }, Rotation::IDENTITY);
        scene.put(2, three, Rotation::IDENTITY);
    }
    fn hold(&self, skill: usize, scene: &mut Scene) {
        scene.put_tool(scene.at(skill + 1), HALF - 0.001);
    }
    fn achieved(&self, skill: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(skill + 1).to_array());
    }
    fn script(&self, skill: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let before = Grip::cube(1, HALF);
        if skill == 1 && before.held(scene) {
            return let_go(scene);
        }
        if skill == 1 && flat(scene.tool() - scene.at(1)).length() < 0.03 && scene.tool().z < scene.at(1).z + 0.06 {
            // Up and away from what was just placed.
            return let_go(scene);
        }
        place(scene, skill + 1, HALF, Vector::from_slice(desired), (6 + 2 * skill) as f32 * HALF + 0.03)
    }
}
