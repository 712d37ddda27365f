//! An encoder's folder: `config.json`, and `*.safetensors` or one `*.onnx`.
use super::{Config, Weights, config::Family, onnx};
use rlx::{Array, Error, Result};
use safetensors::{Dtype, SafeTensors};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

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

fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).map_err(|e| Error::io("reading", folder, e))?;
    let mut out: Vec<PathBuf> = read.filter_map(|e| Some(e.ok()?.path())).collect();
    out.retain(|p| p.extension().is_some_and(|e| e == ending));
    out.sort();
    Ok(out)
}

/// The float tensors of a safetensors file, as 32-bit floats.
fn safetensors(path: &Path) -> Result<Vec<Array>> {
    let bytes = fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| Error::corrupt(path, e.to_string()))?;
    let mut out = Vec::new();
    for (name, view) in file.tensors() {
        let pairs = || view.data().chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let data = match view.dtype() {
            Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => pairs().map(|b| half::f16::from_bits(b).to_f32()).collect(),
            Dtype::BF16 => pairs().map(|b| half::bf16::from_bits(b).to_f32()).collect(),
            _ => continue,
        };
        out.push(Array { name, shape: view.shape().to_vec(), data });
    }
    Ok(out)
}

impl Weights {
    /// Loads an encoder.
    ///
    /// # Errors
    /// When a file is missing or damaged; naming the parameter that is missing or of another shape.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = Config::open(folder)?;
        let (tensors, graphs) = (with_ending(folder, "safetensors")?, with_ending(folder, "onnx")?);
        let mut arrays = Vec::new();
        match (&tensors[..], &graphs[..]) {
            ([], [one]) => arrays = onnx::read(one)?,
            ([], []) => {
                return Err(Error::invalid(format!(
                    "{} has neither a .safetensors nor an .onnx file",
                    folder.display()
                )));
            }
            ([], _) => return Err(Error::invalid(format!("{} has several .onnx files", folder.display()))),
            (files, _) => {
                for file in files {
                    arrays.extend(safetensors(file)?);
                }
            }
        }
        let mut found: HashMap<String, Array> = arrays.into_iter().map(|a| (bare(&a.name).to_owned(), a)).collect();
        let family = config.family;
        Self::new(config, |name| Ok(called(family, name).iter().find_map(|n| found.remove(n))))
            .map_err(|e| Error::corrupt(folder, e.to_string()))
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
