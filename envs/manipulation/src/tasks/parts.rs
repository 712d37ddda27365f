//! Parts that fit: a peg into a hole, a nut over a bolt (without its thread: it slides on), and a chain that assembles the peg.
use super::{
    Task, around, between,
    script::{self, CLOSE, Grip, Hint, flat},
    upright,
};
use crate::{
    goal::Aim,
    scene::{Scene, colour},
};
use rapier3d::prelude::*;
use rlx::Rng;

/// The peg: half its width and half its length, m.
const PEG: (f32, f32) = (0.012, 0.05);
/// The block with the hole: half the hole's width, half the block's, half its height, m.
const HOLE: (f32, f32, f32) = (0.016, 0.045, 0.025);

fn peg(scene: &mut Scene) {
    scene.loose("peg", ColliderBuilder::cuboid(PEG.0, PEG.0, PEG.1).friction(1.0), 0.08, colour::BLOCK);
    let (inner, outer, high) = HOLE;
    let (wall, middle) = ((outer - inner) / 2.0, (outer + inner) / 2.0);
    for side in [-1.0, 1.0] {
        scene.fixed([side * middle, 0.0, high], [wall, outer, high], colour::FURNITURE);
        scene.fixed([0.0, side * middle, high], [inner, wall, high], colour::FURNITURE);
    }
}

/// Moves the last `n` fixed shapes, as they were built about the origin, to a place on the table.
fn move_last(scene: &mut Scene, n: usize, to: Vector) {
    for i in scene.paint.len() - n..scene.paint.len() {
        let collider = &mut scene.world.colliders[scene.paint[i].collider];
        let at = collider.translation();
        collider.set_translation(at + to);
    }
}

/// Where the peg and the hole are.
fn places(rng: &mut Rng) -> (Vector, Vector) {
    let peg = Vector::new(between(rng, -0.15, -0.05), around(rng, 0.12), PEG.1);
    let hole = Vector::new(between(rng, 0.08, 0.16), around(rng, 0.12), 0.0);
    (peg, hole)
}

fn peg_grip() -> Grip {
    Grip { thing: 0, at: Vector::new(0.0, 0.0, 0.02), half: PEG.0, over: 0.09 }
}

/// Takes a part and puts it down at `goal`, from `high` above the table and only once it is within `fit` of the place.
fn fit(scene: &Scene, grip: Grip, goal: Vector, high: f32, fit: f32) -> Hint {
    if !grip.held(scene) {
        return grip.take(scene);
    }
    let (tool, at) = (scene.tool(), scene.at(grip.thing));
    let (lag, far) = (tool - at, flat(goal - at).length());
    let inside = at.z < high - 0.02 && far < 2.5 * fit;
    let to = match () {
        () if inside || far < fit => goal - Vector::Z * 0.004,
        () if at.z < high - 0.015 => flat(at) + Vector::Z * high,
        () => flat(goal) + Vector::Z * high,
    };
    script::to(scene, to + lag, CLOSE)
}

/// A peg into a hole with 4 mm to spare on every side.
pub(crate) struct PegInsert;

impl Task for PegInsert {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("peg", 0.01)]
    }
    fn build(&self, scene: &mut Scene) {
        peg(scene);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let (peg, hole) = places(rng);
        scene.put_tool(Vector::new(0.0, 0.0, 0.18), 0.0);
        scene.put(0, peg, Rotation::IDENTITY);
        move_last(scene, 4, hole);
        desired.copy_from_slice(&[hole.x, hole.y, PEG.1]);
    }
    fn hold(&self, _: usize, scene: &mut Scene) {
        scene.put_tool(scene.at(0) + peg_grip().at, PEG.0 - 0.001);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        fit(scene, peg_grip(), Vector::from_slice(desired), 0.125, 0.0025)
    }
}

/// Picks the peg, aligns it with the hole, inserts it: a chain of three skills.
pub(crate) struct Assemble;

/// Height of the peg's middle over the hole before it goes in, m.
const ALIGNED: f32 = 0.125;

impl Task for Assemble {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("pick", 0.03), Aim::position("align", 0.01), Aim::position("insert", 0.01)]
    }
    fn build(&self, scene: &mut Scene) {
        peg(scene);
    }
    fn begin(&self, skill: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let (peg, hole) = places(rng);
        let picked = Vector::new(peg.x, peg.y, ALIGNED);
        let aligned = Vector::new(hole.x, hole.y, ALIGNED);
        let inserted = Vector::new(hole.x, hole.y, PEG.1);
        for (d, goal) in desired.chunks_exact_mut(3).zip([picked, aligned, inserted]) {
            d.copy_from_slice(&goal.to_array());
        }
        let at = match skill {
            0 => peg,
            1 => picked + Vector::new(around(rng, 0.015), around(rng, 0.015), around(rng, 0.01)),
            _ => aligned + Vector::new(around(rng, 0.005), around(rng, 0.005), around(rng, 0.005)),
        };
        if skill == 0 {
            scene.put_tool(Vector::new(0.0, 0.0, 0.18), 0.0);
        } else {
            scene.put_tool(at + peg_grip().at, PEG.0 - 0.001);
        }
        scene.put(0, at, Rotation::IDENTITY);
        move_last(scene, 4, hole);
    }
    fn hold(&self, skill: usize, scene: &mut Scene) {
        if skill == 0 {
            scene.put_tool(scene.at(0) + peg_grip().at, PEG.0 - 0.001);
        }
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, skill: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let goal = Vector::from_slice(desired);
        match skill {
            2 => fit(scene, peg_grip(), goal, ALIGNED, 0.0025),
            _ => peg_grip().carry(scene, goal, 0.0),
        }
    }
}

/// The nut, a square ring: half its hole, half its width, half its height, m. The bolt: radius and half its length.
const NUT: (f32, f32, f32) = (0.014, 0.025, 0.012);
const BOLT: (f32, f32) = (0.008, 0.022);

/// A nut over a bolt, 6 mm to spare on every side; simplified: there is no thread, it slides on.
pub(crate) struct NutThread;

impl Task for NutThread {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("nut", 0.01)]
    }
    fn build(&self, scene: &mut Scene) {
        let (inner, outer, high) = NUT;
        let (wall, middle) = ((outer - inner) / 2.0, (outer + inner) / 2.0);
        let mut ring = Vec::new();
        for side in [-1.0, 1.0] {
            let at = |x: f32, y: f32| Pose::from_translation(Vector::new(x, y, 0.0));
            ring.push((at(side * middle, 0.0), SharedShape::cuboid(wall, outer, high)));
            ring.push((at(0.0, side * middle), SharedShape::cuboid(inner, wall, high)));
        }
        scene.loose("nut", ColliderBuilder::compound(ring).friction(1.0), 0.06, colour::METAL);
        scene.fixed([0.0, 0.0, BOLT.1], [BOLT.0, BOLT.0, BOLT.1], colour::FURNITURE);
        // Round, so that the nut finds its way: the box above is replaced by a cylinder of its size.
        let bolt = scene.paint.last().expect("just added").collider;
        let bolt = &mut scene.world.colliders[bolt];
        bolt.set_shape(SharedShape::cylinder(BOLT.1, BOLT.0));
        bolt.set_rotation(upright());
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let nut = Vector::new(between(rng, -0.15, -0.05), around(rng, 0.12), NUT.2);
        let bolt = Vector::new(between(rng, 0.05, 0.15), around(rng, 0.12), 0.0);
        scene.put_tool(Vector::new(0.0, 0.0, 0.15), 0.0);
        scene.put(0, nut, Rotation::IDENTITY);
        move_last(scene, 1, bolt);
        desired.copy_from_slice(&[bolt.x, bolt.y, NUT.2]);
    }
    fn hold(&self, _: usize, scene: &mut Scene) {
        scene.put_tool(scene.at(0), NUT.1 - 0.001);
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let grip = Grip { thing: 0, at: Vector::ZERO, half: NUT.1, over: 0.09 };
        fit(scene, grip, Vector::from_slice(desired), 0.085, 0.004)
    }
}
