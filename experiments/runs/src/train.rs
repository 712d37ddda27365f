//! The budget loop: iterate, log, evaluate, save; resumable at every boundary.
use crate::{
    evaluate::evaluate,
    experiment::{Experiment, Request},
    interrupt::{Limit, Stop},
    lock,
    metrics::MetricsFile,
    progress::Progress,
    run_dir::{RunDir, write_synced},
    state::{State, next},
    summary::{Best, Summary},
    tensorboard::Events,
    trained::{load, make, of_revision},
};
use anyhow::{Context, Result, bail};
use rlx::{Error, EvalPlan as Plan, Learner, Mode, Registry, Rng, Scalars, Sink, Vector};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A training in progress.
pub struct Trainer<'a> {
    experiment: Experiment,
    dir: RunDir,
    learner: Box<dyn Learner>,
    envs: Box<dyn Vector>,
    metrics: MetricsFile,
    events: Events,
    state: State,
    log: Scalars,
    before: Duration,
    started: Instant,
    from_step: u64,
    progress: &'a mut Progress,
    stop: &'a Stop,
}

impl<'a> Trainer<'a> {
    /// A fresh run in a folder of its own under `runs`.
    ///
    /// # Errors
    /// When the folder cannot be made, or `init_from` does not fit.
    pub fn start(
        registry: &Registry,
        runs: &Path,
        experiment: Experiment,
        name: Option<&str>,
        progress: &'a mut Progress,
        stop: &'a Stop,
    ) -> Result<Self> {
        // All that can be refused is refused before the folder is made.
        let (mut learner, envs) = make(&experiment)?;
        if !experiment.run.init_from.is_empty() {
            let from = &experiment.run.init_from;
            let (_, _, other, _) = load(registry, runs, from, "best", &mut |w| progress.warn(&w))?;
            learner.init_from(&other.export()?).with_context(|| format!("starting from {from}"))?;
        }
        let run = &experiment.run;
        let dir = RunDir::create(runs, &run.env, &run.algo, name, run.seed, &experiment.to_toml())?;
        let metrics = MetricsFile::create(dir.path())?;
        let events = Events::create(dir.path(), &experiment.hparams(), &["charts/episodic_return", "eval/return"])?;
        let state = State::new(run);
        Ok(Self::new(experiment, dir, learner, envs, (metrics, events), state, Duration::ZERO, progress, stop))
    }

    /// A run that goes on from its newest sound checkpoint, or from 0 when it was stopped before its first one. `flags` may change
    /// how long it goes on, nothing else.
    ///
    /// # Errors
    /// When another process writes to the run, or no checkpoint of it is sound.
    pub fn resume(
        registry: &Registry,
        runs: &Path,
        run: &str,
        flags: Vec<(&'static str, String)>,
        progress: &'a mut Progress,
        stop: &'a Stop,
    ) -> Result<Self> {
        let dir = RunDir::open_to_write(runs, run, lock::PATIENCE)?;
        let request = Request { config: Some(dir.config()?), flags, ..Request::default() };
        let experiment =
            Experiment::new(registry, &request).with_context(|| format!("{}/config.toml", dir.path().display()))?;
        let checkpoint = dir.newest(&mut |w| progress.warn(&w))?;
        let (mut learner, mut envs) = make(&experiment)?;
        let run = &experiment.run;
        let state = match &checkpoint {
            Some(from) => {
                let mut read = || -> Result<State> {
                    learner.load(from)?;
                    envs.load(&from.get("worlds.bin")?)?;
                    let path = from.path().join("trainer.json");
                    serde_json::from_slice(&from.get("trainer.json")?)
                        .with_context(|| format!("reading {}", path.display()))
                };
                of_revision(from, read())?
            }
            None => {
                progress.note(&format!("{} has no checkpoint yet: it starts again at 0", dir.name()));
                if !run.init_from.is_empty() {
                    let (_, _, other, _) = load(registry, runs, &run.init_from, "best", &mut |w| progress.warn(&w))?;
                    learner.init_from(&other.export()?)?;
                }
                State::new(run)
            }
        };
        // A run killed before its files were made has none to cut.
        let exists = dir.path().join(crate::metrics::NAME).exists();
        let evaluated = state.eval.as_ref().is_some_and(|e| e.0 == state.step);
        let (metrics, last) = if exists {
            MetricsFile::resume(dir.path(), state.step, evaluated)?
        } else {
            (MetricsFile::create(dir.path())?, None)
        };
        let events = match state.step {
            0 => {
                // Nothing of the first try is left: the file starts anew, hyperparameters first.
                Events::clear(dir.path())?;
                Events::create(dir.path(), &experiment.hparams(), &["charts/episodic_return", "eval/return"])?
            }
            step => Events::resume(dir.path(), step, evaluated)?,
        };
        // A best one of later steps is of a course that this one may not take again. Only once nothing else can be refused.
        dir.store().leave("best", state.step)?;
        let elapsed = last.and_then(|row| row.get("perf/elapsed_s").and_then(Value::as_f64)).unwrap_or(0.0);
        // What was changed by flags belongs to the run from now on.
        write_synced(&dir.path().join("config.toml"), experiment.to_toml().as_bytes())?;
        let before = Duration::try_from_secs_f64(elapsed).unwrap_or_default();
        Ok(Self::new(experiment, dir, learner, envs, (metrics, events), state, before, progress, stop))
    }

    #[allow(clippy::too_many_arguments)] // the parts of one private struct
    fn new(
        experiment: Experiment,
        dir: RunDir,
        learner: Box<dyn Learner>,
        envs: Box<dyn Vector>,
        (metrics, events): (MetricsFile, Events),
        state: State,
        before: Duration,
        progress: &'a mut Progress,
        stop: &'a Stop,
    ) -> Self {
        let from_step = state.step;
        let (log, started) = (Scalars::default(), Instant::now());
        let mut state = state;
        state.revision = crate::REVISION.into();
        // A run that this one begins from has set its own.
        rlx_nn::threads::set(experiment.run.threads);
        Self { experiment, dir, learner, envs, metrics, events, state, log, before, started, from_step, progress, stop }
    }

    /// The run folder.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }
    /// The experiment.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }
    /// Environment steps taken so far.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    fn elapsed(&self) -> Duration {
        self.before + self.started.elapsed()
    }

    /// Trains until the budget is spent or the program is asked to stop; writes `summary.json` in every case.
    ///
    /// # Errors
    /// When the learner, a world or the disk fails. What was saved before stays.
    pub fn run(mut self) -> Result<Summary> {
        self.progress.set_total(self.experiment.run.steps, self.state.step);
        if !self.is_done() {
            // How it ended before is not how it ends.
            match std::fs::remove_file(self.dir.path().join("summary.json")) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).context("removing summary.json"),
                _ => {}
            }
        }
        let ended = self.train();
        let status = match &ended {
            Ok(true) => "finished",
            Ok(false) => "interrupted",
            Err(_) => "failed",
        };
        if let (Some(objective), true) = (self.envs.objective(), ended.is_ok()) {
            let title = format!("{} in {}", self.experiment.algo.name, self.experiment.world.name);
            crate::search_report::write(objective, &title, &self.dir.path().join("report"))?;
        }
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
        Ok(summary)
    }

    /// True when the budget is spent, false when asked to stop.
    fn train(&mut self) -> Result<bool> {
        if let Some(objective) = self.envs.objective() {
            objective.listen(self.progress.teller());
        }
        // What evaluates for minutes hears of it; it is gone before a model is written of what was found.
        let _limit = self.left().map(Limit::new);
        let mut longest = Duration::ZERO;
        loop {
            let done = self.is_done();
            match self.attend(done) {
                Err(e) if matches!(e.downcast_ref(), Some(Error::Interrupted)) => {
                    self.save()?;
                    return Ok(self.is_over());
                }
                other => other?,
            }
            if done {
                return Ok(true);
            }
            if self.stop.asked() {
                self.save()?;
                return Ok(false);
            }
            self.log.clear();
            // An iteration that the limit may cut leaves nothing to save.
            if self.state.step > self.from_step && self.left().is_some_and(|left| left < 2 * longest) {
                self.save()?;
            }
            let begun = Instant::now();
            match self.learner.iterate(&mut *self.envs, &mut self.log) {
                Ok(steps) => self.state.step += steps,
                // In the middle of an iteration: it is made again from the last checkpoint, and what was measured is in its ledger.
                Err(Error::Interrupted) => return Ok(self.is_over()),
                Err(e) => {
                    return Err(anyhow::Error::from(e).context(format!("training stopped at step {}", self.state.step)));
                }
            }
            longest = longest.max(begun.elapsed());
            self.state.count(self.envs.episodes(), self.experiment.spec.players);
            let rate = self.rate();
            self.progress.tick(self.state.step, self.state.mean_return(), rate);
        }
    }

    fn is_done(&self) -> bool {
        let time = self.experiment.run.time_s;
        self.state.step >= self.experiment.run.steps || (time > 0.0 && self.elapsed().as_secs_f64() >= time)
    }

    /// Whether what was interrupted ended by its time limit, and not because the program was asked to stop.
    fn is_over(&self) -> bool {
        self.is_done() && !self.stop.asked()
    }

    /// What is left of the time limit, where there is one.
    fn left(&self) -> Option<Duration> {
        let time = self.experiment.run.time_s;
        (time > 0.0).then(|| Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX).saturating_sub(self.elapsed()))
    }

    fn rate(&self) -> f64 {
        (self.state.step - self.from_step) as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// What is due at this step, all of it when it is the last one.
    fn attend(&mut self, last: bool) -> Result<()> {
        let (step, run) = (self.state.step, self.experiment.run.clone());
        let logged = self.state.next_log.saturating_sub(run.log_every);
        if step > 0 && (step >= self.state.next_log || (last && step != logged && !self.log.is_empty())) {
            self.write_row()?;
            self.state.next_log = next(step, run.log_every);
        }
        if run.eval_every > 0
            && step > 0
            && (step >= self.state.next_eval || (last && self.state.eval.as_ref().is_none_or(|e| e.0 != step)))
        {
            self.evaluate()?;
            self.state.next_eval = next(step, run.eval_every);
        }
        if last && run.film && self.state.eval.as_ref().is_some_and(|e| e.0 == step) {
            self.film()?;
        }
        if step >= self.state.next_checkpoint || last {
            self.state.next_checkpoint = next(step, run.checkpoint_every);
            self.save()?;
        }
        Ok(())
    }

    fn write_row(&mut self) -> Result<()> {
        let mut row = Scalars::default();
        self.state.report(&mut row);
        if let Some(objective) = self.envs.objective() {
            objective.report(&mut row);
        }
        for (name, value) in self.log.iter() {
            row.put(name.to_owned(), value);
        }
        for (name, samples) in self.log.histograms() {
            row.histogram(name.to_owned(), samples.to_vec());
        }
        row.put("perf/steps_per_second", self.rate());
        row.put("perf/elapsed_s", self.elapsed().as_secs_f64());
        self.report(&row)?;
        let (rate, mean) = (self.rate(), self.state.mean_return());
        self.progress.row(self.state.step, mean, rate, self.left());
        Ok(())
    }

    fn report(&mut self, row: &Scalars) -> Result<()> {
        let step = self.state.step;
        for sink in [&mut self.metrics as &mut dyn Sink, &mut self.events] {
            sink.write(step, row)?;
            sink.flush()?;
        }
        Ok(())
    }

    /// Plays held-out episodes, and keeps the policy when it is the best so far.
    fn evaluate(&mut self) -> Result<()> {
        let run = &self.experiment.run;
        let plan = Plan { episodes: run.eval_episodes, seed: run.seed, mode: Mode::Greedy };
        let outcome = evaluate(&self.experiment, self.learner.policy(), plan, self.stop, None)?;
        let mut row = Scalars::default();
        outcome.report(&mut row);
        row.put("perf/elapsed_s", self.elapsed().as_secs_f64());
        self.report(&row)?;
        let value = outcome.returns.mean;
        self.progress.evaluation(self.state.step, &outcome, self.experiment.world.parts.unit());
        self.state.eval = Some((self.state.step, outcome));
        if self.state.best.is_none_or(|b| value > b.value) {
            self.state.best = Some(Best { step: self.state.step, value });
            self.save_as("best", 1)?;
        }
        Ok(())
    }

    /// A held-out episode as an animated picture beside the curves, where the world has one. It draws from no stream of the training.
    fn film(&mut self) -> Result<()> {
        // Of the many runs of a pool nobody looks at films, which would take longer than the short ones among them.
        if self.progress.is_relayed() || self.envs.objective().is_some() || self.envs.draw(0).is_none() {
            return Ok(());
        }
        let e = &self.experiment;
        let seed = Rng::named(e.run.seed, "evaluation", 0).bits();
        let mut worlds = e.world.vector(&e.eval_env, 1, seed)?;
        let title = format!("{}, {} at step {}", e.world.name, e.algo.name, self.state.step);
        let gif = rlx_film::clip::clip(&mut *worlds, self.learner.policy(), seed, &title)?;
        self.events.image(self.state.step, "eval/episode", rlx_film::clip::SIZE, gif)?;
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.save_as("step", self.experiment.run.keep_checkpoints)
    }

    fn save_as(&mut self, label: &str, keep: usize) -> Result<()> {
        let (learner, envs, state) = (&self.learner, &self.envs, &self.state);
        self.dir.store().save(label, state.step, keep, |to| {
            learner.save(to)?;
            let mut worlds = Vec::new();
            envs.save(&mut worlds);
            to.put("worlds.bin", &worlds)?;
            to.put("trainer.json", &serde_json::to_vec_pretty(state).expect("the state serialises"))
        })?;
        Ok(())
    }

    fn summary(&self, status: &'static str, error: Option<String>) -> Summary {
        Summary {
            run: self.dir.path().display().to_string(),
            status,
            error,
            env: self.experiment.run.env.clone(),
            algo: self.experiment.run.algo.clone(),
            seed: self.experiment.run.seed,
            steps: self.state.step,
            episodes: self.state.episodes,
            elapsed_s: self.elapsed().as_secs_f64(),
            episodic_return: self.state.mean_return(),
            eval: self.state.eval.as_ref().map(|e| e.1.clone()),
            best: self.state.best,
            rlx: env!("CARGO_PKG_VERSION"),
            revision: crate::REVISION,
            libtorch: crate::LIBTORCH,
            threads: self.experiment.run.threads,
        }
    }
}

/// The keys that a resumed run may be given anew.
pub fn is_resumable_key(key: &str) -> bool {
    matches!(key, "steps" | "time_s")
}

/// Refuses flags that would change a run that goes on.
///
/// # Errors
/// Naming the flag.
pub fn check_resume_flags(flags: &[(&'static str, String)]) -> Result<()> {
    match flags.iter().find(|(key, _)| !is_resumable_key(key)) {
        Some((key, _)) => {
            bail!("--resume goes on with the run's own config: only --steps and --time may be given, not {key}")
        }
        None => Ok(()),
    }
}
