//! What a world looks like: every painted collider, the robot, and a mark where the goal is.
use crate::{
    goal::Measure,
    physics::CONTROL_S,
    robot::{FINGER, PALM, PALM_Z, RobotKind},
    scene::Scene,
    solid::capsule,
    world::Manipulation,
};
use rapier3d::prelude::*;
use rlx::{Body, Camera, Drawing};

const WHITE: [u8; 3] = [228, 231, 236];
const DARK: [u8; 3] = [70, 76, 86];
/// A goal that is not reached, and one that is.
const WANTED: [u8; 4] = [232, 150, 24, 110];
const REACHED: [u8; 4] = [40, 168, 84, 130];
/// From in front of the robot, to its right.
const CAMERA: Camera = Camera { eye: [1.0, -1.05, 0.62], target: [0.02, 0.0, 0.11], angle: 0.46 };
/// The same for an arm, all of which is to be seen.
const FARTHER: Camera = Camera { eye: [1.2, -1.25, 0.75], target: [-0.12, 0.0, 0.24], angle: 0.56 };

fn body(shape: rlx::Shape, pose: Pose, [r, g, b]: [u8; 3]) -> Body {
    mark(shape, pose, [r, g, b, 255])
}

fn mark(shape: rlx::Shape, pose: Pose, colour: [u8; 4]) -> Body {
    let q = pose.rotation.normalize();
    Body { shape, colour, at: pose.translation.to_array(), turn: [q.x, q.y, q.z, q.w] }
}

/// The solids of a collider's shape, each with its place in the collider's frame.
fn solids(shape: &dyn Shape, at: Pose, out: &mut Vec<(rlx::Shape, Pose)>) {
    let mesh = |points: Vec<Vector>, triangles: Vec<[u32; 3]>| rlx::Shape::Mesh {
        points: points.iter().map(|p| p.to_array()).collect(),
        triangles,
    };
    match shape.as_typed_shape() {
        TypedShape::Cuboid(c) => out.push((rlx::Shape::Box(c.half_extents.to_array()), at)),
        TypedShape::Ball(b) => out.push((rlx::Shape::Ball { radius: b.radius }, at)),
        TypedShape::Cylinder(c) => {
            out.push((rlx::Shape::Cylinder { radius: c.radius, half: c.half_height }, at));
        }
        TypedShape::Capsule(c) => {
            let (shape, middle) = capsule(c.segment.a, c.segment.b, c.radius);
            out.push((shape, at * middle));
        }
        TypedShape::Compound(parts) => parts.shapes().iter().for_each(|(p, s)| solids(&**s, at * *p, out)),
        TypedShape::ConvexPolyhedron(c) => {
            let (points, triangles) = c.to_trimesh();
            out.push((mesh(points, triangles), at));
        }
        TypedShape::TriMesh(m) => out.push((mesh(m.vertices().to_vec(), m.indices().to_vec()), at)),
        _ => {
            // No world of this crate has another shape; its bounds show where it is.
            let bounds = shape.compute_local_aabb();
            let at = at * Pose::from_translation(bounds.center());
            out.push((rlx::Shape::Box(bounds.half_extents().to_array()), at));
        }
    }
}

impl Scene {
    /// Everything solid.
    fn bodies(&self) -> Vec<Body> {
        let mut out = Vec::new();
        let mut found = Vec::new();
        for paint in &self.paint {
            let Some(collider) = self.world.colliders.get(paint.collider) else { continue };
            // A body's colliders follow it only when the engine steps.
            let at = match (collider.parent(), collider.position_wrt_parent()) {
                (Some(parent), Some(local)) => *self.world.bodies[parent].position() * *local,
                _ => *collider.position(),
            };
            solids(collider.shape(), at, &mut found);
            out.extend(found.drain(..).map(|(shape, at)| body(shape, at, paint.colour)));
        }
        let bodies = &self.world.bodies;
        let machine = &self.machine;
        for part in machine.parts() {
            if let Some(link) = machine.link(&self.world, part.link) {
                out.push(body(part.shape, *bodies[link].position() * part.at, WHITE));
            }
        }
        let palm = machine.frame * Pose::from_translation(Vector::new(0.0, 0.0, PALM_Z));
        out.push(body(rlx::Shape::Box(PALM), *bodies[machine.hand].position() * palm, WHITE));
        for (finger, side) in machine.finger_bodies(&self.world).into_iter().zip([1.0, -1.0]) {
            let at = Pose::from_translation(Vector::new(0.0, side * FINGER[1], FINGER[2]));
            out.push(body(rlx::Shape::Box(FINGER), *bodies[finger].position() * at, DARK));
        }
        out
    }
}

impl Manipulation {
    /// What the world looks like now. A goal that is a place is a ball as wide as what counts as near.
    pub(crate) fn drawing(&self) -> Drawing {
        let mut bodies = self.scene.bodies();
        let (now, aim, _) = self.at_work();
        let (distance, done) = self.standing();
        let success = distance < aim.within || done;
        for (k, aim) in self.aims().iter().enumerate() {
            if aim.measure != Measure::Distance || aim.width % 3 != 0 {
                continue;
            }
            let colour = match (k == now, success) {
                (true, true) => REACHED,
                (true, false) => WANTED,
                (false, _) => [0; 4],
            };
            let desired = self.desired(k);
            for at in desired.chunks_exact(3) {
                let ball = rlx::Shape::Ball { radius: aim.within.max(0.012) };
                bodies.push(mark(ball, Pose::from_translation(Vector::from_slice(at)), colour));
            }
        }
        let mut notes = Vec::new();
        if self.aims().len() > 1 {
            notes.push(("skill".into(), format!("{} ({} of {})", aim.name, now + 1, self.aims().len())));
        }
        let far = match (aim.measure, aim.unit) {
            (Measure::Turn, _) => format!("{distance:.3}"),
            (_, "m") => format!("{:.1} cm", 100.0 * distance),
            (_, unit) => format!("{distance:.3} {unit}"),
        };
        notes.push(("to the goal".into(), far));
        let camera = if self.options.robot == RobotKind::Panda { FARTHER } else { CAMERA };
        Drawing { bodies, camera, tick_s: CONTROL_S, success: Some(success), notes }
    }
}
