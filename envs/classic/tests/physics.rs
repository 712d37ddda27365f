//! The worlds against closed forms, and what holds of each of them.
use rlx::{ActionBuffer, ActionsMut, Env, Frame, Registry, Rng, Status, View};
use rlx_classic::{Acrobot, CartPole, Pendulum, acrobot, cartpole, pendulum};
use std::f64::consts::PI;

/// One step; the status and the reward.
fn step<E: Env<Obs = f32>>(world: &mut E, act: E::Act) -> (Status, f32) {
    let width = world.spec().obs.width();
    let (mut obs, mut pay) = (vec![f32::NAN; width], [0.0]);
    let view = View { obs: &mut obs, mask: &mut [true; 3], seat: &mut [0] };
    let status = world.step(&[act], &mut Rng::stream(0, 0), view, &mut pay).unwrap();
    assert!(obs.iter().all(|x| x.is_finite()));
    (status, pay[0])
}

/// Florian's equations give theta'' = (g sin theta - cos theta (F + m l theta'^2 sin theta) / M) / (l (4/3 - m cos^2 theta / M)):
/// the mean of a push to the right and one to the left, at rest, is the fall without a push.
#[test]
fn an_unpushed_pole_falls_as_its_linearisation_says() {
    let angle = 1e-4;
    let mean: f64 = [0, 1]
        .map(|act| {
            let mut world = CartPole::new(&cartpole::Config::default());
            world.set_state([0.0, 0.0, angle, 0.0]);
            step(&mut world, act);
            world.state()[3] / 2.0
        })
        .iter()
        .sum();
    let right = 0.02 * 9.8 * angle / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
    assert!((mean / right - 1.0).abs() < 1e-7, "{mean} {right}");
}

#[test]
fn cartpole_ends_beyond_its_limits_and_not_at_them() {
    let (x, angle) = (2.4f64, 12.0 * 2.0 * PI / 360.0);
    for sign in [-1.0, 1.0] {
        // At rest neither changes within the step, so that the state given is the state judged.
        for (state, ends) in [
            ([sign * x, 0.0, 0.0, 0.0], false),
            ([sign * x.next_up(), 0.0, 0.0, 0.0], true),
            ([0.0, 0.0, sign * angle, 0.0], false),
            ([0.0, 0.0, sign * angle.next_up(), 0.0], true),
        ] {
            let mut world = CartPole::new(&cartpole::Config::default());
            world.set_state(state);
            let (status, reward) = step(&mut world, 1);
            assert_eq!(status == Status::Terminated, ends, "{state:?}");
            assert_eq!(reward, 1.0, "the step that ends it pays too");
        }
    }
}

/// Near the bottom, delta'' = -w^2 delta with w^2 = 3 g / (2 l) = 15. Semi-implicit Euler makes of it exactly
/// delta[k+1] - 2 delta[k] + delta[k-1] = -(w h)^2 delta[k], whose solutions turn by phi = acos(1 - (w h)^2 / 2) a step.
#[test]
fn a_small_swing_has_the_closed_form_of_its_integrator() {
    let (start, wh2) = (1e-5, 15.0 * 0.05f64.powi(2));
    let phi = (1.0 - wh2 / 2.0).acos();
    let b = ((1.0 - wh2) - phi.cos()) / phi.sin();
    let mut world = Pendulum::new(&pendulum::Config::default());
    world.set_state([PI + start, 0.0]);
    for k in 1..=200 {
        step(&mut world, 0.0);
        let (sin, cos) = (phi * f64::from(k)).sin_cos();
        let right = start * (cos + b * sin);
        assert!((world.state()[0] - PI - right).abs() < 1e-4 * start, "step {k}: {} {right}", world.state()[0] - PI);
    }
}

/// Without torque the energy stays: kinetic, d1 w1^2 / 2 + d2 w1 w2 + (m lc^2 + I) w2^2 / 2, and potential. The method's error of
/// order h^4 is what is left; a wrong sign or constant in the equations loses all of it within a few steps.
#[test]
fn an_undriven_acrobot_keeps_its_energy() {
    let energy = |[a, b, u, v]: acrobot::State| {
        let (d1, d2, d3) = (0.25 + (1.0 + 0.25 + b.cos()) + 2.0, (0.25 + 0.5 * b.cos()) + 1.0, 0.25 + 1.0);
        d1 * u * u / 2.0 + d2 * u * v + d3 * v * v / 2.0 - 1.5 * 9.8 * a.cos() - 0.5 * 9.8 * (a + b).cos()
    };
    let mut world = Acrobot::new(&acrobot::Config::default());
    world.set_state([0.5, -0.3, 0.2, 0.1]);
    let before = energy(world.state());
    let scale = before - energy([0.0; 4]);
    for k in 0..50 {
        step(&mut world, 1);
        let after = energy(world.state());
        assert!((after - before).abs() < 0.03 * scale, "step {k}: {before} {after}");
    }
}

/// Actions at random, some of them beyond the bounds.
fn draw(actions: &mut ActionBuffer, choices: usize, rng: &mut Rng) {
    match actions.get_mut() {
        ActionsMut::Discrete(ids) => ids.iter_mut().for_each(|id| *id = rng.below(choices) as i64),
        ActionsMut::Continuous(xs) => xs.iter_mut().for_each(|x| *x = rng.uniform(-3.0, 3.0) as f32),
    }
}

fn same(a: Frame<'_>, b: Frame<'_>) -> bool {
    a.obs == b.obs && a.reward == b.reward && a.status == b.status
}

#[test]
fn every_registered_world_keeps_its_bounds_and_goes_on_from_a_snapshot() {
    let mut registry = Registry::new();
    rlx_classic::register(&mut registry);
    for (name, limit) in [("cartpole", 500), ("pendulum", 200), ("acrobot", 500), ("mountain-car-continuous", 999)] {
        let world = registry.find_world(name).unwrap();
        let none = Default::default();
        let spec = world.spec(&none).unwrap();
        assert_eq!((spec.name.as_str(), spec.time_limit), (name, Some(limit)));
        assert_eq!(spec.fields.len(), spec.obs.width(), "{name}: every scalar has a name");
        let rlx::Space::Box { low, high, .. } = &spec.obs else { panic!("{name}") };
        let (mut a, mut b) = (world.vector(&none, 3, 7).unwrap(), world.vector(&none, 3, 8).unwrap());
        let (mut seen, mut other) = (a.slab(1), b.slab(1));
        a.reset(seen.frame_mut(0));
        b.reset(other.frame_mut(0));
        let (mut rng, mut actions) = (Rng::stream(3, 0), ActionBuffer::new(&spec.act, 3));
        let mut saved = Vec::new();
        for t in 0..1500 {
            if t == 700 {
                a.save(&mut saved);
                b.load(&saved).unwrap();
                assert!(b.load(&saved[..saved.len() - 1]).is_err(), "{name}: a truncated snapshot");
                b.load(&saved).unwrap();
            }
            draw(&mut actions, spec.act.choices(), &mut rng);
            a.step(actions.get(), seen.frame_mut(0)).unwrap();
            let frame = seen.frame(0);
            for row in frame.obs.f32().unwrap().chunks(low.len()) {
                assert!(row.iter().zip(low.iter().zip(high)).all(|(x, (l, h))| l <= x && x <= h), "{name}: {row:?}");
            }
            if t >= 700 {
                b.step(actions.get(), other.frame_mut(0)).unwrap();
                assert!(same(frame, other.frame(0)), "{name}: tick {t} after the snapshot");
            }
        }
        let episodes = a.episodes();
        assert!(!episodes.is_empty() && episodes.lengths.iter().all(|&l| l <= limit), "{name}");
        if name == "pendulum" {
            assert!(episodes.status.iter().all(|&s| s == Status::Truncated));
            assert!(episodes.lengths.iter().all(|&l| l == limit));
        }
    }
}
