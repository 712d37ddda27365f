//! What is there: a robot, loose things, furniture; read and moved by tasks.
use crate::{
    physics::{CONTROL_S, FIXED, Settings, THINGS, Template},
    robot::{Bounds, Command, Machine, Robot},
};
use rapier3d::prelude::*;

/// Something a task is about, in the order of the observation.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub name: &'static str,
    pub body: RigidBodyHandle,
    /// The point of it whose position is observed, in its own frame: a handle of a drawer.
    pub point: Vector,
}

/// A shape to draw, beside the collider that it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paint {
    pub collider: ColliderHandle,
    pub colour: [u8; 3],
}

/// The physical world of a task.
pub(crate) struct Scene {
    pub world: PhysicsWorld,
    pub machine: Machine,
    pub things: Vec<Thing>,
    pub paint: Vec<Paint>,
    pub command: Command,
    pub bounds: Bounds,
    pub settings: Settings,
}

/// Colours of what is drawn.
pub(crate) mod colour {
    pub const TABLE: [u8; 3] = [206, 198, 184];
    pub const BLOCK: [u8; 3] = [196, 62, 52];
    pub const SECOND: [u8; 3] = [46, 125, 174];
    pub const THIRD: [u8; 3] = [72, 150, 84];
    pub const FURNITURE: [u8; 3] = [150, 116, 82];
    pub const PART: [u8; 3] = [188, 152, 108];
    pub const METAL: [u8; 3] = [120, 126, 134];
}

/// Coefficient of friction of everything but the puck, against itself.
pub(crate) const FRICTION: f32 = 1.0;

impl Scene {
    /// A table with a robot. The table's top is z = 0, and a floor lies .4 m below: what falls stays slow.
    pub fn new(robot: Box<dyn Robot>, fine: bool, bounds: Bounds) -> Self {
        let settings = robot.settings(fine);
        let mut world = settings.world();
        let machine = Machine::build(robot, &mut world);
        let command = machine.command(Vector::new(0.0, 0.0, 0.2), 0.0);
        let mut scene = Self { world, machine, things: Vec::new(), paint: Vec::new(), command, bounds, settings };
        scene.fixed([0.275, 0.0, -0.2], [0.725, 0.6, 0.2], colour::TABLE);
        let floor = ColliderBuilder::cuboid(20.0, 20.0, 0.5).translation(Vector::new(0.0, 0.0, -0.9));
        scene.world.insert_collider(floor.collision_groups(FIXED), None);
        scene
    }

    /// A fixed box of those half sizes.
    pub fn fixed(&mut self, at: [f32; 3], half: [f32; 3], colour: [u8; 3]) -> ColliderHandle {
        let shape = ColliderBuilder::cuboid(half[0], half[1], half[2])
            .translation(Vector::from_array(at))
            .friction(FRICTION)
            .collision_groups(FIXED);
        let collider = self.world.insert_collider(shape, None);
        self.paint.push(Paint { collider, colour });
        collider
    }

    /// A loose thing of one shape.
    pub fn loose(&mut self, name: &'static str, shape: ColliderBuilder, kg: f32, colour: [u8; 3]) {
        let body = self.world.insert_body(RigidBodyBuilder::dynamic().can_sleep(false));
        let collider = self.world.insert_collider(shape.mass(kg).collision_groups(THINGS), Some(body));
        self.paint.push(Paint { collider, colour });
        self.things.push(Thing { name, body, point: Vector::ZERO });
    }

    /// A loose cube of that half size: .1 kg.
    pub fn block(&mut self, name: &'static str, half: f32, colour: [u8; 3]) {
        self.loose(name, ColliderBuilder::cuboid(half, half, half).friction(FRICTION), 0.1, colour);
    }

    /// Puts a thing somewhere, at rest. Only before the first step of an episode.
    pub fn put(&mut self, thing: usize, at: Vector, rotation: Rotation) {
        let body = &mut self.world.bodies[self.things[thing].body];
        body.set_position(Pose::from_parts(at, rotation), true);
        body.set_linvel(Vector::ZERO, true);
        body.set_angvel(Vector::ZERO, true);
    }

    /// Puts the tool somewhere, at rest.
    pub fn put_tool(&mut self, at: Vector, opening: f32) {
        self.command = self.machine.command(at, opening);
        self.machine.place(&mut self.world, &self.command);
    }

    /// Everything as it was built.
    pub fn restore(&mut self, template: &Template) {
        template.restore(&mut self.world);
    }

    /// One control step. False where the engine took a body out of the world because its state was not finite any more: what is left looks
    /// sound, and is not.
    pub fn control(&mut self, by: Vector, open: f32) -> bool {
        let from = self.command;
        self.command = self.machine.advance(&self.world.bodies, &from, by, open, &self.bounds);
        let n = self.settings.substeps;
        for k in 1..=n {
            self.machine.drive(&mut self.world, &from, &self.command, k as f32 / n as f32);
            self.world.step();
            if !self.world.quarantine().is_empty() {
                return false;
            }
        }
        true
    }

    /// The tool's position, m.
    pub fn tool(&self) -> Vector {
        self.machine.tool(&self.world.bodies).translation
    }
    /// How far the fingers are from the middle on average, m.
    pub fn opening(&self) -> f32 {
        let (q, _) = self.machine.fingers(&self.world);
        0.5 * (q[0] + q[1])
    }
    /// A thing's pose, its origin the observed point.
    pub fn pose(&self, thing: usize) -> Pose {
        let Thing { body, point, .. } = &self.things[thing];
        let pose = self.world.bodies[*body].position();
        Pose::from_parts(*pose * *point, pose.rotation)
    }
    /// Position of a thing's observed point, m.
    pub fn at(&self, thing: usize) -> Vector {
        self.pose(thing).translation
    }
    /// Linear (of its observed point) and angular velocity of a thing, m/s and rad/s.
    pub fn velocity(&self, thing: usize) -> (Vector, Vector) {
        let body = &self.world.bodies[self.things[thing].body];
        (body.velocity_at_point(self.at(thing)), body.angvel())
    }

    /// Writes what a robot of Fetch sees. See [`crate::layout`].
    pub fn observe(&self, out: &mut [f32]) {
        let mut row = Row { out, at: 0 };
        let tool = self.tool();
        let speed = self.machine.velocity(&self.world.bodies) * CONTROL_S;
        let (fingers, finger_speeds) = self.machine.fingers(&self.world);
        row.put(&tool.to_array());
        for i in 0..self.things.len() {
            let at = self.at(i);
            row.put(&at.to_array());
            row.put(&(at - tool).to_array());
        }
        row.put(&fingers);
        for i in 0..self.things.len() {
            let (linear, angular) = self.velocity(i);
            row.put(&euler(self.pose(i).rotation));
            row.put(&(linear * CONTROL_S - speed).to_array());
            row.put(&(angular * CONTROL_S).to_array());
        }
        row.put(&speed.to_array());
        row.put(&finger_speeds.map(|v| v * CONTROL_S));
    }
}

/// A row that is written from the front.
struct Row<'a> {
    out: &'a mut [f32],
    at: usize,
}

impl Row<'_> {
    fn put(&mut self, scalars: &[f32]) {
        self.out[self.at..self.at + scalars.len()].copy_from_slice(scalars);
        self.at += scalars.len();
    }
}

/// Angles about the fixed axes x, y, z, rad.
fn euler(q: Rotation) -> [f32; 3] {
    let roll = (2.0 * (q.w * q.x + q.y * q.z)).atan2(1.0 - 2.0 * (q.x * q.x + q.y * q.y));
    let pitch = (2.0 * (q.w * q.y - q.z * q.x)).clamp(-1.0, 1.0).asin();
    let yaw = (2.0 * (q.w * q.z + q.x * q.y)).atan2(1.0 - 2.0 * (q.y * q.y + q.z * q.z));
    [roll, pitch, yaw]
}
