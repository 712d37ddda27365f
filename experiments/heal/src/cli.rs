//! The command.
use crate::Config;
use crate::run::Healer;
use crate::summary::Summary;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use rlx::say;
use rlx_runs::answer::{Answer, INTERRUPTED, print, usage};
use rlx_runs::interrupt::Stop;
use rlx_runs::progress::Progress;
use serde_json::json;
use std::{path::Path, path::PathBuf, process::ExitCode};

/// `rlx heal`.
#[derive(Debug, Args)]
pub struct Heal {
    /// The model: a fetched one (`rlx list models`), or the folder of one's own.
    #[arg(long)]
    model: Option<String>,
    /// The data: rotten-tomatoes, imdb, bbc, bbc-titles, spam, or a table of one's own (.csv, .tsv, .jsonl).
    #[arg(long)]
    data: Option<String>,
    /// The column of texts of a table of one's own.
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// The column of labels of a table of one's own.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Which layers are corrupted: none, all, embeddings, bottom:2, top:2, middle:2, scattered:2, layer:3, layers:0,3; joined by +.
    #[arg(long, value_name = "PLACE")]
    corrupt: Option<String>,
    /// What is done to them: kaiming (as published), gaussian, zero, permute or bitflip.
    #[arg(long)]
    how: Option<String>,
    /// How much of it.
    #[arg(long)]
    amount: Option<String>,
    /// Which of their parameters: all, attention, mlp or layernorm.
    #[arg(long)]
    part: Option<String>,
    /// Seed of everything random but the split of the data.
    #[arg(long)]
    seed: Option<String>,
    /// Passes over the training texts at most.
    #[arg(long)]
    epochs: Option<String>,
    /// Set any key: see `rlx list heal`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The config of another healing to start from.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run's name, in the place of the time.
    #[arg(long)]
    name: Option<String>,
    /// Go on with a healing from its newest checkpoint.
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// Print the summary as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Show nothing but warnings and errors.
    #[arg(long, short)]
    quiet: bool,
}

impl Heal {
    /// The flags that were given, as keys.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("model", &self.model),
            ("data", &self.data),
            ("text", &self.text),
            ("label", &self.label),
            ("corrupt", &self.corrupt),
            ("how", &self.how),
            ("amount", &self.amount),
            ("part", &self.part),
            ("seed", &self.seed),
            ("epochs", &self.epochs),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }

    fn to_config(&self) -> Result<Config> {
        let base = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                rlx::config::to_map(&Config::from_toml(&text).with_context(|| path.display().to_string())?)
            }
            None => Config::keys().defaults(),
        };
        let pair = |set: &'_ String| {
            let (key, value) = set.split_once('=').ok_or_else(|| anyhow!("--set {set}: it must be key=value"))?;
            Ok((key.trim().to_owned(), value.to_owned()))
        };
        let set: Vec<(String, String)> = self.set.iter().map(pair).collect::<Result<_>>()?;
        let flags = self.flags();
        let all = set.iter().map(|(k, v)| (k.as_str(), v.clone())).chain(flags);
        Config::with(base, all)
    }
}

/// Runs a healing, or goes on with one.
///
/// # Errors
/// With the exit code that the error is to have.
pub fn run(runs: &Path, args: &Heal) -> Answer {
    let stop = Stop::install()?;
    let mut progress = Progress::new(0, args.quiet);
    let healer = match &args.resume {
        Some(run) => {
            if !args.flags().is_empty() || !args.set.is_empty() || args.name.is_some() || args.config.is_some() {
                return Err(usage(anyhow!("--resume goes on with the run's own config: leave the other keys out")));
            }
            Healer::resume(runs, run, &mut progress, &stop)?
        }
        None => {
            let config = args.to_config().map_err(usage)?;
            Healer::start(runs, config, args.name.as_deref(), &mut progress, &stop).map_err(usage)?
        }
    };
    if !args.quiet {
        say!(
            "{}\n{}\ninto {}\nCtrl-C stops and saves; a second one stops at once.",
            healer.about(),
            healer.account(),
            healer.dir().path().display()
        );
    }
    let summary = healer.run()?;
    if !args.quiet {
        farewell(&summary);
    }
    if args.json {
        print(&format!("{:#}\n", json!(summary)))?;
    }
    Ok(if summary.status == "interrupted" { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn farewell(s: &Summary) {
    let passes = if s.epochs == 1 { "pass" } else { "passes" };
    say!("{} after {} {passes} in {:.1} s", s.status, s.epochs, s.elapsed_s);
    match &s.test {
        Some(t) => say!(
            "test F1 {:.3} [{:.3}, {:.3}], accuracy {:.3} [{:.3}, {:.3}]; the commonest class has accuracy {:.3}",
            t["f1"].as_f64().unwrap_or(f64::NAN),
            t["f1_low"].as_f64().unwrap_or(f64::NAN),
            t["f1_high"].as_f64().unwrap_or(f64::NAN),
            t["accuracy"].as_f64().unwrap_or(f64::NAN),
            t["accuracy_low"].as_f64().unwrap_or(f64::NAN),
            t["accuracy_high"].as_f64().unwrap_or(f64::NAN),
            t["majority"]["accuracy"].as_f64().unwrap_or(f64::NAN)
        ),
        None => say!("next:\n  rlx heal --resume {}", rlx_plot::text::quoted(&s.run)),
    }
}
