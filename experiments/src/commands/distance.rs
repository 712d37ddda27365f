//! `rlx distance`: how well a run's learnt distance ranks states by the transitions that the world's scripted player still needs, and
//! a picture of its field.
use super::Context;
use anyhow::{Result, bail};
use rlx::{
    ActionBuffer, Actor, Estimate, Frame, Goal, Mode, Policy, PolicyInfo, Registry, Rng, Rollout, Status, Vector,
    bootstrap, estimate, say, shown,
};
use rlx_plot::{charts, svg::Picture};
use rlx_runs::{
    answer::{Answer, printed},
    interrupt::Stop,
    trained,
};
use rlx_stats::rank::spearman;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: its folder or its name; its algorithm must have an auxiliary reward.
    run: String,
    /// Episodes of the scripted player.
    #[arg(long, default_value_t = 100, allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u64>(1..=100_000))]
    episodes: u64,
    /// The checkpoint: best, last or a step.
    #[arg(long, default_value = "last")]
    checkpoint: String,
    /// Seed of the episodes.
    #[arg(long, default_value_t = 1_000_000)]
    seed: u64,
    /// Draw the distance from a first state to goals all over the table, as .svg or .png.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Print JSON: run, checkpoint_step, episodes, states, spearman {mean, low, high}, ratio.
    #[arg(long)]
    json: bool,
}

/// An episode: the estimate at each state, and the transitions that were left to its first success.
struct Trace {
    estimate: Vec<f64>,
    left: Vec<f64>,
}

/// Distances of rows as the policy has them.
fn ask(policy: &mut dyn Policy, frame: Frame<'_>, n: usize, out: &mut ActionBuffer) -> Result<Vec<f64>> {
    let rows: Vec<u32> = (0..n as u32).collect();
    let mut rngs: Vec<Rng> = (0..n as u64).map(|i| Rng::named(0, "distance", i)).collect();
    policy.act(frame, &rows, Mode::Greedy, &mut rngs, out.get_mut())?;
    let of = |k| policy.info(k).and_then(|i| i.get(PolicyInfo::DISTANCE).first().copied()).map(f64::from);
    let all: Option<Vec<f64>> = (0..n).map(of).collect();
    all.ok_or_else(|| {
        anyhow::anyhow!(
            "the run has learnt no distance: train with --algo tdrp, or --set auxiliary=tdrp|ddl|qrl|laplacian"
        )
    })
}

/// Episodes of the scripted player up to their first success; those without one are left out, and counted.
fn traces(
    policy: &mut dyn Policy,
    (goal, bot): (&Goal, usize),
    envs: &mut dyn Vector,
    episodes: usize,
    stop: &Stop,
) -> Result<(Vec<Trace>, usize)> {
    let (n, width) = (envs.len(), envs.spec().obs.width());
    let mut asked = ActionBuffer::new(&envs.spec().act, n);
    let mut rollout = Rollout::new(envs, |i| Rng::named(1, "scripted", i));
    let (mut estimates, mut reached) = (vec![Vec::new(); n], vec![None; n]);
    let (mut out, mut failed) = (Vec::new(), 0);
    while out.len() + failed < episodes {
        if stop.asked() {
            bail!(rlx::Error::Interrupted);
        }
        for (of, d) in estimates.iter_mut().zip(ask(policy, rollout.frame(), n, &mut asked)?) {
            of.push(d);
        }
        rollout.step(&mut Actor::Bot(bot))?.clear();
        let frame = rollout.frame();
        for world in 0..n {
            let ended = frame.status[world] != Status::Running;
            let rows = if ended { frame.last } else { frame.obs };
            let row = rows.slice(world * width..(world + 1) * width).f32()?;
            let judged = (goal.judge)(&row[goal.achieved.clone()], &row[goal.desired.clone()]);
            if judged.success && reached[world].is_none() {
                reached[world] = Some(estimates[world].len());
            }
            if ended {
                let estimate = std::mem::take(&mut estimates[world]);
                match reached[world].take() {
                    Some(t) => out.push(Trace {
                        estimate: estimate[..t].to_vec(),
                        left: (0..t).map(|i| (t - i) as f64).collect(),
                    }),
                    None => failed += 1,
                }
            }
        }
    }
    Ok((out, failed))
}

/// Spearman over all states of the traces, its interval by resampling episodes.
fn rank_correlation(traces: &[Trace]) -> Result<Value> {
    let over = |which: &[usize]| {
        let flat = |of: fn(&Trace) -> &[f64]| which.iter().flat_map(|i| of(&traces[*i])).copied().collect::<Vec<f64>>();
        spearman(&flat(|t| &t.estimate), &flat(|t| &t.left))
    };
    let all: Vec<usize> = (0..traces.len()).collect();
    let [(low, high)] = bootstrap(traces.len(), 1000, "spearman", |drawn| [over(drawn)]);
    Ok(json!({ "mean": over(&all), "low": low, "high": high }))
}

/// The distance from the first state of an episode to goals over the table, at the height of the goal that was set.
fn field(policy: &mut dyn Policy, goal: &Goal, envs: &mut dyn Vector, run: &str) -> Result<Picture> {
    const CELLS: usize = 41;
    let width = envs.spec().obs.width();
    let mut slab = envs.slab(1);
    envs.reset(slab.frame_mut(0));
    let start = slab.frame(0).obs.slice(0..width).f32()?.to_vec();
    let from = &start[goal.achieved.clone()];
    if from.len() < 2 {
        bail!("a field needs goals of at least two coordinates");
    }
    let (mut rows, reach) = (Vec::new(), 0.2);
    let at = |k: usize| reach * (2.0 * k as f32 / (CELLS - 1) as f32 - 1.0);
    for y in 0..CELLS {
        for x in 0..CELLS {
            let mut row = start.clone();
            row[goal.desired.start] = from[0] + at(x);
            row[goal.desired.start + 1] = from[1] + at(y);
            rows.extend(row);
        }
    }
    let n = CELLS * CELLS;
    let mut actions = ActionBuffer::new(&envs.spec().act.clone(), n);
    let status = vec![Status::Running; n];
    let frame = Frame {
        obs: rlx::ColumnRef::F32(&rows),
        last: rlx::ColumnRef::F32(&rows),
        mask: &[],
        seat: &[],
        reward: &[],
        status: &status,
        candidates: None,
    };
    let d = ask(policy, frame, n, &mut actions)?;
    let rows: Vec<Vec<f64>> = d.chunks(CELLS).map(<[f64]>::to_vec).collect();
    let centimetres = |k: usize| 100.0 * f64::from(start[goal.desired.start + k] - from[k]);
    let set = (centimetres(0), centimetres(1));
    let edge = 100.0 * f64::from(reach);
    let mut marks = vec![((0.0, 0.0), "start")];
    if set.0.abs() < edge && set.1.abs() < edge {
        marks.push((set, "goal of the episode"));
    }
    let field = charts::Field {
        title: &format!("learnt distance of {run}"),
        note: "from the first state of an episode to goals around it, at the height of the goal that was set; lines join equal distances",
        labels: ["goal, x from the start (cm)", "goal, y from the start (cm)", "estimated transitions"],
        reach: edge,
        rows: &rows,
        marks: &marks,
    };
    Ok(field.draw())
}

/// Compares a learnt distance with the transitions that the scripted player needs.
pub fn run(context: &Context<'_>, args: &Args) -> Answer {
    let stop = Stop::install()?;
    printed(&measure(context.registry, &context.runs, args, &stop)?)
}

/// The comparison as text.
///
/// # Errors
/// When the run is not to be had, its world has no scripted player or goals, or it has learnt no distance.
fn measure(registry: &Registry, runs: &Path, args: &Args, stop: &Stop) -> Result<String> {
    let loaded = trained::load(registry, runs, &args.run, &args.checkpoint, &mut |w| say!("warning: {w}"));
    let (dir, experiment, mut learner, checkpoint) = loaded?;
    let Some(bot) = experiment.spec.bots.iter().position(|b| b == "scripted") else {
        bail!("{} has no scripted player, whose steps a distance is compared with", experiment.world.name)
    };
    let Some(goal) = experiment.spec.goal.clone() else {
        bail!("{} has no single goal; this is about distances to one, of a run of one task", experiment.world.name)
    };
    let seed = Rng::named(args.seed, "evaluation", 0).bits();
    let worlds = (args.episodes as usize).min(32);
    let mut envs = experiment.world.vector(&experiment.env, worlds, seed)?;
    let (traces, failed) = traces(learner.policy(), (&goal, bot), &mut *envs, args.episodes as usize, stop)?;
    if traces.iter().map(|t| t.left.len()).sum::<usize>() < 3 {
        bail!("the scripted player reached a goal in none of {} episodes", traces.len() + failed);
    }
    let mut all = traces.iter().flat_map(|t| &t.estimate);
    let first = all.next();
    if all.all(|d| Some(d) == first) {
        bail!("all its distances are equal: it has learnt nothing of them yet")
    }
    let ratios: Vec<f64> = traces
        .iter()
        .filter(|t| !t.left.is_empty())
        .map(|t| t.estimate.iter().sum::<f64>() / t.left.iter().sum::<f64>())
        .collect();
    let ratio: Option<Estimate> = estimate(&ratios);
    let rho = rank_correlation(&traces)?;
    let states: usize = traces.iter().map(|t| t.left.len()).sum();
    if let Some(path) = &args.output {
        let picture = field(learner.policy(), &goal, &mut *envs, &dir.name())?;
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("png") => picture.png()?,
            Some("svg") => picture.file().into_bytes(),
            _ => bail!("{}: it must end in .svg or .png", path.display()),
        };
        std::fs::write(path, bytes)?;
    }
    if args.json {
        let out = json!({
            "run": dir.path(), "checkpoint_step": checkpoint.step(), "episodes": traces.len(), "failed": failed,
            "states": states, "spearman": rho, "ratio": ratio,
        });
        return Ok(format!("{out:#}\n"));
    }
    let number = |key: &str| rho[key].as_f64().unwrap_or(f64::NAN);
    let mut text = format!(
        "{} at step {}: {} states of {} scripted episodes ({failed} without a success)\n",
        dir.name(),
        checkpoint.step(),
        states,
        traces.len()
    );
    let ends = shown(number("low"), number("high"), |x| format!("{x:.3}"));
    text += &format!("spearman         {:.3} {ends}\n", number("mean"));
    if let Some(e) = ratio {
        text += &format!("estimate / left  {:.2} {}\n", e.mean, shown(e.low, e.high, |x| format!("{x:.2}")));
    }
    Ok(text)
}
