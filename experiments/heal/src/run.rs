//! A healing in its run folder: steps, validation after each pass, the test at the end; resumable at every step.
use crate::{
    Config,
    prepare::{Ready, prepare},
    summary::{Summary, write_tensors},
};
use anyhow::{Context, Result, bail};
use rlx::{Error, Scalars, Sink, checkpoint::LoadDir, config::to_map};
use rlx_lm::bert::{
    classify::{self, Judged},
    healing::Validation,
    tune::Step,
};
use rlx_plot::text::thousands;
use rlx_runs::{
    interrupt::Stop,
    lock,
    metrics::MetricsFile,
    progress::Progress,
    run_dir::{RunDir, write_synced},
    tensorboard::Events,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// The file of representations in a run folder: `state.0` (after the embeddings) to `state.L`, `[texts, width]`, 16-bit.
pub const REPRESENTATIONS: &str = "representations.safetensors";
/// The file of the best model in a run folder.
pub const MODEL: &str = "model.safetensors";
/// Draws behind the intervals of a test.
const DRAWS: usize = 2000;
/// What TensorBoard's table of hyperparameters shows beside them.
const SHOWN: [&str; 2] = ["test/f1", "eval/f1"];

/// The run's own state; it is in every checkpoint, so it holds no clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    next_checkpoint: u64,
    #[serde(flatten)]
    validation: Validation,
    /// Since the last row: losses, norms of gradients, steps.
    sums: (f64, f64, u64),
}

/// A healing in progress.
pub struct Healer<'a> {
    config: Config,
    dir: RunDir,
    ready: Ready,
    metrics: MetricsFile,
    events: Events,
    state: State,
    test: Option<Value>,
    before: Duration,
    started: Instant,
    from: u64,
    progress: &'a mut Progress,
    stop: &'a Stop,
}

impl<'a> Healer<'a> {
    /// A fresh one in a folder of its own under `runs`.
    ///
    /// # Errors
    /// When anything of the config is not there or not sound; the folder is then not made.
    pub fn start(
        runs: &Path,
        config: Config,
        name: Option<&str>,
        progress: &'a mut Progress,
        stop: &'a Stop,
    ) -> Result<Self> {
        let ready = prepare(&config)?;
        let dir = RunDir::create(runs, &config.env(), "heal", name, config.seed, &config.to_toml())?;
        let metrics = MetricsFile::create(dir.path())?;
        let events = Events::create(dir.path(), &hparams(&config), &SHOWN)?;
        let state = State { next_checkpoint: next(0, config.checkpoint_every), ..State::default() };
        Ok(Self::new(config, dir, ready, (metrics, events), state, progress, stop))
    }

    /// One that goes on from its newest sound checkpoint, or from 0 when it was stopped before its first one.
    ///
    /// # Errors
    /// When it ended already, another process writes to it, or no checkpoint of it is sound.
    pub fn resume(runs: &Path, run: &str, progress: &'a mut Progress, stop: &'a Stop) -> Result<Self> {
        let dir = RunDir::open_to_write(runs, run, lock::PATIENCE)?;
        let config =
            Config::from_toml(&dir.config()?).with_context(|| format!("{}/config.toml", dir.path().display()))?;
        let ended = fs::read(dir.path().join("summary.json")).ok();
        let ended = ended.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        if ended.is_some_and(|s| s["status"] == "finished") {
            bail!("{} has ended: there is nothing to go on with", dir.name());
        }
        let mut ready = prepare(&config)?;
        let checkpoint = dir.newest(&mut |w| progress.warn(&w))?;
        let state = match &checkpoint {
            Some(from) => restore(from, &mut ready)?,
            None => {
                progress.note(&format!("{} has no checkpoint yet: it starts again at 0", dir.name()));
                State { next_checkpoint: next(0, config.checkpoint_every), ..State::default() }
            }
        };
        let step = ready.healing.steps();
        let exists = checkpoint.is_some() && dir.path().join(rlx_runs::metrics::NAME).exists();
        if checkpoint.is_none() {
            match fs::remove_file(dir.path().join(rlx_runs::metrics::NAME)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).context("removing metrics.jsonl"),
                _ => Events::clear(dir.path())?,
            }
        }
        let (metrics, last) = if exists {
            MetricsFile::resume(dir.path(), step, true)?
        } else {
            (MetricsFile::create(dir.path())?, None)
        };
        let events = match checkpoint {
            None => Events::create(dir.path(), &hparams(&config), &SHOWN)?,
            Some(_) => Events::resume(dir.path(), step, true)?,
        };
        let elapsed = last.and_then(|row| row.get("perf/elapsed_s").and_then(Value::as_f64)).unwrap_or(0.0);
        let mut healer = Self::new(config, dir, ready, (metrics, events), state, progress, stop);
        healer.before = Duration::try_from_secs_f64(elapsed).unwrap_or_default();
        Ok(healer)
    }

    fn new(
        config: Config,
        dir: RunDir,
        ready: Ready,
        (metrics, events): (MetricsFile, Events),
        state: State,
        progress: &'a mut Progress,
        stop: &'a Stop,
    ) -> Self {
        let (from, started) = (ready.healing.steps(), Instant::now());
        Self {
            config,
            dir,
            ready,
            metrics,
            events,
            state,
            test: None,
            before: Duration::ZERO,
            started,
            from,
            progress,
            stop,
        }
    }

    /// The run folder.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }
    /// The config.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// What became of every row of the data.
    pub fn account(&self) -> &str {
        &self.ready.account
    }

    /// What is said before it begins: sizes and the corruption.
    pub fn about(&self) -> String {
        let (split, done) = (&self.ready.split, &self.ready.done);
        let what = match (done.layers.is_empty(), done.embeddings) {
            (true, false) => "nothing is corrupted".to_owned(),
            (_, embeddings) => format!(
                "layers {:?}{} corrupted: {} of {} numbers changed",
                done.layers,
                if embeddings { " and the embeddings" } else { "" },
                thousands(done.changed as u64),
                thousands(done.numbers as u64)
            ),
        };
        format!(
            "{} on {}: {} classes, {} texts to learn from, {} to stop by, {} to judge by; {what}",
            self.config.healing.model,
            self.config.healing.data,
            self.ready.classes.len(),
            split.train.len(),
            split.validation.len(),
            split.test.len()
        )
    }

    /// Steps in all, when it is not ended early.
    pub fn total(&self) -> u64 {
        self.config.epochs * self.ready.healing.per_epoch()
    }

    /// Heals until its end or until asked to stop; writes `summary.json` in every case.
    ///
    /// # Errors
    /// When a loss is not finite, or the disk fails. What was saved before stays.
    pub fn run(mut self) -> Result<Summary> {
        self.progress.set_total(self.total(), self.from);
        let ended = match self.heal() {
            Err(e) if matches!(e.downcast_ref(), Some(Error::Interrupted)) => self.save().map(|()| false),
            other => other,
        };
        let status = match &ended {
            Ok(true) => "finished",
            Ok(false) => "interrupted",
            Err(_) => "failed",
        };
        let summary = self.summary(status, ended.as_ref().err().map(|e| format!("{e:#}")));
        self.progress.end();
        let text = serde_json::to_vec_pretty(&summary).context("writing summary.json")?;
        let written = self
            .events
            .finish(status)
            .map_err(anyhow::Error::from)
            .and_then(|()| write_synced(&self.dir.path().join("summary.json"), &text));
        ended?;
        written?;
        if status == "finished" {
            // Its schedule is at its end: there is nothing to go on with, and a checkpoint is four times the model.
            let folder = self.dir.path().join("checkpoints");
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
            }
        }
        Ok(summary)
    }

    /// True at its end, false when asked to stop.
    fn heal(&mut self) -> Result<bool> {
        loop {
            let healing = &self.ready.healing;
            if healing.wants_validation() {
                self.validate()?;
            }
            let healing = &self.ready.healing;
            if healing.is_done() || healing.is_stale(self.config.patience) {
                self.conclude()?;
                return Ok(true);
            }
            if self.stop.asked() {
                self.save()?;
                return Ok(false);
            }
            let step = self.ready.healing.steps();
            if self.config.checkpoint_every > 0 && step >= self.state.next_checkpoint {
                self.state.next_checkpoint = next(step, self.config.checkpoint_every);
                self.save()?;
            }
            let made = self.ready.healing.step().with_context(|| format!("healing stopped at step {step}"))?;
            self.note(&made)?;
        }
    }

    /// After a step: a row of metrics where one is due, and how far it has come.
    fn note(&mut self, made: &Step) -> Result<()> {
        let (step, per) = (self.ready.healing.steps(), self.ready.healing.per_epoch());
        let sums = &mut self.state.sums;
        *sums = (sums.0 + made.loss, sums.1 + made.grad_norm, sums.2 + 1);
        if step.is_multiple_of(self.config.log_every) {
            let n = sums.2 as f64;
            let mut row = Scalars::default();
            row.put("losses/cross_entropy", sums.0 / n);
            row.put("losses/grad_norm", sums.1 / n);
            row.put("charts/learning_rate", made.learning_rate);
            row.put("charts/epoch", step as f64 / per as f64);
            self.state.sums = (0.0, 0.0, 0);
            self.report(step, row)?;
        }
        let f1 = self.ready.healing.validation().best.map(|b| b.scores.f1);
        let best = f1.map_or(String::new(), |f| format!("best F1 {f:.3}  "));
        self.progress.told(step, format!("{best}{:.1} steps/s", self.rate()), f1);
        Ok(())
    }

    fn elapsed(&self) -> f64 {
        (self.before + self.started.elapsed()).as_secs_f64()
    }

    fn rate(&self) -> f64 {
        (self.ready.healing.steps() - self.from) as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    fn report(&mut self, step: u64, mut row: Scalars) -> Result<()> {
        row.put("perf/steps_per_second", self.rate());
        row.put("perf/elapsed_s", self.elapsed());
        for sink in [&mut self.metrics as &mut dyn Sink, &mut self.events] {
            sink.write(step, &row)?;
            sink.flush()?;
        }
        Ok(())
    }

    /// After a pass, and before the first: the validation texts.
    fn validate(&mut self) -> Result<()> {
        let Ready { healing, split, .. } = &mut self.ready;
        let (epoch, step) = (healing.epoch(), healing.steps());
        let judged = healing.validate(&split.validation, &|| self.stop.asked())?;
        let scores = judged.scores();
        let mut row = Scalars::default();
        row.put("eval/f1", scores.f1);
        row.put("eval/accuracy", scores.accuracy);
        row.put("eval/loss", judged.loss);
        row.put("charts/epoch", epoch as f64);
        self.report(step, row)?;
        self.progress.note(&format!(
            "{:>8} steps  pass {epoch}  validation F1 {:.3}, accuracy {:.3}, loss {:.3}",
            thousands(step),
            scores.f1,
            scores.accuracy,
            judged.loss
        ));
        Ok(())
    }

    /// The test of the best model, once; its representations, and the model itself where it is wanted.
    fn conclude(&mut self) -> Result<()> {
        let Ready { healing, split, classes, .. } = &mut self.ready;
        healing.take_best()?;
        let step = healing.steps();
        let judged = healing.judge(&split.test, &|| self.stop.asked())?;
        let (scores, [accuracy, f1]) = (judged.scores(), judged.intervals(DRAWS));
        let guess = majority(&judged, classes.len());
        let mut row = Scalars::default();
        row.put("test/f1", scores.f1);
        row.put("test/accuracy", scores.accuracy);
        row.put("test/loss", judged.loss);
        row.put("test/majority_f1", guess.f1);
        row.put("test/majority_accuracy", guess.accuracy);
        self.report(step, row)?;
        self.test = Some(json!({
            "f1": scores.f1, "f1_low": f1.0, "f1_high": f1.1,
            "accuracy": scores.accuracy, "accuracy_low": accuracy.0, "accuracy_high": accuracy.1,
            "loss": judged.loss, "majority": guess,
        }));
        if self.config.probe > 0 {
            self.keep_representations()?;
        }
        if self.config.keep_model { self.keep_model() } else { Ok(()) }
    }

    fn keep_representations(&self) -> Result<()> {
        let test = &self.ready.split.test;
        let rows = &test[..self.config.probe.min(test.len())];
        let healing = &self.ready.healing;
        let states = healing.model().represent(&healing.texts().task(), rows)?;
        let bytes: Vec<(String, Vec<u8>)> = states
            .iter()
            .enumerate()
            .map(|(i, s)| {
                (format!("state.{i}"), s.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect())
            })
            .collect();
        let shape = vec![rows.len(), healing.model().encoder.config().width];
        write_tensors(&self.dir.path().join(REPRESENTATIONS), safetensors::Dtype::F16, &bytes, |_| shape.clone(), &[])
    }

    /// All parameters of the best model, named as in [`rlx_lm::bert::weights`]; `meta` says what its words are.
    fn keep_model(&self) -> Result<()> {
        let (healing, shared) = (&self.ready.healing, &self.config.healing);
        let arrays = healing.model().params.layout().export(healing.best());
        let bytes: Vec<(String, Vec<u8>)> =
            arrays.iter().map(|a| (a.name.clone(), a.data.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
        let meta = json!({
            "config": healing.model().encoder.config(), "classes": self.ready.classes, "tokens": healing.texts().tokens,
            "pooling": shared.pooling, "max_tokens": shared.max_tokens,
        });
        let about = [("rlx".to_owned(), meta.to_string())];
        let shape = |i: usize| arrays[i].shape.clone();
        write_tensors(&self.dir.path().join(MODEL), safetensors::Dtype::F32, &bytes, shape, &about)
    }

    fn save(&mut self) -> Result<()> {
        let (step, [tuner, best]) = (self.ready.healing.steps(), self.ready.healing.save()?);
        let state = State { validation: *self.ready.healing.validation(), ..self.state.clone() };
        self.dir.store().save("step", step, 1, |to| {
            to.put("tuner.bin", &tuner)?;
            to.put("best.bin", &best)?;
            to.put("heal.json", &serde_json::to_vec_pretty(&state).expect("the state serialises"))
        })?;
        Ok(())
    }

    fn summary(&self, status: &'static str, error: Option<String>) -> Summary {
        let (split, config) = (&self.ready.split, &self.config);
        let validation = self.ready.healing.validation();
        Summary {
            run: self.dir.path().display().to_string(),
            status,
            error,
            env: config.env(),
            algo: "heal",
            model: config.healing.model.clone(),
            data: config.healing.data.clone(),
            seed: config.seed,
            steps: self.ready.healing.steps(),
            epochs: validation.done.saturating_sub(1),
            elapsed_s: self.elapsed(),
            corruption: self.ready.done.clone(),
            sizes: json!({
                "classes": self.ready.classes, "train": split.train.len(), "validation": split.validation.len(), "test": split.test.len(),
                "duplicates": self.ready.dropped.0, "contradictory": self.ready.dropped.1, "tokens": self.ready.healing.texts().tokens.len(),
            }),
            before: validation.before,
            best: validation.best,
            test: self.test.clone(),
            rlx: env!("CARGO_PKG_VERSION"),
            revision: rlx_runs::REVISION,
            libtorch: rlx_runs::LIBTORCH,
            threads: config.threads,
        }
    }
}

/// The scores of always guessing the commonest class.
fn majority(judged: &Judged, classes: usize) -> classify::Scores {
    let mut counts = vec![0usize; classes];
    judged.truth.iter().for_each(|&class| counts[class] += 1);
    let common = (0..classes).max_by_key(|&c| counts[c]).unwrap_or(0);
    classify::scores(&judged.truth, &vec![common; judged.truth.len()], classes)
}

fn restore(from: &LoadDir, ready: &mut Ready) -> Result<State> {
    let path = from.path().join("heal.json");
    let state: State =
        serde_json::from_slice(&from.get("heal.json")?).with_context(|| format!("reading {}", path.display()))?;
    ready.healing.restore([&from.get("tuner.bin")?, &from.get("best.bin")?], state.validation)?;
    Ok(state)
}

fn hparams(config: &Config) -> Vec<(String, Value)> {
    to_map(config).into_iter().collect()
}

/// The first multiple of `every` after `step`; never for 0.
fn next(step: u64, every: u64) -> u64 {
    step.checked_div(every).map_or(u64::MAX, |n| (n + 1) * every)
}
