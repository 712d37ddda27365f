//! What a cell is: a training in a world, or the healing of an encoder. Both end in a run folder of the same form, so that everything
//! else of an experiment (cells, pool, engines, reports) is the same for both.
use super::spec::{Kind, Table};
use crate::{
    experiment::{Experiment, Request},
    heal::{self, run::Healer},
    interrupt::Stop,
    progress::Progress,
    train::Trainer,
};
use anyhow::Result;
use rlx::{Registry, config::to_map};
use std::path::Path;

/// A cell's checked config.
#[derive(Clone)]
pub enum Work {
    /// A learner in a world.
    Train(Box<Experiment>),
    /// An encoder that is corrupted and fine-tuned.
    Heal(Box<heal::Config>),
}

impl Work {
    /// From a cell's keys and its seed.
    ///
    /// # Errors
    /// Naming the first thing that is wrong.
    pub fn new(registry: &Registry, kind: Kind, request: &Request) -> Result<Self> {
        Ok(match kind {
            Kind::Train => Self::Train(Box::new(Experiment::new(registry, request)?)),
            Kind::Heal => {
                let set = request.set.iter().filter_map(|s| s.split_once('='));
                let flags = request.flags.iter().map(|(k, v)| (*k, v.as_str()));
                let all = set.chain(flags).map(|(k, v)| (k, v.to_owned()));
                Self::Heal(Box::new(heal::Config::with(heal::Config::keys().defaults(), all)?))
            }
        })
    }

    /// From the text of a run's `config.toml`.
    ///
    /// # Errors
    /// As [`Work::new`].
    pub fn from_toml(registry: &Registry, text: &str) -> Result<Self> {
        Ok(if heal::Config::is_one(text) {
            Self::Heal(Box::new(heal::Config::from_toml(text)?))
        } else {
            Self::Train(Box::new(Experiment::from_toml(registry, text)?))
        })
    }

    /// The front of its run's name: `cartpole-ppo`, `imdb-heal`.
    pub fn front(&self) -> String {
        match self {
            Self::Train(e) => format!("{}-{}", e.run.env, e.run.algo),
            Self::Heal(c) => format!("{}-heal", c.env()),
        }
    }

    /// Threads that it takes.
    pub fn threads(&self) -> usize {
        match self {
            Self::Train(e) => e.run.threads,
            Self::Heal(c) => c.threads,
        }
    }

    /// Whether its metrics will have evaluations.
    pub fn evaluates(&self) -> bool {
        match self {
            Self::Train(e) => e.run.eval_every > 0,
            Self::Heal(_) => true,
        }
    }

    /// Steps in all; 0 when they are known only once its data are read.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Train(e) => e.run.steps,
            Self::Heal(_) => 0,
        }
    }

    /// All its choices, by section.
    pub fn choices(&self) -> Vec<(&'static str, Table)> {
        match self {
            Self::Train(e) => vec![("run", to_map(&e.run)), ("env", e.env.clone()), ("algo", e.hyper.clone())],
            Self::Heal(c) => vec![("heal", to_map(&**c))],
        }
    }

    /// Runs it as `name` under `runs`, or goes on with the run that is there. True when it reached its end, false when it was asked to
    /// stop.
    ///
    /// # Errors
    /// When it fails; what it saved before stays.
    pub fn go(
        self,
        registry: &Registry,
        runs: &Path,
        (run, name): (&str, &str),
        progress: &mut Progress,
        stop: &Stop,
    ) -> Result<bool> {
        let there = runs.join(run).join("config.toml").exists();
        // Killed between the end of its run and its record: there is nothing left to do.
        let ended = super::unit::summary(&runs.join(run)).is_some_and(|s| s["status"] == "finished");
        if matches!(self, Self::Heal(_)) && there && ended {
            return Ok(true);
        }
        let status = match (self, there) {
            (Self::Train(_), true) => Trainer::resume(registry, runs, run, Vec::new(), progress, stop)?.run()?.status,
            (Self::Train(e), false) => Trainer::start(registry, runs, *e, Some(name), progress, stop)?.run()?.status,
            (Self::Heal(_), true) => Healer::resume(runs, run, progress, stop)?.run()?.status,
            (Self::Heal(c), false) => Healer::start(runs, *c, Some(name), progress, stop)?.run()?.status,
        };
        Ok(status == "finished")
    }
}
