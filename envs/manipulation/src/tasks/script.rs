//! Scripted policies: what they want of a step, and the moves they share. They have no memory: a state says what to do next.
use crate::scene::Scene;
use rapier3d::prelude::*;

/// What a script wants of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hint {
    /// How far the tool is to move, m.
    pub by: Vector,
    /// How far the hand is to turn, rad.
    pub turn: f32,
    /// Opens the fingers at 1, closes them at -1.
    pub open: f32,
}

/// Closes the fingers.
pub(crate) const CLOSE: f32 = -1.0;
/// Opens them.
pub(crate) const OPEN: f32 = 1.0;

/// Moves the tool to a place.
pub(crate) fn to(scene: &Scene, at: Vector, open: f32) -> Hint {
    Hint { by: at - scene.command.target.at, turn: 0.0, open }
}

/// Horizontal part.
pub(crate) fn flat(v: Vector) -> Vector {
    Vector::new(v.x, v.y, 0.0)
}

/// A thing to grip: which, how far from its origin, and how thick it is between the fingers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grip {
    pub thing: usize,
    /// Where the tool grips, from the observed point, m.
    pub at: Vector,
    /// Half its thickness along the fingers' axis, m.
    pub half: f32,
    /// How far above it the fingers pass, m.
    pub over: f32,
}

impl Grip {
    /// The middle of a cube.
    pub fn cube(thing: usize, half: f32) -> Self {
        Self { thing, at: Vector::ZERO, half, over: 0.08 }
    }

    fn point(&self, scene: &Scene) -> Vector {
        scene.at(self.thing) + self.at
    }

    /// Whether the fingers hold it: they want to close farther, and what is between them does not let them.
    pub fn held(&self, scene: &Scene) -> bool {
        let off = scene.tool() - self.point(scene);
        scene.command.opening < self.half - 0.005
            && (scene.opening() - self.half).abs() < 0.004
            && flat(off).length() < 0.025
            && off.z.abs() < 0.02
    }

    /// The next step towards holding it.
    pub fn take(&self, scene: &Scene) -> Hint {
        let (tool, point) = (scene.tool(), self.point(scene));
        let off = tool - point;
        let open = scene.opening() > self.half + 0.008;
        if flat(off).length() > 0.008 && off.z < self.over - 0.03 && flat(off).length() < 0.1 {
            // Beside it or off its middle: up first, fingers open.
            return to(scene, Vector::new(tool.x, tool.y, point.z + self.over), OPEN);
        }
        if flat(off).length() > 0.008 {
            return to(scene, Vector::new(point.x, point.y, point.z + self.over), OPEN);
        }
        if off.z.abs() > 0.004 {
            // Above it: down, once the fingers are wide enough.
            let z = if open || off.z < 0.0 { point.z } else { point.z + self.over };
            return to(scene, Vector::new(point.x, point.y, z), OPEN);
        }
        to(scene, point, CLOSE)
    }

    /// Takes it and brings its observed point to `goal`, over what lies between at the height `high`.
    pub fn carry(&self, scene: &Scene, goal: Vector, high: f32) -> Hint {
        if !self.held(scene) {
            return self.take(scene);
        }
        let at = scene.at(self.thing);
        let far = flat(goal - at).length();
        let lag = scene.tool() - at;
        let z = if far > 0.01 { goal.z.max(high) } else { goal.z };
        let flat_goal = if far > 0.01 && at.z < high - 0.02 && high > goal.z { flat(at) } else { flat(goal) };
        to(scene, flat_goal + Vector::new(0.0, 0.0, z) + lag, CLOSE)
    }
}

/// Pushes a thing over the table to `goal` with the closed fingers: from behind, as fast as is left to go.
pub(crate) fn push(scene: &Scene, thing: usize, goal: Vector, half: f32) -> Hint {
    let (tool, at) = (scene.tool(), scene.at(thing));
    let away = flat(goal - at);
    let left = away.length();
    let height = half.max(0.02);
    if left < 0.008 {
        return to(scene, tool, CLOSE);
    }
    let ahead = away / left;
    // A square is longer along its diagonal; 1.4 cm is the fingers' half width.
    let side = half * (ahead.x.abs() + ahead.y.abs()) + 0.016;
    let off = tool - at;
    let along = off.dot(ahead);
    let across = flat(off) - ahead * along;
    let behind = at - ahead * (side + 0.012);
    let low = tool.z < height + 0.02;
    if low && along < 0.0 && across.length() < 0.02 {
        let step = (left * 0.6).clamp(0.006, 0.03) + (-along - side).max(0.0);
        return to(scene, flat(tool + ahead * step - across * 0.7) + Vector::new(0.0, 0.0, height), CLOSE);
    }
    let high = 2.0 * half + 0.03;
    if flat(tool - behind).length() < 0.01 {
        return to(scene, flat(behind) + Vector::new(0.0, 0.0, height), CLOSE);
    }
    if tool.z < high - 0.01 && flat(off).length() < half + 0.06 {
        return to(scene, flat(tool) + Vector::new(0.0, 0.0, high + 0.01), CLOSE);
    }
    to(scene, flat(behind) + Vector::new(0.0, 0.0, high), CLOSE)
}

/// Strikes a round thing so that it slides to `goal` and stops there, slowed by `slowdown` (m/s^2).
pub(crate) fn strike(scene: &Scene, thing: usize, goal: Vector, radius: f32, slowdown: f32) -> Hint {
    let (tool, at) = (scene.tool(), scene.at(thing));
    let away = flat(goal - at);
    let left = away.length();
    let height = 0.02;
    if left < 0.01 {
        return to(scene, tool, CLOSE);
    }
    let ahead = away / left;
    // What slides goes where the contact's normal points: from the corner of the closed fingers to the middle.
    let corner = Vector::new(0.01f32.copysign(ahead.x), 0.014f32.copysign(ahead.y), 0.0);
    let contact = at - ahead * radius - corner;
    let off = flat(tool - contact);
    let along = off.dot(ahead);
    let across = off - ahead * along;
    let speed = scene.velocity(thing).0.dot(ahead);
    let needed = |left: f32| (2.0 * slowdown * left.max(0.0)).sqrt();
    let moving = scene.velocity(thing).0.length() > 0.02;
    if moving && (speed > 0.985 * needed(left) || along < -0.02 || speed < 0.0) {
        // It slides: what comes of it shows when it stops.
        return Hint { open: CLOSE, ..Hint::default() };
    }
    let low = tool.z < height + 0.02;
    if low && along > -0.06 && along < 0.01 && across.length() < 0.004 {
        let step = needed(left - 0.04 * needed(left)) * 0.04;
        return to(scene, flat(tool + ahead * step - across * 0.8) + Vector::new(0.0, 0.0, height), CLOSE);
    }
    let behind = contact - ahead * 0.03;
    let clear = off.dot(ahead) < -0.008 || flat(tool - behind).length() < 0.012;
    let high = 2.0 * height + 0.04;
    if clear {
        return to(scene, flat(behind) + Vector::new(0.0, 0.0, height), CLOSE);
    }
    if tool.z < high - 0.015 && flat(tool - at).length() < radius + 0.04 {
        return to(scene, flat(tool) + Vector::new(0.0, 0.0, high), CLOSE);
    }
    to(scene, flat(behind) + Vector::new(0.0, 0.0, high), CLOSE)
}
