//! Nothing measured twice, nothing lost: kills at every byte, damage at every byte, two writers, a full disk.
use super::*;
use crate::{Error, Rng};
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

/// A folder of its own for a test, gone when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rlx-ledger-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn file(&self) -> PathBuf {
        self.0.join("ledger.jsonl")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Two bit widths and a method; the loss is what the levels say, with noise of the seed that shrinks with the fidelity.
struct Toy {
    version: String,
    space: SearchSpace,
    fidelities: Vec<String>,
    names: Vec<String>,
    calls: u64,
}

impl Toy {
    fn new(version: &str) -> Self {
        let bits = |name: &str| Dimension::ordinal(name, &[2.0, 4.0, 8.0]);
        let dimensions =
            vec![bits("block 0 bits"), bits("block 1 bits"), Dimension::categorical("method", &["a", "b"])];
        Self {
            version: version.into(),
            space: SearchSpace::new(dimensions).unwrap(),
            fidelities: vec!["untuned".into(), "full".into()],
            names: ["block 0", "block 1", "a", "b"].map(String::from).to_vec(),
            calls: 0,
        }
    }
}

impl Objective for Toy {
    fn name(&self) -> &str {
        "toy"
    }
    fn version(&self) -> &str {
        &self.version
    }
    fn space(&self) -> &SearchSpace {
        &self.space
    }
    fn fidelities(&self) -> &[String] {
        &self.fidelities
    }
    fn cost(&self, config: &[u16]) -> f64 {
        config[..2].iter().map(|l| 1000.0 * [0.25, 0.5, 1.0][usize::from(*l)]).sum()
    }
    fn feature_names(&self) -> &[String] {
        &self.names
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        self.space.encode(config, out).unwrap();
    }
    fn is_random(&self, _: u32) -> bool {
        true
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, seed: u64, stop: &dyn Fn() -> bool) -> Result<Measure> {
        self.calls += 1;
        if stop() {
            return Err(Error::Interrupted);
        }
        let noise = Rng::stream(seed, u64::from(fidelity)).normal() / f64::from(1 + fidelity);
        let loss = match config {
            [0, 0, 0] => f64::INFINITY,
            [0, 0, 1] => f64::NAN,
            _ => config.iter().map(|l| 1.0 / f64::from(1 + l)).sum::<f64>() + noise / 3.0,
        };
        let metrics = [("noise", noise), ("zero", -0.0), ("sum", f64::NEG_INFINITY)];
        Ok(Measure { loss, metrics: metrics.map(|(k, v)| (k.to_owned(), v)).into() })
    }
}

fn never() -> bool {
    false
}

fn bits(m: &Measure) -> (u64, Vec<(&str, u64)>) {
    (m.loss.to_bits(), m.metrics.iter().map(|(k, v)| (k.as_str(), v.to_bits())).collect())
}

fn open(file: &Path, version: &str) -> Measured<Toy> {
    Measured::new(Toy::new(version), Some(Ledger::open(file).unwrap().into()))
}

/// A ledger of `n` measurements; returns its bytes.
fn ledger_of(file: &Path, n: u64) -> Vec<u8> {
    let mut toy = open(file, "v1");
    for seed in 0..n {
        toy.evaluate(&[(seed % 3) as u16, 1, 0], 0, seed, &never).unwrap();
    }
    fs::read(file).unwrap()
}

#[test]
fn nothing_is_measured_twice_and_what_is_read_is_exact() {
    let folder = Folder::new("twice");
    let mut fresh = Vec::new();
    let keys: Vec<([u16; 3], u32, u64)> =
        vec![([0, 0, 0], 0, 1), ([0, 0, 1], 0, 1), ([2, 1, 0], 0, 1), ([2, 1, 0], 1, 1), ([2, 1, 0], 0, u64::MAX)];
    for round in 0..3 {
        let mut toy = open(&folder.file(), "v1");
        for _ in 0..2 {
            for (i, (config, fidelity, seed)) in keys.iter().enumerate() {
                let measure = toy.evaluate(config, *fidelity, *seed, &never).unwrap();
                match fresh.get(i) {
                    None => fresh.push(measure),
                    Some(first) => assert_eq!(bits(first), bits(&measure), "{config:?}"),
                }
            }
        }
        let made = if round == 0 { keys.len() as u64 } else { 0 };
        assert_eq!((toy.evaluations(), toy.with(|t| t.calls)), (made, made));
        assert_eq!(Ledger::read(&folder.file()).unwrap().len(), keys.len());
    }
    assert_ne!(bits(&fresh[2]), bits(&fresh[3]), "the fidelity is part of the key");
    assert_ne!(bits(&fresh[2]), bits(&fresh[4]), "the seed is part of the key");
    // Another version measures anew, and neither sees the other's records.
    let mut other = open(&folder.file(), "v2");
    other.evaluate(&keys[2].0, 0, 1, &never).unwrap();
    let all = Ledger::read(&folder.file()).unwrap().len();
    assert_eq!((other.evaluations(), other.recorded(0).unwrap().len(), all), (1, 1, keys.len() + 1));
}

#[test]
fn a_line_cut_at_any_byte_is_dropped_and_the_others_stay() {
    let folder = Folder::new("cut");
    let whole = ledger_of(&folder.file(), 4);
    let records = Ledger::read(&folder.file()).unwrap();
    assert_eq!(records.len(), 4);
    let ends: Vec<usize> = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).collect();
    let file = folder.0.join("cut.jsonl");
    for cut in 0..=whole.len() {
        for zeros in [0, 700] {
            let mut part = whole[..cut].to_vec();
            // A record is whole from its closing brace on; what a file system leaves in place of a torn block are zeros.
            let mut left = ends.iter().filter(|end| **end <= cut).count();
            if zeros > 0 {
                if ends.contains(&cut) {
                    continue; // a whole record with zeros for its newline is damage: see the next test
                }
                part.resize(cut + zeros, 0);
                left = ends.iter().filter(|end| **end < cut).count();
            }
            fs::write(&file, &part).unwrap();
            assert_eq!(Ledger::read(&file).unwrap(), records[..left], "cut at {cut}");
            assert_eq!(fs::read(&file).unwrap(), part, "reading changes nothing");
            let mut toy = open(&file, "v1");
            assert_eq!(Ledger::read(&file).unwrap(), records[..left], "opened after a cut at {cut}");
            for r in &records {
                toy.evaluate(&r.key.config, r.key.fidelity, r.key.seed, &never).unwrap();
            }
            assert_eq!(toy.evaluations(), (4 - left) as u64);
            assert_eq!(fs::read(&file).unwrap(), whole, "made good after a cut at {cut}");
        }
    }
}

#[test]
fn any_other_damage_names_its_line_and_nothing_is_cut() {
    let folder = Folder::new("damage");
    let whole = ledger_of(&folder.file(), 3);
    let file = folder.0.join("damaged.jsonl");
    let refused = |bytes: &[u8], line: usize, what: &str| {
        fs::write(&file, bytes).unwrap();
        for error in [Ledger::open(&file).unwrap_err().to_string(), Ledger::read(&file).unwrap_err().to_string()] {
            assert!(error.contains(&format!("line {line}:")), "{what}: {error}");
        }
        assert_eq!(fs::read(&file).unwrap(), bytes, "{what}");
    };
    for i in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[i] ^= 1 << (i % 8);
        // A byte that becomes a newline splits its line: the first half is the damaged one all the same.
        let line = 1 + whole[..i].iter().filter(|b| **b == b'\n').count();
        refused(&bytes, line, &format!("byte {i}"));
    }
    let mut zeros = whole.clone();
    *zeros.last_mut().unwrap() = 0;
    refused(&zeros, 3, "a zero for the last newline");
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    refused(&[lines[0], b"\n", lines[1]].concat(), 2, "an empty line");
    refused(b"# notes of somebody else", 1, "another file");
    // Lines of one key that are equal may come of two ledgers put together; others cannot both be right.
    fs::write(&file, [lines[0], lines[1], lines[0]].concat()).unwrap();
    assert_eq!(Ledger::open(&file).unwrap().records().len(), 2);
    let mut other = Ledger::read(&folder.file()).unwrap().swap_remove(0);
    other.measure.loss += 1.0;
    let copy = folder.0.join("other.jsonl");
    Ledger::open(&copy).unwrap().put(other.clone()).unwrap();
    fs::write(&file, [lines[0], &fs::read(&copy).unwrap()].concat()).unwrap();
    let error = Ledger::open(&file).unwrap_err().to_string();
    assert!(error.contains("line 2:") && error.contains("not alike"), "{error}");
    assert!(Ledger::open(&folder.file()).unwrap().put(other).is_err());
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let folder = Folder::new("lock");
    let mut first = open(&folder.file(), "v1");
    first.evaluate(&[1, 1, 1], 0, 0, &never).unwrap();
    let error = Ledger::open(&folder.file()).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
    assert_eq!(Ledger::read(&folder.file()).unwrap().len(), 1);
    first.evaluate(&[1, 1, 1], 0, 1, &never).unwrap();
    drop(first);
    assert_eq!(Ledger::open(&folder.file()).unwrap().records().len(), 2);
}

#[test]
fn stopping_leaves_no_record_and_impossible_questions_are_refused() {
    let folder = Folder::new("stop");
    let mut toy = open(&folder.file(), "v1");
    assert!(matches!(toy.evaluate(&[1, 1, 1], 0, 0, &|| true), Err(Error::Interrupted)));
    assert_eq!(toy.with(|t| t.calls), 0, "it was not begun");
    let asked = Cell::new(0);
    let later = || asked.replace(asked.get() + 1) > 0;
    assert!(matches!(toy.evaluate(&[1, 1, 1], 0, 0, &later), Err(Error::Interrupted)));
    assert_eq!((toy.with(|t| t.calls), toy.evaluations(), Ledger::read(&folder.file()).unwrap().len()), (1, 0, 0));
    toy.evaluate(&[1, 1, 1], 0, 0, &never).unwrap();
    assert!(toy.evaluate(&[1, 1, 1], 0, 0, &|| true).is_ok(), "what is known takes no time");
    for (config, fidelity, says) in [
        (&[1, 3, 1][..], 0, "block 1 bits: level 3; it must be 0 to 2"),
        (&[1, 1][..], 0, "expected 3, found 2"),
        (&[1, 1, 1][..], 2, "fidelity 2"),
    ] {
        let error = toy.evaluate(config, fidelity, 0, &never).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(toy.evaluations(), 1);
}

/// Its own process, so that its files may be limited to a few blocks: there is no room for 40 records.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    const CHILD: &str = "RLX_LEDGER_ON_A_FULL_DISK";
    if let Ok(file) = std::env::var(CHILD) {
        let file = PathBuf::from(file);
        let mut toy = open(&file, "v1");
        let full = (0..40).find_map(|seed| toy.evaluate(&[1, 1, 1], 0, seed, &never).err().map(|e| (seed, e)));
        let (seed, error) = full.expect("40 records do not fit");
        assert!(error.to_string().starts_with("writing"), "{error}");
        // Asked again, it tries to write what it has, and does not evaluate again.
        assert!(toy.evaluate(&[1, 1, 1], 0, seed, &never).is_err());
        assert_eq!(toy.evaluations(), seed + 1);
        assert_eq!(Ledger::read(&file).unwrap().len() as u64, seed, "what was written is whole");
        assert!(toy.evaluate(&[1, 1, 1], 0, 0, &never).is_ok(), "what was known is known");
        return;
    }
    let folder = Folder::new("full");
    let this = "objective::tests::a_full_disk_is_an_error_and_loses_nothing";
    // SIGXFSZ would kill the process; ignored, the write fails as on a full disk. `ulimit -f` counts blocks of 512 bytes (1,024 in bash).
    let child = std::process::Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 4; exec "$0" --exact "$1" --nocapture --test-threads 1"#])
        .arg(std::env::current_exe().unwrap())
        .arg(this)
        .env(CHILD, folder.file())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    let kept = folder.file();
    let saved = Ledger::read(&kept).unwrap().len();
    assert!(saved > 2 && fs::metadata(&kept).unwrap().len() <= 4096);
    let mut toy = open(&kept, "v1");
    for seed in 0..40 {
        toy.evaluate(&[1, 1, 1], 0, seed, &never).unwrap();
    }
    assert_eq!(toy.evaluations(), 40 - saved as u64);
    assert_eq!(Ledger::read(&kept).unwrap().len(), 40);
}

#[test]
fn a_space_checks_draws_and_encodes_its_configurations() {
    let mut toy = Toy::new("v1");
    assert_eq!((toy.space().size(), toy.space().encoded_width(), toy.feature_width()), (18.0, 4, 4));
    let mut out = [9.0; 4];
    toy.features(&[0, 1, 1], &mut out);
    assert_eq!(out, [0.0, 2.0 / 6.0, 0.0, 1.0], "4 bits are a third of the way from 2 to 8");
    assert_eq!(toy.cost(&[0, 2, 1]), 1250.0);
    assert!(toy.space().encode(&[0, 1, 1], &mut out[..3]).is_err());
    assert_eq!(toy.space().dimensions()[0].level(1), "4");
    assert_eq!(toy.space().dimensions()[2].level(1), "b");
    let (mut rng, mut counts, mut config) = (Rng::stream(1, 1), [0u32; 18], [0; 3]);
    for _ in 0..18_000 {
        toy.space().sample(&mut rng, &mut config);
        counts[usize::from(config[0] * 6 + config[1] * 2 + config[2])] += 1;
        toy.space().check(&config).unwrap();
    }
    // Standard deviation of a count is 31; six of them.
    assert!(counts.iter().all(|c| c.abs_diff(1000) < 186), "{counts:?}");
    // A boxed objective, its type forgotten, is one too.
    let mut boxed: Box<dyn Objective> = Box::new(Toy::new("v1"));
    let (direct, through) = (toy.evaluate(&[1, 2, 1], 1, 3, &never), boxed.evaluate(&[1, 2, 1], 1, 3, &never));
    assert_eq!(bits(&direct.unwrap()), bits(&through.unwrap()));
    for (dimensions, says) in [
        (vec![], "at least one"),
        (vec![Dimension::ordinal("x", &[])], "0 levels"),
        (vec![Dimension::ordinal("x", &[1.0, 1.0])], "ascending"),
        (vec![Dimension::ordinal("x", &[1.0, f64::NAN])], "ascending"),
        (vec![Dimension::ordinal("x", &[f64::NAN])], "finite"),
        (vec![Dimension::categorical("x", &["a", "a"])], "twice"),
        (vec![Dimension::ordinal("x", &[1.0]), Dimension::ordinal("x", &[1.0])], "taken"),
    ] {
        let error = SearchSpace::new(dimensions).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_measure_survives_text_and_snapshot_to_the_bit() {
    let mut rng = Rng::stream(4, 4);
    for i in 0..2000 {
        let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, f64::MIN_POSITIVE / 8.0, f64::MAX, 0.1];
        let draw = |rng: &mut Rng| match f64::from_bits(rng.bits()) {
            x if x.is_nan() => f64::NAN,
            x => x,
        };
        let loss = odd.get(i).copied().unwrap_or_else(|| draw(&mut rng));
        let measure = Measure { loss, metrics: [("\"m\",\"sum\":\"".to_owned(), draw(&mut rng))].into() };
        let text: Measure = serde_json::from_str(&serde_json::to_string(&measure).unwrap()).unwrap();
        assert_eq!(bits(&text), bits(&measure));
        let mut bytes = Vec::new();
        crate::snapshot::put(&mut bytes, &measure);
        assert_eq!(bits(&crate::snapshot::get(&bytes).unwrap()), bits(&measure));
    }
    assert!(serde_json::from_str::<Measure>(r#"{"loss":"big","metrics":{}}"#).is_err());
}

#[test]
fn edits_are_one_step_away_and_cover_each_dimension() {
    let toy = Toy::new("v");
    assert_eq!(edits(&toy.space, &[0, 1, 0]), [(0, 1), (1, 0), (1, 2), (2, 1)]);
    assert_eq!((cheapest(&toy)[..2].to_vec(), costliest(&toy)[..2].to_vec()), (vec![0, 0], vec![2, 2]));
}

/// On every configuration and budget of a small space: what can fit is made to, by the cheapest loss first; what fits is left alone;
/// filling gains and never goes over.
#[test]
fn repairs_fit_and_fills_never_go_over() {
    let toy = Toy::new("v");
    // A level of the first block is worth three of the second.
    let score = |c: &[u16]| -3.0 * f64::from(c[0]) - f64::from(c[1]);
    for (a, b, budget) in
        (0..3).flat_map(|a| (0..3).flat_map(move |b| [400.0, 500.0, 999.0, 1200.0, 2000.0].map(|m| (a, b, m))))
    {
        let (start, mut config) = ([a, b, 0], [a, b, 0]);
        let fits = repair(&toy, &mut config, budget, &mut |c| score(c));
        assert_eq!(fits, budget >= 500.0);
        assert!(!fits || toy.cost(&config) <= budget);
        assert!(toy.cost(&start) > budget || config == start);
        let before = config;
        fill(&toy, &mut config, budget, &mut |c| score(c));
        assert!(score(&config) <= score(&before) && toy.cost(&config) <= toy.cost(&before).max(budget));
    }
    // From the top (2000) under 1500: the second block goes first.
    let mut config = [2, 2, 0];
    assert!(repair(&toy, &mut config, 1500.0, &mut |c| score(c)));
    assert_eq!(config, [2, 1, 0]);
}
