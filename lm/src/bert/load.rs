//! An encoder's folder: `config.json`, and safetensors (see [`Archive::open`] for which) or one `*.onnx`.
use super::{Config, Weights, config::Family, onnx};
use crate::{
    archive::Archive,
    keys::{self, harmless},
};
use rlx::{Array, Error, Result};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};
use tch::Kind;

/// The name without what wraps the model: `bert.`, `distilbert.`, `model.0.auto_model.`.
fn bare(name: &str) -> &str {
    let starts = ["embeddings.", "encoder.layer.", "transformer.layer.", "pooler.dense."];
    starts.iter().filter_map(|s| name.find(s)).min().map_or(name, |at| &name[at..])
}

/// What a parameter is called in the files of a family, newest name first.
fn called(family: Family, name: &str) -> Vec<String> {
    let (place, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let tensor = |place: String| match (kind, place.to_lowercase().contains("layernorm")) {
        // What TensorFlow called them, in old files.
        ("weight", true) => vec![format!("{place}.weight"), format!("{place}.gamma")],
        ("bias", true) => vec![format!("{place}.bias"), format!("{place}.beta")],
        _ => vec![format!("{place}.{kind}")],
    };
    match name {
        "embeddings.words" => return vec!["embeddings.word_embeddings.weight".into()],
        "embeddings.positions" => return vec!["embeddings.position_embeddings.weight".into()],
        "embeddings.types" => return vec!["embeddings.token_type_embeddings.weight".into()],
        _ => {}
    }
    let parts: Vec<&str> = place.split('.').collect();
    match (parts[..].first().copied(), family) {
        (Some("embeddings"), _) => tensor("embeddings.LayerNorm".into()),
        (Some("pooler"), _) => tensor("pooler.dense".into()),
        (_, Family::Bert) => {
            let part = match parts[2] {
                "query" => "attention.self.query",
                "key" => "attention.self.key",
                "value" => "attention.self.value",
                "output" => "attention.output.dense",
                "attention_norm" => "attention.output.LayerNorm",
                "up" => "intermediate.dense",
                "down" => "output.dense",
                _ => "output.LayerNorm",
            };
            tensor(format!("encoder.layer.{}.{part}", parts[1]))
        }
        (_, Family::Distilbert) => {
            let part = match parts[2] {
                "query" => "attention.q_lin",
                "key" => "attention.k_lin",
                "value" => "attention.v_lin",
                "output" => "attention.out_lin",
                "attention_norm" => "sa_layer_norm",
                "up" => "ffn.lin1",
                "down" => "ffn.lin2",
                _ => "output_layer_norm",
            };
            tensor(format!("transformer.layer.{}.{part}", parts[1]))
        }
    }
}

/// The `.onnx` file of a folder, where its weights are not in safetensors.
pub(crate) fn graph(folder: &Path) -> Result<Option<PathBuf>> {
    if Archive::is_in(folder) {
        return Ok(None);
    }
    let entries = fs::read_dir(folder).map_err(|e| Error::io("reading", folder, e))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    match found.len() {
        0 | 1 => Ok(found.pop()),
        n => Err(Error::invalid(format!("{} has {n} .onnx files; keep one", folder.display()))),
    }
}

/// The tensors that a folder's weights are, as 32-bit floats.
fn arrays(folder: &Path) -> Result<Vec<Array>> {
    if let Some(graph) = graph(folder)? {
        return onnx::read(&graph);
    }
    let mut archive = Archive::open(folder)?;
    let names: Vec<String> = archive.names().filter(|n| !harmless::bert_tensor(bare(n))).map(String::from).collect();
    let mut out = Vec::new();
    for name in names {
        let tensor = archive.tensor(&name, None)?;
        if !tensor.is_floating_point() {
            let (folder, kind) = (folder.display(), tensor.kind());
            let why = format!("{folder}: the tensor '{name}' is of type {kind:?}, which is not supported for weights");
            return Err(Error::invalid(why));
        }
        let shape = tensor.size().iter().map(|d| *d as usize).collect();
        out.push(Array { name, shape, data: rlx_nn::upload::to_vec(&tensor.to_kind(Kind::Float))? });
    }
    Ok(out)
}

impl Weights {
    /// Loads an encoder.
    ///
    /// # Errors
    /// When a file is missing or damaged; naming the parameter that is missing or of another shape, and the tensor that has no place.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = Config::open(folder)?;
        let place = folder.display().to_string();
        let mut found: HashMap<String, Array> = HashMap::new();
        for array in arrays(folder)?.into_iter().filter(|a| !harmless::bert_tensor(bare(&a.name))) {
            let part = bare(&array.name).to_owned();
            if let Some(twin) = found.get(&part) {
                let why =
                    format!("{place}: the tensors '{}' and '{}' are both the model's {part}", twin.name, array.name);
                return Err(Error::invalid(why));
            }
            found.insert(part, array);
        }
        let family = config.family;
        let weights = Self::new(config, |name| Ok(called(family, name).iter().find_map(|n| found.remove(n))))
            .map_err(|e| Error::corrupt(folder, e.to_string()))?;
        let mut left: Vec<&str> = found.values().map(|a| a.name.as_str()).collect();
        left.sort_unstable();
        keys::account(&place, left.into_iter(), |_| false, |_| false)?;
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_wraps_them() {
        for (name, expected) in [
            ("bert.embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"),
            ("embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"),
            ("distilbert.transformer.layer.0.ffn.lin1.bias", "transformer.layer.0.ffn.lin1.bias"),
            (".model.model.0.auto_model.encoder.layer.1.output.dense.weight", "encoder.layer.1.output.dense.weight"),
            ("classifier.weight", "classifier.weight"),
        ] {
            assert_eq!(bare(name), expected);
        }
        assert_eq!(called(Family::Bert, "layer.3.mlp_norm.weight")[1], "encoder.layer.3.output.LayerNorm.gamma");
        assert_eq!(called(Family::Distilbert, "layer.3.query.bias"), ["transformer.layer.3.attention.q_lin.bias"]);
        assert_eq!(called(Family::Bert, "embeddings.norm.bias")[0], "embeddings.LayerNorm.bias");
    }
}
