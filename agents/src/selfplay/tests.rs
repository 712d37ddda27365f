//! Self-play in a world that it has never heard of: another number of players, other names, the same roles.
mod mutiny;

use mutiny::{Mutiny, PLAYERS};
use rlx::{
    Actions, ActionsMut, ColumnRef, Device, Learner, Mode, PolicyInfo, Registry, Rng, Scalars, Setup, Status, Table,
    checkpoint::Store,
};
use serde_json::{Value, json};

fn registry() -> Registry {
    let mut registry = Registry::new();
    crate::register(&mut registry);
    registry.oracle_world("mutiny", "five sailors, two of them mutineers", |_: &mutiny::Config| Mutiny::default());
    registry
}

/// Small networks and tables, and what is set beside.
fn config(keys: &[(&str, Value)]) -> Table {
    let small = [
        ("num_envs", json!(64)),
        ("num_steps", json!(20)),
        ("batch_size", json!(128)),
        ("hidden", json!(32)),
        ("head", json!(32)),
        ("learning_rate", json!(3e-3)),
        // Nothing is dealt but sides and strengths: what is never tried is never learnt.
        ("epsilon", json!(0.15)),
    ];
    small.iter().chain(keys).map(|(k, v)| ((*k).to_owned(), v.clone())).collect()
}

fn learner(algo: &str, config: &Table, iterations: u64) -> Box<dyn Learner> {
    let registry = registry();
    let spec = registry.find_world("mutiny").unwrap().spec(&Table::new()).unwrap();
    let algo = registry.find_algo(algo).unwrap();
    let worlds = algo.worlds(config).unwrap();
    let setup = Setup { spec, worlds, seed: 3, steps: iterations * worlds as u64 * 20, device: Device::Cpu };
    algo.learner(config, setup).unwrap()
}

fn train(algo: &str, keys: &[(&str, Value)], iterations: u64) -> Box<dyn Learner> {
    let config = config(keys);
    let mut learner = learner(algo, &config, iterations);
    let mut envs = registry().find_world("mutiny").unwrap().vector(&Table::new(), 64, 7).unwrap();
    for _ in 0..iterations {
        learner.iterate(&mut *envs, &mut Scalars::default()).unwrap();
    }
    learner
}

/// Mean pay, and per guess in the second half of a game the mean log loss of the policy's P(teammate) and of the prior's.
#[derive(Debug, Default)]
struct Judged {
    pay: f64,
    guess: f64,
    prior: f64,
}

/// A game at each of `tables` tables: the policy has the mutineers at every other one and their enemies at the rest, against random play;
/// or, `alone`, all seats.
fn judge(learner: &mut dyn Learner, tables: usize, alone: bool) -> Judged {
    let mut envs = registry().find_world("mutiny").unwrap().vector(&Table::new(), tables, 1234).unwrap();
    let mut rngs: Vec<Rng> = (0..tables as u64).map(|i| Rng::stream(99, i)).collect();
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let (mut judged, mut guesses) = (Judged::default(), 0.0);
    for tick in 0..2 * PLAYERS {
        let Some(ColumnRef::U8(hidden)) = envs.privileged() else { panic!("the world was opened") };
        let team = |w: usize, seat: usize| hidden[w * 2 * PLAYERS + seat];
        let teams: Vec<[u8; PLAYERS]> = (0..tables).map(|w| std::array::from_fn(|s| team(w, s))).collect();
        let frame = slab.frame(0).with_candidates(envs.candidates());
        let seats: Vec<usize> = frame.seat.iter().map(|s| usize::from(*s)).collect();
        let (mine, others): (Vec<u32>, Vec<u32>) = (0..tables as u32)
            .partition(|&w| alone || usize::from(team(w as usize, seats[w as usize])) == w as usize % 2);
        let mut choices = vec![0; tables];
        for &w in &others {
            choices[w as usize] = rngs[w as usize].below(frame.candidates.unwrap().count(w as usize)) as i64;
        }
        let mut chosen = vec![0; mine.len()];
        let mut own: Vec<Rng> = mine.iter().map(|&w| rngs[w as usize].clone()).collect();
        let policy = learner.policy();
        policy.act(frame, &mine, Mode::Greedy, &mut own, ActionsMut::Discrete(&mut chosen)).unwrap();
        for (k, &w) in mine.iter().enumerate() {
            let (w, me) = (w as usize, seats[w as usize]);
            choices[w] = chosen[k];
            let info = policy.info(k).unwrap();
            assert_eq!(info.get(PolicyInfo::Q_VALUES).len(), if tick < PLAYERS { 2 } else { PLAYERS - 1 });
            for (i, p) in info.get(PolicyInfo::P_TEAMMATE).iter().enumerate().filter(|_| tick >= PLAYERS) {
                let same = teams[w][(me + 1 + i) % PLAYERS] == teams[w][me];
                let prior = if teams[w][me] == 1 { 0.25 } else { 0.5 };
                let loss = |p: f64| if same { -p.ln() } else { -(1.0 - p).ln() };
                judged.guess += loss(f64::from(*p).clamp(1e-6, 1.0 - 1e-6));
                judged.prior += loss(prior);
                guesses += 1.0;
            }
        }
        envs.step(Actions::Discrete(&choices), slab.frame_mut(1)).unwrap();
        let after = slab.frame(1);
        for w in (0..tables).filter(|w| after.status[*w] != Status::Running) {
            assert_eq!(tick, 2 * PLAYERS - 1);
            let seat = (0..PLAYERS).find(|s| usize::from(teams[w][*s]) == w % 2).unwrap();
            judged.pay += f64::from(after.reward[w * PLAYERS + seat]) / tables as f64;
        }
        slab.carry();
    }
    (judged.guess, judged.prior) = (judged.guess / guesses, judged.prior / guesses);
    judged
}

#[test]
fn the_world_keeps_its_contract() {
    let report = registry().find_world("mutiny").unwrap().check(&Table::new()).unwrap();
    assert!(report.broken().is_empty(), "{report:?}");
}

/// The mean over both sides of luck against luck is 0, with a standard error of 0.05 over 400 games of +-1.
#[test]
fn idrl_learns_to_win_and_to_know_its_teammates() {
    let mut learner = train("idrl", &[("guess_hidden", json!(32))], 100);
    let against_random = judge(&mut *learner, 400, false);
    assert!(against_random.pay > 0.4, "{against_random:?}");
    assert!(against_random.guess < 0.9 * against_random.prior, "{against_random:?}");
    let alone = judge(&mut *learner, 400, true);
    assert!(alone.guess < 0.3 * alone.prior, "{alone:?}");
}

#[test]
fn dmc_and_mfrl_learn_to_win_without_guessing() {
    for algo in ["dmc", "mfrl"] {
        let judged = judge(&mut *train(algo, &[], 100), 400, false);
        assert!(judged.pay > 0.4, "{algo}: {judged:?}");
        assert!(judged.guess.is_nan(), "it has no opinion");
    }
}

/// Every part that counts players: networks by pattern and seat, the critic, the truth, earlier policies opposite. What is saved in the
/// middle goes on to the same end.
#[test]
fn all_its_parts_are_sized_by_the_players_and_go_on_from_a_checkpoint() {
    let folder = std::env::temp_dir().join(format!("rlx-mutiny-{}", std::process::id()));
    let league = [("league", json!(0.5)), ("league_bots", json!([])), ("league_period", json!(1))];
    let parts = [
        vec![("policy", json!("separate")), ("relation", json!("prior"))],
        [&league[..], &[("td_lambda", json!(0.8))]].concat(),
        vec![("soft", json!(0.1)), ("danger", json!(false))],
    ];
    for (number, keys) in parts.iter().enumerate() {
        let mut table = config(keys);
        table.insert("num_envs".into(), json!(16));
        let run = |learner: &mut dyn Learner, envs: &mut dyn rlx::Vector| {
            for _ in 0..3 {
                learner.iterate(envs, &mut Scalars::default()).unwrap();
            }
        };
        let registry = registry();
        let world = registry.find_world("mutiny").unwrap();
        let (mut first, mut envs) = (learner("idrl", &table, 6), world.vector(&Table::new(), 16, 7).unwrap());
        run(&mut *first, &mut *envs);
        let store = Store::new(&folder);
        store.save("step", number as u64, 1, |to| first.save(to)).unwrap();
        let mut state = Vec::new();
        envs.save(&mut state);
        run(&mut *first, &mut *envs);
        let (mut second, mut envs) = (learner("idrl", &table, 6), world.vector(&Table::new(), 16, 8).unwrap());
        second.load(&store.open("step", number as u64).unwrap()).unwrap();
        envs.load(&state).unwrap();
        run(&mut *second, &mut *envs);
        assert!(first.export().unwrap() == second.export().unwrap(), "{keys:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The upper bound is shown the truth, and says it.
#[test]
fn the_truth_is_told_when_it_is_shown() {
    let mut learner = train("idrl", &[("relation", json!("truth")), ("intrinsic", json!(0.0))], 2);
    let policy = learner.policy();
    assert!(policy.needs_hidden());
    let mut envs = registry().find_world("mutiny").unwrap().vector(&Table::new(), 1, 5).unwrap();
    let mut slab = envs.slab(1);
    envs.reset(slab.frame_mut(0));
    let frame = slab.frame(0).with_candidates(envs.candidates());
    let Some(ColumnRef::U8(hidden)) = envs.privileged() else { panic!("the world was opened") };
    policy.show_hidden(ColumnRef::U8(hidden));
    let (me, mut choice) = (usize::from(frame.seat[0]), [0]);
    policy.act(frame, &[0], Mode::Greedy, &mut [Rng::stream(0, 0)], ActionsMut::Discrete(&mut choice)).unwrap();
    let truth: Vec<f32> = (1..PLAYERS).map(|k| f32::from(u8::from(hidden[(me + k) % PLAYERS] == hidden[me]))).collect();
    assert_eq!(policy.info(0).unwrap().get(PolicyInfo::P_TEAMMATE), truth);
}

#[test]
fn without_roles_it_says_what_is_missing() {
    let registry = registry();
    let mut spec = registry.find_world("mutiny").unwrap().spec(&Table::new()).unwrap();
    let says = |algo: &str, keys: &[(&str, Value)], spec: &rlx::Spec| {
        registry.find_algo(algo).unwrap().fits(&config(keys), spec).unwrap_err().to_string()
    };
    let league = [("league", json!(0.5))];
    assert!(says("dmc", &league, &spec).contains("there is no bot 'greedy'"));
    for field in spec.fields.iter_mut().chain(&mut spec.hidden_fields).chain(&mut spec.candidate_fields) {
        field.role = None;
    }
    assert!(says("idrl", &[], &spec).contains("Team and TeamPrior"));
    assert!(says("mfrl", &[], &spec).contains("RecentMoves and Move"));
    assert!(says("dmc", &[("td_lambda", json!(0.5))], &spec).contains("role is Team"));
    assert!(registry.find_algo("dmc").unwrap().fits(&config(&[]), &spec).is_ok());
}
