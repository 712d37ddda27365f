//! A hand on three linear axes, which are one joint: ONE multibody with the fingers.
use super::{ARM, Drive, Robot, TOOL, down, link, mass};
use crate::{physics::Settings, solid::Part};
use rapier3d::prelude::*;

const LINEAR: Drive = Drive { link: 1, axis: 0, stiffness: 4000.0, damping: 200.0, force: 60.0, armature: 0.0 };

/// The gantry.
pub(crate) struct Gantry {
    drives: Vec<Drive>,
}

impl Gantry {
    pub fn new() -> Self {
        Self { drives: (0..3).map(|axis| Drive { axis, ..LINEAR }).collect() }
    }
}

impl Robot for Gantry {
    fn build(&self, world: &mut PhysicsWorld) -> (RigidBodyHandle, Pose) {
        // The root points down as the hand does, so that the joint's frames need no turn.
        let root = world.insert_body(RigidBodyBuilder::fixed().rotation(Vector::new(std::f32::consts::PI, 0.0, 0.0)));
        let hand = link().pose(Pose::from_rotation(down())).additional_mass_properties(mass(
            Vector::new(0.0, 0.0, 0.03),
            2.0,
            0.01,
        ));
        let hand = world.insert_body(hand);
        let joint = GenericJointBuilder::new(JointAxesMask::ANG_AXES).contacts_enabled(false);
        world.insert_multibody_joint(root, hand, joint.build());
        (hand, Pose::IDENTITY)
    }
    fn drives(&self) -> &[Drive] {
        &self.drives
    }
    fn solve(&self, target: Vector, joints: &mut [f32; ARM]) {
        joints[..3].copy_from_slice(&[target.x, -target.y, -(target.z + TOOL)]);
    }
    fn leash(&self) -> f32 {
        0.06
    }
    fn parts(&self) -> Vec<Part> {
        // The rod that the hand hangs on.
        let at = Pose::from_translation(Vector::new(0.0, 0.0, -0.305));
        vec![Part { link: 1, shape: rlx::Shape::Box([0.016, 0.016, 0.3]), at }]
    }
    fn settings(&self, fine: bool) -> Settings {
        let (substeps, contact_hz) = if fine { (10, 250.0) } else { (4, 200.0) };
        Settings { substeps, iterations: 4, passes: 8, contact_hz, friction_in_bias_pass: false }
    }
}
