//! Deep Monte-Carlo self-play (DouZero, arXiv 2106.06135) over candidates, with or without a guess of who is on whose side (IDRL,
//! arXiv 2210.12896): the learner that `dmc`, `idrl` and `mfrl` share. It knows a world by the roles of its fields ([`rlx::Role`]).
//!
//! An iteration plays `num_steps` ticks on all tables with the parameters of the iteration before, while the decisions that were
//! completed by then are learnt from: a fixed lag of one iteration, so that acting and learning overlap and results do not depend
//! on timing.
mod act;
mod collector;
mod config;
mod decisions;
mod features;
mod hidden;
mod league;
mod learn;
mod losses;
mod net;
mod nets;
mod saved;
mod team_guess;

pub use config::{SelfPlayAlgorithm, SelfPlayConfig};
pub use team_guess::{Guess, Relation};

#[cfg(test)]
mod tests;

use act::{ActRequest, ActScratch, bytes};
use collector::Collector;
use decisions::Decisions;
use league::{League, Pool, Seating};
use learn::{LearnScratch, Updater};
use losses::LossSums;
use nets::SelfPlayNets;
use rlx::{
    ActionsMut, Algorithm, ColumnRef, Device, Error, Export, Frame, Learner, Mode, Policy, PolicyInfo, Result, Rng,
    Scalars, Setup, Spec, Vector,
};
use rlx_nn::{Adam, AdamConfig};
use std::marker::PhantomData;

/// The learner of an algorithm of self-play.
pub struct SelfPlay<A> {
    config: SelfPlayConfig,
    setup: Setup,
    nets: SelfPlayNets,
    steps: u64,
    collector: Collector,
    updater: Updater,
    /// The parameters that play, and an empty batch: memory that is used again.
    acting: Vec<f32>,
    spare: Decisions,
    /// Of the last [`Policy::act`].
    scratch: ActScratch,
    /// Hidden state of the rows that will be asked for next, where the truth is acted on.
    shown: Vec<u8>,
    algorithm: PhantomData<fn() -> A>,
}

impl<A: SelfPlayAlgorithm> Algorithm for SelfPlay<A> {
    type Config = A::Config;
    const NAME: &'static str = A::NAME;
    const ABOUT: &'static str = A::ABOUT;

    fn fits(config: &A::Config, spec: &Spec) -> std::result::Result<(), String> {
        A::check(config, spec)?;
        A::common(config).fits(spec, A::guess(config).is_some(), A::MEAN_FIELD)
    }
    fn worlds(config: &A::Config) -> usize {
        A::common(config).num_envs
    }
    fn new(config: A::Config, setup: Setup) -> Result<Self> {
        if setup.device != Device::Cpu {
            return Err(Error::invalid(format!("{} runs on the CPU only: leave --device out", A::NAME)));
        }
        let (guess, config) = (A::guess(&config), A::common(&config).clone());
        let nets = SelfPlayNets::new(&setup.spec, &config, guess, A::MEAN_FIELD);
        let params = nets.layout.init(setup.seed);
        let collector = Collector {
            league: League::new(&config, &setup.spec),
            pool: Pool::default(),
            epsilon: config.epsilon,
            rngs: (0..setup.worlds as u64).map(|i| Rng::named(setup.seed, "policy", i)).collect(),
            pending: vec![Decisions::default(); setup.worlds],
            ready: Decisions::default(),
            seating: vec![Seating::ALL; setup.worlds],
            slab: None,
            frame: None,
            scratch: ActScratch::default(),
        };
        let updater = Updater {
            adam: Adam::new(AdamConfig::default(), params.len()),
            params,
            order: Rng::named(setup.seed, "order", 0),
            scratch: LearnScratch::default(),
        };
        Ok(Self {
            config,
            setup,
            nets,
            steps: 0,
            collector,
            updater,
            acting: Vec::new(),
            spare: Decisions::default(),
            scratch: ActScratch::default(),
            shown: Vec::new(),
            algorithm: PhantomData,
        })
    }
}

impl<A: SelfPlayAlgorithm> Learner for SelfPlay<A> {
    fn iterate(&mut self, envs: &mut dyn Vector, log: &mut Scalars) -> Result<u64> {
        let Self { config, setup, nets, collector, updater, acting, .. } = self;
        collector.pool.offer(&collector.league, self.steps, &updater.params);
        collector.init(envs, nets)?;
        // What was ready is learnt from while the other is filled.
        let mut batch = std::mem::replace(&mut collector.ready, std::mem::take(&mut self.spare));
        let rate = config.learning_rate * config.lr_schedule.factor(self.steps, setup.steps);
        acting.clone_from(&updater.params);
        // Whoever is done first helps the other: the halves of a batch, the stripes of the tables and the chunks of the critic are
        // the same whatever the number of threads.
        let (steps, sums) = rayon::join(
            || collector.play(envs, nets, acting, config.num_steps),
            || updater.learn(nets, config, &mut batch, rate, self.steps),
        );
        self.spare = batch;
        let (steps, sums) = (steps?, sums?);
        self.steps += steps;
        let played = std::mem::take(&mut collector.scratch.flop);
        log.put("perf/gflop", (played + sums.flop) / 1e9);
        if sums.count > 0.0 {
            report(&sums, nets, rate, log);
        }
        Ok(steps)
    }

    fn policy(&mut self) -> &mut dyn Policy {
        self
    }

    fn export(&self) -> Result<Export> {
        let about = vec![
            ("algo".into(), A::NAME.into()),
            ("env".into(), self.setup.spec.name.clone()),
            (
                "layers".into(),
                "relu(bias + sum of the table's rows of active features + context), then y = x W^T + b, ReLU between; the candidates' table joins before the head".into(),
            ),
        ];
        let arrays = self.nets.layout.export(&self.updater.params);
        let training = |a: &&rlx::Array| a.name.starts_with("critic.") || a.name.starts_with("auxiliary.");
        let training = arrays.iter().filter(training).map(|a| a.name.clone()).collect();
        Ok(Export { about, arrays, training })
    }

    fn init_from(&mut self, policy: &Export) -> Result<()> {
        self.nets.layout.import(&policy.arrays, &mut self.updater.params)
    }
}

impl<A: SelfPlayAlgorithm> Policy for SelfPlay<A> {
    fn act(&mut self, frame: Frame<'_>, rows: &[u32], mode: Mode, rng: &mut [Rng], out: ActionsMut<'_>) -> Result<()> {
        let ActionsMut::Discrete(out) = out else {
            return Err(Error::mismatch("actions", "indices of candidates", "vectors"));
        };
        let request = ActRequest { frame, rows, hidden: &self.shown, mode, epsilon: self.config.epsilon };
        self.nets.act(&self.updater.params, request, rng, out, &mut self.scratch)
    }

    fn needs_hidden(&self) -> bool {
        self.nets.needs_truth()
    }

    fn show_hidden(&mut self, hidden: ColumnRef<'_>) {
        self.shown.clear();
        self.shown.extend_from_slice(bytes(hidden, "hidden state").unwrap_or(&[]));
    }

    fn info(&self, k: usize) -> Option<PolicyInfo> {
        let i = self.scratch.decided.iter().position(|&d| d as usize == k)?;
        let info = PolicyInfo::of(PolicyInfo::Q_VALUES, self.scratch.values_of(i));
        Some(match &self.nets.guess {
            Some(_) => info.with(PolicyInfo::P_TEAMMATE, self.scratch.guess_of(i, self.nets.others)),
            None => info,
        })
    }
}

fn report(s: &LossSums, nets: &SelfPlayNets, rate: f64, log: &mut Scalars) {
    log.put("losses/value_loss", s.value_loss / s.count);
    log.put("losses/grad_norm", s.grad_norm / s.updates);
    log.put("charts/learning_rate", rate);
    log.put("perf/decisions", s.count);
    if nets.critic.is_some() {
        log.put("losses/critic_loss", s.critic_loss / s.count);
    }
    if nets.auxiliary.is_some() {
        log.put("losses/location_loss", s.location_loss / s.count);
    }
    if nets.guess.is_some() {
        log.put("losses/relation_loss", s.relation_loss / s.count);
        log.put("losses/danger_loss", s.danger_loss / s.count);
        log.put("identity/accuracy", s.correct / s.count);
        log.put("identity/entropy", s.entropy / s.count);
        log.put("identity/accepted", s.accepted / s.count);
        log.put("identity/danger", s.danger / s.count);
        log.put("identity/intrinsic_reward", s.intrinsic / s.count);
    }
}
