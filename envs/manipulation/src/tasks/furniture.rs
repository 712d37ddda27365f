//! A drawer and a door, opened by a handle (after Meta-World's, arXiv 1910.10897), and a chain that puts a block away.
use super::{
    Task, around, between,
    script::{self, CLOSE, Grip, Hint, OPEN, flat},
};
use crate::{
    goal::Aim,
    physics::PARTS,
    scene::{Paint, Scene, Thing, colour},
};
use rapier3d::prelude::*;
use rlx::Rng;

const HALF: f32 = 0.025;
/// The drawer's middle when it is closed, its height, and how far it opens, m.
const CLOSED: f32 = 0.22;
const RAISED: f32 = 0.006;
const TRAVEL: f32 = 0.14;
/// The handle's bar from the drawer's middle, m: the fingers fit between it and the front.
const HANDLE: Vector = Vector::new(-0.115, 0.0, 0.034);
/// Where the tool is, from the bar, when it is hooked in, when it pulls, and when it pushes the front.
const HOOK: f32 = 0.025;
const PULL: f32 = 0.014;
const SHUT: f32 = 0.037;

/// Where the handle is when the drawer is that far open.
fn handle(open: f32) -> Vector {
    Vector::new(CLOSED - open, 0.0, RAISED) + HANDLE
}

/// A part of a body that moves on a joint.
fn part(scene: &mut Scene, body: RigidBodyHandle, at: [f32; 3], half: [f32; 3], kg: f32, colour: [u8; 3]) {
    let shape = ColliderBuilder::cuboid(half[0], half[1], half[2])
        .translation(Vector::from_array(at))
        .mass(kg)
        .friction(0.5)
        .collision_groups(PARTS);
    let collider = scene.world.insert_collider(shape, Some(body));
    scene.paint.push(Paint { collider, colour });
}

/// A body that the engine's gravity leaves to its joint, and that comes to rest when nothing moves it.
fn hung(scene: &mut Scene, at: Vector, damping: f32) -> RigidBodyHandle {
    let body = RigidBodyBuilder::dynamic().translation(at).gravity_scale(0.0).can_sleep(false);
    scene.world.insert_body(body.linear_damping(damping).angular_damping(damping))
}

/// The drawer, its handle the first thing.
fn drawer(scene: &mut Scene) {
    let at = Vector::new(CLOSED, 0.0, RAISED);
    let body = hung(scene, at, 8.0);
    let frame = scene.world.insert_body(RigidBodyBuilder::fixed().translation(at));
    let slide = PrismaticJointBuilder::new(Vector::X).limits([-TRAVEL, 0.0]).contacts_enabled(false);
    scene.world.insert_impulse_joint(frame, body, slide.build());
    part(scene, body, [0.0, 0.0, 0.0], [0.07, 0.07, 0.004], 0.3, colour::PART);
    for side in [-1.0, 1.0] {
        part(scene, body, [side * 0.066, 0.0, 0.03], [0.004, 0.07, 0.03], 0.05, colour::PART);
        part(scene, body, [0.0, side * 0.066, 0.03], [0.07, 0.004, 0.03], 0.05, colour::PART);
        part(scene, body, [-0.093, side * 0.04, 0.034], [0.022, 0.005, 0.005], 0.01, colour::METAL);
    }
    part(scene, body, HANDLE.to_array(), [0.006, 0.045, 0.02], 0.03, colour::METAL);
    scene.things.push(Thing { name: "handle", body, point: HANDLE });
    // The cabinet: a top and a back. Its front is open so far that the palm passes when the fingers hook in.
    scene.fixed([0.24, 0.0, 0.085], [0.07, 0.085, 0.006], colour::FURNITURE);
    scene.fixed([0.316, 0.0, 0.045], [0.006, 0.085, 0.045], colour::FURNITURE);
}

/// Moves the drawer until its handle is at `goal`.
fn slide(scene: &Scene, goal: Vector) -> Hint {
    let (tool, at) = (scene.tool(), scene.at(0));
    let left = goal.x - at.x;
    let off = tool - at;
    let hooked = off.z < 0.02 && (0.008..0.042).contains(&off.x) && off.y.abs() < 0.03;
    if hooked {
        if left.abs() < 0.004 {
            return script::to(scene, tool, CLOSE);
        }
        let x = if left < 0.0 { goal.x + PULL } else { goal.x + SHUT };
        return script::to(scene, Vector::new(x, at.y, at.z - 0.01), CLOSE);
    }
    let above = at + Vector::new(HOOK, 0.0, 0.08);
    if flat(tool - above).length() > 0.008 {
        let z = if tool.z < above.z - 0.02 { above.z } else { tool.z.min(above.z + 0.03) };
        let way = if tool.z < above.z - 0.02 { tool } else { above };
        return script::to(scene, flat(way) + Vector::Z * z, CLOSE);
    }
    if scene.opening() > 0.002 {
        return script::to(scene, above, CLOSE);
    }
    script::to(scene, flat(above) + Vector::Z * (at.z - 0.01), CLOSE)
}

/// A drawer pulled open by its handle.
pub(crate) struct DrawerOpen;

impl Task for DrawerOpen {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("drawer", 0.02)]
    }
    fn build(&self, scene: &mut Scene) {
        drawer(scene);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        scene.put_tool(Vector::new(around(rng, 0.1), around(rng, 0.1), between(rng, 0.12, 0.2)), 0.0);
        desired.copy_from_slice(&handle(between(rng, 0.05, TRAVEL)).to_array());
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        slide(scene, Vector::from_slice(desired))
    }
    fn grips(&self) -> bool {
        false
    }
}

/// Opens the drawer, picks a block, places it inside, closes: a chain of four skills. It has succeeded where the block is in the drawer then.
pub(crate) struct DrawerStore;

/// Over the open drawer, and inside it.
const OVER: Vector = Vector::new(CLOSED - TRAVEL, 0.0, 0.16);
const INSIDE: Vector = Vector::new(CLOSED - TRAVEL, 0.0, RAISED + 0.004 + HALF);

/// From the drawer's middle to its walls and to their upper edge, m.
const WALLS: f32 = 0.062;
const RIM: f32 = 0.06;

impl Task for DrawerStore {
    fn aims(&self) -> Vec<Aim> {
        vec![
            Aim::position("open", 0.02),
            Aim::position("pick", 0.05),
            Aim::position("place", 0.04),
            Aim::position("close", 0.02),
        ]
    }
    fn build(&self, scene: &mut Scene) {
        drawer(scene);
        scene.block("object", HALF, colour::BLOCK);
    }
    fn begin(&self, skill: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        let goals = [handle(TRAVEL), OVER, INSIDE, handle(0.0)];
        desired.chunks_exact_mut(3).zip(goals).for_each(|(d, goal)| d.copy_from_slice(&goal.to_array()));
        let open = Vector::new(CLOSED - TRAVEL, 0.0, RAISED);
        let mut block = Vector::new(between(rng, -0.22, -0.12), around(rng, 0.15), HALF);
        match skill {
            0 => scene.put_tool(Vector::new(around(rng, 0.05), around(rng, 0.1), between(rng, 0.12, 0.2)), 0.0),
            1 => scene.put_tool(handle(TRAVEL) + Vector::new(HOOK, 0.0, between(rng, 0.0, 0.1)), 0.0),
            2 => {
                block = OVER + Vector::new(around(rng, 0.02), around(rng, 0.02), around(rng, 0.02));
                // A little narrower than the block: the springs hold it from the first step on.
                scene.put_tool(block, HALF - 0.001);
            }
            _ => {
                block = INSIDE + Vector::new(around(rng, 0.025), around(rng, 0.025), 0.0);
                scene.put_tool(block + Vector::Z * between(rng, 0.05, 0.12), 0.04);
            }
        }
        if skill > 0 {
            scene.put(0, open, Rotation::IDENTITY);
        }
        scene.put(1, block, Rotation::IDENTITY);
    }
    fn hold(&self, skill: usize, scene: &mut Scene) {
        match skill {
            0 => scene.put_tool(scene.at(0) + Vector::new(HOOK, 0.0, -0.01), 0.0),
            1 => scene.put_tool(scene.at(1), HALF - 0.001),
            3 => scene.put_tool(scene.at(0) + Vector::new(SHUT + 0.005, 0.0, 0.03), 0.0),
            _ => {}
        }
    }
    fn kept(&self, scene: &Scene) -> bool {
        let off = scene.at(1) - (scene.at(0) - HANDLE);
        off.x.abs().max(off.y.abs()) < WALLS && (0.0..RIM).contains(&off.z)
    }
    fn achieved(&self, skill: usize, scene: &Scene, out: &mut [f32]) {
        let thing = usize::from(skill == 1 || skill == 2);
        out.copy_from_slice(&scene.at(thing).to_array());
    }
    fn script(&self, skill: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let goal = Vector::from_slice(desired);
        let (tool, grip) = (scene.tool(), Grip::cube(1, HALF));
        let held = grip.held(scene);
        let up = |open: f32| script::to(scene, flat(tool) + Vector::Z * 0.14, open);
        match skill {
            1 if !held && tool.z < 0.1 && flat(tool - scene.at(0)).length() < 0.06 => up(CLOSE),
            1 | 2 => grip.carry(scene, goal, if skill == 1 { 0.16 } else { 0.0 }),
            3 if held || (tool.z < 0.1 && flat(tool - scene.at(1)).length() < 0.04) => {
                if scene.opening() > 0.03 {
                    up(OPEN)
                } else {
                    script::to(scene, tool, OPEN)
                }
            }
            _ => slide(scene, goal),
        }
    }
}

/// A door's hinge, and its handle and where the tool hooks in, from there, m, when it is closed.
const HINGE: Vector = Vector::new(0.2, 0.12, 0.0);
const KNOB: Vector = Vector::new(-0.05, -0.17, 0.09);
const BEHIND: Vector = Vector::new(-0.027, -0.17, 0.1);

fn turned(v: Vector, angle: f32) -> Vector {
    HINGE + Rotation::from_axis_angle(Vector::Z, angle) * v
}

/// A door pulled open by its handle.
pub(crate) struct DoorOpen;

impl Task for DoorOpen {
    fn aims(&self) -> Vec<Aim> {
        vec![Aim::position("door", 0.03)]
    }
    fn build(&self, scene: &mut Scene) {
        let body = hung(scene, HINGE, 4.0);
        let frame = scene.world.insert_body(RigidBodyBuilder::fixed().translation(HINGE));
        let hinge = RevoluteJointBuilder::new(Vector::Z).limits([-1.3, 0.0]).contacts_enabled(false);
        scene.world.insert_impulse_joint(frame, body, hinge.build());
        part(scene, body, [0.0, -0.1, 0.07], [0.008, 0.1, 0.06], 0.4, colour::PART);
        part(scene, body, KNOB.to_array(), [0.007, 0.007, 0.03], 0.03, colour::METAL);
        part(scene, body, [-0.027, -0.17, 0.055], [0.025, 0.006, 0.006], 0.01, colour::METAL);
        scene.things.push(Thing { name: "handle", body, point: KNOB });
        scene.fixed([0.215, 0.14, 0.07], [0.02, 0.012, 0.07], colour::FURNITURE);
    }
    fn begin(&self, _: usize, scene: &mut Scene, rng: &mut Rng, desired: &mut [f32]) {
        scene.put_tool(Vector::new(around(rng, 0.1) - 0.05, around(rng, 0.1), between(rng, 0.17, 0.25)), 0.0);
        desired.copy_from_slice(&turned(KNOB, -between(rng, 0.3, 0.8)).to_array());
    }
    fn achieved(&self, _: usize, scene: &Scene, out: &mut [f32]) {
        out.copy_from_slice(&scene.at(0).to_array());
    }
    fn script(&self, _: usize, scene: &Scene, desired: &[f32]) -> Hint {
        let of = |v: Vector| (v - HINGE).y.atan2((v - HINGE).x);
        let closed = KNOB.y.atan2(KNOB.x);
        let (tool, now, goal) = (scene.tool(), of(scene.at(0)) - closed, of(Vector::from_slice(desired)) - closed);
        let hook = turned(BEHIND, now);
        let off = flat(tool - hook).length();
        if tool.z < 0.12 && off < 0.03 {
            if (now - goal).abs() < 0.04 {
                return script::to(scene, tool, CLOSE);
            }
            // A little ahead of where the door is, and so far behind its bar that it pulls.
            let next = turned(BEHIND, (now - 0.16).max(goal - 0.08));
            return script::to(scene, next, CLOSE);
        }
        if off > 0.006 {
            let z = if tool.z < 0.15 && off < 0.1 { tool } else { hook };
            return script::to(scene, flat(z) + Vector::Z * 0.17, CLOSE);
        }
        script::to(scene, hook, CLOSE)
    }
    fn grips(&self) -> bool {
        false
    }
}
