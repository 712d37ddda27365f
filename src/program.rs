//! What a world may bring to the program beside itself: how its policies are judged, compared, recorded and played, which bots it has, and
//! what a finished training leaves. All of it is optional and registered beside the world ([`crate::Registry::of`]); the program knows no world
//! by name.
use crate::{
    Estimate, Learner, Mode, Policy, Scalars,
    config::{Keys, Table},
};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// How a policy is to be evaluated.
#[derive(Clone, Copy, Debug)]
pub struct EvalPlan {
    /// Episodes.
    pub episodes: usize,
    /// Seed of the environments and of the policy's draws.
    pub seed: u64,
    /// How the policy acts.
    pub mode: Mode,
}

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Return of an episode: rewards summed, over players averaged.
    #[serde(rename = "return")]
    pub returns: Estimate,
    /// Length of an episode in steps.
    pub length: Estimate,
    /// What the world says of its episodes (success, win), by name.
    pub metrics: BTreeMap<String, Estimate>,
}

impl Outcome {
    /// As metrics of a run.
    pub fn report(&self, log: &mut Scalars) {
        log.put("eval/return", self.returns.mean);
        log.put("eval/return_low", self.returns.low);
        log.put("eval/return_high", self.returns.high);
        log.put("eval/length", self.length.mean);
        for (name, e) in &self.metrics {
            log.put(format!("eval/{name}"), e.mean);
        }
    }
}

/// A trained policy, and what it was trained in.
pub struct Trained {
    /// The run's name, or the file's.
    pub name: String,
    /// The world.
    pub world: String,
    /// Its config.
    pub env: Table,
    /// The learner, whose policy it is.
    pub learner: Box<dyn Learner>,
}

/// What the program lends to a part of a world while a command runs.
pub trait Host {
    /// The policy of a run, or of a file that `rlx export` wrote. `checkpoint` is `best`, `last` or a step.
    ///
    /// # Errors
    /// When there is no such run, checkpoint or file, or it is not sound.
    fn trained(&self, name: &str, checkpoint: &str) -> Result<Trained>;
    /// The policy of an exported file's bytes, which `name` names in messages.
    ///
    /// # Errors
    /// When they are none.
    fn exported(&self, name: &str, bytes: &[u8]) -> Result<Trained>;
    /// Whether there is a run or file of that name.
    fn exists(&self, name: &str) -> bool;
    /// The names of the runs in that world.
    fn runs_in(&self, world: &str) -> Vec<String>;
    /// Whether the program was asked to stop.
    fn asked_to_stop(&self) -> bool;
    /// Shows how many of `total` `unit`s are done.
    fn counting(&self, unit: &'static str, total: u64) -> Box<dyn Counting>;
}

/// How far something long has come.
pub trait Counting {
    /// When `done` are done.
    fn tick(&mut self, done: u64);
}

/// Judges a policy in its own way, where a return over single episodes says nothing: the world is self-play.
pub trait Evaluator: Send + Sync {
    /// Evaluates the policy in the world under `env`.
    ///
    /// # Errors
    /// When the policy fails, or `stop` says so.
    fn evaluate(
        &self,
        env: &Table,
        policy: &mut dyn Policy,
        plan: EvalPlan,
        stop: &dyn Fn() -> bool,
    ) -> Result<Outcome>;
    /// What [`Outcome::returns`] counts: `decks`.
    fn unit(&self) -> &'static str {
        "episodes"
    }
    /// Whether policies are judged by their best actions alone.
    fn greedy_only(&self) -> bool {
        false
    }
}

/// A finding for people, and for programs.
#[derive(Clone, Debug)]
pub struct Report {
    /// Lines of text.
    pub text: String,
    /// The same as JSON.
    pub json: serde_json::Value,
}

/// How two or more agents meet.
#[derive(Clone, Copy, Debug)]
pub struct Meeting<'a> {
    /// The options, by the arena's keys.
    pub options: &'a Table,
    /// The checkpoint of the runs among them: `best`, `last` or a step.
    pub checkpoint: &'a str,
    /// Seed of the games.
    pub seed: u64,
}

/// Lets agents (runs, exported files, bots) meet: `rlx eval --vs` and `rlx league`.
pub trait Arena: Send + Sync {
    /// Its options, which become flags of the commands.
    fn keys(&self) -> Keys;
    /// Lets two meet.
    ///
    /// # Errors
    /// When an agent cannot be had or fails, an option is wrong, or the program was asked to stop.
    fn versus(&self, host: &dyn Host, meeting: Meeting<'_>, agents: [&str; 2]) -> Result<Report>;
    /// Lets every pair meet.
    ///
    /// # Errors
    /// As [`Arena::versus`].
    fn league(&self, host: &dyn Host, meeting: Meeting<'_>, agents: &[String]) -> Result<Report>;
}

/// Writes episodes in a format of the world's own: `rlx record`.
pub trait Recorder: Send + Sync {
    /// Its options, which become flags of the command.
    fn keys(&self) -> Keys;
    /// Ends of the names of its files, without the dot.
    fn extensions(&self) -> &'static [&'static str];
    /// Writes them into `output`, which is not there yet, and says what it did. No agents: those that the world has by default.
    ///
    /// # Errors
    /// When an agent cannot be had or fails, an option is wrong, or the file cannot be written.
    fn record(&self, host: &dyn Host, options: &Table, agents: &[String], seed: u64, output: &Path) -> Result<String>;
}

/// Lets people play: `rlx play`.
pub trait Playable: Send + Sync {
    /// Its options, which become flags of the command.
    fn keys(&self) -> Keys;
    /// Plays until the people have had enough. False when a signal ended it.
    ///
    /// # Errors
    /// When an agent cannot be had or fails, or an option is wrong.
    fn play(&self, host: &dyn Host, options: &Table) -> Result<bool>;
}

/// What follows a training in a world.
pub trait OnFinish: Send + Sync {
    /// Does what is to be done once, after the run in that folder has reached its end, and says what it did. It is asked again when a run that
    /// has ended is resumed.
    ///
    /// # Errors
    /// When it cannot be done.
    fn finished(&self, _run: &Path, _env: &Table) -> Result<Option<String>> {
        Ok(None)
    }
    /// Commands that go on from here; `run` is the run's folder, quoted for a shell.
    fn next(&self, run: &str, env: &Table) -> Vec<String>;
}

/// What a world brings to the program beside itself.
#[derive(Clone, Default)]
pub struct Parts {
    /// How policies are judged, where not by the return of single episodes.
    pub evaluator: Option<Arc<dyn Evaluator>>,
    /// How agents meet.
    pub arena: Option<Arc<dyn Arena>>,
    /// How episodes are written, where not as a film.
    pub recorder: Option<Arc<dyn Recorder>>,
    /// How people play.
    pub playable: Option<Arc<dyn Playable>>,
    /// What follows a training.
    pub on_finish: Option<Arc<dyn OnFinish>>,
    /// Players without training: name, and one line of what each is.
    pub bots: Vec<(String, String)>,
}

impl Parts {
    /// Sets how policies are judged.
    pub fn evaluator(&mut self, it: impl Evaluator + 'static) -> &mut Self {
        self.evaluator = Some(Arc::new(it));
        self
    }
    /// Sets how agents meet.
    pub fn arena(&mut self, it: impl Arena + 'static) -> &mut Self {
        self.arena = Some(Arc::new(it));
        self
    }
    /// Sets how episodes are written.
    pub fn recorder(&mut self, it: impl Recorder + 'static) -> &mut Self {
        self.recorder = Some(Arc::new(it));
        self
    }
    /// Sets how people play.
    pub fn playable(&mut self, it: impl Playable + 'static) -> &mut Self {
        self.playable = Some(Arc::new(it));
        self
    }
    /// Sets what follows a training.
    pub fn on_finish(&mut self, it: impl OnFinish + 'static) -> &mut Self {
        self.on_finish = Some(Arc::new(it));
        self
    }
    /// What evaluations count.
    pub fn unit(&self) -> &'static str {
        self.evaluator.as_ref().map_or("episodes", |e| e.unit())
    }
    /// Adds players: name, and one line of what each is.
    pub fn bots(&mut self, bots: &[(&str, &str)]) -> &mut Self {
        self.bots.extend(bots.iter().map(|(name, about)| ((*name).to_owned(), (*about).to_owned())));
        self
    }
}
