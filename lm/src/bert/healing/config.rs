//! The keys that every healing has, and what they say of its data, its model and its corruption.
use super::Texts;
use crate::{
    bert::{
        Corruption, CorruptionMethod, CorruptionScope, LayerSelection, Pooling, Renumbered, Tokenizer, Weights,
        corrupt::CorruptionReport, tune::Plan,
    },
    data::{Labelled, Split, labelled, sources, table::Columns},
    store,
};
use rlx::{Error, Result, Rng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is corrupted, and how it is fine-tuned: the keys that `rlx heal` and the environment `heal-bert` share. The defaults are those of
/// `rlx heal`; the environment has its own, of shorter texts and fewer steps, so that runs of either end as they always did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HealingConfig {
    /// The model: a fetched one (`rlx list models`) or the folder of one's own; in heal-bert also `tiny`, a small one with a made-up task.
    pub model: String,
    /// The data: rotten-tomatoes, imdb, bbc, bbc-titles, spam, or the path of a table (.csv, .tsv, .jsonl); `tiny` has its own.
    pub data: String,
    /// The column of texts of a table of one's own.
    pub text: String,
    /// The column of labels of a table of one's own.
    pub label: String,
    /// Which layers are corrupted: none, all, embeddings, bottom:2, top:2, middle:2, scattered:2, layer:3, layers:0,3; joined by +.
    pub corrupt: String,
    /// What is done to them; kaiming is as published: LayerNorm weights 1, other weights Kaiming-uniform, biases 0.
    #[doc(alias = "method")]
    pub how: CorruptionMethod,
    /// How much of it: the share that becomes zero or is permuted, the rate of bit flips, or noise in root mean squares; kaiming has none.
    #[doc(alias = "strength")]
    #[schemars(range(min = 0.0))]
    pub amount: f64,
    /// Which parameters of the layers.
    #[doc(alias = "scope")]
    pub part: CorruptionScope,
    /// Seed of the split into training, validation and test; runs that are compared have the same.
    pub data_seed: u64,
    /// Share of the texts that are for validation.
    #[schemars(range(min = 0.01, max = 0.4))]
    pub validation_share: f64,
    /// Share of the texts that are for the test, which nothing is chosen by.
    #[schemars(range(min = 0.01, max = 0.4))]
    pub test_share: f64,
    /// Validation texts at most; 0 for all.
    pub validation: usize,
    /// Test texts at most; 0 for all.
    pub test: usize,
    /// Tokens of a text at most; the rest of it is cut.
    #[doc(alias = "max_length")]
    #[schemars(range(min = 3))]
    pub max_tokens: usize,
    /// How a text's hidden states become one vector.
    pub pooling: Pooling,
    /// Texts of a step.
    #[doc(alias = "per_device_train_batch_size")]
    #[schemars(range(min = 1))]
    pub batch: usize,
    /// The highest learning rate (AdamW); it rises in the first steps and then falls in a line to 0.
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
    /// Share of hidden states and attention that is dropped out.
    #[doc(alias = "hidden_dropout_prob")]
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: f64,
}

impl Default for HealingConfig {
    fn default() -> Self {
        Self {
            model: "minilm-l6".into(),
            data: "rotten-tomatoes".into(),
            text: "text".into(),
            label: "label".into(),
            corrupt: "none".into(),
            how: CorruptionMethod::Kaiming,
            amount: 0.1,
            part: CorruptionScope::All,
            data_seed: 0,
            validation_share: 0.1,
            test_share: 0.2,
            validation: 1000,
            test: 0,
            max_tokens: 128,
            pooling: Pooling::Mean,
            batch: 32,
            learning_rate: 1e-4,
            dropout: 0.1,
        }
    }
}

/// Names the key that an error is about.
pub fn named(key: &str) -> impl Fn(Error) -> Error + '_ {
    move |e| Error::invalid(format!("{key}: {e}"))
}

impl HealingConfig {
    /// Whether the layers can be read and texts are left to learn from.
    ///
    /// # Errors
    /// Naming the key that is wrong.
    pub fn check(&self) -> Result<()> {
        self.layers()?;
        if self.validation_share + self.test_share > 0.6 {
            return Err(Error::invalid(
                "validation_share and test_share leave less than two fifths of the texts to learn from",
            ));
        }
        Ok(())
    }

    /// The layers that are corrupted.
    ///
    /// # Errors
    /// When `corrupt` names none.
    pub fn layers(&self) -> Result<LayerSelection> {
        self.corrupt.parse().map_err(named(&format!("corrupt = \"{}\"", self.corrupt)))
    }

    /// Corrupts the model; `seed` decides everything that is drawn.
    ///
    /// # Errors
    /// Naming the layer that the model does not have, or an amount that is out of range.
    pub fn corrupt(&self, weights: &mut Weights, seed: u64) -> Result<CorruptionReport> {
        let corruption =
            Corruption { layers: self.layers()?, scope: self.part, method: self.how, strength: self.amount, seed };
        corruption.apply(weights).map_err(named(&format!("corrupt = \"{}\" of {}", self.corrupt, self.model)))
    }

    /// Reads the data.
    ///
    /// # Errors
    /// Naming the row or the file that is not as it must be.
    pub fn read_data(&self, cache: &Path) -> Result<Labelled> {
        let columns = Columns { text: &self.text, label: &self.label };
        sources::load(&self.data, columns, cache).map_err(named(&format!("data = \"{}\"", self.data)))
    }

    /// Reads the model's weights and its tokenizer.
    ///
    /// # Errors
    /// When it is not there, naming the command that fetches it, or not sound.
    pub fn read_model(&self, cache: &Path) -> Result<(Weights, Tokenizer)> {
        let folder = store::find_model(&self.model, cache)?;
        Ok((Weights::open(&folder)?, Tokenizer::open(&folder)?))
    }

    /// The token ids of texts, each cut to what the config and a model of so many positions allow.
    ///
    /// # Errors
    /// When that leaves no room for a word.
    pub fn encode(&self, tokenizer: &Tokenizer, positions: usize, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        tokenizer.encode(texts, self.max_tokens.min(positions)).map_err(named("max_tokens"))
    }

    /// Rows of the three sets: all that are to be learnt from, of the others as many as the config wants. `streams` names the random
    /// streams that choose validation and test texts: each client has always drawn from its own.
    ///
    /// # Errors
    /// Naming the set or the class that has too few texts.
    pub fn split(&self, data: &Labelled, streams: [&str; 2]) -> Result<Split> {
        let mut split = Split::new(data, self.validation_share, self.test_share, self.data_seed)?;
        let sets = [(&mut split.validation, self.validation, "validation"), (&mut split.test, self.test, "test")];
        for ((rows, most, key), stream) in sets.into_iter().zip(streams) {
            *rows = labelled::some(data, rows, most, &mut Rng::named(self.data_seed, stream, 0)).map_err(named(key))?;
        }
        Ok(split)
    }

    /// Tokenised texts in batches of the config's size.
    pub fn texts(&self, texts: Renumbered, labels: Vec<usize>) -> Texts {
        let Renumbered { ids, tokens, pad } = texts;
        Texts { ids, labels, tokens, pad, batch: self.batch }
    }

    /// A fine-tuning of so many steps: weight decay, warm-up and clipping as BERT has them.
    pub fn plan(&self, steps: u64, seed: u64) -> Plan {
        let (learning_rate, dropout) = (self.learning_rate, self.dropout);
        Plan { learning_rate, dropout, steps, seed, ..Plan::default() }
    }
}

/// The rows that `seed` chooses to learn from: at most so many of a set, 0 for all.
///
/// # Errors
/// When there would not be one of each class.
pub fn training_rows(data: &Labelled, of: &[usize], most: usize, seed: u64) -> Result<Vec<usize>> {
    labelled::some(data, of, most, &mut Rng::named(seed, "training texts", 0)).map_err(named("train"))
}
