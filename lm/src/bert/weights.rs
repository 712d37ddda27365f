//! An encoder's parameters by names that are the same for every family: what is loaded, corrupted and put into a model.
use super::Config;
use rlx::{Array, Error, Result};
use std::collections::BTreeMap;

/// The parts of a layer, each with a `weight` and a `bias`.
pub const LAYER: [&str; 8] = ["query", "key", "value", "output", "attention_norm", "up", "down", "mlp_norm"];

/// Parameters by name: `embeddings.words`, `embeddings.positions`, `embeddings.types`, `embeddings.norm.weight`, `layer.0.query.weight`
/// `[out, in]`, ..., `pooler.weight`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The shape of the model.
    pub config: Config,
    arrays: BTreeMap<String, Array>,
}

/// The parameters of a model of that shape: names and shapes. The pooler is not among them.
pub fn parameters(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (w, inner) = (config.width, config.inner);
    let mut out = vec![
        ("embeddings.words".to_owned(), vec![config.vocabulary, w]),
        ("embeddings.positions".into(), vec![config.positions, w]),
    ];
    if config.types > 0 {
        out.push(("embeddings.types".into(), vec![config.types, w]));
    }
    let mut pair = |name: String, shape: Vec<usize>| {
        out.push((format!("{name}.bias"), vec![shape[0]]));
        out.push((format!("{name}.weight"), shape));
    };
    pair("embeddings.norm".into(), vec![w]);
    for i in 0..config.layers {
        for part in LAYER {
            let shape = match part {
                "attention_norm" | "mlp_norm" => vec![w],
                "up" => vec![inner, w],
                "down" => vec![w, inner],
                _ => vec![w, w],
            };
            pair(format!("layer.{i}.{part}"), shape);
        }
    }
    out
}

impl Weights {
    /// Takes parameters over: all of [`parameters`], and `pooler.weight` and `pooler.bias` when both are there.
    ///
    /// # Errors
    /// Naming the one that is missing, has another shape, or a number that is not finite.
    pub fn new(config: Config, mut from: impl FnMut(&str) -> Result<Option<Array>>) -> Result<Self> {
        let mut arrays = BTreeMap::new();
        let pooler = [("pooler.weight".to_owned(), vec![config.width; 2]), ("pooler.bias".into(), vec![config.width])];
        let needed = parameters(&config);
        for (i, (name, shape)) in needed.iter().chain(&pooler).enumerate() {
            let array = match from(name)? {
                Some(array) => array,
                None if i >= needed.len() => continue,
                None => return Err(Error::mismatch("the model", format!("a tensor for {name}"), "none")),
            };
            if array.shape != *shape || array.data.len() != shape.iter().product::<usize>() {
                return Err(Error::mismatch(name, format!("{shape:?}"), format!("{:?}", array.shape)));
            }
            if let Some(at) = array.data.iter().position(|x| !x.is_finite()) {
                return Err(Error::invalid(format!("{name} is not finite at its element {at}")));
            }
            arrays.insert(name.clone(), Array { name: name.clone(), ..array });
        }
        if let [(has, _), (lacks, _)] = [&pooler[0], &pooler[1]]
            && arrays.contains_key(has) != arrays.contains_key(lacks)
        {
            return Err(Error::mismatch("the pooler", format!("{has} and {lacks}, or neither"), "one of them"));
        }
        Ok(Self { config, arrays })
    }

    /// A parameter; None for a pooler that is not there.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }
    /// All of them, by name.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Array)> {
        self.arrays.iter_mut().map(|(n, a)| (n.as_str(), a))
    }
    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(n, a)| (n.as_str(), a))
    }
    /// Numbers in all.
    pub fn count(&self) -> usize {
        self.arrays.values().map(|a| a.data.len()).sum()
    }

    /// Keeps only the words `tokens` (in that order: token `tokens[i]` becomes token i) and the first `positions` positions. What is left
    /// computes the same for texts of these: a word that never comes takes no part, not even in training, where its gradient is zero.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or there are no positions or more than there are.
    pub fn trim(&mut self, tokens: &[u32], positions: usize) -> Result<()> {
        let w = self.config.width;
        if positions == 0 || positions > self.config.positions {
            return Err(Error::mismatch("positions", format!("1 to {}", self.config.positions), positions.to_string()));
        }
        if let Some(t) = tokens.iter().find(|t| **t as usize >= self.config.vocabulary) {
            return Err(Error::mismatch("a token", format!("below {}", self.config.vocabulary), t.to_string()));
        }
        for (name, array) in &mut self.arrays {
            match name.as_str() {
                "embeddings.words" => {
                    let row = |t: &u32| &array.data[*t as usize * w..(*t as usize + 1) * w];
                    array.data = tokens.iter().flat_map(row).copied().collect();
                    array.shape[0] = tokens.len();
                }
                "embeddings.positions" => {
                    array.data.truncate(positions * w);
                    array.shape[0] = positions;
                }
                _ => {}
            }
        }
        (self.config.vocabulary, self.config.positions) = (tokens.len(), positions);
        Ok(())
    }
}
