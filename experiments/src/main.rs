//! The rlx command line, with the worlds and algorithms of this repository.
fn main() -> std::process::ExitCode {
    rlx_experiments::main_with(rlx_experiments::registry())
}
