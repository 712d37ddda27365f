//! Exported policies and what they do: files that the Python package is held to, and that are held to the learners here.
//!
//! `RLX_GOLDEN=write` makes them anew.
use rlx::{
    ActionBuffer, Algo, Array, ColumnRef, Device, Export, Frame, Learner, Mode, PolicyInfo, Ragged, Registry, Rng,
    Scalars, Setup, Status, Table, World,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use std::{collections::HashMap, fs, path::PathBuf};

const SMALL: &str = r#""num_envs": 2, "batch_size": 32, "learning_starts": 100, "hidden": [8, 8]"#;
const TABLE: &str = r#""num_envs": 4, "num_steps": 60, "batch_size": 32, "hidden": 8, "head": 8"#;
// One network for each pattern and seat: small ones, for the file's sake.
const TABLES: &str = r#""num_envs": 4, "num_steps": 60, "batch_size": 32, "hidden": 2, "head": 2"#;
const GUESS: &str = r#""guess_hidden": 8, "danger_hidden": 4"#;

/// Name, world, algorithm, its config.
fn cases() -> Vec<(&'static str, &'static str, &'static str, String)> {
    let ppo =
        |more: &str| format!(r#"{{"num_envs": 4, "num_steps": 64, "minibatch_size": 64, "hidden": [8, 8] {more}}}"#);
    vec![
        ("ppo-cartpole", "cartpole", "ppo", ppo("")),
        ("ppo-pendulum", "pendulum", "ppo", ppo(r#", "normalize_obs": true"#)),
        ("ppo-reach", "reach", "ppo", ppo(r#", "normalize_obs": true, "activation": "relu""#)),
        ("sac-push", "push", "sac", format!(r#"{{{SMALL}, "normalize_obs": true}}"#)),
        ("sac-pendulum", "pendulum", "sac", format!(r#"{{{SMALL}, "normalize_obs": false, "activation": "silu"}}"#)),
        ("tdrp-reach", "reach", "tdrp", format!(r#"{{{SMALL}, "activation": "elu"}}"#)),
        ("chain-stack3", "stack3", "chain", format!("{{{SMALL}}}")),
        ("dmc-red10", "red10", "dmc", format!("{{{TABLE}}}")),
        ("mfrl-red10", "red10", "mfrl", format!("{{{TABLE}}}")),
        ("idrl-red10", "red10", "idrl", format!("{{{TABLE}, {GUESS}}}")),
        ("idrl-separate-red10", "red10", "idrl", format!(r#"{{{TABLES}, {GUESS}, "policy": "separate"}}"#)),
        ("idrl-prior-red10", "red10", "idrl", format!(r#"{{{TABLE}, {GUESS}, "relation": "prior", "danger": false}}"#)),
    ]
}

fn learner(world: &World, algo: &Algo, config: &Table) -> Box<dyn Learner> {
    let spec = world.spec(&Table::new()).unwrap();
    let worlds = algo.worlds(config).unwrap();
    let setup = Setup { spec, worlds, seed: 1, steps: 4000, device: Device::Cpu };
    algo.learner(config, setup).unwrap()
}

/// What a policy does in one row of a world.
fn row(world: &World, policy: &mut dyn rlx::Policy, case: &Value) -> Value {
    let spec = world.spec(&Table::new()).unwrap();
    let floats = |key: &str| -> Vec<f32> {
        let all = case[key].as_array().into_iter().flatten();
        all.map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let bytes = |x: &[f32]| -> Vec<u8> { x.iter().map(|x| *x as u8).collect() };
    let (obs, moves) = (floats("obs"), floats("candidates"));
    let (obs_bytes, moves_bytes) = (bytes(&obs), bytes(&moves));
    let width = spec.candidates.unwrap_or(0);
    let ends = [0, (moves.len() / width.max(1)) as u32];
    let obs = if width > 0 { ColumnRef::U8(&obs_bytes) } else { ColumnRef::F32(&obs) };
    let ragged = Ragged { rows: ColumnRef::U8(&moves_bytes), width, offsets: &ends };
    let mask = vec![true; spec.act.choices()];
    let seat = [case["seat"].as_u64().unwrap_or(0) as u8];
    let (reward, status) = (vec![0.0; spec.players], [Status::Running]);
    let candidates = (width > 0).then_some(ragged);
    let frame = Frame { obs, last: obs, mask: &mask, seat: &seat, reward: &reward, status: &status, candidates };
    let mut act = ActionBuffer::new(&spec.act, 1);
    policy.act(frame, &[0], Mode::Greedy, &mut [Rng::stream(0, 0)], act.get_mut()).unwrap();
    let action: Vec<f64> = match &act {
        ActionBuffer::Discrete(a) => a.iter().map(|x| *x as f64).collect(),
        ActionBuffer::Continuous(a) => a.iter().map(|x| f64::from(*x)).collect(),
    };
    let info = policy.info(0).unwrap_or_default();
    json!({"action": action, "values": info.get(PolicyInfo::Q_VALUES), "teammates": info.get(PolicyInfo::P_TEAMMATE)})
}

/// Observations on the way of random play.
fn positions(world: &World, n: usize) -> Vec<Value> {
    let mut envs = world.vector(&Table::new(), 1, 11).unwrap();
    let spec = envs.spec().clone();
    let mut slab = envs.slab(1);
    envs.reset(slab.frame_mut(0));
    let (mut rng, mut act, mut out) = (Rng::stream(2, 2), ActionBuffer::new(&spec.act, 1), Vec::new());
    for t in 0..n * 7 {
        let frame = slab.frame(0).with_candidates(envs.candidates());
        if t % 7 == 0 {
            let mut floats = Vec::new();
            frame.obs.extend_f32(&mut floats);
            let mut case = json!({"obs": floats, "seat": frame.seat[0]});
            if let Some(all) = frame.candidates {
                let mut moves = Vec::new();
                all.of(0).extend_f32(&mut moves);
                case["candidates"] = json!(moves);
            }
            out.push(case);
        }
        rlx::random_actions(&spec, frame, &mut rng, &mut act);
        envs.step(act.get(), slab.frame_mut(0)).unwrap();
    }
    out
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../python/tests/golden")
}

fn write(registry: &Registry, name: &str, world: &str, algo: &str, config: &Table) {
    let (world, algo) = (registry.find_world(world).unwrap(), registry.find_algo(algo).unwrap());
    let mut learner = learner(world, algo, config);
    let mut envs = world.vector(&Table::new(), algo.worlds(config).unwrap(), 1).unwrap();
    let mut steps = 0;
    while steps < 2000 {
        steps += learner.iterate(&mut *envs, &mut Scalars::default()).unwrap();
    }
    let policy = learner.export().unwrap();
    let act: Vec<&Array> = policy.arrays.iter().filter(|a| !policy.training.contains(&a.name)).collect();
    let data: Vec<Vec<u8>> = act.iter().map(|a| a.data.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = act.iter().zip(&data).map(|(a, d)| (&a.name, TensorView::new(Dtype::F32, a.shape.clone(), d).unwrap()));
    let about: HashMap<String, String> = policy.about.iter().cloned().collect();
    fs::write(folder().join(format!("{name}.safetensors")), safetensors::serialize(views, Some(about)).unwrap())
        .unwrap();
    let mut cases = positions(world, 12);
    for case in &mut cases {
        let did = row(world, learner.policy(), case);
        case.as_object_mut().unwrap().extend(did.as_object().unwrap().clone());
    }
    fs::write(folder().join(format!("{name}.json")), serde_json::to_string(&cases).unwrap()).unwrap();
}

fn near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b)),
        _ => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6,
    }
}

#[test]
fn policies_for_python_do_what_their_files_say() {
    let registry = rlx_experiments::registry();
    for (name, world, algo, config) in cases() {
        let config: Table = serde_json::from_str(&config).unwrap();
        if std::env::var("RLX_GOLDEN").is_ok_and(|v| v == "write") {
            fs::create_dir_all(folder()).unwrap();
            write(&registry, name, world, algo, &config);
        }
        let (world, algo) = (registry.find_world(world).unwrap(), registry.find_algo(algo).unwrap());
        let bytes = fs::read(folder().join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let array = |(name, view): (String, TensorView<'_>)| Array {
            name,
            shape: view.shape().to_vec(),
            data: view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        };
        let mut learner = learner(world, algo, &config);
        // What only training needs is this learner's own.
        let own = learner.export().unwrap();
        let mut arrays: Vec<Array> = file.tensors().into_iter().map(|(n, v)| array((n, v))).collect();
        arrays.extend(own.arrays.into_iter().filter(|a| own.training.contains(&a.name)));
        learner.init_from(&Export { arrays, ..Export::default() }).unwrap();
        let cases: Vec<Value> =
            serde_json::from_slice(&fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap();
        assert!(cases.len() >= 10);
        for case in &cases {
            let did = row(world, learner.policy(), case);
            for key in ["action", "values", "teammates"] {
                assert!(near(&did[key], &case[key]), "{name} {key}: {} and {}", did[key], case[key]);
            }
        }
    }
}
