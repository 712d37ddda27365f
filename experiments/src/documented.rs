//! What README and docs show is what the program takes.
use std::path::{Path, PathBuf};

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> = docs.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    paths.push(root.join("README.md"));
    paths.sort();
    paths.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).unwrap())).collect()
}

/// Blocks between fences, with the word after the first fence; lines that a backslash ends are joined.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(kind) if !inside => {
                inside = true;
                out.push((kind.trim().into(), String::new()));
            }
            Some(_) => inside = false,
            None if inside => {
                let block = &mut out.last_mut().unwrap().1;
                match line.strip_suffix('\\') {
                    Some(line) => *block += line,
                    None => *block += &format!("{line}\n"),
                }
            }
            None => {}
        }
    }
    out
}

/// The words of a shell line up to its comment, pipe or end.
fn words(line: &str) -> Vec<String> {
    let (mut out, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | ';' | '>' | '<') => break,
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

#[test]
fn e7_every_command_of_readme_and_docs_is_accepted() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        for (_, block) in blocks(&text) {
            for line in block.lines().map(|l| l.trim().trim_start_matches("$ ")).filter(|l| l.starts_with("rlx ")) {
                seen += 1;
                let words = words(line);
                if let Err(e) = crate::cli::accepts(&words) {
                    wrong.push(format!("{}: {line}\n{e}", path.display()));
                }
            }
        }
    }
    assert!(seen >= 8, "{seen} commands in fenced blocks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn e7_every_toml_of_readme_and_docs_is_read() {
    let mut seen = 0;
    for (path, text) in pages() {
        for (_, block) in blocks(&text).iter().filter(|b| b.0 == "toml") {
            seen += 1;
            let table: toml::Table =
                toml::from_str(block).unwrap_or_else(|e| panic!("{}: {e}\n{block}", path.display()));
            if table.contains_key("space") {
                crate::lab::search::Space::parse(block).unwrap();
            } else if table.contains_key("seeds") {
                crate::lab::spec::Spec::parse("shown", block, false).unwrap();
            }
        }
    }
    assert!(seen >= 2, "{seen} blocks");
}

#[test]
fn e7_the_examples_are_whole_and_sound() {
    crate::lab::search::Space::parse(crate::lab::sweep::EXAMPLE).unwrap();
    let registry = crate::registry();
    for quick in [false, true] {
        let spec = crate::lab::spec::Spec::parse("example", include_str!("../presets/example.experiment.toml"), quick)
            .unwrap();
        crate::lab::cells::Cells::new(&registry, &spec).unwrap().validate(None).unwrap();
    }
}
