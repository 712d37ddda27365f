//! What a cell is: a training in a world, or whatever else a crate registers. All end in a run folder of the same form, so that everything else
//! of an experiment (cells, pool, engines, reports) is the same for all.
use anyhow::{Result, bail};
use rlx::{
    Registry, Scalars, Table,
    config::{Keys, nearest, to_map},
};
use rlx_runs::{
    experiment::{Experiment, Request},
    interrupt::Stop,
    progress::Progress,
    train::Trainer,
    trained,
};
use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

/// A kind of run that the cells of an experiment can be.
pub trait Workload: Send + Sync {
    /// What `kind` is in a spec of such cells.
    fn kind(&self) -> &'static str;
    /// The key that tells tasks apart where a spec names none.
    fn task(&self) -> &'static str;
    /// Its config keys with a line of what they are of, for `rlx list KIND`; None where they are listed elsewhere.
    fn keys(&self) -> Option<(&'static str, &Keys)> {
        None
    }
    /// Whether [`Job::estimate`] can try a second of its jobs.
    fn can_be_tried(&self) -> bool {
        false
    }
    /// Whether a run's `config.toml` is of this kind.
    fn owns(&self, config: &str) -> bool;
    /// The job that a cell asks for.
    ///
    /// # Errors
    /// Naming the first key that is wrong.
    fn resolve(&self, registry: &Registry, request: &Request) -> Result<Box<dyn Job>>;
    /// The job of a run, from the text of its `config.toml`.
    ///
    /// # Errors
    /// As [`Workload::resolve`].
    fn read(&self, registry: &Registry, config: &str) -> Result<Box<dyn Job>>;
}

/// A checked config, ready to be run.
pub trait Job: Send + Sync {
    /// The front of its run's name: `cartpole-ppo`.
    fn front(&self) -> String;
    /// Threads that it takes.
    fn threads(&self) -> usize;
    /// Whether its metrics will have evaluations.
    fn evaluates(&self) -> bool;
    /// Steps in all; 0 when they are known only once its data are read.
    fn steps(&self) -> u64;
    /// All its choices, by section.
    fn choices(&self) -> Vec<(&'static str, Table)>;
    /// How long it will take in seconds, from about one second of it; None where that cannot be tried.
    ///
    /// # Errors
    /// When it cannot be begun.
    fn estimate(&self) -> Result<Option<f64>> {
        Ok(None)
    }
    /// Makes the run `name`, in the folder `run` under `runs`. True when it reached its end, false when it was asked to stop.
    ///
    /// # Errors
    /// When it fails; what it saved before stays.
    fn start(&self, registry: &Registry, runs: &Path, name: &str, progress: &mut Progress, stop: &Stop)
    -> Result<bool>;
    /// Goes on with the run that is there.
    ///
    /// # Errors
    /// As [`Job::start`].
    fn resume(&self, registry: &Registry, runs: &Path, run: &str, progress: &mut Progress, stop: &Stop)
    -> Result<bool>;
}

/// What the registry has for experiments: kinds of work, and specs that can be run by their names.
#[derive(Clone)]
pub struct Lab {
    workloads: Vec<Arc<dyn Workload>>,
    specs: Vec<(&'static str, &'static str)>,
}

impl Default for Lab {
    fn default() -> Self {
        Self { workloads: vec![Arc::new(Training)], specs: Vec::new() }
    }
}

impl Lab {
    /// What is registered.
    pub fn of(registry: &Registry) -> &Self {
        static PLAIN: LazyLock<Lab> = LazyLock::new(Lab::default);
        registry.extension().unwrap_or(&PLAIN)
    }
    /// Adds a kind of work: `registry.extension_mut::<Lab>().workload(Mine)`.
    pub fn workload(&mut self, it: impl Workload + 'static) -> &mut Self {
        self.workloads.push(Arc::new(it));
        self
    }
    /// Adds a spec under a name.
    pub fn spec(&mut self, name: &'static str, text: &'static str) -> &mut Self {
        self.specs.push((name, text));
        self
    }
    /// Names and texts of the specs.
    pub fn specs(&self) -> &[(&'static str, &'static str)] {
        &self.specs
    }
    /// The kinds of work.
    pub fn workloads(&self) -> impl Iterator<Item = &dyn Workload> {
        self.workloads.iter().map(|w| &**w)
    }
    /// The work of that kind.
    ///
    /// # Errors
    /// Naming those that there are.
    pub fn find(&self, kind: &str) -> Result<&dyn Workload> {
        if let Some(found) = self.workloads().find(|w| w.kind() == kind) {
            return Ok(found);
        }
        let kinds: Vec<&str> = self.workloads().map(Workload::kind).collect();
        bail!(
            "kind = \"{kind}\": it must be {}{}",
            kinds.join(" or "),
            match nearest(kind, kinds.iter().copied()) {
                near if near.contains("did you mean") => near,
                _ => String::new(),
            }
        )
    }
    /// The job of a run, from the text of its `config.toml`.
    ///
    /// # Errors
    /// Naming the first key that is wrong.
    pub fn read(registry: &Registry, config: &str) -> Result<Box<dyn Job>> {
        let lab = Self::of(registry);
        let own = lab.workloads().find(|w| w.owns(config));
        own.unwrap_or(&Training).read(registry, config)
    }
}

/// A training in a world.
struct Training;

/// The kind of work that is always there.
pub const TRAINING: &str = "train";

impl Workload for Training {
    fn kind(&self) -> &'static str {
        TRAINING
    }
    fn task(&self) -> &'static str {
        "env"
    }
    fn can_be_tried(&self) -> bool {
        true
    }
    fn owns(&self, _config: &str) -> bool {
        false
    }
    fn resolve(&self, registry: &Registry, request: &Request) -> Result<Box<dyn Job>> {
        Ok(Box::new(Experiment::new(registry, request)?))
    }
    fn read(&self, registry: &Registry, config: &str) -> Result<Box<dyn Job>> {
        Ok(Box::new(Experiment::from_toml(registry, config)?))
    }
}

impl Job for Experiment {
    fn front(&self) -> String {
        format!("{}-{}", self.run.env, self.run.algo)
    }
    fn threads(&self) -> usize {
        self.run.threads
    }
    fn evaluates(&self) -> bool {
        self.run.eval_every > 0
    }
    fn steps(&self) -> u64 {
        self.run.steps
    }
    fn choices(&self) -> Vec<(&'static str, Table)> {
        vec![("run", to_map(&self.run)), ("env", self.env.clone()), ("algo", self.hyper.clone())]
    }
    /// In memory: nothing is written.
    fn estimate(&self) -> Result<Option<f64>> {
        let (mut learner, mut envs) = trained::make(self)?;
        let mut log = Scalars::default();
        learner.iterate(&mut *envs, &mut log)?;
        let (start, mut steps) = (Instant::now(), 0);
        while start.elapsed().as_secs_f64() < 1.0 {
            log.clear();
            steps += learner.iterate(&mut *envs, &mut log)?;
            envs.episodes().clear();
        }
        let whole = self.run.steps as f64 * start.elapsed().as_secs_f64() / steps.max(1) as f64;
        Ok(Some(if self.run.time_s > 0.0 { whole.min(self.run.time_s) } else { whole }))
    }
    fn start(
        &self,
        registry: &Registry,
        runs: &Path,
        name: &str,
        progress: &mut Progress,
        stop: &Stop,
    ) -> Result<bool> {
        let ended = Trainer::start(registry, runs, self.clone(), Some(name), progress, stop)?.run()?;
        Ok(ended.status == "finished")
    }
    fn resume(
        &self,
        registry: &Registry,
        runs: &Path,
        run: &str,
        progress: &mut Progress,
        stop: &Stop,
    ) -> Result<bool> {
        Ok(Trainer::resume(registry, runs, run, Vec::new(), progress, stop)?.run()?.status == "finished")
    }
}
