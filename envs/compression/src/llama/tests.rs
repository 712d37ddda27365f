//! The objective over the tiny random LLaMA: nothing is downloaded, everything is really compressed.
use super::*;
use rlx::{Rng, conformance};

fn never() -> bool {
    false
}

fn config() -> Config {
    let ledger = std::env::temp_dir().join(format!("rlx-llama-{}", std::process::id()));
    Config {
        model: "tiny".into(),
        tokens: 96,
        decide: vec![Decision::Ratio, Decision::Bits, Decision::Rank, Decision::Embedding],
        ledger: ledger.display().to_string(),
        ..Config::default()
    }
}

fn objective(config: &Config) -> Llama {
    Llama::new(Box::new(LlamaModel::open(config, never).unwrap()), config, None).unwrap()
}

/// For random configurations: what is counted is what is on the disk, less than the header's slack above it, and never below.
#[test]
fn counted_bytes_are_those_on_the_disk_but_for_the_headers_slack() {
    let config = config();
    let mut llama = objective(&config);
    let folder = std::env::temp_dir().join(format!("rlx-llama-save-{}", std::process::id()));
    let mut rng = Rng::stream(3, 0);
    for _ in 0..8 {
        let mut c = vec![0; llama.space().dimensions().len()];
        llama.space().sample(&mut rng, &mut c);
        let _ = std::fs::remove_dir_all(&folder);
        let (blocks, embedding) = llama.choices(&c);
        let (said, _) = llama.model().save(&blocks, embedding, (0, 0), &folder, &never).unwrap();
        let disk = std::fs::metadata(folder.join("model.safetensors")).unwrap().len();
        let counted = llama.cost(&c) as u64;
        assert_eq!(said, disk);
        assert!(counted >= disk && counted < disk + 16_384, "{counted} counted, {disk} on the disk");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// More bits are nearer to the full-precision model, and so is more rank; the measure is a function of its arguments.
#[test]
fn bits_and_rank_bring_the_loss_back() {
    let config = Config { ratios: vec![0.0, 0.5], bits: vec![2, 4, 16], embedding_bits: vec![8], ..config() };
    let mut llama = objective(&config);
    let blocks = 3;
    let mut loss = |ratio: u16, bits: u16, rank: u16| {
        let mut c = vec![0];
        (0..blocks).for_each(|_| c.extend([ratio, bits, rank]));
        let measure = llama.evaluate(&c, 0, 0, &never).unwrap();
        assert_eq!(measure, llama.evaluate(&c, 0, 9, &never).unwrap());
        (measure.loss - measure.metrics["dense_loss"]).abs()
    };
    let (two, four, sixteen) = (loss(0, 0, 0), loss(0, 1, 0), loss(0, 2, 0));
    assert!(sixteen < four && four < two && sixteen < 0.01, "{two} {four} {sixteen}");
    assert!(loss(0, 0, 3) < two, "rank 16 takes some of it back");
}

/// Protected blocks keep their shape where the ratio is fixed, weigh what whole ones weigh, and are another objective.
#[test]
fn protected_ends_are_not_pruned() {
    let fixed = |protect| Config { decide: vec![Decision::Bits], ratio: 0.5, protect, ..config() };
    let (ends, none) = (objective(&fixed([1, 1])), objective(&fixed([0, 0])));
    let ratios = |l: &Llama| l.choices(&[0, 0, 0]).0.iter().map(|c| c.ratio).collect::<Vec<_>>();
    assert_eq!((ratios(&ends), ratios(&none)), (vec![0.0, 0.5, 0.0], vec![0.5; 3]));
    assert_eq!(ratios(&objective(&fixed([2, 5]))), vec![0.0; 3]);
    assert!(ends.cost(&[0, 0, 0]) > none.cost(&[0, 0, 0]));
    assert_ne!(ends.version(), none.version());
    // Where the ratio is decided there is nothing to protect.
    let open = Config { protect: [1, 1], ..config() };
    assert_eq!(objective(&open).version(), objective(&config()).version());
}

/// Tuning the adapters is a function of the seed, brings the model nearer to what the full-precision one says, and is what is saved.
#[test]
fn a_recovery_is_measured_and_saved() {
    let folder = std::env::temp_dir().join(format!("rlx-llama-recovered-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let config = Config {
        fidelity: 1,
        bits: vec![2],
        ranks: vec![0, 8],
        ratios: vec![0.5],
        embedding_bits: vec![8],
        recover_few: 3,
        recover_full: 30,
        recover_learning_rate: 3e-3,
        ..config()
    };
    let mut llama = objective(&config);
    assert_eq!(llama.fidelities(), ["untuned", "3 steps", "30 steps"]);
    let c = [0, 0, 0, 1, 0, 0, 1, 0, 0, 0]; // the last block has no adapter
    let mut loss = |fidelity, seed| llama.evaluate(&c, fidelity, seed, &never).unwrap().loss;
    let (untuned, few, full) = (loss(0, 0), loss(1, 0), loss(2, 0));
    assert!(full != few && few != untuned, "{untuned} {few} {full}");
    assert_eq!(full, loss(2, 0));
    assert_ne!(full, loss(2, 1));
    let none = llama.evaluate(&[0; 10], 2, 0, &never).unwrap().loss;
    assert_eq!(none, llama.evaluate(&[0; 10], 0, 0, &never).unwrap().loss);
    assert!(matches!(llama.evaluate(&c, 2, 5, &|| true), Err(Error::Interrupted)));
    let (_, written) = write(&config, &c, 2, &folder, never).unwrap();
    assert_eq!(written, full);
    let model = rlx_lm::llama::load(&folder).unwrap().model;
    // Other words of the dense model than it was tuned on; what is measured is noise to it.
    let starts: Vec<u32> = (0..64).collect();
    let text =
        rlx_lm::llama::generate::self_generated(&rlx_lm::llama::tiny(3), &starts, 64, 7, &never).unwrap().concat();
    let of = |m: &rlx_lm::llama::Model| {
        let windows = rlx_lm::llama::likelihood::Windows::new(&text, 64).unwrap();
        rlx_lm::llama::likelihood::evaluate(m, &windows, None, &never).unwrap().nll
    };
    let _ = std::fs::remove_dir_all(&folder);
    write(&config, &c, 0, &folder, never).unwrap();
    let (tuned, before) = (of(&model), of(&rlx_lm::llama::load(&folder).unwrap().model));
    assert!(tuned < before - 0.1, "{before} became {tuned}");
    std::fs::remove_dir_all(&folder).unwrap();
    let why = Llama::new(
        Box::new(LlamaModel::open(&config, never).unwrap()),
        &Config { decide: vec![Decision::Bits], ..config.clone() },
        None,
    );
    assert!(why.err().unwrap().to_string().contains("only adapters are tuned"));
}

#[test]
fn the_world_over_it_signs_the_contract() {
    let config = Config { tokens: 64, ..config() };
    let (shared, terms) = open(&config, never).unwrap();
    let report = conformance::check(&|| World::new(shared.clone(), terms.clone(), None).unwrap());
    assert!(report.passed(), "{report:#?}");
    let _ = std::fs::remove_dir_all(&config.ledger);
}

#[test]
fn what_is_wrong_is_said() {
    let why = |config: Config| match open(&config, never) {
        Ok(_) => panic!("it was to be refused"),
        Err(e) => e.to_string(),
    };
    let missing = why(Config { model: "smollm2-7b".into(), ..config() });
    assert!(missing.contains("rlx list models"), "{missing}");
    let none = why(Config { decide: Vec::new(), ..config() });
    assert!(none.contains("at least one of ratio, bits, rank and embedding"), "{none}");
    let order = why(Config { bits: vec![4, 2], ..config() });
    assert!(order.contains("bits") && order.contains("ascending"), "{order}");
    let (shared, terms) =
        open(&Config { budget_low: 0.001, budget_high: 0.002, tokens: 65, ..config() }, never).unwrap();
    let small = World::new(shared, terms, None).err().unwrap().to_string();
    assert!(small.contains("the smallest model that can be chosen"), "{small}");
}

/// Asked to stop in the middle of a calibration: that is no failure, and who asks next begins again.
#[test]
fn e4_an_interrupted_calibration_is_begun_again() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static LEFT: AtomicUsize = AtomicUsize::new(1);
    fn stop() -> bool {
        LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err()
    }
    let config = config();
    let model = Box::new(LlamaModel::open(&config, stop).unwrap());
    let mut llama = Llama { stop, ..Llama::new(model, &config, None).unwrap() };
    let c = vec![0; llama.space().dimensions().len()];
    // The first question is whether to begin, the second comes from within.
    for left in [1, 0] {
        LEFT.store(left, Ordering::Relaxed);
        assert!(matches!(llama.evaluate(&c, 0, 0, &never), Err(Error::Interrupted)), "{left}");
        assert!(llama.guess(&c).is_finite());
    }
    LEFT.store(usize::MAX, Ordering::Relaxed);
    assert!(llama.evaluate(&c, 0, 0, &never).unwrap().loss.is_finite());
}

/// What was measured before is found by these words: another text or another folder would lose it. They were copied from a ledger, and the
/// folders from a cache, that an earlier version wrote.
#[test]
fn keys_of_ledgers_and_their_folders_are_those_of_before() {
    let config = Config { tokens: 96, ledger: String::new(), ..config() };
    let llama = objective(&config);
    let version = "2 tiny tokens 96 windows 256 clipped true; recovery on its own words, 8 and 100 steps of 4, 0.0003 \
                   [Ratio, Bits, Rank, Embedding] ([0.0, 0.125, 0.25, 0.375, 0.5], [2, 3, 4], [0, 4, 8, 16], [3, 4, 8]) \
                   (0.0, 4, 0, 8)";
    assert_eq!((llama.name(), llama.version()), ("compress-llama tiny", version));
    let protected = Config { decide: vec![Decision::Bits], ratio: 0.5, protect: [1, 1], ..config };
    assert!(objective(&protected).version().ends_with(" (0.5, 4, 0, 8) protected [1, 1]"));
    let folder = ledger_folder("", &folder_name("tiny"), version);
    assert!(folder.ends_with("ledgers/tiny-c7025718a0fb8fa5"), "{}", folder.display());
    assert_eq!(hashed(llama.model.version()), "fab2a17c5b31011c", "of the calibration's file");
    assert_eq!(folder_name("a b/c.gguf"), "a_b_c_gguf");
    assert_eq!(ledger_folder("mine", "x", "y"), Path::new("mine"));
    // The seed is 0 where nothing is left to chance, so that every run finds the measure.
    let own = std::env::temp_dir().join(format!("rlx-llama-key-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&own);
    let measured = Measured::new(llama, Some(LedgerDir::new(&own)));
    measured.measure(&[0; 10], 0, 7, &never).unwrap();
    let line = std::fs::read_to_string(own.join("0.jsonl")).unwrap();
    let key = format!(
        r#"{{"key":{{"objective":"compress-llama tiny","version":"{version}","config":[0,0,0,0,0,0,0,0,0,0],"fidelity":0,"seed":0}}"#
    );
    assert!(line.starts_with(&key), "{line}");
    std::fs::remove_dir_all(own).unwrap();
}

/// What a search leaves is written by the model that it searched with.
#[test]
fn a_model_that_is_open_is_not_opened_again() {
    let folder = std::env::temp_dir().join(format!("rlx-llama-once-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let config = Config { tokens: 80, ..config() };
    let (shared, _) = open(&config, never).unwrap();
    shared.measure(&[0; 10], 0, 0, &never).unwrap();
    let (again, _) = opened(&config, never).unwrap();
    assert_eq!(again.evaluations(), 1, "it is the same one");
    let scored = |o: &Measured<Llama>| o.with(|l| l.facts.get().is_some());
    assert!(scored(&again));
    write(&config, &[0; 10], 1, &folder, never).unwrap();
    let other = Config { tokens: 81, ..config };
    assert!(!scored(&opened(&other, never).unwrap().0));
    std::fs::remove_dir_all(&folder).unwrap();
    let _ = std::fs::remove_dir_all(&other.ledger);
}
