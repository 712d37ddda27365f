//! The rlx command line. This program handles commands that need no tensor, and becomes `rlx-torch`, which lies beside it, for all others.
//!
//! Two programs, because a program that is linked to libtorch loads it before its first line: a fifth of a second and 130 MB, for a command
//! that reads a header. The linker drops a library that nothing reachable from here uses; a test sees that it stays so. That is rust-lld, Rust's own
//! on Linux from 1.90 on; by another the program works as well, but starts no faster.
fn main() -> std::process::ExitCode {
    rlx_experiments::front::main()
}
