//! Where libtorch is, for the linker, so that the program needs no `LD_LIBRARY_PATH`.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    // `rlx` must not load libtorch. Without this, templates of libtorch's headers that are compiled into both are exported, and so kept, and with
    // them the library.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-link-arg-bin=rlx=-Wl,--exclude-libs,ALL");
    }
}
