//! A table of one's own: CSV (or TSV) with a head, or JSON lines.
use super::Row;
use rlx::{Error, Result, config::nearest};
use serde::{
    Deserialize,
    de::{self, Deserializer},
};
use std::{fs, path::Path};

/// Which columns are read.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The text's.
    pub text: &'a str,
    /// The label's.
    pub label: &'a str,
}

fn wrong(path: &Path, row: u64, what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{}, row {row}: {what}", path.display()))
}

/// The rows of a table, and what is in the file beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Its rows, in their order.
    pub rows: Vec<Row>,
    /// Lines without a character, which are no rows.
    pub empty_lines: usize,
}

/// The rows of a file, by its ending: `.csv`, `.tsv`, `.jsonl` or `.ndjson`. Row 1 of a CSV is the first after its head. In a `.csv` cells may
/// stand in quotes (RFC 4180); in a `.tsv` a quote is a character like any other, as text files of tweets and reviews have it.
///
/// # Errors
/// Naming the row that is broken, not UTF-8 or without a text or label; or the column that is not there.
pub fn read(path: &Path, columns: Columns<'_>) -> Result<Table> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    if !["csv", "tsv", "jsonl", "ndjson"].contains(&ending.as_str()) {
        let what = "its name must end in .csv, .tsv, .jsonl or .ndjson";
        return Err(Error::invalid(format!("{}: {what}", path.display())));
    }
    let bytes = fs::read(path).map_err(|e| Error::io("reading", path, e))?;
    if [&[0xff, 0xfe][..], &[0xfe, 0xff]].iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Error::invalid(format!("{} is UTF-16: save it as UTF-8", path.display())));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    match ending.as_str() {
        "csv" => delimited(bytes, path, b',', columns, |_| true),
        "tsv" => delimited(bytes, path, b'\t', columns, |_| true),
        _ => lines(bytes, path, columns),
    }
}

/// The rows of a CSV for which `wanted` is true of all its cells. Only between commas do quotes mean anything.
///
/// # Errors
/// As [`read`].
pub fn delimited(
    bytes: &[u8],
    path: &Path,
    delimiter: u8,
    columns: Columns<'_>,
    wanted: impl Fn(&csv::ByteRecord) -> bool,
) -> Result<Table> {
    let quoted = delimiter == b',';
    let empty_lines = check_lines(bytes, path, quoted.then_some(delimiter))?;
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).quoting(quoted).from_reader(bytes);
    let head = reader.headers().map_err(|e| Error::invalid(format!("{}, its head: {e}", path.display())))?.clone();
    let find = |name: &str| {
        let mut found = (0..head.len()).filter(|i| head.get(*i) == Some(name));
        let Some(first) = found.next() else {
            let near = match (head.len(), head.get(0)) {
                (0, _) => ": it is empty".to_owned(),
                (1, Some(only)) if only.contains([';', '\t', ',']) => {
                    format!(": its head is one column, '{only}'; cells are parted by {}", shown(delimiter))
                }
                _ => nearest(name, head.iter()),
            };
            return Err(Error::invalid(format!("{} has no column '{name}'{near}", path.display())));
        };
        match found.next() {
            Some(_) => Err(Error::invalid(format!("{} has the column '{name}' more than once", path.display()))),
            None => Ok(first),
        }
    };
    let (text, label) = (find(columns.text)?, find(columns.label)?);
    let (mut rows, mut record, mut number) = (Vec::new(), csv::ByteRecord::new(), 0);
    loop {
        number += 1;
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(Table { rows, empty_lines }),
            Ok(true) if !wanted(&record) => continue,
            Ok(true) => {}
            Err(e) => {
                let what = match e.kind() {
                    csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                        let line = pos.as_ref().map_or(String::new(), |p| format!(" (line {})", p.line()));
                        format!("it has {len} cells{line}, the head has {expected_len}")
                    }
                    _ => e.to_string(),
                };
                return Err(wrong(path, number, what));
            }
        }
        let cell = |i: usize, name: &str| {
            let bytes = record.get(i).unwrap_or_default();
            let text = std::str::from_utf8(bytes).map_err(|e| {
                wrong(path, number, format!("'{name}' is not UTF-8, from its byte {} on", e.valid_up_to()))
            })?;
            if text.trim().is_empty() {
                return Err(wrong(path, number, format!("it has no '{name}'")));
            }
            Ok(text.to_owned())
        };
        rows.push(row(path, number, cell(text, columns.text)?, &cell(label, columns.label)?));
    }
}

fn shown(delimiter: u8) -> &'static str {
    if delimiter == b'\t' { "tabs in a .tsv" } else { "commas in a .csv" }
}

fn row(path: &Path, number: u64, text: String, label: &str) -> Row {
    Row { text, label: canonical(label), place: format!("{}, row {number}", path.display()) }
}

/// A label as the name of its class: without white space around it, and whole numbers in one way of writing (`1`, not `1.0`), since tables
/// that passed through floats hold both.
fn canonical(label: &str) -> String {
    let label = label.trim();
    let number = label.strip_prefix('-').unwrap_or(label);
    let whole = match number.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => number,
    };
    let digits = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
    match digits {
        true if whole.bytes().all(|b| b == b'0') && whole.len() == 1 => whole.into(),
        true => format!("{}{whole}", &label[..label.len() - number.len()]),
        false => label.into(),
    }
}

/// Counts empty lines; with a delimiter it also holds quotes to RFC 4180, which the reader does not: it takes a quote that never closes for
/// the rest of the file, and text behind a closing quote for a part of the cell.
fn check_lines(bytes: &[u8], path: &Path, quoted_by: Option<u8>) -> Result<usize> {
    let (mut empty, mut row, mut line) = (0, 0u64, 1u64);
    // Where the cell began whose quote is open.
    let mut open: Option<(u64, u64)> = None;
    let (mut cell_begins, mut line_begins) = (true, true);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        if let Some((_, opened)) = open {
            line += u64::from(byte == b'\n');
            if byte != b'"' {
                continue;
            }
            match bytes.get(at) {
                Some(b'"') => at += 1,
                None | Some(b'\r' | b'\n') => open = None,
                Some(next) if Some(*next) == quoted_by => open = None,
                Some(_) => {
                    let what = format!(
                        "the quote that opens in line {opened} closes in line {line} and is followed by other text; a quote within a quoted cell is written twice"
                    );
                    return Err(broken(path, row, what));
                }
            }
            continue;
        }
        match byte {
            b'"' if cell_begins && quoted_by.is_some() => open = Some((row, line)),
            b'\n' => {
                line += 1;
                if line_begins {
                    empty += 1;
                } else {
                    row += 1;
                }
            }
            _ => {}
        }
        cell_begins = byte == b'\n' || Some(byte) == quoted_by;
        // A carriage return alone does not make a line a row.
        line_begins = byte == b'\n' || (line_begins && byte == b'\r');
    }
    match open {
        Some((row, line)) => Err(broken(path, row, format!("the quote that opens in line {line} never closes"))),
        None => Ok(empty),
    }
}

fn broken(path: &Path, row: u64, what: String) -> Error {
    if row == 0 { Error::invalid(format!("{}, its head: {what}", path.display())) } else { wrong(path, row, what) }
}

/// A JSON object whose keys come once.
struct Unique(serde_json::Map<String, serde_json::Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Unique;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut from: A) -> std::result::Result<Unique, A::Error> {
                let mut map = serde_json::Map::new();
                while let Some((key, value)) = from.next_entry::<String, serde_json::Value>()? {
                    if map.contains_key(&key) {
                        return Err(de::Error::custom(format_args!("'{key}' comes twice")));
                    }
                    map.insert(key, value);
                }
                Ok(Unique(map))
            }
        }
        from.deserialize_map(Visitor)
    }
}

fn lines(bytes: &[u8], path: &Path, columns: Columns<'_>) -> Result<Table> {
    let mut out = Table::default();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let number = i as u64 + 1;
        let text = std::str::from_utf8(line)
            .map_err(|e| wrong(path, number, format!("it is not UTF-8, from its byte {} on", e.valid_up_to())))?;
        if text.trim().is_empty() {
            out.empty_lines += 1;
            continue;
        }
        let Unique(object) =
            serde_json::from_str(text).map_err(|e| wrong(path, number, format!("it is no JSON object: {e}")))?;
        let cell = |name: &str| match object.get(name) {
            Some(serde_json::Value::String(s)) if !s.trim().is_empty() => Ok(s.clone()),
            Some(v @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => Ok(v.to_string()),
            Some(serde_json::Value::Null | serde_json::Value::String(_)) => {
                Err(wrong(path, number, format!("it has no '{name}'")))
            }
            Some(other) => Err(wrong(path, number, format!("'{name}' must be a text or a number, not {other}"))),
            None => {
                let near = nearest(name, object.keys().map(String::as_str));
                Err(wrong(path, number, format!("it has no '{name}'{near}")))
            }
        };
        out.rows.push(row(path, number, cell(columns.text)?, &cell(columns.label)?));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns<'static> = Columns { text: "t", label: "l" };

    fn try_with(name: &str, bytes: &[u8]) -> Result<Vec<Row>> {
        let path = std::env::temp_dir().join(format!("rlx-table-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        let rows = read(&path, COLUMNS).map(|t| t.rows);
        fs::remove_file(&path).unwrap();
        rows
    }

    fn error(name: &str, bytes: &[u8]) -> String {
        try_with(name, bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_csv_with_quotes_line_ends_and_a_mark_of_byte_order() {
        let rows =
            try_with("a.csv", "\u{feff}t,x,l\r\n\"one, \"\"two\"\"\nthree\",0,pos\r\nfour,1, neg \r\n".as_bytes())
                .unwrap();
        assert_eq!((rows[0].text.as_str(), rows[0].label.as_str()), ("one, \"two\"\nthree", "pos"));
        assert_eq!((rows[1].text.as_str(), rows[1].label.as_str()), ("four", "neg"));
        assert_eq!(try_with("b.tsv", b"l\tt\n1\thi\n").unwrap()[0].text, "hi");
    }

    #[test]
    fn what_is_wrong_names_its_row() {
        assert!(error("c.csv", b"t,l\na,1\n\xff\xfe,2\n").contains("row 2: 't' is not UTF-8, from its byte 0 on"));
        assert!(error("d.csv", b"t,l\na,1\nb,\n").contains("row 2: it has no 'l'"));
        assert!(error("e.csv", b"t,l\na,1\nb\n").contains("row 2: it has 1 cells (line 3), the head has 2"));
        assert!(error("f.csv", b"text,l\na,1\n").contains("has no column 't'"));
        assert!(error("g.jsonl", b"{\"t\":\"a\",\"l\":1}\n\n{\"t\":\"b\"}\n").contains("row 3: it has no 'l'"));
        assert!(error("h.jsonl", b"{\"t\":\"a\",\"l\":[1]}\n").contains("must be a text or a number"));
        assert!(error("i.jsonl", b"{\"t\":\"a\",\"l\":1}\n{\"t\"\n").contains("row 2: it is no JSON object"));
        assert!(error("j.jsonl", b"{\"t\":\"a\",\"l\":1}\n\xc3(\n").contains("row 2: it is not UTF-8"));
        assert!(error("k.txt", b"").contains("must end in .csv"));
        assert_eq!(try_with("l.jsonl", b"{\"t\":\"a\",\"l\":true}\n").unwrap()[0].label, "true");
    }

    #[test]
    fn b1_quotes_of_a_tsv_are_text_and_those_of_a_csv_close() {
        // Seen before: with the csv crate 1.4.0's default quoting 26 of 40 rows were swallowed by two texts that begin with a quote.
        let mut tsv = String::from("l\tt\n");
        for i in 1..=40 {
            tsv += &format!("{}\t{}text {i}\n", i % 2, if i == 10 || i == 20 { "\"" } else { "" });
        }
        let rows = try_with("m.tsv", tsv.as_bytes()).unwrap();
        assert_eq!((rows.len(), rows[9].text.as_str(), rows[19].text.as_str()), (40, "\"text 10", "\"text 20"));
        let open = error("n.csv", b"l,t\n1,a\n0,\"b\n1,c\n");
        assert!(open.contains("row 2: the quote that opens in line 3 never closes"), "{open}");
        let behind = error("o.csv", b"l,t\n1,\"a\nb\" c\n0,d\n");
        assert!(behind.contains("row 1: the quote that opens in line 2 closes in line 3 and is followed"), "{behind}");
        assert!(error("p.csv", b"l,\"t\n1,a\n").contains("its head: the quote that opens in line 1 never closes"));
        // Legal: quotes written twice, at the end of the file, and within a cell that has not begun with one.
        let rows = try_with("q.csv", b"t,l\n\"a \"\"b\"\"\",0\r\nsays \"c\",1\n\"\"\"d\"\"\",\"1\"").unwrap();
        let texts: Vec<&str> = rows.iter().map(|r| r.text.as_str()).collect();
        assert_eq!(texts, ["a \"b\"", "says \"c\"", "\"d\""]);
    }

    #[test]
    fn b1_lines_that_are_no_rows_are_counted_and_columns_are_unambiguous() {
        let path = std::env::temp_dir().join(format!("rlx-table-{}-r.csv", std::process::id()));
        fs::write(&path, "t,l\n\na,0\r\n\r\n\"x\n\ny\",1\n\n").unwrap();
        let table = read(&path, COLUMNS).unwrap();
        assert_eq!((table.rows.len(), table.empty_lines), (2, 3), "an empty line within quotes is text");
        fs::remove_file(&path).unwrap();
        assert!(error("s.csv", b"t,l,t\na,0,b\n").contains("has the column 't' more than once"));
        assert!(error("t.csv", b"t;l\na;0\n").contains("its head is one column, 't;l'; cells are parted by commas"));
        assert!(error("u.csv", b"").contains("it is empty"));
        assert!(error("v.tsv", b"\xff\xfet\0").contains("is UTF-16: save it as UTF-8"));
        assert!(
            error("w.jsonl", b"{\"t\":\"a\",\"l\":1,\"t\":\"b\"}\n")
                .contains("row 1: it is no JSON object: 't' comes twice")
        );
    }

    #[test]
    fn b2_a_byte_order_mark_is_left_out_of_every_kind() {
        for (name, text) in
            [("x.jsonl", "{\"t\":\"a\",\"l\":1}\n"), ("x.csv", "\"t\",l\na,1\n"), ("x.tsv", "t\tl\na\t1\n")]
        {
            let rows = try_with(name, format!("\u{feff}{text}").as_bytes()).unwrap();
            assert_eq!((rows[0].text.as_str(), rows[0].label.as_str()), ("a", "1"), "{name}");
        }
    }

    #[test]
    fn b3_whole_numbers_are_one_class_however_they_are_written() {
        let rows = try_with(
            "y.jsonl",
            b"{\"t\":\"a\",\"l\":1}\n{\"t\":\"b\",\"l\":1.0}\n{\"t\":\"c\",\"l\":\"1\"}\n{\"t\":\"d\",\"l\":\"1.00 \"}\n",
        );
        assert!(rows.unwrap().iter().all(|r| r.label == "1"));
        for (label, class) in [
            ("-0.0", "0"),
            ("-2.0", "-2"),
            ("01", "01"),
            ("1.5", "1.5"),
            ("1.", "1."),
            (".0", ".0"),
            ("-", "-"),
            ("v1.0", "v1.0"),
        ] {
            assert_eq!(canonical(label), class, "{label}");
        }
    }
}
