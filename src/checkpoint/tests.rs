//! Kills, damage of every file and byte, full and unwritable disks: what was saved before is never lost, and never believed wrongly.
use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A folder of its own for a test, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rlx-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
    fn store(&self) -> Store {
        Store::new(&self.0)
    }
    fn at(&self, step: u64) -> PathBuf {
        self.0.join(format!("step-{step:012}"))
    }
    /// Names in the store's root, sorted.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two files and one that is empty, the contents a function of the step.
fn write(step: u64) -> impl FnOnce(&mut SaveDir) -> Result<()> {
    move |to| {
        to.put("weights.bin", &step.to_le_bytes().repeat(5))?;
        to.put("head-1.json", format!("{{\"step\":{step}}}").as_bytes())?;
        to.put("empty", b"")
    }
}

fn save(store: &Store, step: u64) -> PathBuf {
    store.save("step", step, 3, write(step)).unwrap()
}

fn check(dir: &LoadDir, step: u64) {
    assert_eq!((dir.step(), dir.names().collect::<Vec<_>>()), (step, vec!["empty", "head-1.json", "weights.bin"]));
    assert_eq!(dir.get("weights.bin").unwrap(), step.to_le_bytes().repeat(5));
    assert_eq!(dir.get("empty").unwrap(), b"");
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn the_last_few_are_kept_each_label_by_itself() {
    let folder = Folder::new("keep");
    let store = folder.store();
    assert_eq!((store.steps("step").unwrap(), store.newest("step").unwrap().0.is_none()), (vec![], true));
    for step in [0, 7, 100, 20, 2_000_000_000_000_000] {
        assert_eq!(save(&store, step), folder.at(step));
    }
    assert_eq!(store.steps("step").unwrap(), [20, 100, 2_000_000_000_000_000]);
    store.save("best", 7, 1, write(7)).unwrap();
    store.save("best", 9, 0, write(9)).unwrap();
    assert_eq!(
        (store.steps("best").unwrap(), store.steps("step").unwrap().len()),
        (vec![9], 3),
        "at least one is kept"
    );
    let (newest, damaged) = store.newest("step").unwrap();
    check(&newest.unwrap(), 2_000_000_000_000_000);
    assert!(damaged.is_empty());
    check(&store.open("step", 20).unwrap(), 20);
    assert!(store.open("step", 0).is_err() && store.open("step", 21).is_err());
    assert!(folder.names().iter().all(|n| !n.starts_with('.')), "nothing temporary is left: {:?}", folder.names());
}

#[test]
fn equal_states_are_equal_bytes() {
    let (a, b) = (Folder::new("equal-a"), Folder::new("equal-b"));
    save(&a.store(), 5);
    std::thread::sleep(std::time::Duration::from_millis(20)); // another time of day
    save(&b.store(), 3);
    save(&b.store(), 5);
    assert_eq!(contents(&a.at(5)), contents(&b.at(5)));
}

#[test]
fn a_sound_one_of_the_same_step_is_left_and_a_damaged_one_is_kept_aside() {
    let folder = Folder::new("same");
    let store = folder.store();
    save(&store, 4);
    let before = contents(&folder.at(4));
    store.save("step", 4, 3, |_| panic!("it is there and sound")).unwrap();
    assert_eq!(contents(&folder.at(4)), before);
    for i in 0..2 {
        fs::write(folder.at(4).join("weights.bin"), "ruined").unwrap();
        save(&store, 4);
        assert_eq!(contents(&folder.at(4)), before);
        let aside = folder.0.join(format!("damaged-step-000000000004-{i}"));
        assert_eq!(fs::read(aside.join("weights.bin")).unwrap(), b"ruined");
    }
    assert_eq!(store.steps("step").unwrap(), [4]);
}

#[test]
fn any_damage_of_the_newest_is_reported_and_the_one_before_is_used() {
    let folder = Folder::new("damage");
    let store = folder.store();
    save(&store, 1);
    save(&store, 2);
    let newest = folder.at(2);
    let mut cases = 0;
    for (name, bytes) in contents(&newest) {
        let file = newest.join(&name);
        let hurt = |what: &str| {
            let (found, damaged) = store.newest("step").unwrap();
            check(&found.unwrap_or_else(|| panic!("{name}, {what}: the one before is there")), 1);
            assert_eq!(damaged.len(), 1, "{name}, {what}");
            assert!(damaged[0].to_string().contains(newest.to_str().unwrap()), "{name}, {what}: {}", damaged[0]);
        };
        for i in 0..bytes.len() {
            let mut other = bytes.clone();
            other[i] ^= 0x10;
            fs::write(&file, other).unwrap();
            // White space between the fields of a manifest may change without changing what it says.
            if name == MANIFEST && store.open("step", 2).is_ok() {
                assert!(bytes[i].is_ascii_whitespace(), "byte {i} of the manifest: {:?}", bytes[i] as char);
                continue;
            }
            hurt(&format!("byte {i} flipped"));
            fs::write(&file, &bytes[..i]).unwrap();
            if !(name == MANIFEST && store.open("step", 2).is_ok()) {
                hurt(&format!("cut to {i} bytes"));
            }
            cases += 2;
        }
        if name != MANIFEST {
            fs::write(&file, [&bytes[..], b"x"].concat()).unwrap();
            hurt("a byte longer");
        }
        fs::remove_file(&file).unwrap();
        hurt("gone");
        fs::create_dir(&file).unwrap();
        hurt("a folder in its place");
        fs::remove_dir(&file).unwrap();
        fs::write(&file, &bytes).unwrap();
        check(&store.newest("step").unwrap().0.unwrap(), 2);
    }
    assert!(cases > 500, "{cases}");
}

#[test]
fn damaged_ones_neither_count_among_the_kept_nor_are_removed() {
    let folder = Folder::new("prune");
    let store = folder.store();
    for step in 1..=3 {
        save(&store, step);
    }
    for step in 2..=3 {
        fs::write(folder.at(step).join(MANIFEST), "{").unwrap();
    }
    store.save("step", 4, 2, write(4)).unwrap();
    assert_eq!(store.steps("step").unwrap(), [1, 2, 3, 4], "1 is the second sound one");
    store.save("step", 5, 2, write(5)).unwrap();
    assert_eq!(store.steps("step").unwrap(), [2, 3, 4, 5]);
    let (newest, damaged) = store.newest("step").unwrap();
    assert_eq!((newest.unwrap().step(), damaged.len()), (5, 0));
}

#[test]
fn a_manifest_of_another_format_says_so_and_one_that_leads_out_is_refused() {
    let folder = Folder::new("format");
    let store = folder.store();
    save(&store, 1);
    let file = folder.at(1).join(MANIFEST);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, r#"{"format": 2, "shards": []}"#).unwrap();
    let error = store.open("step", 1).unwrap_err().to_string();
    assert!(error.contains("format") && error.contains("expected 1, found 2"), "{error}");
    fs::write(folder.0.join("secret"), "").unwrap();
    for name in ["../secret", "/etc/passwd", ".hidden", "", MANIFEST] {
        fs::write(&file, text.replace("\"empty\"", &format!("{name:?}"))).unwrap();
        assert!(store.open("step", 1).is_err(), "{name}");
    }
    fs::write(&file, text.replace("\"step\": 1", "\"step\": 9")).unwrap();
    let error = store.open("step", 1).unwrap_err().to_string();
    assert!(error.contains("step 9"), "{error}");
}

#[test]
fn half_a_checkpoint_of_a_killed_process_is_swept_away() {
    let folder = Folder::new("half");
    let store = folder.store();
    save(&store, 1);
    // A kill before the rename leaves this, whatever was written of it; a kill while removing, the other.
    for rubble in [".tmp-step", ".tmp-away"] {
        fs::create_dir(folder.0.join(rubble)).unwrap();
        fs::write(folder.0.join(rubble).join("weights.bin"), "half").unwrap();
    }
    assert_eq!(store.steps("step").unwrap(), [1]);
    check(&store.newest("step").unwrap().0.unwrap(), 1);
    save(&store, 2);
    assert_eq!(folder.names(), ["step-000000000001", "step-000000000002"]);
    check(&store.open("step", 2).unwrap(), 2);
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = Folder::new("failed");
    let store = folder.store();
    save(&store, 1);
    let before = (folder.names(), contents(&folder.at(1)));
    let full = |to: &mut SaveDir| {
        to.put("weights.bin", b"new")?;
        Err(Error::io("writing", "weights", std::io::Error::from(std::io::ErrorKind::StorageFull)))
    };
    assert!(store.save("step", 2, 1, full).is_err());
    assert!(store.save("step", 1, 1, full).is_ok(), "it is there");
    for name in ["", "a/b", "..", ".a", "ä", MANIFEST] {
        assert!(store.save("step", 2, 1, |to| to.put(name, b"")).is_err(), "a file named '{name}'");
    }
    let twice = |to: &mut SaveDir| to.put("a", b"1").and_then(|()| to.put("a", b"2"));
    assert!(store.save("step", 2, 1, twice).is_err());
    assert_eq!(before, (folder.names(), contents(&folder.at(1))));
    save(&store, 2);
}

/// Its own process, so that its files may be limited to a few blocks: as on a disk that fills up in the middle of a file.
#[test]
fn a_disk_that_fills_up_costs_only_the_checkpoint_that_did_not_fit() {
    const CHILD: &str = "RLX_STORE_ON_A_FULL_DISK";
    let big = |to: &mut SaveDir| to.put("small", b"1").and_then(|()| to.put("weights.bin", &[7; 100_000]));
    if let Ok(root) = std::env::var(CHILD) {
        let error = Store::new(root).save("step", 2, 1, big).unwrap_err().to_string();
        assert!(error.contains("writing") && error.contains("weights.bin"), "{error}");
        return;
    }
    let folder = Folder::new("full");
    save(&folder.store(), 1);
    let before = (folder.names(), contents(&folder.at(1)));
    // SIGXFSZ would kill the process; ignored, the write fails as on a full disk.
    let child = std::process::Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 4; exec "$0" --exact "$1" --nocapture --test-threads 1"#])
        .arg(std::env::current_exe().unwrap())
        .arg("checkpoint::tests::a_disk_that_fills_up_costs_only_the_checkpoint_that_did_not_fit")
        .env(CHILD, &folder.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(before, (folder.names(), contents(&folder.at(1))));
    folder.store().save("step", 2, 1, big).unwrap();
}

#[test]
fn an_unwritable_disk_is_an_error_and_the_old_ones_stay() {
    let folder = Folder::new("unwritable");
    let store = folder.store();
    save(&store, 1);
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).unwrap();
    // To the superuser everything is writable: then a file where the root should be stands in for the disk.
    if fs::create_dir(folder.0.join("probe")).is_ok() {
        fs::remove_dir(folder.0.join("probe")).unwrap();
        fs::write(folder.0.join("file"), "").unwrap();
        let error = Store::new(folder.0.join("file/store")).save("step", 2, 1, write(2)).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    } else {
        assert!(matches!(store.save("step", 2, 1, write(2)).unwrap_err(), Error::Io { .. }));
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    check(&store.newest("step").unwrap().0.unwrap(), 1);
    fs::write(folder.0.join("file"), "").unwrap();
    assert!(Store::new(folder.0.join("file")).steps("step").is_err(), "a file is no store");
}

#[test]
fn unchanged_files_are_shared_between_checkpoints() {
    let folder = Folder::new("reuse");
    let store = folder.store();
    let with_chunk = |to: &mut SaveDir| {
        if !to.reuse("chunk-0.bin")? {
            to.put("chunk-0.bin", &[9; 1000])?;
        }
        to.put("head", b"h")
    };
    let reused = |to: &mut SaveDir| {
        assert!(!to.reuse("nowhere")?);
        assert!(to.reuse("chunk-0.bin")?);
        to.put("head", b"h2")
    };
    store.save("step", 1, 2, with_chunk).unwrap();
    store.save("step", 2, 2, reused).unwrap();
    let inode = |step| fs::metadata(folder.at(step).join("chunk-0.bin")).unwrap().ino();
    assert_eq!(inode(1), inode(2));
    store.save("step", 3, 1, reused).unwrap();
    assert_eq!(store.steps("step").unwrap(), [3]);
    assert_eq!(store.open("step", 3).unwrap().get("chunk-0.bin").unwrap(), [9; 1000], "it outlives those it came from");
    // From a damaged checkpoint nothing is taken over.
    fs::write(folder.at(3).join("head"), "x").unwrap();
    store.save("step", 4, 1, |to| to.reuse("chunk-0.bin").map(|there| assert!(!there))).unwrap();
}

/// What is of a later step than where a run goes on is put aside, not removed, and does not stand in the way of what comes there again.
#[test]
fn later_checkpoints_of_a_course_that_was_left_are_put_aside() {
    let folder = Folder::new("left");
    let store = folder.store();
    for step in [3, 7] {
        store.save("step", step, 9, write(step)).unwrap();
    }
    store.leave("step", 7).unwrap();
    assert_eq!(store.steps("step").unwrap(), [3, 7]);
    for _ in 0..2 {
        store.leave("step", 5).unwrap();
        assert_eq!(store.steps("step").unwrap(), [3]);
        store.save("step", 7, 9, write(7)).unwrap();
    }
    let names = folder.names();
    assert!(names.contains(&"left-step-000000000007-0".into()) && names.contains(&"left-step-000000000007-1".into()));
}
