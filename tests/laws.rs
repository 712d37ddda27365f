//! The dependency law, and the one unsafe module.
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
        "rlx-nn" | "rlx-stats" | "rlx-film" | "rlx-classic" | "rlx-red10" | "rlx-manipulation" => &["rlx"],
        "rlx-agents" | "rlx-lm" => &["rlx", "rlx-nn"],
        "rlx-compression" => &["rlx", "rlx-lm"],
        "rlx-plot" => &["rlx", "rlx-stats"],
        "rlx-red10-table" => &["rlx", "rlx-red10", "rlx-plot", "rlx-stats"],
        "rlx-runs" => &["rlx", "rlx-nn", "rlx-stats", "rlx-plot", "rlx-film"],
        "rlx-lab" => &["rlx", "rlx-runs", "rlx-stats", "rlx-plot"],
        "rlx-heal" => &["rlx", "rlx-nn", "rlx-lm", "rlx-runs", "rlx-lab", "rlx-stats", "rlx-plot"],
        "rlx-compress" => &["rlx", "rlx-nn", "rlx-lm", "rlx-compression", "rlx-runs", "rlx-stats", "rlx-plot"],
        // The only one that sees worlds, learners and commands.
        "rlx-experiments" => &[
            "rlx",
            "rlx-nn",
            "rlx-lm",
            "rlx-agents",
            "rlx-classic",
            "rlx-red10",
            "rlx-red10-table",
            "rlx-manipulation",
            "rlx-compression",
            "rlx-stats",
            "rlx-plot",
            "rlx-film",
            "rlx-runs",
            "rlx-lab",
            "rlx-heal",
            "rlx-compress",
        ],
        "extension" => &["rlx", "rlx-experiments", "rlx-nn"],
        other => panic!("{other} is new: say here what it may depend on"),
    }
}

/// Those that make up the program, and read its arguments.
const PROGRAM: [&str; 4] = ["rlx-lab", "rlx-heal", "rlx-compress", "rlx-experiments"];
/// Those that compute with tensors.
const TENSORS: [&str; 8] =
    ["rlx-nn", "rlx-lm", "rlx-agents", "rlx-compression", "rlx-runs", "rlx-heal", "rlx-compress", "rlx-experiments"];

#[test]
fn the_dependency_law_is_kept() {
    let all = dependencies();
    assert!(all.len() >= 5, "{all:?}");
    for (name, needs) in &all {
        let ours: Vec<&String> = needs.iter().filter(|d| all.contains_key(*d)).collect();
        assert!(ours.iter().all(|d| allowed(name).contains(&d.as_str())), "{name} depends on {ours:?}");
        let torch = needs.iter().any(|d| d == "tch");
        assert!(!torch || TENSORS.contains(&name.as_str()), "{name} must not see tch");
        assert!(!needs.contains("clap") || PROGRAM.contains(&name.as_str()), "{name} must not see clap");
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
    for member in members() {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        let own = manifest.contains("[lints]\nworkspace = true");
        assert!(own, "{} does not take over the workspace's lints", member.display());
    }
}

/// The folders of the workspace's crates.
fn members() -> Vec<PathBuf> {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap().iter();
    members.map(|m| root().join(m.as_str().unwrap())).chain([root()]).collect()
}

/// The sources of a crate by their path within `src`, without comments and without what is compiled for tests alone.
fn sources(member: &Path) -> Vec<(PathBuf, String)> {
    let (src, mut files) = (member.join("src"), Vec::new());
    rust_files(&src, &mut files);
    let of_tests =
        |p: &PathBuf| p.file_stem().is_some_and(|n| n == "tests" || n.to_string_lossy().starts_with("tests_"));
    files.retain(|p| !of_tests(p));
    let read = |p: PathBuf| (p.strip_prefix(&src).unwrap().to_owned(), code(&fs::read_to_string(&p).unwrap()));
    files.into_iter().map(read).collect()
}

/// A source without comments and its module of tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|l| l.split_once("//").map_or(l, |(code, _)| code)).collect::<Vec<_>>().join("\n")
}

/// Names of worlds that are words of the language.
const ORDINARY: [&str; 7] = ["reach", "push", "slide", "lift", "stack", "flip", "assemble"];

/// The worlds that a text names.
fn named<'a>(text: &str, worlds: &'a [String]) -> Vec<&'a str> {
    let text = text.to_lowercase();
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let names = |name: &str| {
        // Some worlds are called by words that stand in any code: those count as named where they are quoted.
        if ORDINARY.contains(&name) {
            return text.contains(&format!("\"{name}\""));
        }
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].chars().next_back().is_none_or(|c| !part(c));
            before && text[at + name.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_')
        })
    };
    worlds.iter().map(String::as_str).filter(|w| names(w)).collect()
}

/// Crates that serve any world. What is not among them is a world's own, or the registry with its commands.
const GENERIC: [&str; 10] = [
    "",
    "nn",
    "lm",
    "agents",
    "experiments/stats",
    "experiments/plot",
    "experiments/film",
    "experiments/runs",
    "experiments/lab",
    "experiments/heal",
];

#[test]
fn no_generic_crate_names_a_world() {
    let worlds: Vec<String> = rlx_experiments::registry().worlds().iter().map(|w| w.name.clone()).collect();
    assert!(worlds.len() > 15);
    let mut seen = 0;
    for member in GENERIC {
        for (path, text) in sources(&root().join(member)) {
            seen += 1;
            let found = named(&text, &worlds);
            assert!(found.is_empty(), "{member}/src/{} names {found:?}", path.display());
        }
    }
    assert!(seen > 100, "{seen}");
    // The registry's own crate: its presets are data about worlds, its help has examples; what it does depends on none.
    for (path, text) in sources(&root().join("experiments")) {
        let found: Vec<&String> = worlds.iter().filter(|w| text.contains(&format!("\"{w}\""))).collect();
        assert!(
            found.is_empty() || path == Path::new("presets.rs"),
            "experiments/src/{} names {found:?}",
            path.display()
        );
    }
}

#[test]
fn a_planted_name_is_found() {
    let worlds: Vec<String> = ["red10", "pick-place", "push"].map(Into::into).into();
    for text in ["if name == \"red10\" {", "format!(\"rlx play red10 --x\")", "Red10::new", "let pushed = \"push\";"] {
        assert_eq!(named(text, &worlds).len(), 1, "{text}");
    }
    for text in ["rlx_red10::register", "list.push(x)", "a-pick-place-of-x", &code("x // as red10 does")] {
        assert!(named(text, &worlds).is_empty(), "{text}");
    }
}

/// Modules of a crate that import each other in a circle, if any: `sources` by path, what lies in a folder counted to the module that the
/// folder is of.
fn circle(sources: &[(PathBuf, String)]) -> Option<Vec<String>> {
    let top = |p: &Path| p.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
    let root = |p: &Path| ["lib.rs", "main.rs", "full.rs"].iter().any(|n| p == Path::new(n));
    let mut modules: BTreeMap<String, BTreeSet<String>> =
        sources.iter().filter(|s| !root(&s.0)).map(|s| (top(&s.0), BTreeSet::new())).collect();
    // What the root hands on is the module's that has it.
    let mut handed: BTreeMap<String, String> = BTreeMap::new();
    for (_, text) in sources.iter().filter(|s| root(&s.0)) {
        for part in text.split("pub use ").skip(1).filter_map(|t| t.split(';').next()) {
            let Some((module, names)) = part.split_once("::") else { continue };
            let words = names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
            handed.extend(words.map(|w| (w.to_owned(), module.to_owned())));
        }
    }
    for (path, text) in sources.iter().filter(|s| !root(&s.0)) {
        let own = top(path);
        let mut used: BTreeSet<String> = imported(text, "crate::").into_iter().collect();
        if path.iter().count() == 1 {
            used.extend(imported(text, "super::"));
        }
        let used = used.into_iter().map(|name| handed.get(&name).cloned().unwrap_or(name));
        let used: BTreeSet<String> = used.filter(|m| modules.contains_key(m) && *m != own).collect();
        modules.get_mut(&own).unwrap().extend(used);
    }
    // What imports nothing that is left is in no circle; what remains is.
    loop {
        let free: Vec<String> = modules.iter().filter(|(_, used)| used.is_empty()).map(|(m, _)| m.clone()).collect();
        if free.is_empty() {
            return (!modules.is_empty()).then(|| modules.into_keys().collect());
        }
        for module in free {
            modules.remove(&module);
            for used in modules.values_mut() {
                used.remove(&module);
            }
        }
    }
}

/// The first names after `root` in paths and in `use` trees.
fn imported(text: &str, root: &str) -> Vec<String> {
    let word = |t: &str| t.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut out = Vec::new();
    for (at, _) in text.match_indices(root) {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) {
            continue;
        }
        let rest = &text[at + root.len()..];
        let Some(tree) = rest.strip_prefix('{') else {
            out.push(word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (i, c) in tree.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    start = false;
                    out.push(word(&tree[i..]));
                }
                _ => {}
            }
        }
    }
    out
}

#[test]
fn the_modules_of_a_crate_import_each_other_in_no_circle() {
    for member in members() {
        if let Some(modules) = circle(&sources(&member)) {
            panic!("{}: {modules:?} import each other in a circle, or what does", member.display());
        }
    }
}

#[test]
fn a_planted_circle_is_found() {
    let crate_of = |files: &[(&str, &str)]| -> Vec<(PathBuf, String)> {
        files.iter().map(|(p, t)| (PathBuf::from(p), (*t).to_owned())).collect()
    };
    let straight =
        [("lib.rs", "pub use b::Thing;"), ("a.rs", "use crate::{b::{X, Y}, Thing};"), ("b.rs", "use std::fs;")];
    assert_eq!(circle(&crate_of(&straight)), None);
    for back in ["use crate::a;", "use crate::{x, a::{self, Z}};", "fn f() { crate::a::g() }", "use super::a::Z;"] {
        let mut files = straight.to_vec();
        files[2].1 = back;
        assert_eq!(circle(&crate_of(&files)), Some(vec!["a".into(), "b".into()]), "{back}");
    }
    // By what the root hands on, and through a folder.
    let round = [("lib.rs", "pub use b::Thing;"), ("a/deep.rs", "use crate::Thing;"), ("b.rs", "use crate::a::deep;")];
    assert!(circle(&crate_of(&round)).is_some());
}
