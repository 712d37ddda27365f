//! A Franka Panda: seven revolute joints with the real arm's origins and masses, and the same hand.
use super::{ARM, Drive, Robot, TOOL, along, down, link, mass};
use crate::{
    physics::{ROBOT, Settings},
    solid::{Part, capsule},
};
use rapier3d::prelude::*;
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

/// The base stands here, as in panda-gym.
pub(crate) const BASE: Vector = Vector::new(-0.6, 0.0, 0.0);
/// From the last joint to the hand, m.
const FLANGE: f32 = 0.107;
/// A posture with the hand down over the table.
const POSTURE: [f32; ARM] = [0.0, 0.41, 0.0, -1.85, 0.0, 2.26, 0.79];
/// Origin of each joint in the frame of the one before (m) and its turn about x (rad): the published Denavit-Hartenberg parameters.
const ORIGINS: [([f32; 3], f32); ARM] = [
    ([0.0, 0.0, 0.333], 0.0),
    ([0.0, 0.0, 0.0], -FRAC_PI_2),
    ([0.0, -0.316, 0.0], FRAC_PI_2),
    ([0.0825, 0.0, 0.0], FRAC_PI_2),
    ([-0.0825, 0.384, 0.0], -FRAC_PI_2),
    ([0.0, 0.0, 0.0], FRAC_PI_2),
    ([0.088, 0.0, 0.0], FRAC_PI_2),
];
/// Mass (kg), its centre (m) and inertia (kg m^2) of each link; the last one carries the hand.
const LINKS: [(f32, [f32; 3], f32); ARM] = [
    (4.97, [0.004, 0.002, -0.048], 0.02),
    (0.65, [-0.003, -0.029, 0.0035], 0.01),
    (3.23, [0.0275, 0.039, -0.0665], 0.025),
    (3.59, [-0.053, 0.104, 0.027], 0.03),
    (1.23, [-0.012, 0.041, -0.038], 0.02),
    (1.67, [0.06, -0.014, -0.0105], 0.005),
    (1.465, [0.0, 0.0, 0.11], 0.004),
];
/// Capsules of the links: ends and radius, m. The first three never come near the table.
pub(crate) const CAPSULES: [([f32; 3], [f32; 3], f32); ARM] = [
    ([0.0, 0.0, -0.19], [0.0, 0.0, 0.0], 0.06),
    ([0.0, -0.12, 0.0], [0.0, 0.0, 0.0], 0.06),
    ([0.0, 0.0, -0.15], [0.06, 0.04, 0.0], 0.06),
    ([0.0, 0.0, 0.0], [-0.08, 0.1, 0.0], 0.06),
    ([0.0, 0.03, -0.22], [0.0, 0.05, 0.0], 0.05),
    ([0.0, 0.0, 0.0], [0.088, 0.0, 0.0], 0.05),
    ([0.0, 0.0, 0.03], [0.0, 0.0, 0.09], 0.04),
];
/// A third of the stiffness and damping of the real arm's position controller, twice its force: softer on what it presses.
const STIFFNESS: [f32; ARM] = [1350.0, 1350.0, 1050.0, 1050.0, 600.0, 600.0, 600.0];
const DAMPING: [f32; ARM] = [90.0, 90.0, 66.0, 66.0, 30.0, 30.0, 24.0];
const FORCE: [f32; ARM] = [174.0, 174.0, 174.0, 174.0, 24.0, 24.0, 24.0];

/// The arm.
pub(crate) struct Panda {
    drives: [Drive; ARM],
}

fn origin(i: usize) -> Pose {
    let (at, turn) = ORIGINS[i];
    Pose::from_parts(Vector::from_array(at), Rotation::from_axis_angle(Vector::X, turn))
}

impl Panda {
    pub fn new() -> Self {
        let drive = |i: usize| Drive {
            link: i + 1,
            axis: 3,
            stiffness: STIFFNESS[i],
            damping: DAMPING[i],
            force: FORCE[i],
            armature: 0.1,
        };
        Self { drives: std::array::from_fn(drive) }
    }
}

impl Robot for Panda {
    fn build(&self, world: &mut PhysicsWorld) -> (RigidBodyHandle, Pose) {
        let mut parent = world.insert_body(RigidBodyBuilder::fixed().translation(BASE));
        let mut pose = Pose::from_translation(BASE);
        let turn = along(Vector::Z);
        for i in 0..ARM {
            let at = origin(i);
            pose *= at;
            let (kg, centre, inertia) = LINKS[i];
            let body = link().pose(pose).additional_mass_properties(mass(Vector::from_array(centre), kg, inertia));
            let body = world.insert_body(body);
            if i >= 3 {
                let (a, b, radius) = CAPSULES[i];
                let shape =
                    ColliderBuilder::capsule_from_endpoints(Vector::from_array(a), Vector::from_array(b), radius)
                        .density(0.0)
                        .collision_groups(ROBOT);
                world.insert_collider(shape, Some(body));
            }
            let joint = GenericJointBuilder::new(JointAxesMask::LOCKED_REVOLUTE_AXES)
                .local_frame1(Pose::from_parts(at.translation, at.rotation * turn))
                .local_frame2(Pose::from_rotation(turn))
                .contacts_enabled(false)
                .build();
            world.insert_multibody_joint(parent, body, joint);
            parent = body;
        }
        let frame = Pose::from_parts(Vector::new(0.0, 0.0, FLANGE), Rotation::from_axis_angle(Vector::Z, -FRAC_PI_4));
        (parent, frame)
    }
    fn drives(&self) -> &[Drive] {
        &self.drives
    }
    fn posture(&self) -> [f32; ARM] {
        POSTURE
    }
    fn leash(&self) -> f32 {
        0.03
    }
    fn parts(&self) -> Vec<Part> {
        // A pedestal beside the table, and the arm's foot on it.
        let block = |z: f32, half: [f32; 3]| Part {
            link: 0,
            shape: rlx::Shape::Box(half),
            at: Pose::from_translation(Vector::new(-0.03, 0.0, z)),
        };
        let mut parts = vec![block(-0.2, [0.12, 0.12, 0.2]), block(0.03, [0.1, 0.09, 0.03])];
        for (i, (a, b, radius)) in CAPSULES.iter().enumerate() {
            let (shape, at) = capsule(Vector::from_array(*a), Vector::from_array(*b), *radius);
            parts.push(Part { link: i + 1, shape, at });
        }
        parts
    }
    fn settings(&self, fine: bool) -> Settings {
        let (iterations, passes) = if fine { (4, 8) } else { (2, 5) };
        Settings { substeps: 10, iterations, passes, contact_hz: 125.0, friction_in_bias_pass: true }
    }

    /// Damped least squares (Wampler 1986, Nakamura and Hanafusa 1986) with a pull to the posture in the null space: without it the
    /// elbow drifts away over an episode.
    fn solve(&self, target: Vector, joints: &mut [f32; ARM]) {
        let wanted = Pose::from_parts(target, down());
        for _ in 0..10 {
            let (tool, jacobian) = kinematics(joints);
            let linear = wanted.translation - tool.translation;
            let turn = wanted.rotation * tool.rotation.inverse();
            let angular = if turn.w < 0.0 { -turn } else { turn }.to_scaled_axis();
            if linear.length() + 0.1 * angular.length() < 2.0e-5 {
                break;
            }
            let error = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z];
            let damped = Cholesky::of(&jacobian);
            let pull: [f32; ARM] = std::array::from_fn(|k| 0.1 * (POSTURE[k] - joints[k]));
            let moved: [f32; 6] = std::array::from_fn(|r| (0..ARM).map(|k| jacobian[k][r] * pull[k]).sum());
            let (y, z) = (damped.solve(error), damped.solve(moved));
            for k in 0..ARM {
                let step: f32 = (0..6).map(|r| jacobian[k][r] * (y[r] - z[r])).sum();
                joints[k] += (pull[k] + step).clamp(-0.3, 0.3);
            }
        }
    }
}

/// The tool's pose and its geometric Jacobian, one column (linear, angular) per joint.
fn kinematics(joints: &[f32; ARM]) -> (Pose, [[f32; 6]; ARM]) {
    let mut pose = Pose::from_translation(BASE);
    let mut axes = [(Vector::ZERO, Vector::ZERO); ARM];
    for i in 0..ARM {
        pose *= origin(i);
        axes[i] = (pose.translation, pose.rotation * Vector::Z);
        pose.rotation *= Rotation::from_axis_angle(Vector::Z, joints[i]);
    }
    let hand = Rotation::from_axis_angle(Vector::Z, -FRAC_PI_4);
    let tool = pose * Pose::from_parts(Vector::new(0.0, 0.0, FLANGE + TOOL), hand);
    let column = |(at, axis): (Vector, Vector)| {
        let l = axis.cross(tool.translation - at);
        [l.x, l.y, l.z, axis.x, axis.y, axis.z]
    };
    (tool, axes.map(column))
}

/// The factor of J J^T + damping^2 I.
struct Cholesky([[f32; 6]; 6]);

impl Cholesky {
    fn of(jacobian: &[[f32; 6]; ARM]) -> Self {
        let mut a = [[0.0f32; 6]; 6];
        for r in 0..6 {
            for c in 0..=r {
                a[r][c] = jacobian.iter().map(|j| j[r] * j[c]).sum();
            }
            a[r][r] += 1.0e-4;
        }
        for i in 0..6 {
            for j in 0..=i {
                let s = a[i][j] - (0..j).map(|k| a[i][k] * a[j][k]).sum::<f32>();
                a[i][j] = if i == j { s.max(1e-12).sqrt() } else { s / a[j][j] };
            }
        }
        Self(a)
    }
    fn solve(&self, mut b: [f32; 6]) -> [f32; 6] {
        let a = &self.0;
        for i in 0..6 {
            let s: f32 = (0..i).map(|k| a[i][k] * b[k]).sum();
            b[i] = (b[i] - s) / a[i][i];
        }
        for i in (0..6).rev() {
            let s: f32 = (i + 1..6).map(|k| a[k][i] * b[k]).sum();
            b[i] = (b[i] - s) / a[i][i];
        }
        b
    }
}
