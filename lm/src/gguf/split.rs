//! A model in several files, as llama-gguf-split and gguf-py write it: `NAME-00001-of-00003.gguf`, with `split.no` (from 0), `split.count`
//! and `split.tensors.count` in each. The metadata of the model are the first file's.
//!
//! llama.cpp v0.5.0 wants the first part to be named ("model must be loaded with the first split"); here any of them will do.
use super::{
    Gguf, Value,
    header::{ALIGN, Header},
};
use rlx::{Error, Result};
use std::{
    collections::btree_map::Entry,
    io::{Read, Seek},
    path::{Path, PathBuf},
};

const NO: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";
/// What the five digits of a name can say.
const MOST_PARTS: u64 = 99_999;

/// The name of part `no` (from 0) of `count`: that of another part with its number replaced. None where that is not a part's name.
fn part_path(path: &Path, no: u64, count: u64) -> Option<PathBuf> {
    let (prefix, _, of) = name_of(path)?;
    (of == count).then(|| path.with_file_name(format!("{prefix}-{:05}-of-{count:05}.gguf", no + 1)))
}

/// Prefix, number (from 1) and count of a part's file name.
fn name_of(path: &Path) -> Option<(&str, u64, u64)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let number = |text: &str| (text.len() == 5).then(|| text.parse().ok()).flatten();
    let (rest, of) = stem.rsplit_once("-of-")?;
    let (prefix, no) = rest.rsplit_once('-')?;
    Some((prefix, number(no)?, number(of)?))
}

/// Whether a file is, by its name, a part but not the first.
pub fn is_later_part(path: &Path) -> bool {
    name_of(path).is_some_and(|(_, no, _)| no > 1)
}

/// What a part says of itself.
fn number<R>(header: &Header<R>, key: &str) -> Result<Option<u64>> {
    let value = header.metadata.get(key);
    value
        .map(|v| {
            let bad = || format!("{key} is {}; it must be a whole number up to {MOST_PARTS}", v.short());
            let most = if key == TENSORS { u64::MAX } else { MOST_PARTS };
            v.uint().filter(|x| *x <= most).ok_or_else(|| Error::corrupt(&header.part.path, bad()))
        })
        .transpose()
}

/// The whole model of which `named` is the file, or a part; `open` opens the others.
pub(super) fn join<R: Read + Seek>(named: Header<R>, open: impl Fn(&Path) -> Result<Header<R>>) -> Result<Gguf<R>> {
    let count = number(&named, COUNT)?.unwrap_or(1);
    if count <= 1 {
        return alone(named);
    }
    let path = named.part.path.clone();
    let no = number(&named, NO)?.filter(|no| *no < count);
    let no = no.ok_or_else(|| Error::corrupt(&path, format!("{COUNT} is {count}, but {NO} is no number below it")))?;
    if part_path(&path, no, count).as_ref() != Some(&path) {
        return Err(Error::invalid(format!(
            "{}: it is part {} of {count} of a split model, so the others are found by its name, which must be NAME-{:05}-of-{count:05}.gguf",
            path.display(),
            no + 1,
            no + 1
        )));
    }
    let mut named = Some(named);
    let mut whole: Option<Gguf<R>> = None;
    let mut expected = None;
    let mut align = None;
    for i in 0..count {
        let path = part_path(&path, i, count).unwrap_or_default();
        let header = match named.take_if(|_| i == no) {
            Some(header) => header,
            None if path.is_file() => open(&path)?,
            None => {
                return Err(Error::invalid(format!(
                    "{}: part {} of {count} of the model is missing",
                    path.display(),
                    i + 1
                )));
            }
        };
        belongs(&header, i, count, whole.as_ref())?;
        let total = number(&header, TENSORS)?;
        match &mut whole {
            None => {
                (expected, align) = (total, header.align);
                whole = Some(Gguf::whole(header));
            }
            Some(all) if total == expected => add(all, header, align)?,
            Some(_) => return Err(another(&header, TENSORS, total, expected)),
        }
    }
    let all = whole.expect("there are two parts at least");
    match expected.filter(|n| *n != all.tensors.len() as u64) {
        Some(n) => Err(Error::corrupt(
            all.path(),
            format!("{TENSORS} is {n}, but its {count} parts have {} tensors", all.tensors.len()),
        )),
        None => Ok(all),
    }
}

/// A file that does not say that there are others must not be one of several by its name.
fn alone<R: Read + Seek>(named: Header<R>) -> Result<Gguf<R>> {
    match name_of(&named.part.path) {
        Some((_, no, of)) if of > 1 => Err(Error::corrupt(
            &named.part.path,
            format!("by its name it is part {no} of {of}, but its metadata have no {COUNT} of {of}"),
        )),
        _ => Ok(Gguf::whole(named)),
    }
}

fn another<R>(header: &Header<R>, key: &str, found: Option<u64>, right: Option<u64>) -> Error {
    let show = |x: Option<u64>| x.map_or("missing".into(), |x| x.to_string());
    let why = format!("{key} is {}, where its place among the parts says {}", show(found), show(right));
    Error::corrupt(&header.part.path, format!("{why}: it belongs to another model, or is not this part"))
}

/// That a part is the one which its name says, and that its metadata are not another model's.
fn belongs<R: Read + Seek>(header: &Header<R>, no: u64, count: u64, whole: Option<&Gguf<R>>) -> Result<()> {
    for (key, right) in [(COUNT, count), (NO, no)] {
        let found = number(header, key)?;
        if found != Some(right) {
            return Err(another(header, key, found, Some(right)));
        }
    }
    // Most writers give later parts nothing but split.*. Alignment is each file's own.
    let own = |key: &str| key.starts_with("split.") || key == "general.alignment";
    let Some(whole) = whole else { return Ok(()) };
    let differs = |(k, v): &(&String, &Value)| !own(k) && whole.metadata.get(*k) != Some(*v);
    match header.metadata.iter().find(differs) {
        Some((key, value)) => Err(Error::corrupt(
            &header.part.path,
            format!(
                "metadata '{key}' is {}, but {} in {}: it belongs to another model",
                value.short(),
                whole.metadata.get(key).map_or("missing".into(), Value::short),
                whole.path().display()
            ),
        )),
        None => Ok(()),
    }
}

/// Adds the tensors of a later part.
fn add<R: Read + Seek>(all: &mut Gguf<R>, header: Header<R>, first: Option<u64>) -> Result<()> {
    // gguf-py 0.19.0 writes all parts by the alignment of the first, but says it in the first alone; llama.cpp and gguf-py's own reader then take
    // the default for the others. Where that makes a difference, nothing says which is meant.
    let places = [ALIGN, first.unwrap_or(ALIGN)].map(|a| header.end.next_multiple_of(a));
    if header.align.is_none() && places[0] != places[1] && !header.tensors.is_empty() {
        return Err(Error::invalid(format!(
            "{}: it has no general.alignment, where the first part has {}; its data may begin at byte {} or {}, which is not supported: write it anew with general.alignment in each part",
            header.part.path.display(),
            first.unwrap_or(ALIGN),
            places[0],
            places[1]
        )));
    }
    let part = all.parts.len();
    for (name, info) in header.tensors {
        match all.tensors.entry(name) {
            Entry::Vacant(place) => {
                place.insert(super::Info { part, ..info });
            }
            Entry::Occupied(there) => {
                let first = all.parts[there.get().part].path.display();
                let why = format!("tensor '{}' is also in {first}", there.key());
                return Err(Error::corrupt(&header.part.path, why));
            }
        }
    }
    all.parts.push(header.part);
    Ok(())
}
