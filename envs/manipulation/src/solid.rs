//! Solids that are drawn though nothing touches them.
use rapier3d::prelude::*;

/// A link of a robot that is drawn though nothing touches it.
pub(crate) struct Part {
    /// Number of the multibody's link.
    pub link: usize,
    pub shape: rlx::Shape,
    /// Its middle in the link's frame.
    pub at: Pose,
}

/// A capsule between two points and where its middle is.
pub(crate) fn capsule(a: Vector, b: Vector, radius: f32) -> (rlx::Shape, Pose) {
    let half = 0.5 * (b - a);
    let turn = if half.length() > 1e-6 {
        Rotation::from_rotation_arc(Vector::Y, half.normalize())
    } else {
        Rotation::IDENTITY
    };
    (rlx::Shape::Capsule { radius, half: half.length() }, Pose::from_parts(a + half, turn))
}
