//! Every configuration of a small `compress-synthetic` with its cost and loss, as JSON, for searchers of others to be tried on:
//! `cargo run --release -p rlx-compression --example synthetic_table -- 3` (blocks; each has 16 choices). `tools/egobox_check.py` reads it.
use rlx::Objective;
use rlx_compression::synthetic::{Config, Synthetic};

fn main() {
    let blocks = std::env::args().nth(1).and_then(|b| b.parse().ok()).filter(|b| (1..=4).contains(b));
    let Some(blocks) = blocks else {
        eprintln!("synthetic_table BLOCKS: 1 to 4");
        std::process::exit(2);
    };
    let objective = Synthetic::new(&Config { blocks, ..Config::default() });
    let dimensions = objective.space().dimensions().len() as u32;
    let rows: Vec<_> = (0..4usize.pow(dimensions))
        .map(|code| {
            let config: Vec<u16> = (0..dimensions).map(|d| (code / 4usize.pow(d) % 4) as u16).collect();
            (config.clone(), objective.cost(&config), objective.loss(&config))
        })
        .collect();
    println!("{}", serde_json::to_string(&rows).expect("numbers and lists are JSON"));
}
