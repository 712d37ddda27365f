//! Shapes as triangles with a normal at every corner.
use rlx::Shape;
use std::f32::consts::{FRAC_PI_2, PI};
use vek::Vec3;

/// Corners around a circle.
const AROUND: usize = 28;
/// Rings of a half ball.
const RINGS: usize = 8;

/// A corner: where it is, and where the surface looks there.
pub type Corner = (Vec3<f32>, Vec3<f32>);

/// The triangles of a shape, three corners each, counter-clockwise when seen from outside.
pub fn of(shape: &Shape) -> Vec<Corner> {
    match shape {
        Shape::Box(half) => cuboid(Vec3::from(*half)),
        Shape::Ball { radius } => turned(&dome(*radius, 0.0)),
        Shape::Capsule { radius, half } => turned(&dome(*radius, *half)),
        Shape::Cylinder { radius, half } => {
            let (r, h) = (*radius, *half);
            let mut out = turned(&[((r, -h), (1.0, 0.0)), ((r, h), (1.0, 0.0))]);
            out.extend(turned(&[((0.0, -h), (0.0, -1.0)), ((r, -h), (0.0, -1.0))]));
            out.extend(turned(&[((r, h), (0.0, 1.0)), ((0.0, h), (0.0, 1.0))]));
            out
        }
        Shape::Mesh { points, triangles } => {
            let at = |i: u32| points.get(i as usize).map(|p| Vec3::from(*p));
            let flat = |t: &[u32; 3]| {
                let [Some(a), Some(b), Some(c)] = t.map(at) else { return None };
                let n = (b - a).cross(c - a);
                let n = if n.magnitude() > 0.0 { n.normalized() } else { Vec3::unit_z() };
                Some([(a, n), (b, n), (c, n)])
            };
            triangles.iter().filter_map(flat).flatten().collect()
        }
    }
}

fn cuboid(half: Vec3<f32>) -> Vec<Corner> {
    let mut out = Vec::with_capacity(36);
    for axis in 0..3 {
        for side in [-1.0, 1.0] {
            let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
            let corner = |a: f32, b: f32| {
                let (mut at, mut normal) = (Vec3::zero(), Vec3::zero());
                (at[axis], at[u], at[v], normal[axis]) = (side, a * side, b, side);
                (at * half, normal)
            };
            let quad = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
            out.extend([0, 1, 2, 0, 2, 3].map(|i| quad[i]));
        }
    }
    out
}

/// A point of a profile: distance from the axis and height, and the normal in the same two directions.
type Profile = ((f32, f32), (f32, f32));

/// The profile of a ball that is cut in two, its halves `half` from the middle.
fn dome(radius: f32, half: f32) -> Vec<Profile> {
    let point = |k: usize, lift: f32| {
        let angle = -FRAC_PI_2 + PI * k as f32 / (2 * RINGS) as f32;
        let (s, c) = angle.sin_cos();
        ((radius * c, radius * s + lift), (c, s))
    };
    (0..=RINGS).map(|k| point(k, -half)).chain((RINGS..=2 * RINGS).map(|k| point(k, half))).collect()
}

/// A profile turned about the y axis.
fn turned(profile: &[Profile]) -> Vec<Corner> {
    let mut out = Vec::new();
    let corner = |((r, h), (nr, nh)): Profile, k: usize| {
        let (s, c) = (2.0 * PI * (k % AROUND) as f32 / AROUND as f32).sin_cos();
        (Vec3::new(r * c, h, r * s), Vec3::new(nr * c, nh, nr * s))
    };
    for pair in profile.windows(2) {
        for k in 0..AROUND {
            let quad = [corner(pair[0], k), corner(pair[1], k), corner(pair[1], k + 1), corner(pair[0], k + 1)];
            out.extend([0, 1, 2, 0, 2, 3].map(|i| quad[i]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Volume inside of the triangles by the divergence theorem: right in size only if every triangle looks outward.
    fn volume(mesh: &[Corner]) -> f32 {
        mesh.chunks_exact(3).map(|t| t[0].0.dot(t[1].0.cross(t[2].0)) / 6.0).sum()
    }

    #[test]
    fn surfaces_are_closed_and_look_outward() {
        let (r, h) = (0.3, 0.7);
        let ball = 4.0 / 3.0 * PI * r * r * r;
        let all = [
            (Shape::Box([0.1, 0.2, 0.3]), 8.0 * 0.006),
            (Shape::Ball { radius: r }, ball),
            (Shape::Cylinder { radius: r, half: h }, PI * r * r * 2.0 * h),
            (Shape::Capsule { radius: r, half: h }, ball + PI * r * r * 2.0 * h),
        ];
        for (shape, exact) in all {
            let mesh = of(&shape);
            let share = volume(&mesh) / exact;
            assert!((0.97..1.0001).contains(&share), "{shape:?}: {share}");
            for t in mesh.chunks_exact(3) {
                let n = (t[1].0 - t[0].0).cross(t[2].0 - t[0].0);
                t.iter().for_each(|(_, normal)| {
                    assert!((normal.magnitude() - 1.0).abs() < 1e-4 && n.dot(*normal) >= -1e-7, "{shape:?}");
                });
            }
        }
    }

    #[test]
    fn a_mesh_that_names_no_point_is_left_out() {
        let points = vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let mesh = of(&Shape::Mesh { points, triangles: vec![[0, 1, 2], [0, 1, 9]] });
        assert_eq!(mesh.len(), 3);
        assert_eq!(mesh[0].1, Vec3::unit_z());
    }
}
