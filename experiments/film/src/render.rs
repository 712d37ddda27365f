//! Drawings as pixels: a sun with shadows, translucent marks, four samples a pixel.
use super::mesh::{self, Corner};
use euc::{DepthStrategy, Pipeline, buffer::Buffer2d, rasterizer::Triangles};
use rlx::{Body, Camera, Drawing};
use vek::{FrustumPlanes, Mat4, Quaternion, Vec2, Vec3, Vec4};

/// Samples a pixel in either direction.
const FINE: usize = 2;
/// Samples of the map of what the sun sees, in either direction.
const SUN: usize = 1536;
/// Half of what that map covers around the camera's target, m.
const REACH: f32 = 1.25;
/// Background: top and bottom.
const SKY: [[f32; 3]; 2] = [[0.90, 0.92, 0.945], [0.78, 0.80, 0.83]];

/// Red, green and blue of a picture, row by row from the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Three bytes a pixel.
    pub rgb: Vec<u8>,
}

/// Where the light comes from.
fn sun() -> Vec3<f32> {
    Vec3::new(0.35, -0.45, 1.0).normalized()
}

struct Placed {
    corners: Vec<Corner>,
    colour: Vec3<f32>,
    alpha: f32,
}

fn placed(body: &Body) -> Placed {
    let q = Quaternion::from_xyzw(body.turn[0], body.turn[1], body.turn[2], body.turn[3]);
    let at = Vec3::from(body.at);
    let [r, g, b, a] = body.colour.map(|c| f32::from(c) / 255.0);
    let corners = mesh::of(&body.shape).into_iter().map(|(p, n)| (q * p + at, q * n)).collect();
    Placed { corners, colour: Vec3::new(r, g, b), alpha: a }
}

/// Only depths are wanted.
struct Shadow(Mat4<f32>);

impl Pipeline for Shadow {
    type Vertex = Corner;
    type VsOut = f32;
    type Pixel = ();
    fn vert(&self, (at, _): &Corner) -> ([f32; 4], f32) {
        ((self.0 * Vec4::from_point(*at)).into_array(), 0.0)
    }
    fn frag(&self, _: &f32) {}
}

/// A body in the sun.
struct Lit<'a> {
    camera: Mat4<f32>,
    light: Mat4<f32>,
    seen: &'a [f32],
    eye: Vec3<f32>,
    colour: Vec3<f32>,
    mark: bool,
}

impl Lit<'_> {
    /// How much of the sun reaches a point.
    fn sunlit(&self, at: Vec3<f32>) -> f32 {
        let p = self.light * Vec4::from_point(at);
        let x = (p.x * 0.5 + 0.5) * SUN as f32 - 0.5;
        let y = (0.5 - p.y * 0.5) * SUN as f32 - 0.5;
        let free = |dx: isize, dy: isize| {
            let (i, j) = (x.round() as isize + dx, y.round() as isize + dy);
            let inside = (0..SUN as isize).contains(&i) && (0..SUN as isize).contains(&j);
            if inside && self.seen[j as usize * SUN + i as usize] < p.z - 0.0016 { 0.0 } else { 1.0 }
        };
        let mut sum = 0.0;
        for dx in -1..=1 {
            for dy in -1..=1 {
                sum += free(dx, dy);
            }
        }
        sum / 9.0
    }
}

impl Pipeline for Lit<'_> {
    type Vertex = Corner;
    type VsOut = (Vec3<f32>, Vec3<f32>);
    type Pixel = [u8; 4];
    fn get_depth_strategy(&self) -> DepthStrategy {
        if self.mark { DepthStrategy::IfLessNoWrite } else { DepthStrategy::IfLessWrite }
    }
    fn vert(&self, (at, normal): &Corner) -> ([f32; 4], Self::VsOut) {
        ((self.camera * Vec4::from_point(*at)).into_array(), (*at, *normal))
    }
    fn frag(&self, (at, normal): &Self::VsOut) -> [u8; 4] {
        let n = normal.normalized();
        let facing = n.dot(sun());
        // A sky that is brighter than the ground.
        let ambient = 0.60 + 0.08 * n.z + 0.06 * n.x;
        let light = if self.mark {
            0.7 + 0.3 * n.dot((self.eye - *at).normalized()).abs()
        } else if facing > 0.0 {
            let half = (sun() + (self.eye - *at).normalized()).normalized();
            let gloss = 0.10 * n.dot(half).max(0.0).powi(24);
            ambient + self.sunlit(*at + n * 0.002) * (0.40 * facing + gloss)
        } else {
            ambient
        };
        let [r, g, b] = (self.colour * light).into_array().map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
        [r, g, b, 255]
    }
}

/// The matrix of a camera: depths from -1 (near) to 1.
fn camera(c: &Camera, aspect: f32) -> Mat4<f32> {
    let view = Mat4::look_at_rh(Vec3::from(c.eye), Vec3::from(c.target), Vec3::unit_z());
    Mat4::perspective_fov_rh_no(c.angle, aspect, 1.0, 0.05, 20.0) * view
}

/// Draws it, `width` by `height` pixels.
pub fn render(drawing: &Drawing, width: usize, height: usize) -> Picture {
    let (w, h) = (width * FINE, height * FINE);
    let bodies: Vec<Placed> = drawing.bodies.iter().map(placed).collect();
    let target = Vec3::from(drawing.camera.target);
    let view = Mat4::look_at_rh(target + sun() * 3.0, target, Vec3::unit_y());
    let planes = FrustumPlanes { left: -REACH, right: REACH, bottom: -REACH, top: REACH, near: 0.5, far: 5.5 };
    let light = Mat4::orthographic_rh_no(planes) * view;
    let mut seen = Buffer2d::new([SUN, SUN], f32::INFINITY);
    let mut nothing = Buffer2d::new([SUN, SUN], ());
    for body in bodies.iter().filter(|b| b.alpha == 1.0) {
        Shadow(light).draw::<Triangles<_>, _>(&body.corners, &mut nothing, Some(&mut seen));
    }
    let eye = Vec3::from(drawing.camera.eye);
    let lit = |body: &Placed, mark| Lit {
        camera: camera(&drawing.camera, w as f32 / h as f32),
        light,
        seen: seen.as_ref(),
        eye,
        colour: body.colour,
        mark,
    };
    let mut depth = Buffer2d::new([w, h], f32::INFINITY);
    let mut colours = Buffer2d::new([w, h], [0u8; 4]);
    for (y, row) in colours.as_mut().chunks_exact_mut(w).enumerate() {
        let t = y as f32 / h as f32;
        row.fill(std::array::from_fn(|k| match k {
            3 => 255,
            k => ((SKY[0][k] * (1.0 - t) + SKY[1][k] * t) * 255.0) as u8,
        }));
    }
    for body in bodies.iter().filter(|b| b.alpha == 1.0) {
        lit(body, false).draw::<Triangles<_>, _>(&body.corners, &mut colours, Some(&mut depth));
    }
    for body in bodies.iter().filter(|b| b.alpha > 0.0 && b.alpha < 1.0) {
        let mut mark = Buffer2d::new([w, h], [0u8; 4]);
        lit(body, true).draw::<Triangles<_>, _>(&body.corners, &mut mark, Some(&mut depth));
        for (below, over) in colours.as_mut().iter_mut().zip(mark.as_ref()).filter(|(_, over)| over[3] > 0) {
            for k in 0..3 {
                let mixed = f32::from(below[k]) * (1.0 - body.alpha) + f32::from(over[k]) * body.alpha;
                below[k] = mixed.round() as u8;
            }
        }
    }
    Picture { width, height, rgb: shrunk(colours.as_ref(), Vec2::new(width, height)) }
}

/// Each pixel the mean of its samples.
fn shrunk(fine: &[[u8; 4]], size: Vec2<usize>) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * size.x * size.y);
    for y in 0..size.y {
        for x in 0..size.x {
            let samples =
                || (0..FINE * FINE).map(|i| fine[(y * FINE + i / FINE) * size.x * FINE + x * FINE + i % FINE]);
            let mean = |channel: usize| samples().map(|s| u32::from(s[channel])).sum::<u32>() / (FINE * FINE) as u32;
            rgb.extend([0, 1, 2].map(|channel| mean(channel) as u8));
        }
    }
    rgb
}
