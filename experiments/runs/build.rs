//! Where libtorch is, for the linker; which libtorch, and which revision of the source this is.
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    let mut version = None;
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        // A libtorch has the file beside its lib folder; a Python package of torch has none.
        version = Path::new(&lib).parent().and_then(|p| fs::read_to_string(p.join("build-version")).ok());
    }
    println!("cargo:rustc-env=RLX_LIBTORCH={}", version.as_deref().map_or("of a Python package", str::trim));
    let git = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let revision = git.ok().filter(|o| o.status.success()).and_then(|o| String::from_utf8(o.stdout).ok());
    println!("cargo:rustc-env=RLX_REVISION={}", revision.as_deref().map_or("unknown", str::trim));
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/logs/HEAD");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=RLX_SOURCES={:016x}", sources());
    // Cargo puts a build script's output into build/NAME/out beside the programs.
    let out = PathBuf::from(std::env::var("OUT_DIR").unwrap_or_default());
    println!("cargo:rustc-env=RLX_BUILT_IN={}", out.ancestors().nth(3).unwrap_or(&out).display());
}

/// One number for all sources that the two programs are made of: the one knows the other by it.
fn sources() -> u64 {
    let mut files = Vec::new();
    for part in ["src", "nn", "lm", "agents", "envs", "experiments"] {
        println!("cargo:rerun-if-changed=../../{part}");
        collect(&Path::new("../..").join(part), &mut files);
    }
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in files {
        file.hash(&mut hash);
        fs::read(&file).unwrap_or_default().hash(&mut hash);
    }
    hash.finish()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
