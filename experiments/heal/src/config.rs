//! What a healing is: its keys, and their file.
use anyhow::{Context, Result, anyhow, bail};
use rlx::{
    Device, Table,
    config::{Keys, from_map, nearest, to_map},
};
use rlx_lm::bert::HealingConfig;
use rlx_runs::run_config::DeviceChoice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{fmt::Write as _, path::Path, sync::LazyLock};

/// Version of the layout of its `config.toml`.
const FORMAT: i64 = 1;

/// What is corrupted, and how it is healed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The keys that it shares with the environment heal-bert.
    #[serde(flatten)]
    pub healing: HealingConfig,
    /// Seed of the corruption, of the new head, of which texts are learnt from, of their order and of dropout.
    pub seed: u64,
    /// Training texts at most; 0 for all.
    pub train: usize,
    /// Passes over the training texts at most.
    #[schemars(range(min = 1))]
    pub epochs: u64,
    /// Passes without a better validation F1 after which it ends; 0 for never.
    pub patience: u64,
    /// Weight decay; biases and layer normalisation have none.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Share of the steps in which the learning rate rises; it falls in a line to 0 afterwards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup: f64,
    /// Gradients of a larger norm are scaled down to it; 0 for never.
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f64,
    /// Where tensors live.
    pub device: DeviceChoice,
    /// Threads of tensors. With one a run repeats to the bit.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: usize,
    /// Steps between rows of metrics; validation comes after each pass.
    #[schemars(range(min = 1))]
    pub log_every: u64,
    /// Steps between checkpoints; 0 for none but when it is stopped.
    pub checkpoint_every: u64,
    /// Test texts whose representations are kept in the run, for comparing layers; 0 for none.
    pub probe: usize,
    /// Whether the best model is kept in the run.
    pub keep_model: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            healing: HealingConfig::default(),
            seed: 0,
            train: 0,
            epochs: 5,
            patience: 2,
            weight_decay: 0.01,
            warmup: 0.1,
            max_grad_norm: 1.0,
            device: DeviceChoice::Cpu,
            threads: 1,
            log_every: 20,
            checkpoint_every: 200,
            probe: 200,
            keep_model: true,
        }
    }
}

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::of::<Config>);

impl Config {
    /// All keys.
    pub fn keys() -> &'static Keys {
        &KEYS
    }

    /// From texts as a person types them, `(key, value)`, over `base`.
    ///
    /// # Errors
    /// Naming the first that is wrong, and the nearest right one.
    pub fn with<'a>(base: Table, set: impl Iterator<Item = (&'a str, String)>) -> Result<Self> {
        let mut table = base;
        for (name, text) in set {
            let key = KEYS.get(name).ok_or_else(|| {
                anyhow!("a healing has no key '{name}'{}", nearest(name, KEYS.iter().map(|k| k.name.as_str())))
            })?;
            table.insert(name.into(), key.parse(&text)?);
        }
        KEYS.check("a healing", &table)?;
        let config: Self = from_map(&table)?;
        config.healing.check()?;
        Ok(config)
    }

    /// The data's name as a part of a folder's.
    pub fn env(&self) -> String {
        let stem = Path::new(&self.healing.data).file_stem().and_then(|s| s.to_str()).unwrap_or("data");
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        stem.chars().map(plain).collect::<String>().trim_start_matches('.').to_owned()
    }

    /// Whether this is the config of a healing.
    pub fn is_one(text: &str) -> bool {
        toml::from_str::<toml::Table>(text).is_ok_and(|t| t.contains_key("heal"))
    }

    /// From the text of a run's `config.toml`.
    ///
    /// # Errors
    /// When it is none of a healing, of another format, or not sound.
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: toml::Table = toml::from_str(text).map_err(|e| anyhow!("{e}"))?;
        match file.get("format").and_then(toml::Value::as_integer) {
            Some(FORMAT) => {}
            other => bail!("it has format {other:?}, and this rlx {} reads {FORMAT}", env!("CARGO_PKG_VERSION")),
        }
        let table = file.get("heal").context("it has no [heal]: it is no healing's")?;
        let Value::Object(table) = serde_json::to_value(table)? else { bail!("[heal] is no table") };
        let mut all = KEYS.defaults();
        all.extend(table);
        Self::with(all, std::iter::empty())
    }

    /// The complete config as TOML, a comment over each key.
    pub fn to_toml(&self) -> String {
        let mut out = format!(
            "# A healing of rlx {}: every choice it was made with.\nformat = {FORMAT}\n\n[run]\nenv = {}\nalgo = \"heal\"\nseed = {}\n\n[heal]\n",
            env!("CARGO_PKG_VERSION"),
            toml::Value::from(self.env()),
            self.seed
        );
        let table = to_map(self);
        for key in KEYS.iter() {
            if let Some(value) = table.get(&key.name).and_then(|v| toml::Value::try_from(v).ok()) {
                let _ = write!(out, "# {}\n{} = {value}\n", key.about, key.name);
            }
        }
        out
    }

    /// The device it is to use.
    ///
    /// # Errors
    /// When CUDA is asked for and not there.
    pub fn device(&self) -> Result<Device> {
        match (self.device, tch::Cuda::is_available()) {
            (DeviceChoice::Cpu, _) | (DeviceChoice::Auto, false) => Ok(Device::Cpu),
            (_, true) => Ok(Device::Cuda(0)),
            (DeviceChoice::Cuda, false) => bail!("device = \"cuda\": libtorch finds no CUDA device"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config> {
        Config::with(KEYS.defaults(), pairs.iter().map(|(k, v)| (*k, (*v).to_owned())))
    }

    #[test]
    fn a_config_survives_its_file_and_what_is_wrong_is_named() {
        let c = with(&[
            ("corrupt", "bottom:2+embeddings"),
            ("how", "bitflip"),
            ("amount", "1e-4"),
            ("data", "my data/x y.csv"),
        ])
        .unwrap();
        let text = c.to_toml();
        assert!(Config::is_one(&text) && text.contains("[run]\nenv = \"x-y\""));
        assert_eq!(Config::from_toml(&text).unwrap(), c);
        let wrong = |pairs: &[(&str, &str)]| format!("{:#}", with(pairs).unwrap_err());
        assert!(wrong(&[("corupt", "top:1")]).contains("did you mean 'corrupt'"));
        assert!(wrong(&[("corrupt", "botom:1")]).contains("did you mean 'bottom'"));
        assert!(wrong(&[("how", "kaimin")]).contains("kaiming"));
        assert!(wrong(&[("max_tokens", "2")]).contains("max_tokens"));
        assert!(wrong(&[("validation_share", "0.4"), ("test_share", "0.4")]).contains("two fifths"));
        // A file of before the keys were shared, in its order and with a key left out.
        let old = "format = 1\n[run]\nenv = \"bbc\"\n[heal]\nseed = 4\nmodel = \"m\"\nlearning_rate = 1\ndata = \"bbc\"\nhow = \"zero\"\n";
        let read = Config::from_toml(old).unwrap();
        assert_eq!((read.seed, read.healing.model.as_str(), read.healing.learning_rate), (4, "m", 1.0));
        assert_eq!((read.healing.max_tokens, read.healing.batch), (128, 32));
        assert!(!Config::is_one("format = 1\n[run]\nenv = \"cartpole\"\n"));
    }
}
