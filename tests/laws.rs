//! The dependency law, and the one unsafe module.
use rlx::World;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Direct dependencies of each workspace member, by name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    let name = |v: &Value| v["name"].as_str().unwrap().to_owned();
    let of = |p: &Value| {
        let kept = p["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].as_str() != Some("dev"));
        (name(p), kept.map(name).collect())
    };
    all["packages"].as_array().unwrap().iter().map(of).collect()
}

/// What each crate of ours may see of ours.
fn allowed(name: &str) -> &'static [&'static str] {
    match name {
        "rlx" => &[],
        "rlx-nn" => &["rlx"],
        "rlx-agents" | "rlx-lm" => &["rlx", "rlx-nn"],
        "rlx-compression" => &["rlx", "rlx-lm"],
        "rlx-classic" | "rlx-red10" | "rlx-manipulation" => &["rlx"],
        "rlx-experiments" => &[
            "rlx",
            "rlx-nn",
            "rlx-lm",
            "rlx-agents",
            "rlx-classic",
            "rlx-red10",
            "rlx-manipulation",
            "rlx-compression",
        ],
        "extension" => &["rlx", "rlx-experiments", "rlx-nn"],
        other => panic!("{other} is new: say here what it may depend on"),
    }
}

#[test]
fn the_dependency_law_is_kept() {
    let all = dependencies();
    assert!(all.len() >= 5, "{all:?}");
    for (name, needs) in &all {
        let ours: Vec<&String> = needs.iter().filter(|d| all.contains_key(*d)).collect();
        assert!(ours.iter().all(|d| allowed(name).contains(&d.as_str())), "{name} depends on {ours:?}");
        let torch = needs.iter().any(|d| d == "tch");
        let may = ["rlx-nn", "rlx-lm", "rlx-agents", "rlx-compression", "rlx-experiments"].contains(&name.as_str());
        assert!(!torch || may, "{name} must not see tch");
        assert!(!needs.contains("clap") || name == "rlx-experiments", "{name} must not see clap");
        assert!(!needs.contains("rapier3d") || name == "rlx-manipulation", "{name} must not see rapier3d");
    }
}

/// The Python package is a workspace of its own: it sees the core and worlds, and whoever installs it needs no libtorch.
#[test]
fn the_python_package_sees_no_tensor_library() {
    let manifest: toml::Table = fs::read_to_string(root().join("python/Cargo.toml")).unwrap().parse().unwrap();
    let needs =
        |table: &str| manifest.get(table).and_then(|t| t.as_table()).into_iter().flat_map(|t| t.keys().cloned());
    let ours: BTreeSet<String> = needs("dependencies").filter(|d| d.starts_with("rlx")).collect();
    let worlds = ["rlx", "rlx-classic", "rlx-manipulation", "rlx-red10"].map(String::from);
    assert_eq!(ours, worlds.into());
    assert_eq!(needs("build-dependencies").chain(needs("patch")).count(), 0);
    // The lock file is the whole tree.
    let lock: toml::Table = fs::read_to_string(root().join("python/Cargo.lock")).unwrap().parse().unwrap();
    let names = lock["package"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap());
    let names: BTreeSet<&str> = names.collect();
    assert!(names.len() > 20 && names.contains("rapier3d") && names.contains("pyo3"));
    for torch in ["tch", "torch-sys", "rlx-nn", "rlx-lm", "rlx-agents", "rlx-experiments"] {
        assert!(!names.contains(torch), "python depends on {torch}");
    }
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, out);
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

#[test]
fn unsafe_is_allowed_once_in_the_upload_module() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 20);
    let (allow, block) = (["allow(unsafe", "_code)"].concat(), ["unsafe", " {"].concat());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for _ in text.matches(&allow).chain(text.matches(&block)) {
            found.push(file.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    assert_eq!(found, ["nn/src/upload.rs", "nn/src/upload.rs"], "one attribute and one block");
    for member in
        ["", "envs/classic", "envs/red10", "envs/manipulation", "envs/compression", "nn", "lm", "agents", "experiments"]
    {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member} does not take over the workspace's lints");
    }
}

/// Names of worlds that are words of the language.
const ORDINARY: [&str; 7] = ["reach", "push", "slide", "lift", "stack", "flip", "assemble"];

#[test]
fn agents_never_name_a_world() {
    let registry = rlx_experiments::registry();
    let mut files = Vec::new();
    rust_files(&root().join("agents/src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        // Some worlds are called by words that stand in any code: those count as named where they are quoted.
        for World { name, .. } in registry.worlds() {
            let named = if ORDINARY.contains(&name.as_str()) {
                text.contains(&format!("\"{name}\""))
            } else {
                text.contains(name)
            };
            assert!(!named, "{} names {name}", file.display());
        }
    }
}
