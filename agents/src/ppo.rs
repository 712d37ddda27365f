//! Proximal policy optimisation (Schulman et al., arXiv 1707.06347), for discrete, multi-discrete and continuous actions.
//!
//! `Ppo::iterate_on` is the algorithm: collect a rollout with the policy as it is, value it, estimate advantages (arXiv 1506.02438), then
//! make `epochs` passes over its transitions in shuffled minibatches. The loss and its derivative by the networks' outputs are written
//! out (`loss`, `head`), so that one loop serves whatever runs the networks. The price is paid on CUDA: outputs come down and
//! derivatives go up for every minibatch.
//!
//! A *slot* is one acting row of one environment over time: with one agent an environment, slots are environments.
use crate::{
    actor_critic::{ActorCritic, OutputGrads, Shape},
    advantage::{self, Rewards},
    distance::Auxiliary,
    export,
};
use rlx::{
    ActionBuffer, ActionsMut, Algorithm, Checkpoint, ColumnRef, Error, Export, Frame, Learner, LoadDir, Mode, Policy,
    Result, Rng, SaveDir, Scalars, Setup, Slab, Spec, Status, Vector, snapshot,
};
use rlx_nn::{AdamConfig, Normalizer};
use serde::{Deserialize, Serialize};

mod config;
mod head;
mod loss;
mod rewards;
mod rollout;
pub use config::Config;
use head::{Head, Row, RowGrad};
use loss::{ClippedSurrogate, LossSums};
use rollout::{Minibatch, Rollout, append_inputs};

/// What is saved beside the networks.
#[derive(Serialize, Deserialize)]
struct State {
    obs_normalizer: Normalizer,
    return_normalizer: Normalizer,
    returns: Vec<f32>, // [slots]
    rngs: Vec<Rng>,    // [slots], for actions
    shuffle: Rng,
    steps: u64,
    updates: u64,
}

/// The learner.
pub struct Ppo {
    config: Config,
    setup: Setup,
    head: Head,
    net: ActorCritic,
    auxiliary: Option<Auxiliary>,
    state: State,
    slab: Option<Slab>,           // [num_steps + 1] time steps
    saved_frame: Option<Vec<u8>>, // the current time step of a checkpoint, until the slab is there
    rollout: Rollout,
    env_actions: ActionBuffer, // [slots, act], in the environment's units
    minibatch: Minibatch,
    probs: Vec<f32>, // [outputs], of one row
    raw: Vec<f32>,
    input: Vec<f32>,
}

impl Algorithm for Ppo {
    type Config = Config;
    const NAME: &'static str = "ppo";
    const ABOUT: &'static str = "proximal policy optimisation: discrete, multi-discrete and continuous actions";

    fn fits(config: &Config, spec: &Spec) -> std::result::Result<(), String> {
        config.check(spec)
    }

    fn worlds(config: &Config) -> usize {
        config.num_envs
    }

    fn new(config: Config, setup: Setup) -> Result<Self> {
        let spec = &setup.spec;
        let head = Head::new(&spec.act);
        let shape = Shape {
            inputs: spec.obs.width(),
            hidden: &config.hidden,
            outputs: head.outputs(),
            activation: config.activation,
            log_stds: (head.log_stds(), config.log_std_init as f32),
        };
        // The eps of the original implementation, larger than Adam's own (arXiv 2005.12729).
        let adam = AdamConfig { eps: 1e-5, ..AdamConfig::default() };
        let net = ActorCritic::new(&shape, setup.seed, setup.device, adam)?;
        let slots = setup.worlds * spec.rows;
        let state = State {
            obs_normalizer: Normalizer::new(spec.obs.width()),
            return_normalizer: Normalizer::new(1),
            returns: vec![0.0; slots],
            rngs: (0..slots as u64).map(|i| Rng::named(setup.seed, "ppo actions", i)).collect(),
            shuffle: Rng::named(setup.seed, "ppo minibatches", 0),
            steps: 0,
            updates: 0,
        };
        Ok(Self {
            auxiliary: Auxiliary::new(&config.distance, spec, setup.worlds, config.gamma, setup.seed)?,
            env_actions: ActionBuffer::new(&spec.act, slots),
            probs: vec![0.0; head.outputs()],
            head,
            net,
            state,
            slab: None,
            saved_frame: None,
            rollout: Rollout::new(&spec.act, 0, 0),
            minibatch: Minibatch::default(),
            raw: Vec::new(),
            input: Vec::new(),
            config,
            setup,
        })
    }
}

impl Ppo {
    /// One iteration of algorithm 1 of the paper. Environment steps taken.
    fn iterate_on(&mut self, slab: &mut Slab, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let (done, total) = (self.state.steps, self.setup.steps);
        let learning_rate = self.config.learning_rate * self.config.lr_schedule.factor(done, total);
        let clip = (self.config.clip_range * self.config.clip_schedule.factor(done, total)) as f32;

        self.collect(envs, slab)?;
        self.compute_values(slab)?;
        self.compute_rewards(slab)?;
        self.estimate_advantages(slab);
        if self.config.normalize_obs {
            self.update_normalizer(slab);
        }

        let mut sums = LossSums::default();
        let mut order: Vec<u32> = (0..self.rollout.advantages.len() as u32).collect();
        'epochs: for _ in 0..self.config.epochs {
            self.state.shuffle.shuffle(&mut order);
            // The last minibatch of an epoch may be smaller.
            for minibatch in order.chunks(self.config.minibatch_size) {
                let kl = self.update(slab, minibatch, learning_rate, clip, &mut sums)?;
                if self.config.target_kl > 0.0 && kl > 1.5 * self.config.target_kl {
                    break 'epochs;
                }
            }
        }
        if let Some(name) = self.net.not_finite()? {
            return Err(Error::NonFinite { what: format!("parameter {name}"), step: self.state.steps });
        }

        let steps = (self.config.num_steps * self.setup.worlds) as u64;
        self.state.updates += sums.updates;
        self.state.steps += steps;
        self.report(&sums, learning_rate, log);
        Ok(steps)
    }

    fn slots(&self) -> usize {
        self.setup.worlds * self.setup.spec.rows
    }

    /// Makes room for a rollout and starts the environments, or goes on from a checkpoint. The current time step is the last.
    fn start(&mut self, envs: &mut dyn Vector) -> Result<Slab> {
        let (num_steps, slots) = (self.config.num_steps, self.slots());
        let mut slab = envs.slab(num_steps + 1);
        match self.saved_frame.take() {
            Some(bytes) => slab.load_tick(num_steps, &mut &bytes[..])?,
            None => envs.reset(slab.frame_mut(num_steps)),
        }
        self.rollout = Rollout::new(&self.setup.spec.act, num_steps, slots);
        Ok(slab)
    }

    /// Steps the environments `num_steps` times with actions drawn from the policy.
    fn collect(&mut self, envs: &mut dyn Vector, slab: &mut Slab) -> Result<()> {
        let (num_steps, slots, choices) = (self.config.num_steps, self.slots(), self.setup.spec.act.choices());
        let (width, act) = (self.setup.spec.obs.width(), self.setup.spec.act.width());
        let log_std = self.net.log_std().to_vec();
        slab.carry();
        let own_inputs = self.config.normalize_obs || slab.all_obs().f32().is_err();
        self.rollout.own_inputs.clear();
        for t in 0..=num_steps {
            let frame = slab.frame(t);
            if own_inputs {
                let normalizer = self.config.normalize_obs.then_some(&self.state.obs_normalizer);
                append_inputs(normalizer, frame.obs, &mut self.raw, &mut self.rollout.own_inputs);
            }
            if t == num_steps {
                break;
            }
            let inputs = if own_inputs { &self.rollout.own_inputs[t * slots * width..] } else { frame.obs.f32()? };
            let outputs = self.head.forward(&mut self.net, inputs, false, self.state.steps)?;
            for (s, (rng, outputs)) in
                self.state.rngs.iter_mut().zip(outputs.chunks_exact(self.probs.len())).enumerate()
            {
                let i = t * slots + s;
                let row = Row { outputs, log_std: &log_std, mask: &frame.mask[s * choices..(s + 1) * choices] };
                let action = self.rollout.actions.slice_mut(i * act..(i + 1) * act);
                self.rollout.log_probs[i] = self.head.choose(row, Some(rng), action, &mut self.probs)?;
            }
            let chosen = self.rollout.actions.slice(t * slots * act..(t + 1) * slots * act);
            self.head.to_env(chosen, self.env_actions.get_mut())?;
            envs.step(self.env_actions.get(), slab.frame_mut(t + 1))?;
        }
        Ok(())
    }

    /// V of every observation in one forward pass, and of the final observations of the episodes that timed out.
    fn compute_values(&mut self, slab: &Slab) -> Result<()> {
        let (slots, width, agents) = (self.slots(), self.setup.spec.obs.width(), self.setup.spec.rows);
        let values = self.net.critic(self.rollout.inputs(slab)?, false)?;
        self.rollout.values.copy_from_slice(values);
        let normalizer = self.config.normalize_obs.then_some(&self.state.obs_normalizer);
        for (i, value) in self.rollout.final_values.iter_mut().enumerate() {
            if slab.all_status()[(i + slots) / agents] == Status::Truncated {
                self.input.clear();
                let final_obs = slab.all_last().slice((i + slots) * width..(i + slots + 1) * width);
                append_inputs(normalizer, final_obs, &mut self.raw, &mut self.input);
                *value = self.net.critic(&self.input, false)?[0];
            }
        }
        Ok(())
    }

    /// The environments' rewards, with the auxiliary one added, normalised.
    fn compute_rewards(&mut self, slab: &Slab) -> Result<()> {
        let (slots, num_envs, gamma) = (self.slots(), self.setup.worlds, self.config.gamma as f32);
        let rewards = &mut self.rollout.rewards;
        rewards.copy_from_slice(&slab.all_rewards()[slots..]);
        if let Some(i) = rewards.iter().position(|r| !r.is_finite()) {
            let what = format!("reward of environment {}", i % slots / self.setup.spec.rows);
            return Err(Error::NonFinite { what, step: self.state.steps });
        }
        if let Some(auxiliary) = &mut self.auxiliary {
            // Its distance learns once for each minibatch of an epoch.
            rewards::add_auxiliary(auxiliary, rewards.len() / self.config.minibatch_size, slab, gamma, rewards)?;
        }
        if self.config.normalize_reward {
            let State { return_normalizer, returns, .. } = &mut self.state;
            rewards::normalize(return_normalizer, returns, rewards, &slab.all_status()[num_envs..], gamma);
        }
        Ok(())
    }

    /// Generalised advantage estimation.
    fn estimate_advantages(&mut self, slab: &Slab) {
        let (slots, gamma, lambda) = (self.slots(), self.config.gamma as f32, self.config.gae_lambda as f32);
        let Rollout { rewards, values, final_values, advantages, .. } = &mut self.rollout;
        let from = Rewards { rewards, status: &slab.all_status()[self.setup.worlds..], values, final_values };
        advantage::estimate(from, slots, gamma, lambda, advantages);
    }

    /// Takes the rollout's observations into account, which were themselves normalised by what was known before.
    fn update_normalizer(&mut self, slab: &Slab) {
        self.raw.clear();
        slab.all_obs().extend_f32(&mut self.raw);
        let first = self.slots() * self.setup.spec.obs.width();
        self.state.obs_normalizer.update(&self.raw[first..]);
    }

    /// One step of Adam along the gradient of the loss of some transitions (eq. 9 with signs turned):
    /// mean(clipped surrogate + value_coef * value loss - entropy_coef * entropy). The mean approximate KL divergence from the old policy.
    fn update(
        &mut self,
        slab: &Slab,
        transitions: &[u32],
        learning_rate: f64,
        clip: f32,
        sums: &mut LossSums,
    ) -> Result<f64> {
        let (r, b, config) = (&self.rollout, &mut self.minibatch, &self.config);
        let (n, width, act) = (transitions.len(), self.setup.spec.obs.width(), self.setup.spec.act.width());
        let (outputs, choices, scale) = (self.probs.len(), self.setup.spec.act.choices(), 1.0 / n as f32);
        b.gather(transitions, r.inputs(slab)?, width, &r.advantages);
        if config.normalize_advantage && n > 1 {
            loss::standardize(&mut b.advantages);
        }

        let (kl_before, entropy_coef) = (sums.kl, config.entropy_coef as f32 * scale);
        let log_std = self.net.log_std().to_vec();
        let out = self.head.forward(&mut self.net, &b.inputs, true, self.state.steps)?;
        b.clear_grads(out.len(), log_std.len());
        for (k, &i) in transitions.iter().enumerate() {
            let (i, of_k) = (i as usize, k * outputs..(k + 1) * outputs);
            let mask = &slab.all_masks()[i * choices..(i + 1) * choices];
            let row = Row { outputs: &out[of_k.clone()], log_std: &log_std, mask };
            let action = r.actions.slice(i * act..(i + 1) * act);
            let (log_prob, entropy) = self.head.log_prob_and_entropy(row, action, &mut self.probs)?;
            let surrogate = ClippedSurrogate { advantage: b.advantages[k], old_log_prob: r.log_probs[i], clip };
            let by = (surrogate.derivative(log_prob) * scale, entropy_coef);
            let grad = RowGrad { outputs: &mut b.actor_grad[of_k], log_std: &mut b.log_std_grad };
            self.head.backward(row, action, &self.probs, by, grad);
            sums.count(surrogate, log_prob, entropy);
        }

        let values = self.net.critic(&b.inputs, true)?;
        for (new, &i) in values.iter().zip(transitions) {
            let old = r.values[i as usize];
            let target = old + r.advantages[i as usize];
            let (loss, derivative) = loss::value_loss(*new, old, target, config.clip_range_value as f32);
            sums.value += f64::from(loss);
            b.critic_grad.push(derivative * config.value_coef as f32 * scale);
        }
        if !sums.is_finite() {
            return Err(Error::NonFinite { what: "loss of ppo".into(), step: self.state.steps });
        }

        let grads = OutputGrads { actor: &b.actor_grad, critic: &b.critic_grad, log_std: &b.log_std_grad };
        sums.grad_norm += self.net.step(&b.inputs, &grads, learning_rate, config.max_grad_norm)?;
        sums.updates += 1;
        sums.samples += n as f64;
        Ok((sums.kl - kl_before) / n as f64)
    }

    fn report(&mut self, sums: &LossSums, learning_rate: f64, log: &mut Scalars) {
        sums.report(log);
        let Rollout { advantages, values, .. } = &self.rollout;
        log.put("losses/explained_variance", loss::explained_variance(advantages, values));
        log.put("charts/learning_rate", learning_rate);
        log.put("charts/updates", self.state.updates as f64);
        if let Head::Normal(_) = self.head {
            let stds = self.net.log_std();
            log.put("charts/action_std", stds.iter().map(|s| f64::from(s.exp())).sum::<f64>() / stds.len() as f64);
        }
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.report(log);
        }
        log.histogram("rollout/advantages", advantages.clone());
        log.histogram("rollout/values", values.clone());
    }
}

impl Learner for Ppo {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let mut slab = match self.slab.take() {
            Some(slab) => slab,
            None => self.start(envs)?,
        };
        let steps = self.iterate_on(&mut slab, envs, log);
        self.slab = Some(slab);
        steps
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    fn export(&self) -> Result<Export> {
        let mut about = export::mlp_metadata(Self::NAME, &self.setup.spec, self.config.activation);
        let mut arrays = self.net.export()?;
        if self.config.normalize_obs {
            arrays.extend(export::normalizer_arrays(&self.state.obs_normalizer));
        }
        if let Head::Normal(scales) = &self.head {
            about.push(("action".into(), "clip(middle + half_width * actor(x), low, high); greedy is the mean".into()));
            arrays.extend(export::action_arrays(scales.iter().map(|s| (s.middle, s.half_width))));
        }
        Ok(Export { about, arrays, ..Export::default() })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.net.import(&policy.arrays)?;
        if self.config.normalize_obs {
            // As if from one iteration, so that the new environment's own statistics soon count for more.
            let count = (self.config.num_envs * self.config.num_steps) as f64;
            export::import_normalizer(&mut self.state.obs_normalizer, &policy.arrays, count);
        }
        Ok(())
    }
}

impl Policy for Ppo {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let (width, act) = (self.setup.spec.obs.width(), self.setup.spec.act.width());
        let choices = self.setup.spec.act.choices();
        let mut obs = Vec::new();
        for &row in rows {
            frame.obs.slice(row as usize * width..(row as usize + 1) * width).extend_f32(&mut obs);
        }
        self.input.clear();
        let normalizer = self.config.normalize_obs.then_some(&self.state.obs_normalizer);
        append_inputs(normalizer, ColumnRef::F32(&obs), &mut self.raw, &mut self.input);
        let log_std = self.net.log_std().to_vec();
        let outputs = self.head.forward(&mut self.net, &self.input, false, self.state.steps)?;
        let mut chosen = ActionBuffer::new(&self.setup.spec.act, rows.len());
        for (k, (&row, outputs)) in rows.iter().zip(outputs.chunks_exact(self.probs.len())).enumerate() {
            let mask = &frame.mask[row as usize * choices..(row as usize + 1) * choices];
            let rng = (mode == Mode::Explore).then(|| &mut rng[k]);
            let action = chosen.slice_mut(k * act..(k + 1) * act);
            self.head.choose(Row { outputs, log_std: &log_std, mask }, rng, action, &mut self.probs)?;
        }
        self.head.to_env(chosen.get(), out)
    }
}

impl Checkpoint for Ppo {
    fn save(&self, to: &mut SaveDir) -> Result<()> {
        self.net.save(to)?;
        if let Some(auxiliary) = &self.auxiliary {
            auxiliary.save(to)?;
        }
        let mut bytes = Vec::new();
        snapshot::put(&mut bytes, &self.state);
        let frame = self.slab.as_ref().map(|slab| {
            let mut out = Vec::new();
            slab.save_tick(self.config.num_steps, &mut out);
            out
        });
        snapshot::put(&mut bytes, &frame.as_ref().or(self.saved_frame.as_ref()));
        to.put("ppo.bin", &bytes)
    }

    fn load(&mut self, from: &LoadDir) -> Result<()> {
        self.net.load(from)?;
        if let Some(auxiliary) = &mut self.auxiliary {
            auxiliary.load(from)?;
        }
        let bytes = from.get("ppo.bin")?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        let sizes = |s: &State| format!("{} slots, {} scalars", s.rngs.len(), s.obs_normalizer.mean().len());
        if sizes(&state) != sizes(&self.state) {
            return Err(Error::mismatch("saved ppo state", sizes(&self.state), sizes(&state)));
        }
        self.saved_frame = snapshot::get(rest)?;
        self.state = state;
        self.slab = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
