//! The rigid-body engine: its settings, the groups of what may touch what, and resets from a template.
use rapier3d::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds between two actions: 25 Hz, as Fetch and panda-gym.
pub const CONTROL_S: f32 = 0.04;

/// Natural frequency of contacts with fixed bodies, Hz.
const FIXED_HZ: f32 = 2000.0;

/// How finely time is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Accuracy {
    /// 1/100 s for the gantry hand, 1/250 s for the Panda; fingers sink less than .5 mm and 1 mm into what they hold.
    #[default]
    Fast,
    /// 1/250 s with the full number of iterations for both.
    Fine,
}

/// Settings of the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Physics steps in a control step.
    pub substeps: usize,
    pub iterations: usize,
    /// Passes over the contacts in each of them: with 4, a thing of .1 kg that a hand of 2 kg slams against the table is for a step up
    /// to 9 mm in it.
    pub passes: usize,
    /// Natural frequency of contacts between moving bodies, Hz.
    pub contact_hz: f32,
    /// Whether friction is solved together with the penetration bias.
    pub friction_in_bias_pass: bool,
}

impl Settings {
    pub fn dt(&self) -> f32 {
        CONTROL_S / self.substeps as f32
    }

    /// An empty world. Contacts with what is fixed are as stiff as a step allows. Damping ratio 10 makes contacts free of bounce. The engine's distances suit bodies of a metre: the recycling
    /// distance (50 mm by default) keeps stale contacts on a 5 cm block. What falls to the floor, 2.8 m/s, is seen a step before.
    pub fn world(&self) -> PhysicsWorld {
        let mut world = PhysicsWorld::new();
        world.gravity = Vector::new(0.0, 0.0, -9.81);
        let p = &mut world.integration_parameters;
        p.dt = self.dt();
        p.num_solver_iterations = self.iterations;
        p.num_internal_pgs_iterations = self.passes;
        p.contact_softness = SpringCoefficients::new(self.contact_hz, 10.0);
        p.static_contact_softness = SpringCoefficients::new(FIXED_HZ, 10.0);
        p.contact_recycling = true;
        p.normalized_contact_recycle_distance = 0.001;
        p.normalized_prediction_distance = 0.03;
        p.max_ccd_substeps = 0;
        p.friction_in_bias_pass = self.friction_in_bias_pass;
        p.friction_model = FrictionModel::Coulomb;
        world
    }
}

const fn groups(memberships: Group, filter: Group) -> InteractionGroups {
    InteractionGroups { memberships, filter, test_mode: InteractionTestMode::And }
}

/// The robot touches everything but itself.
pub(crate) const ROBOT: InteractionGroups = groups(Group::GROUP_1, Group::GROUP_2.union(Group::GROUP_3));
/// Loose things, the table and what stands on it.
pub(crate) const THINGS: InteractionGroups = groups(Group::GROUP_2, Group::ALL);
/// Moving parts of furniture, which slide through its fixed parts: their stops are limits of their joints.
pub(crate) const PARTS: InteractionGroups = groups(Group::GROUP_3, Group::GROUP_1.union(Group::GROUP_2));
/// Fixed furniture, which its moving parts do not touch.
pub(crate) const FIXED: InteractionGroups = groups(Group::GROUP_2, Group::GROUP_1.union(Group::GROUP_2));

/// Everything of a world that changes, copied when it was built: an episode begins from it, so that nothing of another reaches it.
pub(crate) struct Template {
    islands: IslandManager,
    broad_phase: DefaultBroadPhase,
    narrow_phase: NarrowPhase,
    bodies: RigidBodySet,
    colliders: ColliderSet,
    impulse_joints: ImpulseJointSet,
    multibody_joints: MultibodyJointSet,
}

impl Template {
    pub fn of(world: &PhysicsWorld) -> Self {
        Self {
            islands: world.islands.clone(),
            broad_phase: world.broad_phase.clone(),
            narrow_phase: world.narrow_phase.clone(),
            bodies: world.bodies.clone(),
            colliders: world.colliders.clone(),
            impulse_joints: world.impulse_joints.clone(),
            multibody_joints: world.multibody_joints.clone(),
        }
    }

    pub fn restore(&self, world: &mut PhysicsWorld) {
        world.islands.clone_from(&self.islands);
        world.broad_phase.clone_from(&self.broad_phase);
        world.narrow_phase.clone_from(&self.narrow_phase);
        world.bodies.clone_from(&self.bodies);
        world.colliders.clone_from(&self.colliders);
        world.impulse_joints.clone_from(&self.impulse_joints);
        world.multibody_joints.clone_from(&self.multibody_joints);
    }
}
