//! What the classic worlds look like: flat figures of rods, blocks and discs, seen from the front, in the colours of Gymnasium's pictures.
//! Lengths are those of the picture, not metres: what matters is about 2 wide, x to the right and z up.
use rlx::{Body, Camera, Drawing, Shape};
use std::f32::consts::FRAC_1_SQRT_2;

pub(crate) const DARK: [u8; 4] = [38, 42, 50, 255];
pub(crate) const LINE: [u8; 4] = [120, 126, 138, 255];
pub(crate) const TAN: [u8; 4] = [202, 152, 101, 255];
pub(crate) const AXLE: [u8; 4] = [129, 132, 203, 255];
pub(crate) const RED: [u8; 4] = [204, 77, 77, 255];
pub(crate) const TEAL: [u8; 4] = [0, 170, 170, 255];
pub(crate) const YELLOW: [u8; 4] = [214, 176, 0, 255];

/// A moment of a world, seen from the front with the point (`x`, `z`) in the middle and `height` in view.
pub(crate) fn drawing(
    bodies: Vec<Body>,
    (x, z): (f32, f32),
    height: f32,
    tick_s: f64,
    success: Option<bool>,
    notes: Vec<(&str, String)>,
) -> Drawing {
    // A long lens: what is flat stays flat.
    let angle = 0.5f32;
    let far = 0.5 * height / (0.5 * angle).tan();
    Drawing {
        bodies,
        camera: Camera { eye: [x, -far, z + 0.12 * far], target: [x, 0.0, z], angle },
        tick_s: tick_s as f32,
        success,
        notes: notes.into_iter().map(|(name, value)| (name.into(), value)).collect(),
    }
}

/// A round rod from one point to another.
pub(crate) fn rod(from: [f32; 2], to: [f32; 2], radius: f32, colour: [u8; 4]) -> Body {
    let (dx, dz) = (to[0] - from[0], to[1] - from[1]);
    let length = dx.hypot(dz).max(1e-6);
    // A capsule lies along y: a quarter turn about the axis that is at right angles to y and to the rod.
    let turn = [FRAC_1_SQRT_2 * dz / length, 0.0, -FRAC_1_SQRT_2 * dx / length, FRAC_1_SQRT_2];
    let at = [0.5 * (from[0] + to[0]), 0.0, 0.5 * (from[1] + to[1])];
    Body { shape: Shape::Capsule { radius, half: 0.5 * length }, colour, at, turn }
}

/// A block of those half edges about a point, turned by `angle` from x towards z, rad.
pub(crate) fn block([x, z]: [f32; 2], half: [f32; 3], angle: f32, colour: [u8; 4]) -> Body {
    let (sin, cos) = (-0.5 * angle).sin_cos();
    Body { shape: Shape::Box(half), colour, at: [x, 0.0, z], turn: [0.0, sin, 0.0, cos] }
}

/// A disc that faces who looks, `front` before the middle.
pub(crate) fn disc([x, z]: [f32; 2], radius: f32, front: f32, colour: [u8; 4]) -> Body {
    Body { shape: Shape::Cylinder { radius, half: 0.02 }, colour, at: [x, -front, z], turn: [0.0, 0.0, 0.0, 1.0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a quaternion takes a vector.
    fn turned(q: [f32; 4], v: [f32; 3]) -> [f32; 3] {
        let cross = |a: [f32; 3], b: [f32; 3]| {
            [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
        };
        let u = [q[0], q[1], q[2]];
        let t = cross(u, v).map(|x| 2.0 * x);
        let s = cross(u, t);
        std::array::from_fn(|k| v[k] + q[3] * t[k] + s[k])
    }

    #[test]
    fn rods_and_blocks_point_where_they_should() {
        for to in [[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8], [0.3, -2.0]] {
            let body = rod([0.0, 0.0], to, 0.1, DARK);
            let along = turned(body.turn, [0.0, 1.0, 0.0]);
            let length = to[0].hypot(to[1]);
            assert!((along[0] - to[0] / length).abs() < 1e-5 && (along[2] - to[1] / length).abs() < 1e-5, "{to:?}");
        }
        let x = turned(block([0.0, 0.0], [1.0; 3], 0.3, DARK).turn, [1.0, 0.0, 0.0]);
        assert!((x[0] - 0.3f32.cos()).abs() < 1e-5 && (x[2] - 0.3f32.sin()).abs() < 1e-5, "{x:?}");
    }
}
