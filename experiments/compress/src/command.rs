//! `rlx compress`: what the calibration, a trained policy or a search makes of a model under a byte budget.
use crate::lm::output::{Format, Output, Written};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use rlx::{
    Actor, Mode, Objective, Policy, Registry, Rng, Rollout, Scalars, Spec, Table, Vector, World,
    objective::{Trial, fill, guessed},
    refuse, say,
};
use rlx_compression::{SurrogateVector, llama};
use rlx_runs::{experiment, interrupt, progress::Progress, search_report as report, search_report::Point};

use serde_json::json;
use std::path::{Path, PathBuf};

/// Seed without a run.
const SEED: u64 = 0;

/// What to compress, and by what.
#[derive(Debug, Args)]
pub struct CompressArgs {
    /// The model: the name of a fetched one, a GGUF file, or a folder with config.json, safetensors and tokenizer.json.
    model: String,
    /// The most bytes that the compressed model may have: 60MB, 57MiB, 60_000_000.
    #[arg(long, value_name = "SIZE")]
    budget: String,
    /// The run of compress-llama whose policy decides; by default the calibration's guess for this budget is taken, without any training.
    #[arg(long, value_name = "RUN")]
    policy: Option<String>,
    #[command(flatten)]
    output: Output,
    /// Configurations to measure: the policy's most likely one, and samples of the policy. The best of them, of the run's front and of the calibration's guess is written, with the rest of the budget spent.
    /// what the calibration guesses for this budget is written, with what is left of the budget spent.
    #[arg(long, default_value_t = 4, requires = "policy", allow_negative_numbers = true, value_parser = rlx_runs::flags::count::<u64>(1..=10_000))]
    tries: u64,
    /// Write only what the policy decides or its run measured, without the calibration's guess and without spending the rest of the budget. For comparing searches.
    #[arg(long, requires = "policy")]
    as_decided: bool,
    /// How the adapters are tuned: not at all, a few steps, or fully; by default as in the run's measurements.
    #[arg(long, value_enum)]
    recover: Option<Recover>,
    /// Set a key of compress-llama, such as recover_text=FILE or recover_full=300.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The checkpoint: best, last or a step.
    #[arg(long, default_value = "last", requires = "policy")]
    checkpoint: String,
    /// Print JSON: model, policy, budget, bytes, file_bytes, format, loss, dense_loss, tried, output, recovered_loss, configuration {dimension: level}.
    #[arg(long)]
    json: bool,
}

/// How much the adapters are tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Recover {
    None,
    Few,
    Full,
}

/// Bytes of a text such as `60MB`, `57MiB`, `0.1GB` or `60_000_000`.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<f64> {
    let plain: String = text.chars().filter(|c| !"_, ".contains(*c)).collect();
    let digits = plain.find(|c: char| c.is_ascii_alphabetic() && !"eE".contains(c)).unwrap_or(plain.len());
    let (number, unit) = plain.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => f64::NAN,
    };
    let bytes = number.parse::<f64>().unwrap_or(f64::NAN) * factor;
    // A bare 60 is 60 MB whose unit was left out: no model has so few bytes.
    if bytes > 0.0 && bytes < 1000.0 {
        refuse!("--budget {text}: that is {bytes} bytes: did you mean {number}MB?");
    }
    if bytes.is_finite() && bytes > 0.0 {
        return Ok(bytes);
    }
    refuse!("--budget {text}: it must be a size such as 60MB, 57MiB or 60_000_000")
}

/// A policy, and what it was trained in.
type Trained<'a> = (&'a Spec, &'a mut dyn Policy);

/// The best under the budget of what the policy decides on, what its run measured (`front`) and, with `more`, what the calibration guesses
/// and what is left to spend on the best; and the dense model's loss.
fn decide(
    (config, seed): (&llama::Config, u64),
    trained: Option<Trained<'_>>,
    (tries, more): (u64, bool),
    front: &[Point],
) -> Result<(SurrogateVector, Trial, Option<f64>)> {
    let (shared, terms) = llama::open(config, interrupt::asked)?;
    let mut envs = SurrogateVector::new(&shared, &terms, 1, seed)?;
    if let Some(objective) = envs.objective() {
        objective.listen(Progress::new(0, false).teller());
    }
    if let Some((trained, policy)) = trained {
        let spec = envs.spec().clone();
        if spec.obs != trained.obs || spec.act != trained.act {
            bail!(
                "the policy was trained on a model of another shape: {}, and this one is {}",
                trained.obs.describe(),
                spec.obs.describe()
            );
        }
        let mut stream = Rng::named(seed, "compress", 0);
        for k in 0..tries {
            // An episode: the policy decides on a configuration, which is measured.
            let mut actor = Actor::Policy(&mut *policy, if k == 0 { Mode::Greedy } else { Mode::Explore });
            let mut rollout = Rollout::new(&mut envs, |_| stream.clone());
            while rollout.step(&mut actor)?.is_empty() {}
            rollout.envs().episodes().clear();
            stream = rollout.stream(0);
        }
    }
    let objective = envs.objective().ok_or_else(|| anyhow!("a world without an objective"))?;
    // What the run itself measured is in its ledger, and costs nothing where it is still there.
    let fits =
        |p: &&Point| objective.space().check(&p.levels).is_ok() && objective.cost(&p.levels) <= objective.budgets().1;
    let known = front.iter().filter(fits).min_by(|a, b| a.loss.total_cmp(&b.loss)).map(|p| p.levels.clone());
    let best = |objective: &dyn Objective| {
        let finite = objective.history().into_iter().filter(|t| t.loss.is_finite());
        finite.min_by(|a, b| a.loss.total_cmp(&b.loss))
    };
    for levels in known.into_iter().chain(more.then(|| guessed(objective, 0, 1))) {
        objective.evaluate(&levels, config.fidelity, config.measure_seed, &|| false)?;
    }
    if let Some(mut spent) = best(objective).filter(|_| more).map(|t| t.config) {
        let budget = objective.budgets().1;
        fill(objective, &mut spent, budget, &mut |c| objective.guess(c));
        objective.evaluate(&spent, config.fidelity, config.measure_seed, &|| false)?;
    }
    let best = best(objective);
    let mut log = Scalars::default();
    objective.report(&mut log);
    let best = best.context("every model that was tried is broken: give a larger budget")?;
    Ok((envs, best, log.get("search/dense_loss")))
}

/// The settings of the world: those of `table`, with what `--set` says, under this budget.
fn settings(args: &CompressArgs, budget: f64, world: &World, table: &Table) -> Result<llama::Config> {
    let set = experiment::settings(world, table, &args.set).map_err(|e| rlx::Error::usage(format!("--set: {e:#}")))?;
    let set: llama::Config = rlx::config::from_map(&set)?;
    Ok(llama::Config {
        model: args.model.clone(),
        budget_low: budget / 1e6,
        budget_high: budget / 1e6,
        surrogate: false,
        evaluations: 0,
        ..set
    })
}

/// What was decided for a budget, and by whom.
struct Decided {
    config: llama::Config,
    envs: SurrogateVector,
    best: Trial,
    dense: Option<f64>,
    run: Option<PathBuf>,
}

fn decided(registry: &Registry, runs: &Path, args: &CompressArgs, budget: f64) -> Result<Decided> {
    let Some(name) = &args.policy else {
        let config = settings(args, budget, registry.find_world("compress-llama")?, &Table::default())?;
        rlx_nn::threads::set(std::thread::available_parallelism().map_or(1, usize::from));
        let (envs, best, dense) = decide((&config, SEED), None, (0, true), &[])?;
        return Ok(Decided { config, envs, best, dense, run: None });
    };
    let loaded = rlx_runs::trained::load(registry, runs, name, &args.checkpoint, &mut |w| say!("warning: {w}"));
    let (dir, experiment, mut learner, _) = loaded?;
    if experiment.world.name != "compress-llama" {
        refuse!("{} was trained in {}; a policy of compress-llama is needed", dir.name(), experiment.world.name);
    }
    let config = settings(args, budget, &experiment.world, &experiment.env)?;
    let front = report::front_of(&dir.path().join("report"))?;
    let trained = Some((&experiment.spec, learner.policy()));
    let how = (args.tries, !args.as_decided);
    let (envs, best, dense) = decide((&config, experiment.run.seed), trained, how, &front)?;
    Ok(Decided { config, envs, best, dense, run: Some(dir.path().to_owned()) })
}

/// What a GGUF file would not keep, or that it could not be made, before hours of work.
fn notes(args: &CompressArgs) -> Result<Vec<String>> {
    // The model that comes with the program has no tokenizer.
    if args.output.format != Format::Gguf || args.model == "tiny" {
        return Ok(Vec::new());
    }
    let path = rlx_lm::store::find_model(&args.model, &rlx_lm::store::cache_dir())?;
    let loaded = rlx_lm::llama::load(&path)?;
    args.output.notes(&loaded.model, loaded.tokenizer.as_ref())
}

/// Writes the model in the format that is asked for, its report in the folder where there is one; and its loss.
fn written(
    args: &CompressArgs,
    (config, fidelity): (&llama::Config, u32),
    levels: &[u16],
    objective: &dyn Objective,
) -> Result<(Written, f64)> {
    let title = format!("{} under {}", args.model, args.budget);
    let packed = |to: &Path| Ok(llama::write(config, levels, fidelity, to, interrupt::asked)?);
    args.output.whole(|part| {
        let (written, loss) = if args.output.format == Format::Packed {
            let (bytes, loss) = packed(part)?;
            (Written { bytes, what: "packed".into() }, loss)
        } else {
            let ((_, loss), written) = args.output.passing(packed, |from| {
                let loaded = rlx_lm::llama::load(from)?;
                args.output.write(&loaded.model, loaded.tokenizer.as_ref(), part)
            })?;
            (written, loss)
        };
        if part.is_dir() {
            report::write(objective, &title, &part.join("report"))?;
        }
        Ok((written, loss))
    })
}

/// Runs the command; what it prints.
///
/// # Errors
/// When the run or the model is not to be had, the budget is below the smallest model, or the output is there already.
pub fn run(registry: &Registry, runs: &Path, args: &CompressArgs) -> Result<String> {
    let budget = size(&args.budget)?;
    args.output.check()?;
    let notes = notes(args)?;
    let Decided { config, mut envs, best, dense, run } = decided(registry, runs, args, budget)?;
    let fidelity = args.recover.map_or(config.fidelity, |r| r as u32);
    let objective = envs.objective().ok_or_else(|| anyhow!("a world without an objective"))?;
    let (written, loss) = written(args, (&config, fidelity), &best.config, objective)?;
    // Where nothing has an adapter, nothing was tuned.
    let recovered = (fidelity != config.fidelity && loss != best.loss).then_some(loss);
    let path = args.output.path.display();
    if args.json {
        let chosen: serde_json::Map<String, serde_json::Value> = (objective.space().dimensions().iter())
            .zip(&best.config)
            .map(|(d, l)| (d.name.clone(), d.level(*l).into()))
            .collect();
        let out = json!({
            "model": args.model, "policy": run, "budget": budget, "bytes": best.cost, "file_bytes": written.bytes,
            "format": format!("{:?}", args.output.format).to_lowercase(),
            "loss": best.loss, "recovered_loss": recovered, "dense_loss": dense, "tried": objective.history().len(),
            "output": args.output.path, "configuration": chosen,
        });
        return Ok(format!("{out:#}\n"));
    }
    notes.iter().for_each(|note| say!("note: {note}"));
    let above = dense.map_or(String::new(), |d| format!(", {:+.4} above the dense model's {d:.4}", best.loss - d));
    let tuned = match (recovered, fidelity) {
        (Some(loss), _) => format!(", {loss:.4} once its adapters are tuned"),
        (None, 0) => String::new(),
        (None, _) if fidelity == config.fidelity => String::new(),
        (None, _) => "; no block of it has an adapter to tune".into(),
    };
    let by = match run {
        Some(_) => format!("best of {}", objective.history().len()),
        None => "by the calibration's guess".into(),
    };
    // A packed file may be some bytes smaller than what was counted.
    let size = if args.output.format == Format::Packed { written.bytes as f64 } else { best.cost };
    let mut out = format!(
        "{path}: {:.2} MB of {:.2} MB, loss {:.4} nats a token{above}{tuned}; {by}\n",
        size / 1e6,
        budget / 1e6,
        best.loss,
    );
    out += &on_the_way(args.output.format, &written, best.cost, budget);
    if run.is_none() {
        out += &format!(
            "A policy searches on from this guess, and gains most at small budgets. To train one and use it:\n  rlx train --env \
             compress-llama --set model={0}\n  rlx compress {0} --budget {1} --policy RUN -o ANOTHER\n",
            args.model, args.budget
        );
    }
    Ok(out)
}

/// What the size became, where the format is not the one that was counted.
fn on_the_way(format: Format, written: &Written, counted: f64, budget: f64) -> String {
    if format == Format::Packed {
        return String::new();
    }
    let beyond = match written.bytes as f64 > budget {
        true => ", which is over the budget",
        false => "",
    };
    let stored = if format == Format::Gguf { "the type of a GGUF is one for all projections" } else { "half floats" };
    format!(
        "{:.2} MB packed became {:.2} MB{beyond}: {}; {stored}. The loss is the packed model's.\n",
        counted / 1e6,
        written.bytes as f64 / 1e6,
        written.what
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e9_a_budget_without_a_unit_is_asked_about() {
        for (text, meant) in [("60", "60MB"), ("0.5kB", "0.5MB"), ("60B", "60MB")] {
            let said = size(text).unwrap_err().to_string();
            assert!(said.contains(&format!("bytes: did you mean {meant}?")), "{said}");
        }
        assert_eq!(size("1kB").unwrap(), 1000.0);
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let all = ["60MB", "60_000_000", "60e6", "1MiB", "0.5 GB", "100kb"].map(|t| size(t).unwrap());
        assert_eq!(all, [60e6, 60e6, 60e6, 1_048_576.0, 5e8, 1e5]);
        for wrong in ["", "MB", "-3MB", "60 apples", "nan", "1e400"] {
            assert!(size(wrong).unwrap_err().to_string().contains("such as 60MB"), "{wrong}");
        }
    }
}
