//! Scripted policies: what they want of a step, and the moves they share. They have no memory: a state says what to do next.
use crate::{physics::CONTROL_S, robot::FINGER, scene::Scene};
use rapier3d::prelude::*;

/// What a script wants of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hint {
    /// How far the tool is to move, m.
    pub by: Vector,
    /// Opens the fingers at 1, closes them at -1.
    pub open: f32,
}

/// Closes the fingers.
pub(crate) const CLOSE: f32 = -1.0;
/// Opens them.
pub(crate) const OPEN: f32 = 1.0;

/// Moves the tool to a place.
pub(crate) fn to(scene: &Scene, at: Vector, open: f32) -> Hint {
    Hint { by: at - scene.command.target, open }
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
        let still = |v: Vector| v.length() < 0.03;
        let lead = (scene.command.target - tool).dot(ahead);
        if lead > 0.015 && still(scene.velocity(thing).0) && still(scene.machine.velocity(&scene.world.bodies)) {
            // Stuck: a finger that pushes and slides down jams the thing against the table (both have friction 1). Away from it.
            return to(scene, tool - ahead * 0.012 + Vector::new(0.0, 0.0, 0.01), CLOSE);
        }
        let step = (left * 0.6).clamp(0.006, 0.03) + (-along - side).max(0.0);
        // At the height it is at: a finger that goes up or down meanwhile lifts the thing or presses on it.
        let z = if -along < side + 0.008 { tool.z.clamp(0.5 * height, 1.1 * height) } else { height };
        return to(scene, flat(tool + ahead * step - across * 0.7) + Vector::new(0.0, 0.0, z), CLOSE);
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

/// Strikes a round thing so that it slides to `goal` and stops there, slowed by `slowdown` (m/s^2): lines up behind it, far enough for
/// the hand to come to speed, goes straight through, and lets go when the thing is as fast as is needed.
pub(crate) fn strike(scene: &Scene, thing: usize, goal: Vector, radius: f32, slowdown: f32) -> Hint {
    let (tool, at) = (scene.tool(), scene.at(thing));
    let away = flat(goal - at);
    let left = away.length();
    if left < 0.03 {
        // Near enough: whatever touches it now can only make it worse.
        return to(scene, tool, CLOSE);
    }
    let ahead = away / left;
    // Coulomb: v^2 = 2 a s.
    let needed = (2.0 * slowdown * left).sqrt();
    // What slides goes where the contact's normal points: from the corner of the closed fingers to the middle.
    let corner = Vector::new(FINGER[0].copysign(ahead.x), (2.0 * FINGER[1]).copysign(ahead.y), 0.0);
    let contact = at - ahead * radius - corner;
    let off = flat(tool - contact);
    let along = off.dot(ahead);
    let across = off - ahead * along;
    let (puck, hand) = (flat(scene.velocity(thing).0), flat(scene.machine.velocity(&scene.world.bodies)));
    let speed = puck.dot(ahead);
    let low = tool.z < STRIKE_Z + 0.012;
    let touches = low && along > -0.012 && across.length() < 0.015;
    if puck.length() > 0.02 && (speed > 0.975 * needed || !touches) {
        // It slides: what comes of it shows when it stops. The hand brakes and makes way.
        return to(scene, tool - hand * 0.01 + Vector::new(0.0, 0.0, if touches { 0.0 } else { 0.02 }), CLOSE);
    }
    let limit = scene.bounds;
    // The hand is at 90 % of its speed after 4 steps.
    let run = (0.13 * needed).clamp(0.03, 0.14);
    let start = flat((contact - ahead * run).clamp(limit.low, limit.high));
    let under_way = hand.dot(ahead) > 0.1 && along > -run - 0.01;
    let lined_up = flat(tool - start).length() < 0.002 && flat(hand).length() < 0.05;
    if low && (lined_up || across.length() < 0.006 && (under_way || touches)) {
        // As fast as it is to be where this step ends, once it is pushed.
        let pushed = (along + hand.dot(ahead) * CONTROL_S).clamp(0.0, 0.05);
        let wanted = ahead * (PACE * (2.0 * slowdown * (left - pushed).max(0.0)).sqrt());
        let step = wanted * CONTROL_S - (wanted - hand) * LAG_S - across * 0.8;
        return to(scene, flat(tool + step) + Vector::new(0.0, 0.0, STRIKE_Z), CLOSE);
    }
    // Over the thing where it is in the way.
    let high = 0.085;
    let way = start - flat(tool);
    let nearest = flat(tool) + way * (flat(at - tool).dot(way) / way.length_squared().max(1e-9)).clamp(0.0, 1.0);
    let clear = flat(at - nearest).length() > radius + 0.022;
    if clear {
        return to(scene, start + Vector::new(0.0, 0.0, STRIKE_Z), CLOSE);
    }
    if tool.z < high - 0.03 {
        return to(scene, flat(tool) + Vector::new(0.0, 0.0, high), CLOSE);
    }
    to(scene, start + Vector::new(0.0, 0.0, high), CLOSE)
}

/// Height of the tool in a strike, m: its tips just over the table, so that it hits the whole side of the puck.
const STRIKE_Z: f32 = 0.014;
/// The hand comes to its speed from below and, once there, gains a little in every step: what is struck passes the speed that is
/// needed slowly and is let go within some percent of it. At 1 a step gains 12 % at once.
const PACE: f32 = 0.9;
/// Keeps the hand from overshooting its speed while it makes up for the way that it lost in starting, s.
const LAG_S: f32 = 0.014;
