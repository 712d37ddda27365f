//! What README and docs show is what the program takes.
use std::path::{Path, PathBuf};

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut paths, mut folders) = (vec![root.join("README.md")], vec![root.join("docs")]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).unwrap())).collect()
}

/// Blocks of code: those between fences, with the word after the first fence, and those indented by four, without one; lines that a
/// backslash ends are joined.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let (mut fenced, mut indented) = (false, false);
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(kind) if !fenced => {
                (fenced, indented) = (true, false);
                out.push((kind.trim().into(), String::new()));
                continue;
            }
            Some(_) => {
                fenced = false;
                continue;
            }
            None => {}
        }
        if !fenced {
            let code = line.starts_with("    ");
            if code && !indented {
                out.push((String::new(), String::new()));
            }
            indented = code;
            if !code {
                continue;
            }
        }
        let block = &mut out.last_mut().unwrap().1;
        match line.strip_suffix('\\') {
            Some(line) => *block += line,
            None => *block += &format!("{line}\n"),
        }
    }
    out
}

/// What stands between single backticks outside of blocks, across the ends of lines.
fn spans(text: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            prose += line;
            prose.push(' ');
        }
    }
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Stands for the `|` of `eval|generate`: two ways to write a word.
const OR: char = '\u{1}';

/// The commands of a shell line, each as its words, up to the comment. Brackets and dots of `[RUN...]` are left out.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut out, mut word, mut quote) = (vec![Vec::new()], None::<String>, None);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|') if word.is_some() && chars.peek().is_some_and(|c| c.is_alphanumeric()) => {
                word.get_or_insert_default().push(OR);
            }
            (None, '|' | '&' | ';' | '>' | '<') => {
                out.last_mut().unwrap().extend(word.take());
                out.push(Vec::new());
            }
            (None, '[' | ']') => {}
            (None, c) if c.is_whitespace() => out.last_mut().unwrap().extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    out.last_mut().unwrap().extend(word);
    let words = |command: Vec<String>| -> Vec<String> {
        let plain = command.into_iter().map(|w| w.trim_end_matches("...").trim_end_matches('\u{2026}').to_owned());
        plain.filter(|w| !w.is_empty()).collect()
    };
    let all = out
        .into_iter()
        .map(words)
        .filter(|c| c.first().is_some_and(|w| w == "rlx") && c.get(1).is_some_and(|w| w != "="));
    all.flat_map(ways).collect()
}

/// The command with each choice of its alternatives.
fn ways(command: Vec<String>) -> Vec<Vec<String>> {
    command.iter().fold(vec![Vec::new()], |made, word| {
        let each = |before: &Vec<String>| {
            let before = before.clone();
            word.split(OR).map(move |w| [before.clone(), vec![w.to_owned()]].concat()).collect::<Vec<_>>()
        };
        made.iter().flat_map(each).collect()
    })
}

/// Why the program does not take a command: its words, or a name or key in them that is not there.
fn refusal(words: &[String]) -> Option<String> {
    if let Err(e) = crate::commands::accepts(words) {
        return Some(e);
    }
    let registry = crate::registry();
    let value = |flag: &str| words.iter().position(|w| w == flag).and_then(|at| words.get(at + 1)).cloned();
    // A word in capitals stands for what the reader writes there.
    let own = |w: &String| w.chars().any(|c| c.is_ascii_lowercase()) && !w.contains(['.', '/']) && !w.starts_with('-');
    let found =
        |flag: &str, find: &dyn Fn(&str) -> rlx::Result<()>| value(flag).filter(own).map_or(Ok(()), |w| find(&w));
    let named = found("--env", &|w| registry.find_world(w).map(drop))
        .and_then(|()| found("--algo", &|w| registry.find_algo(w).map(drop)))
        .and_then(|()| found("--preset", &|w| if w == "none" { Ok(()) } else { registry.find_preset(w).map(drop) }));
    if let Err(e) = named {
        return Some(e.to_string());
    }
    let asked = |flag: &str| -> Vec<String> {
        words.windows(2).filter(|p| p[0] == flag && !p[1].starts_with("KEY")).map(|p| p[1].clone()).collect()
    };
    let verb = (words.get(1).map(String::as_str), words.get(2).map(String::as_str));
    let checked = match verb {
        (Some("train"), _) if value("--env").is_some_and(|w| own(&w)) => {
            let request = rlx_runs::experiment::Request {
                env: value("--env"),
                algo: value("--algo").filter(own),
                set: asked("--set"),
                ..Default::default()
            };
            rlx_runs::experiment::Experiment::new(&registry, &request).map(drop)
        }
        (Some("experiment"), Some("run" | "plan" | "show" | "status" | "report")) => {
            match words.get(3).filter(|w| own(w)) {
                Some(name) => {
                    rlx_lab::spec::Spec::open(&registry, name, words.iter().any(|w| w == "--quick")).map(drop)
                }
                None => Ok(()),
            }
        }
        (Some("list"), Some(kind)) if own(&kind.to_owned()) => {
            crate::commands::listed(&registry, kind, words.get(3).filter(|w| own(w)).map(String::as_str)).map(drop)
        }
        _ => Ok(()),
    };
    // What is in no cache here may be in the reader's.
    checked.err().map(|e| format!("{e:#}")).filter(|e| !e.contains("was not fetched yet"))
}

#[test]
fn e7_every_command_of_readme_and_docs_is_accepted() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        let mut see = |line: &str| {
            for words in commands(line) {
                seen += 1;
                if let Some(e) = refusal(&words) {
                    wrong.push(format!("{}: {line}\n  {}: {e}", path.display(), words.join(" ")));
                }
            }
        };
        let blocks = blocks(&text);
        blocks.iter().flat_map(|b| b.1.lines()).for_each(|l| see(l.trim().trim_start_matches("$ ")));
    }
    assert!(seen > 100, "{seen} commands in blocks");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}

/// In prose a command may be named without all that it needs; what is written of it is right.
#[test]
fn e7_every_command_in_a_sentence_is_one_that_there_is() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        for words in spans(&text).iter().flat_map(|s| commands(s)) {
            seen += 1;
            // What is left out, and what a word in capitals stands for.
            let capital = |e: &str| {
                e.split("invalid value '").nth(1).is_some_and(|v| v.starts_with(|c: char| c.is_ascii_uppercase()))
            };
            let missing = ["required arguments were not provided", "a value is required for", "Commands:"];
            let partly =
                crate::commands::accepts(&words).is_err_and(|e| missing.iter().any(|m| e.contains(m)) || capital(&e));
            if let Some(e) = refusal(&words).filter(|_| !partly) {
                wrong.push(format!("{}: {}: {e}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(seen > 20, "{seen} commands in sentences");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn commands_are_read_with_their_alternatives() {
    let read = |line: &str| -> Vec<String> { commands(line).iter().map(|c| c.join(" ")).collect() };
    assert_eq!(read("rlx lm info|eval MODEL   # a|b"), ["rlx lm info MODEL", "rlx lm eval MODEL"]);
    assert_eq!(read("make && rlx list envs | head"), ["rlx list envs"]);
    assert_eq!(read("rlx tensorboard [RUN...] --x 'a|b'"), ["rlx tensorboard RUN --x a|b"]);
    assert_eq!(blocks("a\n\n    rlx x\n    rlx y\n\nb\n```sh\nrlx z\n```\n").len(), 2);
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
                rlx_lab::search::Space::parse(block).unwrap();
            } else if table.contains_key("seeds") {
                rlx_lab::spec::Spec::parse(&crate::registry(), "shown", block, false).unwrap();
            }
        }
    }
    assert!(seen >= 2, "{seen} blocks");
}

#[test]
fn e7_the_examples_are_whole_and_sound() {
    rlx_lab::search::Space::parse(rlx_lab::sweep::EXAMPLE).unwrap();
    let registry = crate::registry();
    for quick in [false, true] {
        let spec =
            rlx_lab::spec::Spec::parse(&registry, "example", include_str!("../presets/example.experiment.toml"), quick)
                .unwrap();
        rlx_lab::cells::Cells::new(&registry, &spec).unwrap().validate(None).unwrap();
    }
}
