//! What the program lends to a part of a world: policies of runs and files, and a person's patience.
use crate::{
    experiment::Experiment,
    export,
    interrupt::Stop,
    progress,
    run_dir::{self, RunDir},
    trained,
};
use anyhow::{Context, Result, ensure};
use rlx::{Registry, Trained, say};
use std::path::Path;

/// Largest exported file that is read.
const LARGEST: u64 = 256 << 20;

/// The program, as parts of worlds see it.
pub struct Host<'a> {
    /// Worlds and algorithms.
    pub registry: &'a Registry,
    /// Where runs are kept.
    pub runs: &'a Path,
    /// Whether the program was asked to stop.
    pub stop: Stop,
    /// Whether to show no progress.
    pub quiet: bool,
}

impl rlx::Host for Host<'_> {
    fn trained(&self, name: &str, checkpoint: &str) -> Result<Trained> {
        let path = Path::new(name);
        if path.is_file() {
            let size = std::fs::metadata(path).with_context(|| format!("reading {name}"))?.len();
            ensure!(size <= LARGEST, "{name}: {size} bytes are no policy of this program");
            let bytes = std::fs::read(path).with_context(|| format!("reading {name}"))?;
            return self.exported(name, &bytes);
        }
        let loaded = trained::load(self.registry, self.runs, name, checkpoint, &mut |w| say!("warning: {w}"))?;
        let (dir, experiment, learner, _) = loaded;
        Ok(Trained { name: dir.name(), world: experiment.world.name, env: experiment.env, learner })
    }

    fn exported(&self, name: &str, bytes: &[u8]) -> Result<Trained> {
        let open = || -> Result<Trained> {
            let policy = export::read(bytes)?;
            let config = policy.about.iter().find(|a| a.0 == "config").context("it does not say which run it is of")?;
            let mut experiment = Experiment::from_toml(self.registry, &config.1)?;
            // To act, no table of its own and no network of training is needed.
            for (key, value) in [("num_envs", 1.into()), ("td_lambda", 1.0.into()), ("auxiliary", 0.0.into())] {
                if experiment.hyper.contains_key(key) {
                    experiment.hyper.insert(key.into(), value);
                }
            }
            let (mut learner, _) = trained::make(&experiment)?;
            learner.init_from(&policy)?;
            Ok(Trained { name: name.into(), world: experiment.world.name, env: experiment.env, learner })
        };
        open().with_context(|| name.to_owned())
    }

    fn exists(&self, name: &str) -> bool {
        Path::new(name).exists() || self.runs.join(name).exists()
    }

    fn runs_in(&self, world: &str) -> Vec<String> {
        run_dir::names(self.runs, |config| run_dir::env(config).is_some_and(|env| env == world))
    }

    fn asked_to_stop(&self) -> bool {
        self.stop.asked()
    }

    fn counting(&self, unit: &'static str, total: u64) -> Box<dyn rlx::Counting> {
        Box::new(progress::Counting::new(unit, total, self.quiet))
    }
}

impl Host<'_> {
    /// The world of a run of that name; None when it is none.
    pub fn world_of(&self, name: &str) -> Option<String> {
        RunDir::open(self.runs, name).ok().and_then(|dir| run_dir::env(&dir.path().join("config.toml")))
    }
}
