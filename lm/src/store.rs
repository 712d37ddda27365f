//! Where models and data sets lie on this machine: the one cache, and the one finder of models.
use crate::data::catalogue::{ARTEFACTS, Kind, MANIFEST};
use rlx::{
    Error, Result,
    config::{matching, nearest},
};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// The cache: `$RLX_CACHE`, or `rlx` in the user's folder of caches (`$XDG_CACHE_HOME`, or `~/.cache`). The only place that says so beside
/// tools/libtorch.py, which has the same rule.
pub fn cache_dir() -> PathBuf {
    cache_dir_of(|name| std::env::var_os(name), std::env::home_dir())
}

fn cache_dir_of(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    // A relative path would be another cache in every folder: one's own is taken from here, and the XDG specification ignores its own.
    let own = set("RLX_CACHE").map(|p| std::path::absolute(&p).unwrap_or(p));
    let shared = || set("XDG_CACHE_HOME").filter(|p| p.is_absolute());
    own.unwrap_or_else(|| shared().unwrap_or_else(|| home.unwrap_or_default().join(".cache")).join("rlx"))
}

/// A model's file or folder: a path of one's own, or the name of one in the cache, fetched or put there.
///
/// # Errors
/// When it is neither, saying which names there are or which command fetches it; when it is both.
pub fn find_model(which: &str, cache: &Path) -> Result<PathBuf> {
    let own = Path::new(which);
    // What was put there by hand is one of the names too.
    let put: Vec<String> = fs::read_dir(cache.join("models"))
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok().filter(|e| e.path().is_dir())?.file_name().into_string().ok())
        .collect();
    let fetchable = ARTEFACTS.iter().filter(|a| a.kind == Kind::Model).map(|a| a.name);
    let mut names: Vec<&str> = fetchable.chain(put.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let which = if own.exists() { which } else { matching(which, names.iter().copied()).unwrap_or(which) };
    let folder = cache.join("models").join(which);
    let named = !which.is_empty() && !which.contains(['/', '\\']) && ![".", ".."].contains(&which);
    let same = || matches!((own.canonicalize(), folder.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if own.exists() {
        if named && folder.is_dir() && !same() {
            return Err(Error::usage(format!(
                "there are two models '{which}': one here and one in the cache ({}); say ./{which} or the whole path",
                folder.display()
            )));
        }
        return Ok(own.into());
    }
    let known = ARTEFACTS.iter().find(|a| a.kind == Kind::Model && a.name == which);
    let folder = match known {
        // One without a manifest was put there by hand.
        Some(known) if !folder.is_dir() || folder.join(MANIFEST).exists() => known.find(cache)?,
        _ if named && folder.is_dir() => folder,
        _ => {
            let near = nearest(which, names.into_iter());
            return Err(Error::usage(format!(
                "there is no model '{which}'{near}: it is neither a file or folder of your own nor one in the cache ({}); `rlx list models` \
                 shows what can be fetched",
                cache.join("models").display()
            )));
        }
    };
    if folder.join("config.json").exists() {
        return Ok(folder);
    }
    let entries = fs::read_dir(&folder).map_err(|e| Error::io("reading", &folder, e))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "gguf") && !crate::gguf::is_later_part(f));
    match files.len() {
        1 => Ok(files.remove(0)),
        n => Err(Error::invalid(format!("{} has no config.json and {n} GGUF files; name one", folder.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a16_one_rule_says_where_the_cache_is() {
        let home = || Some(PathBuf::from("/home/u"));
        let of = |set: &[(&str, &str)]| {
            let found = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            cache_dir_of(found, home())
        };
        assert_eq!(of(&[]), Path::new("/home/u/.cache/rlx"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/rlx"));
        assert_eq!(
            of(&[("XDG_CACHE_HOME", "x")]),
            Path::new("/home/u/.cache/rlx"),
            "the specification ignores relative paths"
        );
        assert_eq!(of(&[("XDG_CACHE_HOME", ""), ("RLX_CACHE", "")]), Path::new("/home/u/.cache/rlx"));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/x"), ("RLX_CACHE", "/own")]), Path::new("/own"));
        assert_eq!(of(&[("RLX_CACHE", "own")]), std::env::current_dir().unwrap().join("own"));
    }

    #[test]
    fn a16_one_finder_finds_models_of_the_cache_and_paths() {
        let root = std::env::temp_dir().join(format!("rlx-finder-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let cache = root.join("cache");
        let put = |name: &str, file: &str| {
            let folder = cache.join("models").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), "{}").unwrap();
            folder
        };
        let (own, one) = (put("mine", "config.json"), put("file", "a.gguf"));
        assert!(find_model("minilm-l6", &cache).unwrap_err().to_string().ends_with("rlx fetch minilm-l6"));
        assert!(find_model("minilm", &cache).unwrap_err().to_string().contains("did you mean"));
        assert_eq!(find_model("mine", &cache).unwrap(), own);
        assert_eq!(find_model("file", &cache).unwrap(), one.join("a.gguf"));
        assert_eq!(find_model(own.to_str().unwrap(), &cache).unwrap(), own);
        put("file", "b.gguf");
        assert!(find_model("file", &cache).unwrap_err().to_string().contains("2 GGUF files"));
        // Fetched, and then something went missing.
        put("smollm2-135m", MANIFEST);
        assert!(find_model("smollm2-135m", &cache).unwrap_err().to_string().contains("is not whole"));
        for name in ["none", "..", "", "a/b"] {
            let error = find_model(name, &cache).map(|p| p.display().to_string());
            assert!(name == ".." || error.unwrap_err().to_string().contains("rlx list models"), "{name}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
