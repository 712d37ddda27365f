//! All of the rlx command line, with the worlds and algorithms of this repository. It is started by `rlx`.
fn main() -> std::process::ExitCode {
    if let Err(error) = rlx_experiments::front::same_build() {
        eprintln!("error: {error}");
        return std::process::ExitCode::from(1);
    }
    rlx_experiments::main_with(rlx_experiments::registry())
}
