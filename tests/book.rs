//! The book's generated parts are what the program says, and its links lead somewhere: `tools/book.py --check`, and the faults that it
//! must find.
use crate::common::TempDir;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the script is content with the pages in a folder, and what it says.
fn checked(pages: &Path, parts: &[&str]) -> (bool, String) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(python);
    command
        .arg(root().join("tools/book.py"))
        .arg("--check")
        .arg(pages)
        .args(parts)
        .env("RLX", env!("CARGO_BIN_EXE_rlx"));
    let out = command.output().unwrap();
    (out.status.success(), [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat())
}

#[test]
fn the_book_is_as_the_program_has_it() {
    let (good, said) = checked(&root(), &[]);
    assert!(good, "{said}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap().path()) {
        let there = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &there);
        } else {
            fs::copy(&entry, &there).unwrap();
        }
    }
}

#[test]
fn faults_of_the_book_are_found() {
    let dir = TempDir::new();
    copy(&root().join("docs"), &dir.0.join("docs"));
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root().join(file), dir.0.join(file)).unwrap();
    }
    let change = |page: &str, from: &str, to: &str| {
        let text = fs::read_to_string(dir.0.join(page)).unwrap();
        assert!(text.contains(from), "{page}: {from}");
        fs::write(dir.0.join(page), text.replacen(from, to, 1)).unwrap();
    };
    change("docs/config.md", "| `seed` |", "| `sead` |");
    change("docs/SUMMARY.md", "- [Start](start.md)\n", "");
    change("README.md", "(docs/runs.md)", "(docs/nowhere)");
    change("docs/cli.md", "(runs.md#json-fields)", "(runs.md#json-field)");
    change("docs/architecture.md", "`tests/laws.rs`", "`tests/lores.rs`");
    change("docs/start.md", "# Start\n", "# Start\n\n[licence](../LICENSE-MIT)\n");
    let (good, said) = checked(&dir.0, &["run"]);
    assert!(!good);
    for fault in [
        "docs/config.md: stale",
        "start.md stands there 0 times",
        "README.md: there is no docs/nowhere",
        "docs/cli.md: there is no heading runs.md#json-field",
        "docs/architecture.md: there is no file tests/lores.rs",
        "docs/start.md: ../LICENSE-MIT is outside of the book",
    ] {
        assert!(said.contains(fault), "not found: {fault}\n{said}");
    }
}
