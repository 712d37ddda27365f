//! A document of headings, texts, tables and pictures, as one page of HTML that opens from disk and as Markdown with files beside it.
use crate::svg::{self, Picture};
use anyhow::{Context, Result};
use maud::{DOCTYPE, PreEscaped, html};
use std::{fs, path::Path};

/// A part of a document.
pub enum Block {
    /// A heading: level 2 or 3.
    Heading(u8, String),
    /// A paragraph.
    Text(String),
    /// A table: what it is, its heads, its rows. Cells that begin with `missing` stand out.
    Table(String, Vec<String>, Vec<Vec<String>>),
    /// A picture, and the name of its files.
    Picture(String, Picture),
    /// What is only looked at when asked for.
    Folded(String, Vec<Block>),
}

/// A document.
pub struct Document {
    /// Its title.
    pub title: String,
    /// Its parts.
    pub blocks: Vec<Block>,
}

const PAGE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1c1e21;--soft:#5a6068;--edge:#dfe2e6;--stripe:#f6f7f9;--bad:#a4330b}
@media (prefers-color-scheme: dark){:root{--paper:#16181d;--ink:#e6e6e6;--soft:#a3a8b0;--edge:#343941;--stripe:#1d2027;--bad:#f08339}}
body{background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,'DejaVu Sans',sans-serif;max-width:1400px;margin:0 auto;padding:24px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 8px;border-bottom:1px solid var(--edge);padding-bottom:4px}h3{font-size:16px;margin:24px 0 6px}
p{max-width:76ch}.scroll{overflow-x:auto}table{border-collapse:collapse;margin:8px 0 16px;font-size:13.5px;font-variant-numeric:tabular-nums}
.caption{font-size:13.5px;color:var(--soft);margin:16px 0 0}th,td{padding:4px 10px;border-bottom:1px solid var(--edge);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}tbody tr:nth-child(even){background:var(--stripe)}td.missing{color:var(--bad);font-style:italic}
td.words,th.words{text-align:left}th:first-child,td:first-child{position:sticky;left:0;background:var(--paper)}tbody tr:nth-child(even) td:first-child{background:var(--stripe)}
.scroll,figure{background:linear-gradient(90deg,var(--paper) 30%,transparent) 0 0/40px 100%,linear-gradient(270deg,var(--paper) 30%,transparent) 100% 0/40px 100%,radial-gradient(farthest-side at 0 50%,#0006,transparent) 0 0/12px 100%,radial-gradient(farthest-side at 100% 50%,#0006,transparent) 100% 0/12px 100%;background-repeat:no-repeat;background-attachment:local,local,scroll,scroll}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,540px),1fr));gap:12px;align-items:start}
figure{margin:0;border:1px solid var(--edge);border-radius:6px;overflow-x:auto;max-width:100%}svg{display:block;width:100%;height:auto}figure.alone{max-width:860px}
@media (max-width:640px){body{padding:14px}figure svg{min-width:600px}}
details{margin:12px 0}summary{cursor:pointer;color:var(--soft)}
@media print{body{max-width:none}}
";

fn is_missing(cell: &str) -> bool {
    cell.starts_with("missing")
}

fn to_html(blocks: &[Block]) -> maud::Markup {
    // Pictures that follow each other stand side by side where there is room.
    let groups = blocks.chunk_by(|a, b| matches!((a, b), (Block::Picture(..), Block::Picture(..))));
    html! {
        @for group in groups {
            @match &group[0] {
                Block::Picture(..) if group.len() == 1 => (one(&group[0])),
                Block::Picture(..) => div.pictures {
                    @for block in group {
                        @if let Block::Picture(_, picture) = block { figure { (PreEscaped(picture.inline())) } }
                    }
                },
                _ => @for block in group { (one(block)) },
            }
        }
    }
}

fn one(block: &Block) -> maud::Markup {
    html! {
        @match block {
            Block::Heading(2, text) => h2 { (text) },
            Block::Heading(_, text) => h3 { (text) },
            Block::Text(text) => p { (text) },
            Block::Table(about, heads, rows) => {
                p.caption { (about) }
                div.scroll {
                    table aria-label=(about) {
                        thead { tr { @for (i, head) in heads.iter().enumerate() { th.words[is_words(rows, i)] { (head) } } } }
                        tbody {
                            @for row in rows {
                                tr {
                                    @for (i, cell) in row.iter().enumerate() {
                                        td.missing[is_missing(cell)].words[is_words(rows, i)] { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            },
            Block::Folded(summary, inner) => details { summary { (summary) } (to_html(inner)) },
            Block::Picture(_, picture) => figure.alone { (PreEscaped(picture.inline())) },
        }
    }
}

/// Whether a column is of words, which are read from the left, and not of numbers.
fn is_words(rows: &[Vec<String>], column: usize) -> bool {
    let number = |cell: &&String| cell.starts_with(|c: char| c.is_ascii_digit() || "+-<.".contains(c));
    let cells = || rows.iter().filter_map(|r| r.get(column)).filter(|c| !c.is_empty() && !is_missing(c));
    cells().next().is_some() && cells().filter(number).count() * 2 < cells().count()
}

/// Text as a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

fn to_markdown(blocks: &[Block], out: &mut String) {
    for block in blocks {
        match block {
            Block::Heading(level, text) => out.push_str(&format!("{} {text}\n\n", "#".repeat(usize::from(*level)))),
            Block::Text(text) => out.push_str(&format!("{text}\n\n")),
            Block::Table(about, heads, rows) => {
                out.push_str(&format!("{about}:\n\n|"));
                heads.iter().for_each(|h| out.push_str(&format!(" {} |", cell(h))));
                out.push_str(&format!("\n|{}\n", "---|".repeat(heads.len())));
                for row in rows {
                    out.push('|');
                    for text in row {
                        let text = cell(text);
                        out.push_str(&if is_missing(&text) { format!(" *{text}* |") } else { format!(" {text} |") });
                    }
                    out.push('\n');
                }
                out.push('\n');
            }
            Block::Picture(name, picture) => out.push_str(&format!("![{}]({name}.svg)\n\n", picture.title)),
            Block::Folded(summary, inner) => {
                out.push_str(&format!("**{summary}**\n\n"));
                to_markdown(inner, out);
            }
        }
    }
}

impl Document {
    /// One page that needs nothing beside it.
    pub fn html(&self) -> String {
        let (light, dark) = (svg::style(false), svg::style(true));
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(format!("{PAGE}{light}@media (prefers-color-scheme: dark){{{dark}}}"))) }
                }
                body { h1 { (self.title) } (to_html(&self.blocks)) }
            }
        }
        .into_string()
    }

    /// The same as Markdown, pictures as files beside it.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n", self.title);
        to_markdown(&self.blocks, &mut out);
        format!("{}\n", out.trim_end())
    }

    fn pictures(&self) -> Vec<(&String, &Picture)> {
        fn walk<'a>(blocks: &'a [Block], out: &mut Vec<(&'a String, &'a Picture)>) {
            for block in blocks {
                match block {
                    Block::Picture(name, picture) => out.push((name, picture)),
                    Block::Folded(_, inner) => walk(inner, out),
                    _ => {}
                }
            }
        }
        let mut out = Vec::new();
        walk(&self.blocks, &mut out);
        out
    }

    /// Writes `report.html`, `report.md`, and each picture as SVG and PNG into `folder`.
    ///
    /// # Errors
    /// When the disk cannot take it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        use rayon::prelude::*;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let put = |name: String, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
        };
        put("report.html".into(), self.html().as_bytes())?;
        put("report.md".into(), self.markdown().as_bytes())?;
        self.pictures().par_iter().try_for_each(|(name, picture)| {
            put(format!("{name}.svg"), picture.file().as_bytes())?;
            put(format!("{name}.png"), &picture.png()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::testing::TempDir;

    #[test]
    fn a_page_is_whole_and_escaped_and_markdown_says_the_same() {
        let picture = svg::Canvas::new(100.0, 50.0, "p", "n").done(100.0, 50.0, "p");
        let table =
            Block::Table("what".into(), vec!["a".into()], vec![vec!["x|<b>".into()], vec!["missing: 1 of 3".into()]]);
        let blocks = vec![Block::Heading(2, "h & h".into()), table, Block::Picture("pic".into(), picture)];
        let d = Document { title: "<t>".into(), blocks };
        let page = d.html();
        assert!(page.contains("&lt;t&gt;") && page.contains("h &amp; h") && page.contains("x|&lt;b&gt;"));
        let words = |cells: &[&str]| is_words(&cells.iter().map(|c| vec![(*c).to_owned()]).collect::<Vec<_>>(), 0);
        assert!(
            words(&["ppo", "sac", "3rd"]) && !words(&["1.5", "-0.2", "< 0.001", "missing"]) && !words(&["missing"])
        );
        assert!(page.contains("class=\"missing") && page.contains("<svg") && !page.contains("src="));
        let md = d.markdown();
        assert!(md.contains("| x\\|&lt;b> |") && md.contains("| *missing: 1 of 3* |") && md.contains("![p](pic.svg)"));
        let dir = TempDir::new();
        d.write(&dir.0).unwrap();
        for name in ["report.html", "report.md", "pic.svg", "pic.png"] {
            assert!(dir.0.join(name).metadata().unwrap().len() > 40, "{name}");
        }
    }
}
