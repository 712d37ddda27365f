use super::{Config, Networks, concat_taken};
use rlx::{ActionBuffer, Mode, Rng, Space, Spec, replay::Batch};
use rlx_nn::Norm;
use tch::{Kind, Tensor};

fn spec() -> Spec {
    Spec::solo("here", Space::uniform(3, -9.0, 9.0), Space::symmetric(&[2.0, 0.5]))
}

fn batch(rng: &mut Rng, n: usize) -> Batch {
    let mut random = |n: usize, scale: f64| (0..n).map(|_| (scale * rng.normal()) as f32).collect::<Vec<_>>();
    let (obs, next, reward) = (random(3 * n, 1.0), random(3 * n, 1.0), random(n, 1.0));
    let act = random(2 * n, 1.0).chunks(2).flat_map(|a| [2.0 * a[0].tanh(), 0.5 * a[1].tanh()]).collect();
    let discount = (0..n).map(|i| if i % 5 == 0 { 0.0 } else { 0.9 }).collect();
    Batch {
        obs: rlx::Column::F32(obs),
        act: ActionBuffer::Continuous(act),
        reward,
        next: rlx::Column::F32(next),
        discount,
        relabelled: vec![false; n],
    }
}

/// The smaller of the critics' values of (obs, action) rows in the environment's units.
fn value(networks: &mut Networks, obs: &[f32], actions: &[f32]) -> Vec<f32> {
    let mut x = Vec::new();
    networks.normalize(obs, &mut x);
    concat_taken(&mut networks.input, &x, networks.obs, actions, &networks.scales);
    let [a, b] = &mut networks.critics;
    let qa = a.net.mlp.forward(&a.net.params, &networks.input, &mut a.work);
    let qb = b.net.mlp.forward(&b.net.params, &networks.input, &mut b.work);
    qa.iter().zip(qb).map(|(a, b)| a.min(*b)).collect()
}

/// A network in autograd over the native one's parameters.
struct Torch {
    params: Vec<(String, Tensor)>,
}

impl Torch {
    fn of(networks: &Networks, prefix: &str) -> Self {
        let arrays = networks.arrays();
        let of = arrays.iter().filter(|a| a.name.starts_with(prefix));
        let tensor = |a: &rlx::Array| {
            let shape: Vec<i64> = a.shape.iter().map(|&n| n as i64).collect();
            Tensor::from_slice(&a.data).view(&shape[..]).set_requires_grad(true)
        };
        Self { params: of.map(|a| (a.name.clone(), tensor(a))).collect() }
    }
    fn at(&self, name: &str) -> Option<&Tensor> {
        self.params.iter().find(|(n, _)| n.ends_with(name)).map(|(_, t)| t)
    }
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut y = x.shallow_clone();
        for layer in 0.. {
            let Some(weight) = self.at(&format!("{layer}.weight")) else { break };
            y = y.linear(weight, self.at(&format!("{layer}.bias")));
            if let (Some(scale), Some(shift)) = (self.at(&format!("{layer}.scale")), self.at(&format!("{layer}.shift")))
            {
                y = y.layer_norm(scale.size(), Some(scale), Some(shift), 1e-5, false);
            }
            if self.at(&format!("{}.weight", layer + 1)).is_some() {
                y = y.relu();
            }
        }
        y
    }
    /// The gradients in the order and with the padding of the native ones.
    fn grads(&self) -> Vec<f32> {
        let mut flat = Vec::new();
        for (_, p) in &self.params {
            flat.extend(rlx_nn::upload::to_vec(&p.grad().reshape([-1])).unwrap());
            flat.resize(flat.len().next_multiple_of(16), 0.0);
        }
        flat
    }
}

/// (squashed action in [-1, 1], log-probability) as the paper has them, in f32 by autograd.
fn sample(actor: &Torch, x: &Tensor, noise: &Tensor) -> (Tensor, Tensor) {
    let out = actor.forward(x);
    let (mean, raw) = (out.narrow(1, 0, 2), out.narrow(1, 2, 2));
    let log_std = (raw.tanh() + 1.0) * 3.5 - 5.0;
    let pre = mean + log_std.exp() * noise;
    let normal = noise.square() * -0.5 - &log_std - 0.5 * std::f64::consts::TAU.ln();
    let squashed = pre.tanh();
    let log_prob = normal - (squashed.square().neg() + 1.0).log();
    (squashed, log_prob.sum_dim_intlist(1i64, false, Kind::Float))
}

/// One update's gradients are autograd's, of losses written from the paper: critics first, then the policy against them as changed.
#[test]
fn an_update_follows_autograds_gradients() {
    for norm in [Norm::None, Norm::Layer] {
        let config = Config {
            hidden: vec![16, 8],
            norm,
            normalize_obs: false,
            alpha_init: 0.3,
            batch_size: 10,
            tau: 0.25,
            ..Config::default()
        };
        let mut networks = Networks::new(config, &spec(), 3);
        let mut rng = Rng::stream(5, 5);
        let batch = batch(&mut rng, 10);
        let mut noise = Rng::named(3, "sac noise", 0);
        let mut draw = || Tensor::from_slice(&(0..20).map(|_| noise.normal() as f32).collect::<Vec<_>>()).view([10, 2]);
        let tensor = |c: &rlx::Column| Tensor::from_slice(c.slice(0..30).f32().unwrap()).view([10, 3]);
        let (x, next) = (tensor(&batch.obs), tensor(&batch.next));
        let ActionBuffer::Continuous(actions) = &batch.act else { unreachable!() };
        let act = Tensor::from_slice(actions).view([10, 2]) / Tensor::from_slice(&[2.0f32, 0.5]);

        let actor = Torch::of(&networks, "actor");
        let critics = [Torch::of(&networks, "critic0"), Torch::of(&networks, "critic1")];
        let joined = |x: &Tensor, a: &Tensor| Tensor::cat(&[x, a], 1);
        let target = tch::no_grad(|| {
            let (a, log_prob) = sample(&actor, &next, &draw());
            let [qa, qb] = [0, 1].map(|i| critics[i].forward(&joined(&next, &a)).squeeze_dim(1));
            Tensor::from_slice(&batch.reward) + Tensor::from_slice(&batch.discount) * (qa.minimum(&qb) - log_prob * 0.3)
        });
        for c in &critics {
            let q = c.forward(&joined(&x, &act)).squeeze_dim(1);
            ((q - &target).square() * 0.5).mean(Kind::Float).backward();
        }
        let before: Vec<Vec<f32>> = networks.critics.iter().map(|c| c.target_params.clone()).collect();
        networks.update(&batch, 1e-3).unwrap();
        let close = |a: &[f32], b: &[f32], what: &str| {
            assert_eq!(a.len(), b.len(), "{what}");
            let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let size = b.iter().map(|b| b.abs()).fold(0.0, f32::max);
            assert!(size > 1e-4 && worst < 2e-4 * size.max(0.1), "{what} {norm:?}: {worst} of {size}");
        };
        for (i, c) in critics.iter().enumerate() {
            close(&networks.critics[i].net.grads, &c.grads(), "critic");
            let own = &networks.critics[i];
            for ((t, b), p) in own.target_params.iter().zip(&before[i]).zip(&own.net.params) {
                assert!((t - (0.75 * b + 0.25 * p)).abs() < 1e-6);
            }
        }
        // The policy's loss against the critics as they are after their step.
        let critics = [Torch::of(&networks, "critic0"), Torch::of(&networks, "critic1")];
        let (a, log_prob) = sample(&actor, &x, &draw());
        let [qa, qb] = [0, 1].map(|i| critics[i].forward(&joined(&x, &a)).squeeze_dim(1));
        (log_prob * 0.3 - qa.minimum(&qb)).mean(Kind::Float).backward();
        close(&networks.actor.grads, &actor.grads(), "policy");
    }
}

/// CrossQ's joint batch: the value of next actions comes from the same pass, and statistics are tracked.
#[test]
fn crossq_learns_a_bandit_and_keeps_running_statistics() {
    let config =
        Config { hidden: vec![32], norm: Norm::Batch, alpha_auto: false, alpha_init: 1e-3, ..Config::default() };
    let mut networks = Networks::new(config, &spec(), 1);
    let mut rng = Rng::stream(1, 1);
    for step in 0..3000 {
        // One step: the reward is how near the first action is to the first observation / 4, and the second to .25.
        let mut batch = batch(&mut rng, 64);
        let ActionBuffer::Continuous(act) = &batch.act else { unreachable!() };
        let obs = batch.obs.slice(0..192).f32().unwrap();
        for i in 0..64 {
            batch.discount[i] = 0.0;
            batch.reward[i] = -(act[2 * i] - obs[3 * i] / 4.0).powi(2) - (act[2 * i + 1] - 0.25).powi(2);
        }
        networks.update(&batch, 3e-3 * (1.0 - f64::from(step) / 3000.0)).unwrap();
    }
    let mut action = [0.0; 4];
    let obs = [1.0, 0.3, -0.2, -2.0, 0.1, 0.4];
    networks.act(&obs, Mode::Greedy, &mut [], &mut action).unwrap();
    let wrong = [action[0] - 0.25, action[1] - 0.25, action[2] + 0.5, action[3] - 0.25];
    assert!(wrong.iter().all(|w| w.abs() < 0.2), "{action:?}");
    let values = value(&mut networks, &obs, &[0.25, 0.25, 1.5, -0.4]);
    // By the running statistics, where 0 and -4.42 are true; the joint batch holds the policy's own actions too, so the fit is not exact.
    assert!((values[0] - values[1] - 4.42).abs() < 0.7 && values[0].abs() < 0.7, "{values:?}");
}

/// What is evaluated and exported is the weighted mean of the policies so far; what explores and learns is as it would be without.
#[test]
fn the_average_of_the_policies_is_judged_and_changes_nothing_that_is_learnt() {
    let config = |policy_average| Config { hidden: vec![16], policy_average, policy_delay: 2, ..Config::default() };
    let (mut plain, mut averaged) = (Networks::new(config(0.0), &spec(), 5), Networks::new(config(0.8), &spec(), 5));
    let mut mean = plain.actor.params.clone();
    let mut rng = Rng::stream(2, 2);
    for update in 1..=200 {
        let batch = batch(&mut rng, 16);
        plain.update(&batch, 1e-2).unwrap();
        averaged.update(&batch, 1e-2).unwrap();
        assert_eq!(plain.actor.params, averaged.actor.params);
        if update % 2 == 0 {
            let n = f64::from(update / 2);
            let kept = f64::min(0.8, n / (n + 10.0)) as f32;
            mean.iter_mut().zip(&plain.actor.params).for_each(|(m, p)| *m = kept * *m + (1.0 - kept) * p);
        }
    }
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(close(averaged.eval_params(), &mean) && !close(plain.eval_params(), &mean));

    let obs = [1.0, 0.3, -0.2];
    let act = |networks: &mut Networks, mode| {
        let mut action = [0.0; 2];
        networks.act(&obs, mode, &mut [Rng::stream(9, 9)], &mut action).unwrap();
        action
    };
    assert_eq!(act(&mut plain, Mode::Explore), act(&mut averaged, Mode::Explore));
    // Another learner takes over what was exported, and judges by it at once.
    let mut other = Networks::new(config(0.8), &spec(), 6);
    other.import(&averaged.arrays()).unwrap();
    assert_eq!(act(&mut other, Mode::Greedy), act(&mut averaged, Mode::Greedy));
    plain.actor.params.copy_from_slice(&mean);
    assert!(close(&act(&mut plain, Mode::Greedy), &act(&mut averaged, Mode::Greedy)));
}

#[test]
fn floating_point_operations_are_counted_by_hand() {
    // Of 3-2 to 16-8: policy 3*16+16*8+8*4 = 208, critic 5*16+16*8+8 = 216 multiply-adds. The policy's gradient goes back through one
    // critic a row.
    let config = Config { hidden: vec![16, 8], ..Config::default() };
    let networks = Networks::new(config, &spec(), 0);
    let by_hand = 208 + 2 * 216 + 2 * (3 * 216 - 80) + (3 * 208 - 48) + (2 + 1) * 216;
    assert_eq!(networks.flop(10), 2.0 * 10.0 * f64::from(by_hand));
}
