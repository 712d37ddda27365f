//! A run's folder: everything needed to resume or repeat it is inside.
use crate::lock::{self, Held};
use anyhow::{Context, Result, bail};
use rlx::{
    LoadDir,
    checkpoint::{LoadDir as Folder, Store},
    config::choose,
    refuse,
};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Where runs are kept, unless `--runs` says otherwise.
pub const RUNS: &str = "runs";

const NONE_YET: &str = "has no checkpoint yet: it was stopped before its first one";

fn usage(what: String) -> anyhow::Error {
    rlx::Error::usage(what).into()
}

/// The names of the runs in a folder whose config `fits`, sorted.
pub fn names(runs: &Path, fits: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    let run = |e: fs::DirEntry| {
        let config = e.path().join("config.toml");
        (config.is_file() && fits(&config)).then(|| e.file_name().into_string().ok()).flatten()
    };
    let mut names: Vec<String> = entries.filter_map(run).collect();
    names.sort_unstable();
    names
}

/// The world of a run's config.
pub fn env(config: &Path) -> Option<String> {
    let table: toml::Table = toml::from_str(&fs::read_to_string(config).ok()?).ok()?;
    table.get("run")?.get("env")?.as_str().map(str::to_owned)
}

/// A run folder.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held while this process writes to the run; the system frees it when the process ends, however it does.
    _lock: Option<File>,
}

impl RunDir {
    /// Makes `runs/<env>-<algo>-<name or time>-s<seed>` and locks it.
    ///
    /// # Errors
    /// When it is there already, or cannot be made.
    pub fn create(runs: &Path, env: &str, algo: &str, name: Option<&str>, seed: u64, config: &str) -> Result<Self> {
        if let Some(name) = name {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
                refuse!("--name '{name}': it must be of letters, digits, '.', '_' and '-'");
            }
        }
        let named = name.is_some();
        let name = name.map_or_else(|| stamp(SystemTime::now()), str::to_owned);
        fs::create_dir_all(runs).with_context(|| format!("making {}", runs.display()))?;
        for attempt in 0.. {
            let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let path = runs.join(format!("{env}-{algo}-{name}{suffix}-s{seed}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let lock = lock(&path, Duration::ZERO)?;
                    write_synced(&path.join("config.toml"), config.as_bytes())?;
                    return Ok(Self { path, _lock: Some(lock) });
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && !named => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => refuse!(
                    "{} is there already: go on with it by --resume {0}, or choose another --name",
                    path.display()
                ),
                Err(e) => return Err(e).with_context(|| format!("making {}", path.display())),
            }
        }
        unreachable!("some number is free")
    }

    /// Finds a run by its folder or its name, to read.
    ///
    /// # Errors
    /// Naming the nearest run when there is none of that name.
    pub fn open(runs: &Path, run: &str) -> Result<Self> {
        for path in [PathBuf::from(run), runs.join(run)] {
            if path.join("config.toml").is_file() {
                return Ok(Self { path, _lock: None });
            }
            if path.is_dir() && path.components().next().is_some() && path != Path::new("") {
                refuse!("{} is no run folder: it has no config.toml", path.display());
            }
        }
        let names = names(runs, |_| true);
        if names.is_empty() {
            refuse!("there is no run '{run}': {} has none", runs.display());
        }
        let name = choose("run", run, names.iter().map(String::as_str))?;
        Ok(Self { path: runs.join(name), _lock: None })
    }

    /// The same, to write: refused while another process does, once that was waited for.
    ///
    /// # Errors
    /// As [`RunDir::open`], and [`Held`] when another process has it for longer than `patience`.
    pub fn open_to_write(runs: &Path, run: &str, patience: Duration) -> Result<Self> {
        let path = Self::open(runs, run)?.path;
        let lock = lock(&path, patience)?;
        Ok(Self { path, _lock: Some(lock) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Its name.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(|| self.path.display().to_string(), |n| n.to_string_lossy().into_owned())
    }
    /// The text of its config.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn config(&self) -> Result<String> {
        let path = self.path.join("config.toml");
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
    /// Its checkpoints.
    pub fn store(&self) -> Store {
        Store::new(self.path.join("checkpoints"))
    }

    /// The newest sound checkpoint; what is wrong with newer ones is printed. None when there are none at all.
    ///
    /// # Errors
    /// When there are some and none is sound.
    pub fn newest(&self, warn: &mut dyn FnMut(String)) -> Result<Option<LoadDir>> {
        let (found, damaged) = self.store().newest("step")?;
        for error in &damaged {
            warn(format!("{error}"));
        }
        match (&found, damaged.is_empty()) {
            (Some(dir), false) => warn(format!("the checkpoint before it is used: step {}", dir.step())),
            (None, false) => bail!("no checkpoint of {} is sound: nothing was changed", self.path.display()),
            _ => {}
        }
        Ok(found)
    }

    /// A checkpoint by `last`, `best` or its step.
    ///
    /// # Errors
    /// When there is none such, naming those that there are.
    pub fn checkpoint(&self, which: &str, warn: &mut dyn FnMut(String)) -> Result<Folder> {
        let store = self.store();
        let found = match which {
            "last" => self.newest(warn)?,
            "best" => match store.newest("best")?.0 {
                Some(best) => Some(best),
                None => self.newest(warn)?,
            },
            step => {
                let steps = store.steps("step")?;
                match step.replace('_', "").parse::<u64>() {
                    Ok(n) if steps.contains(&n) => return Ok(store.open("step", n)?),
                    _ => {
                        let all: Vec<String> = steps.iter().map(u64::to_string).collect();
                        let best = if store.steps("best")?.is_empty() { "" } else { "best, " };
                        let (name, all) = (self.name(), all.join(", "));
                        return Err(usage(match all.is_empty() {
                            true => format!("{name} {NONE_YET}"),
                            false => format!("{name} has no checkpoint '{step}': there are {best}last, {all}"),
                        }));
                    }
                }
            }
        };
        found.ok_or_else(|| usage(format!("{} {NONE_YET}", self.name())))
    }
}

/// Which checkpoint `found` is, where `asked` was asked for: a run whose evaluations chose no best one gives its last.
pub fn which(asked: &str, found: &Folder) -> &'static str {
    let chosen = found.path().file_name().is_some_and(|n| n.to_string_lossy().starts_with("best"));
    match asked {
        _ if chosen => "its best checkpoint",
        "best" => "its last checkpoint (no evaluation chose a best one)",
        "last" => "its last checkpoint",
        _ => "its checkpoint",
    }
}

/// Writes a file by way of a temporary one, so that it is there whole or as it was.
///
/// # Errors
/// When the disk cannot take it.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let part = path.with_file_name(format!(".{name}.part"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

fn lock(path: &Path, patience: Duration) -> Result<File> {
    let taken = lock::take(&path.join(".lock"), patience, &path.display().to_string())?;
    let held = || Held(format!("another process is writing to {}: stop it, or wait for its end", path.display()));
    Ok(taken.ok_or_else(held)?)
}

/// `20260131-235959`, UTC.
fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let text = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + seconds).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    format!("{}-{}", &digits[..8], &digits[8..14])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::testing::TempDir;

    #[test]
    fn a_run_is_made_once_found_by_name_and_written_by_one() {
        let dir = TempDir::new();
        let run = RunDir::create(&dir.0, "cartpole", "ppo", Some("a"), 3, "x").unwrap();
        assert_eq!(run.name(), "cartpole-ppo-a-s3");
        let again = RunDir::create(&dir.0, "cartpole", "ppo", Some("a"), 3, "x").unwrap_err().to_string();
        assert!(again.contains("--resume"), "{again}");
        assert!(RunDir::create(&dir.0, "cartpole", "ppo", Some("../x"), 3, "x").is_err());
        let busy = RunDir::open_to_write(&dir.0, "cartpole-ppo-a-s3", Duration::ZERO).unwrap_err().to_string();
        assert!(busy.contains("another process"), "{busy}");
        drop(run);
        RunDir::open_to_write(&dir.0, "cartpole-ppo-a-s3", Duration::ZERO).unwrap();
        let wrong = RunDir::open(&dir.0, "cartpole-ppo-a-s4").unwrap_err().to_string();
        assert!(wrong.contains("did you mean 'cartpole-ppo-a-s3'?"), "{wrong}");
        let unnamed: Vec<String> =
            (0..2).map(|_| RunDir::create(&dir.0, "e", "a", None, 0, "x").unwrap().name()).collect();
        assert_ne!(unnamed[0], unnamed[1], "two runs of one second are two folders");
    }

    #[test]
    fn stamps_are_dates() {
        assert_eq!(stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)), "20231114-221320");
    }
}
