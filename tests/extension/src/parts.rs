//! What the world brings to the program beside itself: a judge and a recorder.
use crate::bandit::{Bandit, Config};
use anyhow::{Context, Result, ensure};
use rlx::{
    Actor, EvalPlan, Evaluator, Host, Mode, Outcome, Policy, Recorder, Rng, Rollout, Table, VecEnv,
    config::{Keys, from_map},
    estimate,
};
use std::{collections::BTreeMap, fs::File, io::Write, path::Path};

/// Judges by the share of pulls that paid, and by the regret.
pub struct Judge;

impl Evaluator for Judge {
    fn evaluate(
        &self,
        env: &Table,
        policy: &mut dyn Policy,
        plan: EvalPlan,
        stop: &dyn Fn() -> bool,
    ) -> Result<Outcome> {
        let config: Config = from_map(env)?;
        let mut envs = VecEnv::new(plan.episodes, plan.seed, || Bandit::new(&config));
        let mut rollout = Rollout::new(&mut envs, |i| Rng::named(plan.seed, "judge", i));
        let mut actor = Actor::Policy(policy, plan.mode);
        while rollout.step(&mut actor)?.len() < plan.episodes {
            if stop() {
                return Err(rlx::Error::Interrupted.into());
            }
        }
        let ended = rollout.envs().episodes();
        let pulls = f64::from(config.pulls);
        let share: Vec<f64> = ended.returns.iter().map(|r| r / pulls).collect();
        let regret: Vec<f64> = ended.returns.iter().map(|r| pulls - r).collect();
        let lengths: Vec<f64> = ended.lengths.iter().map(|l| f64::from(*l)).collect();
        let of = |values: &[f64]| estimate(values).context("no bandit was judged");
        Ok(Outcome {
            returns: of(&share)?,
            length: of(&lengths)?,
            metrics: BTreeMap::from([("regret".into(), of(&regret)?)]),
        })
    }
    fn unit(&self) -> &'static str {
        "bandits"
    }
}

/// How pulls are recorded.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Recording {
    /// Bandits side by side.
    #[schemars(range(min = 1, max = 1000))]
    bandits: usize,
}

impl Default for Recording {
    fn default() -> Self {
        Self { bandits: 1 }
    }
}

/// Writes what every pull paid, as CSV.
pub struct Pulls;

impl Recorder for Pulls {
    fn keys(&self) -> Keys {
        Keys::of::<Recording>()
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["csv"]
    }
    fn record(&self, host: &dyn Host, options: &Table, agents: &[String], seed: u64, output: &Path) -> Result<String> {
        let Recording { bandits } = from_map(options)?;
        let mut trained = agents.first().map(|name| host.trained(name, "best")).transpose()?;
        let config = match &trained {
            Some(run) => {
                ensure!(run.world == "bandit", "{} is a run of {}", run.name, run.world);
                from_map(&run.env)?
            }
            None => Config::default(),
        };
        let mut file = File::create_new(output).with_context(|| format!("writing {}", output.display()))?;
        writeln!(file, "bandit,pull,reward")?;
        let mut envs = VecEnv::new(bandits, seed, || Bandit::new(&config));
        let mut rollout = Rollout::new(&mut envs, |i| Rng::named(seed, "pulls", i));
        let mut actor = match &mut trained {
            Some(run) => Actor::Policy(run.learner.policy(), Mode::Greedy),
            None => Actor::Random,
        };
        for pull in 0..config.pulls {
            rollout.step(&mut actor)?.clear();
            for (bandit, reward) in rollout.frame().reward.iter().enumerate() {
                writeln!(file, "{bandit},{pull},{reward}")?;
            }
        }
        Ok(format!("{}: {} pulls\n", output.display(), config.pulls as usize * bandits))
    }
}
