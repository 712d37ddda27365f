//! A healing in its run folder: steps, validation after each pass, the test at the end; resumable at every step.
use crate::{
    Config,
    prepare::{Ready, prepare},
    summary::{Best, Summary, write_tensors},
};
use anyhow::{Context, Result, bail};
use rlx::{Error, Scalars, Sink, checkpoint::LoadDir, config::to_map, snapshot};
use rlx_lm::{
    bert::classify::{Judged, Scores},
    data::batches,
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

/// The loop's own state; it is in every checkpoint, so it holds no clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    next_checkpoint: u64,
    /// Passes whose validation is done, the one before the first among them.
    judged: u64,
    before: Option<Scores>,
    best: Option<Best>,
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
    /// The parameters of the best pass.
    best: Vec<f32>,
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
        let (state, best): (State, Vec<f32>) = match &checkpoint {
            Some(from) => restore(from, &mut ready)?,
            None => {
                progress.note(&format!("{} has no checkpoint yet: it starts again at 0", dir.name()));
                (State { next_checkpoint: next(0, config.checkpoint_every), ..State::default() }, Vec::new())
            }
        };
        let step = ready.tuner.steps();
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
        healer.best = best;
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
        let (from, started) = (ready.tuner.steps(), Instant::now());
        Self {
            config,
            dir,
            ready,
            metrics,
            events,
            state,
            best: Vec::new(),
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
        let (split, done) = (&self.ready.texts.split, &self.ready.done);
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
            self.config.model,
            self.config.data,
            self.ready.classes.len(),
            split.train.len(),
            split.validation.len(),
            split.test.len()
        )
    }

    /// Steps in all, when it is not ended early.
    pub fn total(&self) -> u64 {
        self.config.epochs * self.ready.texts.per_epoch()
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
        let (per, total, seed) = (self.ready.texts.per_epoch(), self.total(), self.config.seed);
        let lengths = self.ready.texts.lengths(&self.ready.texts.split.train);
        let mut order: (u64, Vec<Vec<usize>>) = (u64::MAX, Vec::new());
        loop {
            let step = self.ready.tuner.steps();
            let epoch = step / per;
            if step.is_multiple_of(per) && self.state.judged <= epoch {
                self.validate(epoch)?;
            }
            let waited = epoch - self.state.best.map_or(0, |b| b.epoch);
            let bored = self.config.patience > 0 && step.is_multiple_of(per) && waited >= self.config.patience;
            if step >= total || bored {
                self.conclude()?;
                return Ok(true);
            }
            if self.stop.asked() {
                self.save()?;
                return Ok(false);
            }
            if self.config.checkpoint_every > 0 && step >= self.state.next_checkpoint {
                self.state.next_checkpoint = next(step, self.config.checkpoint_every);
                self.save()?;
            }
            if order.0 != epoch {
                let train = &self.ready.texts.split.train;
                order = (epoch, batches::epoch(train, &lengths, self.config.batch, seed, epoch));
            }
            let rows = &order.1[(step % per) as usize];
            let made = self.ready.tuner.learn(&self.ready.texts.task(), rows);
            let made = made.with_context(|| format!("healing stopped at step {step}"))?;
            let sums = &mut self.state.sums;
            *sums = (sums.0 + made.loss, sums.1 + made.grad_norm, sums.2 + 1);
            let step = step + 1;
            if step.is_multiple_of(self.config.log_every) {
                let n = self.state.sums.2 as f64;
                let mut row = Scalars::default();
                row.put("losses/cross_entropy", self.state.sums.0 / n);
                row.put("losses/grad_norm", self.state.sums.1 / n);
                row.put("charts/learning_rate", made.learning_rate);
                row.put("charts/epoch", step as f64 / per as f64);
                self.state.sums = (0.0, 0.0, 0);
                self.report(step, row)?;
            }
            let f1 = self.state.best.map(|b| b.scores.f1);
            let shown =
                f1.map_or(String::new(), |f| format!("best F1 {f:.3}  ")) + &format!("{:.1} steps/s", self.rate());
            self.progress.told(step, shown, f1);
        }
    }

    fn elapsed(&self) -> f64 {
        (self.before + self.started.elapsed()).as_secs_f64()
    }

    fn rate(&self) -> f64 {
        (self.ready.tuner.steps() - self.from) as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
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

    fn judge(&self, rows: &[usize]) -> Result<Judged> {
        Ok(self.ready.tuner.model.judge(&self.ready.texts.task(), rows, &|| self.stop.asked())?)
    }

    /// After a pass, and before the first: the validation texts, and whether it is the best so far.
    fn validate(&mut self, epoch: u64) -> Result<()> {
        let judged = self.judge(&self.ready.texts.split.validation)?;
        let (scores, step) = (judged.scores(), self.ready.tuner.steps());
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
        if epoch == 0 {
            self.state.before = Some(scores);
        }
        let better = |b: &Best| (scores.f1, -judged.loss) > (b.scores.f1, -b.loss);
        if self.state.best.as_ref().is_none_or(better) {
            self.state.best = Some(Best { epoch, step, scores, loss: judged.loss });
            self.best = self.ready.tuner.model.params.to_vec()?;
        }
        self.state.judged = epoch + 1;
        Ok(())
    }

    /// The test of the best model, once; its representations, and the model itself where it is wanted.
    fn conclude(&mut self) -> Result<()> {
        let step = self.ready.tuner.steps();
        self.ready.tuner.model.params.set(&self.best)?;
        let judged = self.judge(&self.ready.texts.split.test)?;
        let (scores, [accuracy, f1]) = (judged.scores(), judged.intervals(DRAWS));
        let largest = self.ready.texts.task();
        let mut counts = vec![0usize; self.ready.classes.len()];
        self.ready.texts.split.test.iter().for_each(|&r| counts[largest.labels[r]] += 1);
        let common = (0..counts.len()).max_by_key(|&c| counts[c]).unwrap_or(0);
        let guess = rlx_lm::bert::classify::scores(&judged.truth, &vec![common; judged.truth.len()], counts.len());
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
        let test = &self.ready.texts.split.test;
        let rows = &test[..self.config.probe.min(test.len())];
        let states = self.ready.tuner.model.represent(&self.ready.texts.task(), rows)?;
        let bytes: Vec<(String, Vec<u8>)> = states
            .iter()
            .enumerate()
            .map(|(i, s)| {
                (format!("state.{i}"), s.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect())
            })
            .collect();
        let shape = vec![rows.len(), self.ready.tuner.model.encoder.config().width];
        write_tensors(&self.dir.path().join(REPRESENTATIONS), safetensors::Dtype::F16, &bytes, |_| shape.clone(), &[])
    }

    /// All parameters of the best model, named as in [`rlx_lm::bert::weights`]; `meta` says what its words are.
    fn keep_model(&self) -> Result<()> {
        let params = &self.ready.tuner.model.params;
        let arrays = params.layout().export(&self.best);
        let bytes: Vec<(String, Vec<u8>)> =
            arrays.iter().map(|a| (a.name.clone(), a.data.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
        let meta = json!({
            "config": self.ready.tuner.model.encoder.config(), "classes": self.ready.classes, "tokens": self.ready.texts.tokens,
            "pooling": self.config.pooling, "max_tokens": self.config.max_tokens,
        });
        let about = [("rlx".to_owned(), meta.to_string())];
        let shape = |i: usize| arrays[i].shape.clone();
        write_tensors(&self.dir.path().join(MODEL), safetensors::Dtype::F32, &bytes, shape, &about)
    }

    fn save(&mut self) -> Result<()> {
        let step = self.ready.tuner.steps();
        let (tuner, state, best) = (&self.ready.tuner, &self.state, &self.best);
        self.dir.store().save("step", step, 1, |to| {
            to.put("tuner.bin", &tuner.to_bytes()?)?;
            let mut bytes = Vec::new();
            snapshot::put(&mut bytes, best);
            to.put("best.bin", &bytes)?;
            to.put("heal.json", &serde_json::to_vec_pretty(state).expect("the state serialises"))
        })?;
        Ok(())
    }

    fn summary(&self, status: &'static str, error: Option<String>) -> Summary {
        let (split, config) = (&self.ready.texts.split, &self.config);
        Summary {
            run: self.dir.path().display().to_string(),
            status,
            error,
            env: config.env(),
            algo: "heal",
            model: config.model.clone(),
            data: config.data.clone(),
            seed: config.seed,
            steps: self.ready.tuner.steps(),
            epochs: self.state.judged.saturating_sub(1),
            elapsed_s: self.elapsed(),
            corruption: self.ready.done.clone(),
            sizes: json!({
                "classes": self.ready.classes, "train": split.train.len(), "validation": split.validation.len(), "test": split.test.len(),
                "duplicates": self.ready.dropped.0, "contradictory": self.ready.dropped.1, "tokens": self.ready.texts.tokens.len(),
            }),
            before: self.state.before,
            best: self.state.best,
            test: self.test.clone(),
            rlx: env!("CARGO_PKG_VERSION"),
            revision: rlx_runs::REVISION,
            libtorch: rlx_runs::LIBTORCH,
            threads: config.threads,
        }
    }
}

fn restore(from: &LoadDir, ready: &mut Ready) -> Result<(State, Vec<f32>)> {
    ready.tuner.restore(&from.get("tuner.bin")?)?;
    let path = from.path().join("heal.json");
    let state =
        serde_json::from_slice(&from.get("heal.json")?).with_context(|| format!("reading {}", path.display()))?;
    Ok((state, snapshot::get(&from.get("best.bin")?)?))
}

fn hparams(config: &Config) -> Vec<(String, Value)> {
    to_map(config).into_iter().collect()
}

/// The first multiple of `every` after `step`; never for 0.
fn next(step: u64, every: u64) -> u64 {
    step.checked_div(every).map_or(u64::MAX, |n| (n + 1) * every)
}
