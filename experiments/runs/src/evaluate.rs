//! Held-out evaluation: episodes on seeds that training never sees.
use crate::{experiment::Experiment, interrupt::Stop};
use anyhow::{Result, bail};
use rlx::{ActionBuffer, EvalPlan, Outcome, Policy, Rng, estimate, objective::Tell};
use std::collections::BTreeMap;

/// Most environments stepped side by side.
const ENVS: usize = 64;

/// Plays `plan.episodes` episodes, or judges the policy as its world does. Every environment plays the same number of episodes, so that short
/// ones do not count for more. What takes long is told to `tell`.
///
/// # Errors
/// When the policy or a world fails, or on Ctrl-C.
pub fn evaluate(
    experiment: &Experiment,
    policy: &mut dyn Policy,
    plan: EvalPlan,
    stop: &Stop,
    tell: Option<Tell>,
) -> Result<Outcome> {
    if let Some(judge) = &experiment.world.parts.evaluator {
        return judge.evaluate(&experiment.eval_env, policy, plan, &|| stop.asked());
    }
    let each = plan.episodes.div_ceil(ENVS);
    let worlds = plan.episodes.div_ceil(each);
    // Apart from training: its worlds draw from the streams of the seed itself.
    let seed = Rng::named(plan.seed, "evaluation", 0).bits();
    let mut envs = experiment.world.vector(&experiment.eval_env, worlds, seed)?;
    if let (Some(objective), Some(tell)) = (envs.objective(), tell) {
        objective.listen(tell);
    }
    let (rows, players) = (worlds * experiment.spec.rows, experiment.spec.players);
    let mut slab = envs.slab(2);
    let mut actions = ActionBuffer::new(&experiment.spec.act, rows);
    let mut rngs: Vec<Rng> = (0..rows as u64).map(|i| Rng::named(seed, "policy", i)).collect();
    let all: Vec<u32> = (0..rows as u32).collect();
    envs.reset(slab.frame_mut(0));
    let (mut returns, mut lengths) = (Vec::new(), Vec::new());
    let mut metrics = BTreeMap::<String, Vec<f64>>::new();
    // Where it does not divide, the last ones play one episode less.
    let less = worlds * each - plan.episodes;
    let mut left: Vec<usize> = (0..worlds).map(|i| each - usize::from(i >= worlds - less)).collect();
    let mut now = 0;
    while left.iter().any(|n| *n > 0) {
        if stop.asked() {
            bail!(rlx::Error::Interrupted);
        }
        let frame = slab.frame(now).with_candidates(envs.candidates());
        policy.act(frame, &all, plan.mode, &mut rngs, actions.get_mut())?;
        envs.step(actions.get(), slab.frame_mut(1 - now))?;
        now = 1 - now;
        let ended = envs.episodes();
        for i in 0..ended.len() {
            let world = ended.worlds[i] as usize;
            if left[world] == 0 {
                continue;
            }
            left[world] -= 1;
            returns.push(ended.returns[i * players..(i + 1) * players].iter().sum::<f64>() / players as f64);
            lengths.push(f64::from(ended.lengths[i]));
            for (name, value) in ended.metrics[i].iter().filter(|m| m.1.is_finite()) {
                metrics.entry(name.into()).or_default().push(value);
            }
        }
        ended.clear();
    }
    let (Some(of_returns), Some(length)) = (estimate(&returns), estimate(&lengths)) else {
        bail!("no episode was played")
    };
    let metrics = metrics.into_iter().filter_map(|(name, values)| Some((name, estimate(&values)?))).collect();
    Ok(Outcome { returns: of_returns, length, metrics })
}
