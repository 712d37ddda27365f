//! The derivatives that are written out, against finite differences; clipping; and small environments of every kind of action.
use super::{
    Config, Ppo,
    head::{Head, Row, RowGrad},
    loss::{ClippedSurrogate, value_loss},
};
use crate::Schedule;
use rlx::{
    Actions, Algorithm, Device, Env, Error, Learner, Result, Rng, Scalars, Setup, Space, Spec, Status, VecEnv, Vector,
    View,
};

/// Central differences of `f` at `x`, component by component.
fn numeric(x: &[f32], f: &mut dyn FnMut(&[f32]) -> f64) -> Vec<f64> {
    let h = 1e-3;
    (0..x.len())
        .map(|i| {
            let mut at = |d: f32| {
                let mut x = x.to_vec();
                x[i] += d;
                f(&x)
            };
            (at(h) - at(-h)) / (2.0 * f64::from(h))
        })
        .collect()
}

#[test]
fn the_surrogate_is_clipped_exactly_where_it_should_be() {
    let clip = 0.2f32;
    for (advantage, ratio, cut) in [
        // Better than it was, and already pushed past the range: no further.
        (1.0, 1.3, true),
        (-1.0, 0.7, true),
        // Past the range on the wrong side: the gradient brings it back.
        (1.0, 0.7, false),
        (-1.0, 1.3, false),
        (1.0, 1.1, false),
        (-1.0, 0.9, false),
    ] {
        let term = ClippedSurrogate { advantage, old_log_prob: -1.0, clip };
        let log_prob = -1.0 + f32::ln(ratio);
        let slope = term.derivative(log_prob);
        assert_eq!(slope == 0.0, cut, "advantage {advantage}, ratio {ratio}");
        let expected = numeric(&[log_prob], &mut |x| f64::from(term.loss(x[0])))[0];
        assert!((f64::from(slope) - expected).abs() < 2e-3, "{slope} {expected}");
        let bound = if advantage > 0.0 { 1.0 + clip } else { 1.0 - clip };
        if cut {
            assert!((term.loss(log_prob) + bound * advantage).abs() < 1e-6);
        }
    }
}

#[test]
fn derivatives_by_logits_agree_with_finite_differences() {
    let mut rng = Rng::stream(1, 0);
    let sets = [3usize, 4, 2];
    let head = Head::new(&Space::MultiDiscrete(sets.to_vec()));
    for _ in 0..50 {
        let logits: Vec<f32> = (0..9).map(|_| rng.normal() as f32).collect();
        let mut mask: Vec<bool> = (0..9).map(|_| rng.below(4) > 0).collect();
        let ids: Vec<i64> = sets.iter().map(|n| rng.below(*n) as i64).collect();
        for (start, id) in [0, 3, 7].iter().zip(&ids) {
            mask[start + *id as usize] = true;
        }
        let (d_log_prob, entropy_coef) = (rng.normal() as f32, 0.3);
        let mut loss = |x: &[f32]| {
            let mut probs = [0.0; 9];
            let row = Row { outputs: x, log_std: &[], mask: &mask };
            let (log_prob, entropy) = head.log_prob_and_entropy(row, Actions::Discrete(&ids), &mut probs).unwrap();
            f64::from(d_log_prob) * f64::from(log_prob) - entropy_coef * f64::from(entropy)
        };
        let expected = numeric(&logits, &mut loss);
        let (mut probs, mut out) = ([0.0; 9], [0.0; 9]);
        let (row, action) = (Row { outputs: &logits, log_std: &[], mask: &mask }, Actions::Discrete(&ids));
        head.log_prob_and_entropy(row, action, &mut probs).unwrap();
        let grad = RowGrad { outputs: &mut out, log_std: &mut [] };
        head.backward(row, action, &probs, (d_log_prob, entropy_coef as f32), grad);
        for i in 0..9 {
            assert!((f64::from(out[i]) - expected[i]).abs() < 2e-3, "{i}: {} {}", out[i], expected[i]);
            assert!(mask[i] || out[i] == 0.0, "a masked logit has no gradient");
        }
    }
}

#[test]
fn derivatives_by_means_and_deviations_agree_with_finite_differences() {
    let mut rng = Rng::stream(2, 0);
    let head = Head::new(&Space::symmetric(&[2.0, 0.5]));
    for _ in 0..50 {
        let mut random = || [rng.normal() as f32, rng.normal() as f32];
        let (mean, log_std, action, [d_log_prob, _]) = (random(), random().map(|s| 0.3 * s), random(), random());
        let action = Actions::Continuous(&action);
        let mut loss = |x: &[f32]| {
            let row = Row { outputs: &x[..2], log_std: &x[2..], mask: &[] };
            let (log_prob, entropy) = head.log_prob_and_entropy(row, action, &mut []).unwrap();
            f64::from(d_log_prob) * f64::from(log_prob) - 0.3 * f64::from(entropy)
        };
        let expected = numeric(&[mean, log_std].concat(), &mut loss);
        let (mut outputs, mut d_log_std) = ([0.0; 2], [0.0; 2]);
        let row = Row { outputs: &mean, log_std: &log_std, mask: &[] };
        let grad = RowGrad { outputs: &mut outputs, log_std: &mut d_log_std };
        head.backward(row, action, &[], (d_log_prob, 0.3), grad);
        for (found, expected) in outputs.iter().chain(&d_log_std).zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-2 * expected.abs().max(1.0), "{found} {expected}");
        }
    }
}

#[test]
fn the_value_loss_and_its_derivative() {
    let mut rng = Rng::stream(4, 0);
    for i in 0..200 {
        let (new, old, target) = (rng.normal() as f32, rng.normal() as f32, rng.normal() as f32);
        let limit = if i % 2 == 0 { 0.0 } else { 0.4 };
        let (loss, slope) = value_loss(new, old, target, limit);
        // At a kink (where the two losses meet, or the limit) a difference says nothing.
        let smooth = limit == 0.0
            || (((new - old).abs() - limit).abs() > 0.01 && {
                let held = old + (new - old).clamp(-limit, limit);
                ((held - target).abs() - (new - target).abs()).abs() > 0.01 || held == new
            });
        let expected = numeric(&[new], &mut |x| f64::from(value_loss(x[0], old, target, limit).0))[0];
        assert!(
            !smooth || (f64::from(slope) - expected).abs() < 1e-2,
            "{new} {old} {target} {limit}: {slope} {expected}"
        );
        assert!(loss >= 0.5 * (new - target).powi(2) - 1e-6, "clipping never makes the loss smaller");
    }
}

/// Says two digits and pays for repeating them; one choice of each set is masked, and taking it is an error.
struct Repeat {
    digits: [usize; 2],
}

impl Env for Repeat {
    type Obs = f32;
    type Act = i64;
    fn spec(&self) -> Spec {
        Spec::solo("repeat", Space::uniform(7, 0.0, 1.0), Space::MultiDiscrete(vec![3, 4])).limited(10)
    }
    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.digits = [rng.below(3), rng.below(4)];
        view.obs.fill(0.0);
        view.obs[self.digits[0]] = 1.0;
        view.obs[3 + self.digits[1]] = 1.0;
        view.mask[(self.digits[0] + 1) % 3] = false;
        view.mask[3 + (self.digits[1] + 1) % 4] = false;
    }
    fn step(&mut self, act: &[i64], rng: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        let [a, b] = [act[0] as usize, act[1] as usize];
        if a == (self.digits[0] + 1) % 3 || b == (self.digits[1] + 1) % 4 {
            return Err(Error::invalid("a masked choice was taken"));
        }
        pay[0] = 0.5 * f32::from(u8::from(a == self.digits[0])) + 0.5 * f32::from(u8::from(b == self.digits[1]));
        self.reset(rng, view);
        Ok(Status::Running)
    }
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Pays for aiming at a point that the observation names; the range of the action is lopsided on purpose.
struct Aim {
    at: f32,
}

impl Env for Aim {
    type Obs = f32;
    type Act = f32;
    fn spec(&self) -> Spec {
        let act = Space::Box { shape: vec![1], low: vec![2.0], high: vec![10.0] };
        Spec::solo("aim", Space::uniform(1, 0.0, 1.0), act).limited(10)
    }
    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.at = rng.unit() as f32;
        view.obs[0] = self.at;
    }
    fn step(&mut self, act: &[f32], rng: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        if !(2.0..=10.0).contains(&act[0]) {
            return Err(Error::invalid(format!("{} is out of range", act[0])));
        }
        pay[0] = -((act[0] - 2.0) / 8.0 - self.at).abs();
        self.reset(rng, view);
        Ok(Status::Running)
    }
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Mean reward of a step before and after learning.
fn learn(mut envs: Box<dyn Vector>, config: Config, iterations: usize) -> (f64, f64) {
    let (spec, worlds) = (envs.spec().clone(), envs.len());
    Ppo::fits(&config, &spec).unwrap();
    let mut ppo = Ppo::new(config, Setup { spec, worlds, seed: 3, steps: 1 << 40, device: Device::Cpu }).unwrap();
    let mut log = Scalars::default();
    let mut rewards = Vec::new();
    for _ in 0..iterations {
        ppo.iterate(&mut *envs, &mut log).unwrap();
        let r = &ppo.rollout.rewards;
        rewards.push(r.iter().map(|r| f64::from(*r)).sum::<f64>() / r.len() as f64);
    }
    assert!(log.get("losses/approx_kl").unwrap() >= 0.0);
    (rewards[0], rewards[iterations - 1])
}

fn config() -> Config {
    Config {
        num_steps: 32,
        learning_rate: 3e-3,
        gamma: 0.0,
        hidden: vec![32],
        lr_schedule: Schedule::Constant,
        ..Config::default()
    }
}

#[test]
fn multi_discrete_actions_are_learnt_and_masks_are_kept() {
    let (first, last) = learn(Box::new(VecEnv::new(8, 1, || Repeat { digits: [0, 0] })), config(), 40);
    assert!(first < 0.6 && last > 0.95, "{first} to {last}");
}

#[test]
fn continuous_actions_are_learnt_within_their_range() {
    let (first, last) =
        learn(Box::new(VecEnv::new(8, 1, || Aim { at: 0.0 })), Config { target_kl: 0.1, ..config() }, 80);
    assert!(first < -0.25 && last > -0.1, "{first} to {last}");
}

#[test]
fn the_kl_limit_stops_an_iteration_early() {
    let updates = |target_kl: f64| {
        let mut envs = VecEnv::new(8, 1, || Repeat { digits: [0, 0] });
        let config = Config { target_kl, learning_rate: 0.05, ..config() };
        let setup = Setup { spec: envs.spec().clone(), worlds: 8, seed: 3, steps: 1 << 40, device: Device::Cpu };
        let mut ppo = Ppo::new(config, setup).unwrap();
        ppo.iterate(&mut envs, &mut Scalars::default()).unwrap();
        ppo.state.updates
    };
    assert!(updates(1e-3) < updates(0.0), "{} {}", updates(1e-3), updates(0.0));
    assert_eq!(updates(0.0), 10 * 4, "epochs x minibatches");
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let mut spec = Repeat { digits: [0, 0] }.spec();
    spec.players = 4;
    assert!(Ppo::fits(&config(), &spec).unwrap_err().contains("take turns"));
    spec.candidates = Some(7);
    assert!(Ppo::fits(&config(), &spec).unwrap_err().contains("candidates"));
}
