//! Tells the linker where libtorch is, so that tests and binaries need no `LD_LIBRARY_PATH`: what torch-sys passes does not reach
//! the crates downstream of it.
fn main() {
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
