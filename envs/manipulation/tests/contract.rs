//! Every world keeps the contract, under every setting that changes what it is.
use rlx::{Registry, Table};

fn registry() -> Registry {
    let mut registry = Registry::new();
    rlx_manipulation::register(&mut registry);
    registry
}

fn table(text: &str) -> Table {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn keeps(world: &str, settings: &str) {
    let report = registry().find_world(world).unwrap().check(&table(settings)).unwrap();
    let broken: Vec<_> = report.checks.iter().filter(|c| !c.violations.is_empty()).collect();
    assert!(broken.is_empty(), "{world} with '{settings}': {broken:#?}");
}

#[test]
fn every_world_keeps_the_contract() {
    for world in registry().worlds() {
        keeps(&world.name, "");
    }
}

#[test]
fn conventions_and_rewards_keep_it() {
    for world in ["reach", "push", "pick-place"] {
        keeps(world, "convention=panda reward=dense");
    }
}
