//! A table of one's own: CSV (or TSV) with a head, or JSON lines.
use super::Row;
use rlx::{Error, Result, config::nearest};
use std::{fs::File, io::Read, path::Path};

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

/// The rows of a file, by its ending: `.csv`, `.tsv`, `.jsonl` or `.ndjson`. Row 1 of a CSV is the first after its head.
///
/// # Errors
/// Naming the row that is broken, not UTF-8 or without a text or label; or the column that is not there.
pub fn read(path: &Path, columns: Columns<'_>) -> Result<Vec<Row>> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let file = File::open(path).map_err(|e| Error::io("opening", path, e))?;
    match ending.as_str() {
        "csv" => delimited(file, path, b',', columns, |_| true),
        "tsv" => delimited(file, path, b'\t', columns, |_| true),
        "jsonl" | "ndjson" => lines(file, path, columns),
        _ => Err(Error::invalid(format!("{}: its name must end in .csv, .tsv, .jsonl or .ndjson", path.display()))),
    }
}

/// The rows of a CSV for which `wanted` is true of all its cells.
///
/// # Errors
/// As [`read`].
pub fn delimited(
    from: impl Read,
    path: &Path,
    delimiter: u8,
    columns: Columns<'_>,
    wanted: impl Fn(&csv::ByteRecord) -> bool,
) -> Result<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(from);
    let head = reader.headers().map_err(|e| Error::invalid(format!("{}, its head: {e}", path.display())))?.clone();
    let find = |name: &str| {
        head.iter().position(|h| h.trim_start_matches('\u{feff}') == name).ok_or_else(|| {
            let near = nearest(name, head.iter());
            Error::invalid(format!("{} has no column '{name}'{near}", path.display()))
        })
    };
    let (text, label) = (find(columns.text)?, find(columns.label)?);
    let (mut out, mut record, mut number) = (Vec::new(), csv::ByteRecord::new(), 0);
    loop {
        number += 1;
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(out),
            Ok(true) if !wanted(&record) => continue,
            Ok(true) => {}
            Err(e) => return Err(wrong(path, number, e)),
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
        let (text, label) = (cell(text, columns.text)?, cell(label, columns.label)?);
        out.push(Row { text, label: label.trim().into(), place: format!("{}, row {number}", path.display()) });
    }
}

fn lines(mut file: File, path: &Path, columns: Columns<'_>) -> Result<Vec<Row>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| Error::io("reading", path, e))?;
    let mut out = Vec::new();
    for (i, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let number = i as u64 + 1;
        let text = std::str::from_utf8(line)
            .map_err(|e| wrong(path, number, format!("it is not UTF-8, from its byte {} on", e.valid_up_to())))?;
        if text.trim().is_empty() {
            continue;
        }
        let row: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|e| wrong(path, number, format!("it is no JSON object: {e}")))?;
        let cell = |name: &str| match row.get(name) {
            Some(serde_json::Value::String(s)) if !s.trim().is_empty() => Ok(s.clone()),
            Some(v @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => Ok(v.to_string()),
            Some(serde_json::Value::Null | serde_json::Value::String(_)) => {
                Err(wrong(path, number, format!("it has no '{name}'")))
            }
            Some(other) => Err(wrong(path, number, format!("'{name}' must be a text or a number, not {other}"))),
            None => {
                Err(wrong(path, number, format!("it has no '{name}'{}", nearest(name, row.keys().map(String::as_str)))))
            }
        };
        let (text, label) = (cell(columns.text)?, cell(columns.label)?);
        out.push(Row { text, label: label.trim().into(), place: format!("{}, row {number}", path.display()) });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const COLUMNS: Columns<'static> = Columns { text: "t", label: "l" };

    fn try_with(name: &str, bytes: &[u8]) -> Result<Vec<Row>> {
        let path = std::env::temp_dir().join(format!("rlx-table-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        let rows = read(&path, COLUMNS);
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
        assert!(error("e.csv", b"t,l\na,1\nb\n").contains("row 2"));
        assert!(error("f.csv", b"text,l\na,1\n").contains("has no column 't'"));
        assert!(error("g.jsonl", b"{\"t\":\"a\",\"l\":1}\n\n{\"t\":\"b\"}\n").contains("row 3: it has no 'l'"));
        assert!(error("h.jsonl", b"{\"t\":\"a\",\"l\":[1]}\n").contains("must be a text or a number"));
        assert!(error("i.jsonl", b"{\"t\":\"a\",\"l\":1}\n{\"t\"\n").contains("row 2: it is no JSON object"));
        assert!(error("j.jsonl", b"{\"t\":\"a\",\"l\":1}\n\xc3(\n").contains("row 2: it is not UTF-8"));
        assert!(error("k.txt", b"").contains("must end in .csv"));
        assert_eq!(try_with("l.jsonl", b"{\"t\":\"a\",\"l\":true}\n").unwrap()[0].label, "true");
    }
}
