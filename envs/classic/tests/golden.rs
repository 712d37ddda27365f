//! The worlds against trajectories that Gymnasium produced (`tests/golden/classic.py` regenerates them).
use rlx::{Env, Rng, Status, View};
use rlx_classic::{acrobot, cartpole, mountain_car_continuous as mountain_car, pendulum};
use std::{fs, path::Path};

/// A line of a golden file.
struct Step {
    action: f64,
    state: Vec<f64>,
    obs: Vec<f32>,
    reward: f64,
    terminated: bool,
    truncated: bool,
}

fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|x| x.parse().unwrap()).collect()
}

/// Episodes: the start and the steps.
fn read(name: &str) -> Vec<(Vec<f64>, Vec<Step>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/classic").join(format!("{name}.txt"));
    let mut episodes = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines().filter(|l| !l.starts_with('#')) {
        if let Some(start) = line.strip_prefix("start ") {
            episodes.push((numbers(start), Vec::new()));
            continue;
        }
        let parts: Vec<_> = line.split('|').collect();
        let ends = numbers(parts[4]);
        episodes.last_mut().unwrap().1.push(Step {
            action: numbers(parts[0])[0],
            state: numbers(parts[1]),
            obs: numbers(parts[2]).iter().map(|&x| x as f32).collect(),
            reward: numbers(parts[3])[0],
            terminated: ends[0] == 1.0,
            truncated: ends[1] == 1.0,
        });
    }
    episodes
}

/// What the golden test needs of a world beside `Env`.
trait Golden: Env<Obs = f32> {
    fn put(&mut self, state: &[f64], first: bool);
    fn get(&self) -> Vec<f64>;
    fn action(x: f64) -> Self::Act;
    /// Largest difference after one step, and after a whole episode of its own: numpy's sine differs from libm's in the last bit,
    /// and the acrobot is chaotic.
    const ONE_STEP: f64;
    const EPISODE: f64;
}

macro_rules! golden {
    ($World:ty, |$x:ident| $action:expr, $one:expr, $all:expr, |$world:ident, $state:ident, $first:ident| $put:expr) => {
        impl Golden for $World {
            fn put(&mut self, $state: &[f64], $first: bool) {
                let $world = self;
                $put;
            }
            fn get(&self) -> Vec<f64> {
                self.state().to_vec()
            }
            fn action($x: f64) -> Self::Act {
                $action
            }
            const ONE_STEP: f64 = $one;
            const EPISODE: f64 = $all;
        }
    };
}
golden!(cartpole::CartPole, |x| x as i64, 0.0, 0.0, |w, s, _first| w.set_state(s.try_into().unwrap()));
golden!(pendulum::Pendulum, |x| x as f32, 1e-14, 1e-9, |w, s, _first| w.set_state(s.try_into().unwrap()));
golden!(acrobot::Acrobot, |x| x as i64, 1e-13, 1e-6, |w, s, _first| w.set_state(s.try_into().unwrap()));
golden!(mountain_car::MountainCarContinuous, |x| x as f32, 0.0, 0.0, |w, s, first| w
    .set_state(s.try_into().unwrap(), first));

fn far(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
}

fn check<E: Golden>(name: &str, mut world: E, limit: usize) -> (usize, usize) {
    let mut rng = Rng::stream(0, 0);
    let width = world.spec().obs.width();
    let (mut deaths, mut time_outs) = (0, 0);
    for (start, steps) in read(name) {
        let mut free = start.clone();
        for (t, golden) in steps.iter().enumerate() {
            let before = if t == 0 { start.clone() } else { steps[t - 1].state.clone() };
            // From the golden state, one step; and from its own, the whole episode.
            for (from, bound, own) in [(before, E::ONE_STEP, false), (free.clone(), E::EPISODE, true)] {
                world.put(&from, t == 0);
                let (mut obs, mut pay) = (vec![f32::NAN; width], [0.0]);
                let view = View { obs: &mut obs, mask: &mut [true; 3], seat: &mut [0] };
                let status = world.step(&[E::action(golden.action)], &mut rng, view, &mut pay).unwrap();
                let what = format!("{name}, step {t}, own {own}");
                assert!(far(&world.get(), &golden.state) <= bound, "{what}: {:?} {:?}", world.get(), golden.state);
                let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
                assert!(far(&wide(&obs), &wide(&golden.obs)) <= bound + 1.2e-7, "{what}: {obs:?} {:?}", golden.obs);
                assert!(
                    far(&[f64::from(pay[0])], &[golden.reward]) <= bound + 6e-8,
                    "{what}: {pay:?} {}",
                    golden.reward
                );
                assert_eq!(status == Status::Terminated, golden.terminated, "{what}");
                assert_ne!(status, Status::Truncated, "{what}: the vector keeps the time limit");
                if own {
                    free = world.get();
                }
            }
            assert_eq!(golden.truncated, t + 1 == limit, "{name}: the time limit");
            deaths += usize::from(golden.terminated);
            time_outs += usize::from(golden.truncated);
        }
    }
    (deaths, time_outs)
}

fn limit<E: Env>(world: &E) -> usize {
    world.spec().time_limit.unwrap() as usize
}

#[test]
fn cartpole_is_gymnasiums() {
    let world = || cartpole::CartPole::new(&cartpole::Config::default());
    let (_, time_outs) = check("cartpole", world(), limit(&world()));
    let (deaths, _) = check("cartpole-falls", world(), limit(&world()));
    assert_eq!((deaths, time_outs >= 1), (3, true), "the files show both kinds of ending");
}

#[test]
fn pendulum_is_gymnasiums() {
    let world = pendulum::Pendulum::new(&pendulum::Config::default());
    let limit = limit(&world);
    assert_eq!(check("pendulum", world, limit), (0, 1));
}

#[test]
fn acrobot_is_gymnasiums() {
    let world = acrobot::Acrobot::new(&acrobot::Config::default());
    let limit = limit(&world);
    assert!(check("acrobot", world, limit).0 >= 1);
}

#[test]
fn mountain_car_is_gymnasiums_to_the_bit() {
    let world = || mountain_car::MountainCarContinuous::new(&mountain_car::Config::default());
    assert!(check("mountain-car-continuous", world(), limit(&world())).0 >= 1);
    check("mountain-car-continuous-idle", world(), limit(&world()));
}

#[test]
fn a_changed_constant_is_noticed() {
    let config = cartpole::Config { gravity: 9.81, ..Default::default() };
    assert!(std::panic::catch_unwind(|| check("cartpole", cartpole::CartPole::new(&config), 500)).is_err());
}

#[test]
fn impossible_actions_are_refused_by_name() {
    let mut rng = Rng::stream(0, 0);
    let mut cart = cartpole::CartPole::new(&cartpole::Config::default());
    let mut swing = pendulum::Pendulum::new(&pendulum::Config::default());
    let (mut obs, mut pay) = ([0.0; 4], [0.0]);
    for bad in [-1, 2, i64::MAX] {
        let view = View { obs: &mut obs, mask: &mut [true; 2], seat: &mut [0] };
        assert!(cart.step(&[bad], &mut rng, view, &mut pay).unwrap_err().to_string().contains("one of 0..2"));
    }
    for bad in [f32::NAN, f32::INFINITY] {
        let view = View { obs: &mut obs[..3], mask: &mut [], seat: &mut [0] };
        assert!(swing.step(&[bad], &mut rng, view, &mut pay).unwrap_err().to_string().contains("finite"));
    }
}
