//! Robots: a hand with two fingers on an arm that is one multibody, driven by springs with a force limit.
//!
//! A robot differs from another in its arm only: which joints, how stiff, and which joint positions put the tool where it should be.
mod gantry;
mod panda;

pub(crate) use gantry::Gantry;
pub(crate) use panda::Panda;

use crate::{
    physics::{CONTROL_S, ROBOT, Settings},
    solid::Part,
};
use rapier3d::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f32::consts::PI;

/// Which robot works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RobotKind {
    /// A two-finger hand on a frictionless gantry with three linear axes: four times as fast as an arm.
    #[default]
    Gantry,
    /// A Franka Panda: seven revolute joints, inverse kinematics, the same hand.
    Panda,
}

/// Most joints an arm may have.
pub(crate) const ARM: usize = 7;

/// A joint of an arm and the spring that drives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drive {
    /// Number of the multibody's link.
    pub link: usize,
    /// The joint's axis: 0 to 2 linear, 3 to 5 angular.
    pub axis: usize,
    /// N/m or N m/rad.
    pub stiffness: f32,
    /// N s/m or N m s/rad.
    pub damping: f32,
    /// Most force, N or N m.
    pub force: f32,
    /// Added inertia of the motor, kg or kg m^2.
    pub armature: f32,
}

/// What the robot was told last, and what it makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Where the tool should be, which is between the fingertips and points down: m, above the table's middle.
    pub target: Vector,
    /// How far each finger is from the middle, m.
    pub opening: f32,
    /// Positions of the arm's joints.
    pub joints: [f32; ARM],
}

/// The arm that carries the hand.
pub(crate) trait Robot: Send {
    /// Inserts the arm; what it returns is its last link and where the hand sits on it.
    fn build(&self, world: &mut PhysicsWorld) -> (RigidBodyHandle, Pose);
    /// Its joints, in the order of the multibody's degrees of freedom.
    fn drives(&self) -> &[Drive];
    /// Joint positions that put the tool at the target; `joints` are those of the last command.
    fn solve(&self, target: Vector, joints: &mut [f32; ARM]);
    /// Joint positions to begin to solve from.
    fn posture(&self) -> [f32; ARM] {
        [0.0; ARM]
    }
    /// How far the target may lead the tool, m: what limits the force on what is in the way.
    fn leash(&self) -> f32;
    /// What of it is drawn beside its hand.
    fn parts(&self) -> Vec<Part>;
    /// Settings of the engine that it needs.
    fn settings(&self, fine: bool) -> Settings;
}

/// From the hand's origin to the fingers' rails and to the tool, m, along the hand's z axis.
const RAIL: f32 = 0.0584;
pub(crate) const TOOL: f32 = 0.1034;
/// Farthest that a finger is from the middle, m.
pub(crate) const OPEN: f32 = 0.04;
const FINGER_STIFFNESS: f32 = 2000.0;
const FINGER_DAMPING: f32 = 40.0;
const GRIP_N: f32 = 15.0;
/// Half sizes of a finger, m; its inner face lies on its rail's coordinate.
pub(crate) const FINGER: [f32; 3] = [0.01, 0.007, 0.027];
pub(crate) const PALM: [f32; 3] = [0.03, 0.1, 0.03];
/// The palm's middle in the hand's frame, m.
pub(crate) const PALM_Z: f32 = 0.025;

/// A link that the engine's gravity and sleep leave alone: motors hold the arm up.
fn link() -> RigidBodyBuilder {
    RigidBodyBuilder::dynamic().gravity_scale(0.0).can_sleep(false)
}

fn mass(at: Vector, kg: f32, inertia: f32) -> MassProperties {
    MassProperties::new(at, kg, Vector::splat(inertia))
}

/// The rotation that takes a joint's x axis, its own, to `to`.
fn along(to: Vector) -> Rotation {
    Rotation::from_rotation_arc(Vector::X, to)
}

/// A robot in a world: its bodies and how to move them.
pub(crate) struct Machine {
    robot: Box<dyn Robot>,
    pub hand: RigidBodyHandle,
    /// The tool in the hand's body.
    tool: Pose,
    pub frame: Pose,
    joint: MultibodyJointHandle,
}

impl Machine {
    /// Builds the robot.
    pub fn build(robot: Box<dyn Robot>, world: &mut PhysicsWorld) -> Self {
        let (hand, frame) = robot.build(world);
        let palm = ColliderBuilder::cuboid(PALM[0], PALM[1], PALM[2])
            .position(frame * Pose::from_translation(Vector::new(0.0, 0.0, PALM_Z)))
            .density(0.0)
            .collision_groups(ROBOT);
        world.insert_collider(palm, Some(hand));
        let rail = frame * Pose::from_translation(Vector::new(0.0, 0.0, RAIL));
        let mut joint = None;
        for side in [1.0, -1.0] {
            let start = *world.bodies[hand].position() * rail;
            let weight = mass(Vector::new(0.0, side * 0.008, 0.03), 0.03, 6.0e-5);
            let body = world.insert_body(link().pose(start).additional_mass_properties(weight));
            let pad = ColliderBuilder::cuboid(FINGER[0], FINGER[1], FINGER[2])
                .translation(Vector::new(0.0, side * FINGER[1], FINGER[2]))
                .density(0.0)
                .friction(1.0)
                .collision_groups(ROBOT);
            world.insert_collider(pad, Some(body));
            let turn = along(Vector::new(0.0, side, 0.0));
            let slide = GenericJointBuilder::new(JointAxesMask::LOCKED_PRISMATIC_AXES)
                .local_frame1(Pose::from_parts(rail.translation, rail.rotation * turn))
                .local_frame2(Pose::from_rotation(turn))
                .limits(JointAxis::LinX, [-0.0005, OPEN + 0.0005])
                .contacts_enabled(false)
                .build();
            joint = world.insert_multibody_joint(hand, body, slide);
        }
        let tool = frame * Pose::from_translation(Vector::new(0.0, 0.0, TOOL));
        let mut machine = Self { robot, hand, tool, frame, joint: joint.expect("a new link has no other parent") };
        machine.tune(world);
        machine
    }

    /// Damping and armature. The first pass of kinematics fixes the root: until then it counts as a free joint of six degrees.
    fn tune(&mut self, world: &mut PhysicsWorld) {
        let drives = self.robot.drives().to_vec();
        let (mb, _) = world.multibody_joints.get_mut(self.joint).expect("the joint was inserted");
        mb.forward_kinematics(&world.bodies, true);
        mb.set_self_contacts_enabled(false);
        for (i, drive) in drives.iter().enumerate() {
            mb.damping_mut()[i] = drive.damping;
            mb.armature_mut()[i] = drive.armature;
        }
        for i in drives.len()..drives.len() + 2 {
            mb.damping_mut()[i] = FINGER_DAMPING;
            mb.armature_mut()[i] = 0.1;
        }
    }

    /// The command that holds the tool at a target.
    pub fn command(&self, target: Vector, opening: f32) -> Command {
        let mut joints = self.robot.posture();
        // From the posture it is far: more passes than a step of the tool takes.
        for _ in 0..10 {
            self.robot.solve(target, &mut joints);
        }
        Command { target, opening, joints }
    }

    /// Puts the robot into the state that `command` asks for. The world has not been stepped since it was as it was built: at rest.
    pub fn place(&self, world: &mut PhysicsWorld, command: &Command) {
        let drives = self.robot.drives();
        let n = drives.len();
        let mut by = [0.0; ARM + 2];
        let (mb, _) = world.multibody_joints.get_mut(self.joint).expect("the joint was inserted");
        let now = |link: usize, axis: usize| mb.link(link).map_or(0.0, |l| l.joint.coords()[axis]);
        for (i, drive) in drives.iter().enumerate() {
            by[i] = command.joints[i] - now(drive.link, drive.axis);
        }
        let last = mb.num_links() - 2;
        for k in 0..2 {
            by[n + k] = command.opening - now(last + k, 0);
        }
        mb.apply_displacements(&by[..n + 2]);
        mb.forward_kinematics(&world.bodies, false);
        mb.update_rigid_bodies(&mut world.bodies, true);
    }

    /// The next command: the tool moves by `by` (m, rad), no faster and nowhere else than `bounds` say and no farther ahead of
    /// the tool than its leash; the fingers open by `open`.
    pub fn advance(&self, bodies: &RigidBodySet, from: &Command, by: Vector, open: f32, bounds: &Bounds) -> Command {
        let step = by.clamp_length_max(bounds.step);
        let tool = self.tool(bodies).translation;
        let ahead = (from.target + step - tool).clamp_length_max(self.robot.leash());
        let target = (tool + ahead).clamp(bounds.low, bounds.high);
        let mut joints = from.joints;
        self.robot.solve(target, &mut joints);
        Command { target, opening: (from.opening + open).clamp(0.0, OPEN), joints }
    }

    /// Sets the springs for the physics step that ends `done` of the way from one command to the next. A spring that would pull
    /// harder than its joint may is let rest nearer: its force is then the limit.
    pub fn drive(&self, world: &mut PhysicsWorld, from: &Command, to: &Command, done: f32) {
        let drives = self.robot.drives();
        let (mb, _) = world.multibody_joints.get_mut(self.joint).expect("the joint was inserted");
        let n = drives.len();
        let mut speed = [0.0; ARM + 2];
        for (s, v) in speed.iter_mut().zip(mb.generalized_velocity().iter()) {
            *s = *v;
        }
        for (i, drive) in drives.iter().enumerate() {
            let Some(link) = mb.link_mut(drive.link) else { continue };
            let q = link.joint.coords()[drive.axis];
            let ramp = ramp(from.joints[i], to.joints[i], done);
            let rest = rest(ramp, (q, speed[i]), (drive.stiffness, drive.damping, drive.force));
            link.joint.set_spring(drive.axis, drive.stiffness, rest);
        }
        // One rest for both fingers, limited about their mean: two that are limited each for itself drift sideways.
        let last = mb.num_links() - 2;
        let q = [0, 1].map(|k| mb.link(last + k).map_or(0.0, |l| l.joint.coords()[0]));
        let mean = (0.5 * (q[0] + q[1]), 0.5 * (speed[n] + speed[n + 1]));
        let rest = rest(ramp(from.opening, to.opening, done), mean, (FINGER_STIFFNESS, FINGER_DAMPING, GRIP_N));
        for k in 0..2 {
            if let Some(link) = mb.link_mut(last + k) {
                link.joint.set_spring(0, FINGER_STIFFNESS, rest);
            }
        }
    }

    /// What of the arm is drawn.
    pub fn parts(&self) -> Vec<Part> {
        self.robot.parts()
    }

    /// The body of a link.
    pub fn link(&self, world: &PhysicsWorld, number: usize) -> Option<RigidBodyHandle> {
        Some(world.multibody_joints.get(self.joint)?.0.link(number)?.rigid_body_handle())
    }

    /// The bodies of the fingers, which are the last links.
    pub fn finger_bodies(&self, world: &PhysicsWorld) -> Vec<RigidBodyHandle> {
        let links = world.multibody_joints.get(self.joint).map_or(0, |(mb, _)| mb.num_links());
        (links.saturating_sub(2)..links).filter_map(|number| self.link(world, number)).collect()
    }

    /// The tool's pose: between the fingertips.
    pub fn tool(&self, bodies: &RigidBodySet) -> Pose {
        *bodies[self.hand].position() * self.tool
    }

    /// The tool's velocity, m/s.
    pub fn velocity(&self, bodies: &RigidBodySet) -> Vector {
        let hand = &bodies[self.hand];
        hand.velocity_at_point(self.tool(bodies).translation)
    }

    /// How far each finger is from the middle, m, and its speed, m/s.
    pub fn fingers(&self, world: &PhysicsWorld) -> ([f32; 2], [f32; 2]) {
        let Some((mb, _)) = world.multibody_joints.get(self.joint) else { return ([0.0; 2], [0.0; 2]) };
        let (last, n) = (mb.num_links() - 2, self.robot.drives().len());
        let v = mb.generalized_velocity();
        ([0, 1].map(|k| mb.link(last + k).map_or(0.0, |l| l.joint.coords()[0])), [v[n], v[n + 1]])
    }
}

/// Where the tool may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Lowest corner, m.
    pub low: Vector,
    /// Highest corner, m.
    pub high: Vector,
    /// Farthest in one control step, m.
    pub step: f32,
}

/// The desired position and speed after `done` of the way.
fn ramp(from: f32, to: f32, done: f32) -> (f32, f32) {
    (from + (to - from) * done, (to - from) / CONTROL_S)
}

/// Where a spring (stiffness, damping, limit) rests that follows `desired` from `now` (both position and speed).
fn rest(desired: (f32, f32), now: (f32, f32), (k, d, limit): (f32, f32, f32)) -> f32 {
    let middle = now.0 + d * now.1 / k;
    // Not clamp, which panics where a coordinate is not finite: the step is then refused.
    (desired.0 + d / k * desired.1).max(middle - limit / k).min(middle + limit / k)
}

/// The hand pointing down.
fn down() -> Rotation {
    Rotation::from_axis_angle(Vector::X, PI)
}
