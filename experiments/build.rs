//! Where libtorch is, for the linker, so that the program needs no `LD_LIBRARY_PATH`; which libtorch, and which revision of the
//! source this is.
use std::{fs, path::Path, process::Command};

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
    println!("cargo:rerun-if-changed=../.git/HEAD");
    println!("cargo:rerun-if-changed=../.git/logs/HEAD");
    println!("cargo:rerun-if-changed=build.rs");
}
