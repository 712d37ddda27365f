//! Whatever is pressed, dragged, squeezed or flung, physics stays finite and slow and nothing goes through anything.
use super::*;
use rapier3d::parry::query;
use rapier3d::prelude::{Collider, Vector};

/// Fastest that anything may become, m/s.
const FAST: f32 = 10.0;
/// Deepest that anything may be in what is fixed, m. Not a law: of 126,000 steps of vandals of other seeds seven were deeper, 6.5 mm at
/// most and for a step, where a hand slams a finger on the edge of a thing on the table.
const DEEP: f32 = 0.005;
const EPISODES: u64 = 20;

/// Somebody who wants to break it: goes over a thing and presses as hard as it can, drags, squeezes, flings, each for a while.
#[derive(Default)]
pub(super) struct Vandal {
    left: usize,
    way: usize,
    thing: usize,
    act: Vec<f32>,
}

impl Vandal {
    pub fn act(&mut self, world: &Manipulation, rng: &mut Rng) -> &[f32] {
        let things = world.scene.things.len();
        if self.left == 0 {
            self.left = 1 + rng.below(20);
            self.way = rng.below(6);
            self.thing = rng.below(things.max(1));
            self.act = (0..ACTIONS).map(|_| if rng.unit() < 0.5 { -1.0 } else { 1.0 }).collect();
        }
        self.left -= 1;
        let tool = world.scene.tool();
        let thing = if things == 0 { Vector::ZERO } else { world.scene.at(self.thing) } - tool;
        let flat = Vector::new(thing.x, thing.y, 0.0);
        let towards = |v: Vector| (v / MOVE).to_array().map(|x| x.clamp(-1.0, 1.0));
        match self.way {
            // Towards it, wherever it is, and through it.
            0 => self.act[..3].copy_from_slice(&towards(thing)),
            // Over it and down, the fingers open or closed as they were drawn.
            1 => {
                let down = if flat.length() < 0.02 { -MOVE } else { 0.6 * MOVE };
                self.act[..3].copy_from_slice(&towards(flat + Vector::new(0.0, 0.0, down)));
            }
            // Every step another corner of what may be asked for.
            2 => self.act.iter_mut().for_each(|a| *a = if rng.unit() < 0.5 { -1.0 } else { 1.0 }),
            // Around it with open fingers, then squeezed with full force and pressed down or torn away.
            3 => {
                let about = flat.length() < 0.012 && thing.z.abs() < 0.015;
                if about || self.act[3] < 0.0 && thing.length() < 0.04 {
                    let corner = if self.left.is_multiple_of(2) {
                        Vector::new(0.0, 0.0, -MOVE)
                    } else {
                        thing.normalize_or_zero() * -MOVE
                    };
                    self.act[..3].copy_from_slice(&towards(corner));
                    self.act[3] = -1.0;
                } else {
                    let above = if flat.length() > 0.012 { Vector::new(0.0, 0.0, 0.08) } else { Vector::ZERO };
                    self.act[..3].copy_from_slice(&towards(thing + above));
                    self.act[3] = 1.0;
                }
            }
            // What is fixed: down, and along it at full speed.
            4 => self.act[2] = -1.0,
            // The action that was drawn.
            _ => {}
        }
        &self.act
    }
}

/// What went wrong most in an episode.
#[derive(Clone, Copy, Debug, Default)]
struct Worst {
    /// Fastest body, m/s.
    speed: f32,
    /// Deepest that a loose thing, and a part of the robot, is in a fixed body, m.
    thing: f32,
    robot: f32,
}

/// The worst of what is there now; panics at what is not finite or fell through the floor.
fn worst(world: &Manipulation) -> Worst {
    let (scene, name) = (&world.scene, world.options.name);
    let mut worst = Worst::default();
    for (_, body) in scene.world.bodies.iter() {
        let (v, at) = (body.linvel(), body.position());
        let finite =
            v.is_finite() && body.angvel().is_finite() && at.translation.is_finite() && at.rotation.is_finite();
        assert!(finite, "{name}: not finite");
        worst.speed = worst.speed.max(v.length());
    }
    for thing in &scene.things {
        let at = scene.world.bodies[thing.body].position().translation;
        assert!(at.z > -0.42, "{name}: {} fell through the floor", thing.name);
    }
    let colliders = &scene.world.colliders;
    let fixed = |c: &Collider| c.parent().is_none_or(|b| scene.world.bodies[b].is_fixed());
    let pose = |c: &Collider| match (c.parent(), c.position_wrt_parent()) {
        // A body's colliders follow it only when the engine steps.
        (Some(parent), Some(local)) => *scene.world.bodies[parent].position() * *local,
        _ => *c.position(),
    };
    for (_, rock) in colliders.iter().filter(|(_, c)| fixed(c)) {
        for (_, moving) in colliders.iter().filter(|(_, c)| !fixed(c)) {
            if !rock.collision_groups().test(moving.collision_groups()) {
                continue;
            }
            let found = query::contact(&pose(rock), rock.shape(), &pose(moving), moving.shape(), 0.0).unwrap();
            let deep = found.map_or(0.0, |c| -c.dist);
            let body = moving.parent().expect("what moves has a body");
            let kind = if scene.things.iter().any(|t| t.body == body) { &mut worst.thing } else { &mut worst.robot };
            *kind = kind.max(deep);
        }
    }
    worst
}

fn vandalised(robot: RobotKind) {
    let mut broken = Vec::new();
    for mut world in worlds(robot) {
        let name = world.options.name;
        let mut all = Worst::default();
        for seed in 0..EPISODES {
            let (mut rng, mut played) = (Rng::named(5, "vandal", seed), Played::of(&world));
            let mut vandal = Vandal::default();
            played.reset(&mut world, &mut rng);
            for _ in 0..100 {
                let act = vandal.act(&world, &mut rng).to_vec();
                played.step(&mut world, &act, &mut rng).unwrap_or_else(|e| panic!("{name}: {e}"));
                let now = worst(&world);
                all.speed = all.speed.max(now.speed);
                all.thing = all.thing.max(now.thing);
                all.robot = all.robot.max(now.robot);
            }
        }
        if all.speed > FAST || all.thing > DEEP || all.robot > DEEP {
            broken.push((name, all));
        }
    }
    assert!(broken.is_empty(), "{robot:?}: {broken:?}");
}

#[test]
fn pressing_neither_breaks_nor_tunnels_nor_flings() {
    vandalised(RobotKind::Gantry);
}

#[test]
fn nor_does_an_arm() {
    vandalised(RobotKind::Panda);
}
