//! The real SmolLM2-135M against an independent implementation, where it is in the cache (`rlx fetch smollm2-135m`).
use rlx_lm::{
    llama::compress::{Choice, Compressor, Criterion, Plan, importance},
    llama::{
        Loaded,
        likelihood::{Windows, evaluate},
        load,
    },
    quant::{Rounding, Scheme},
};
use tch::{Kind, Tensor};

const GOLDEN: &str = include_str!("golden/smollm2.txt");

fn model() -> Option<Loaded> {
    let path = rlx_lm::store::cache_dir().join("models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    if !path.exists() {
        println!("SKIPPED: {} is not there; `rlx fetch smollm2-135m` gets it", path.display());
        return None;
    }
    Some(load(&path).unwrap())
}

fn lines(kind: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let kind = kind.to_owned();
    GOLDEN.lines().map(|l| l.split(' ').collect::<Vec<_>>()).filter(move |l| l[0] == kind)
}

#[test]
fn tokens_logits_and_likelihood_are_those_of_independent_implementations() {
    let Some(loaded) = model() else { return };
    let tokenizer = loaded.tokenizer().unwrap();
    for line in lines("tokens") {
        let bytes: Vec<u8> =
            (0..line[1].len()).step_by(2).map(|i| u8::from_str_radix(&line[1][i..i + 2], 16).unwrap()).collect();
        let text = String::from_utf8(bytes).unwrap();
        let right: Vec<u32> = line[2..].iter().map(|t| t.parse().unwrap()).collect();
        assert_eq!(tokenizer.encode(&text).unwrap(), right, "{text:?}");
        if !text.contains('<') {
            assert_eq!(tokenizer.decode(&right).unwrap(), text);
        }
    }
    let mut worst = 0f64;
    for line in lines("ids") {
        let (name, ids): (&str, Vec<u32>) = (line[1], line[2..].iter().map(|t| t.parse().unwrap()).collect());
        let logits = loaded.model.logits_no_grad(&loaded.model.ids(&ids).unwrap()).squeeze_dim(0);
        for l in lines("logit").filter(|l| l[1] == name) {
            let ours = logits.double_value(&[l[2].parse().unwrap(), l[3].parse().unwrap()]);
            worst = worst.max((ours - l[4].parse::<f64>().unwrap()).abs());
        }
        let right: f64 = lines("nll").find(|l| l[1] == name).unwrap()[2].parse().unwrap();
        let ours = evaluate(&loaded.model, &Windows::new(&ids, ids.len()).unwrap(), None, &|| false).unwrap().nll;
        assert!((ours - right).abs() < 1e-3, "{name}: {ours} against {right}");
        println!("{name}: nll {ours:.6}, reference {right:.6}");
    }
    println!("largest difference of a logit: {worst:.1e}");
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn paris_is_the_capital_of_france() {
    let Some(loaded) = model() else { return };
    let tokenizer = loaded.tokenizer().unwrap();
    let ids = tokenizer.encode("The capital of France is").unwrap();
    let logits = loaded.model.logits_no_grad(&loaded.model.ids(&ids).unwrap()).squeeze_dim(0);
    let logs = logits.select(0, ids.len() as i64 - 1).log_softmax(-1, Kind::Float);
    let paris = tokenizer.encode(" Paris").unwrap();
    assert_eq!(paris.len(), 1);
    let found = logs.double_value(&[paris[0].into()]);
    assert!((found + 0.258).abs() < 0.01, "{found}");
}

#[test]
fn four_bits_with_minima_are_the_grid_the_model_is_on() {
    let Some(loaded) = model() else { return };
    let ids = Tensor::from_slice(&(0..32i64).map(|i| i * 991 % 49_152).collect::<Vec<_>>()).unsqueeze(0);
    let windows = Windows::new(&(0..256u32).map(|i| i * 37 % 5_000).collect::<Vec<_>>(), 64).unwrap();
    let scores = importance(&loaded.model, &windows, Criterion::Magnitude, 0, &|| false).unwrap();
    let mut compressor = Compressor::new(loaded.model, scores, Rounding::Nearest, None, 0).unwrap();
    let plan =
        Plan::uniform(compressor.dense(), 0.0, Scheme::of_bits(4).unwrap(), 0, (0, 0), Scheme::of_bits(8).unwrap());
    let packed = compressor.build(&plan).unwrap();
    let worst = (packed.logits_no_grad(&ids) - compressor.dense().logits_no_grad(&ids)).abs().max().double_value(&[]);
    println!("largest difference of a logit after packing: {worst:.1e}; {} bytes", plan.bytes(compressor.dense()));
    assert!(worst < 1e-3, "{worst}");
}

/// How long what a search does takes; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn speed() {
    let Some(loaded) = model() else { return };
    let windows = Windows::new(&(0..2048u32).map(|i| i * 37 % 5_000).collect::<Vec<_>>(), 256).unwrap();
    let clock = |name: &str, work: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        work();
        println!("{name}: {:.2} s", start.elapsed().as_secs_f64());
    };
    let mut scores = None;
    clock("importance", &mut || {
        let ten = Windows::new(&(0..640u32).map(|i| i * 37 % 5_000).collect::<Vec<_>>(), 64).unwrap();
        scores = Some(importance(&loaded.model, &ten, Criterion::TaylorFirst, 0, &|| false).unwrap());
    });
    let mut compressor = Compressor::new(loaded.model.clone(), scores.unwrap(), Rounding::Clipped, None, 0).unwrap();
    clock("dense", &mut || println!("{:?}", evaluate(&loaded.model, &windows, None, &|| false).unwrap()));
    for (bits, rank) in [(4, 0), (3, 0), (2, 8)] {
        let mut plan = Plan::uniform(
            compressor.dense(),
            0.2,
            Scheme::of_bits(bits).unwrap(),
            rank,
            (4, 2),
            Scheme::of_bits(8).unwrap(),
        );
        let mut built = None;
        clock(&format!("{bits} bits, rank {rank}: building"), &mut || built = Some(compressor.build(&plan).unwrap()));
        clock("  again", &mut || built = Some(compressor.build(&plan).unwrap()));
        plan.blocks[9] = Choice { rank: 4, ..plan.blocks[9] };
        clock("  one block changed", &mut || built = Some(compressor.build(&plan).unwrap()));
        clock("  evaluating", &mut || {
            println!("{:?}", evaluate(built.as_ref().unwrap(), &windows, None, &|| false).unwrap())
        });
        clock("  bytes", &mut || println!("{}", plan.bytes(compressor.dense())));
    }
    println!("kept: {} bytes", compressor.cached_bytes());
}
