//! The world over the model of a model: contract, budgets, resume, and what is known of the best.
use super::*;
use rlx::{ActionBuffer, Actions, Scalars, VecEnv, Vector, conformance, objective::LedgerDir, random_actions};

fn never() -> bool {
    false
}

fn config() -> Config {
    Config { blocks: 6, ..Config::default() }
}

#[test]
fn the_world_signs_the_contract() {
    for (low, high) in [(0.3, 0.8), (0.0, 1.0)] {
        let config = Config { budget_low: low, budget_high: high, ..config() };
        let (shared, terms) = open(&config, never);
        let report = conformance::check(&|| World::new(shared.clone(), terms.clone(), None).unwrap());
        assert!(report.passed(), "{report:#?}");
    }
}

/// Random play over many budgets: what comes out fits, and the choices that were masked are those with which nothing does.
#[test]
fn no_episode_goes_over_its_budget() {
    let config = Config { budget_low: 0.0, budget_high: 1.0, ..config() };
    let (shared, terms) = open(&config, never);
    let mut envs = VecEnv::new(16, 3, || World::new(shared.clone(), terms.clone(), None).unwrap());
    let spec = envs.spec().clone();
    let (mut slab, mut rng) = (envs.slab(2), Rng::stream(1, 0));
    let mut act = ActionBuffer::new(&spec.act, 16);
    envs.reset(slab.frame_mut(0));
    let mut seen = 0;
    for t in 0..300 {
        random_actions(&spec, slab.frame(t % 2), &mut rng, &mut act);
        envs.step(act.get(), slab.frame_mut((t + 1) % 2)).unwrap();
        let ended = envs.episodes().clone();
        for (metrics, returns) in ended.metrics.iter().zip(&ended.returns) {
            let used = metrics.get("budget_used").unwrap();
            assert!(used <= 1.0 && used > 0.0, "{used}");
            assert!((returns + metrics.get("excess_loss").unwrap()).abs() < 1e-6);
            seen += 1;
        }
        envs.episodes().clear();
    }
    assert!(seen > 500);
}

/// At the smallest budget there is one way, and every mask leaves only it.
#[test]
fn the_smallest_budget_leaves_one_choice() {
    let config = Config { budget_low: 0.0, budget_high: 0.0, ..config() };
    let (shared, terms) = open(&config, never);
    let mut envs = VecEnv::new(1, 3, || World::new(shared.clone(), terms.clone(), None).unwrap());
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    for t in 0..config.blocks {
        assert_eq!(slab.frame(t % 2).mask, [false, false, false, true, true, false, false, false]);
        envs.step(Actions::Discrete(&[3, 0]), slab.frame_mut((t + 1) % 2)).unwrap();
    }
    assert_eq!(envs.episodes().metrics[0].get("bytes"), Some(shared.cheapest().1));
    let below = ObjectiveConfig { budgets: (terms.least - 1.0, terms.least), ..terms };
    let why = World::new(shared, below, None).err().unwrap().to_string();
    assert!(why.contains("the smallest model that can be chosen has"), "{why}");
}

/// Four blocks of 16 choices, all tried: the bound is one, and tight.
#[test]
fn the_bound_is_the_exhaustive_optimum() {
    let config = Config { blocks: 4, ..Config::default() };
    let (objective, terms) = (Synthetic::new(&config), open(&config, never).1);
    for share in [0.2, 0.5, 0.9] {
        let budget = terms.budgets.0 + share * (terms.budgets.1 - terms.budgets.0);
        let mut best = f64::INFINITY;
        for code in 0..16usize.pow(4) {
            let config: Vec<u16> = (0..8u32).map(|d| (code / 4usize.pow(d) % 4) as u16).collect();
            if objective.cost(&config) <= budget {
                best = best.min(objective.loss(&config));
            }
        }
        let bound = objective.bound(budget, 20_000);
        assert!(bound <= best && bound > best - 0.01, "{bound} of {best}");
    }
}

/// What earlier runs measured is worth having: the surrogate is there with the first measurements of the run's own, and after a save.
#[test]
fn what_the_ledgers_hold_can_be_recalled() {
    let config = Config { surrogate: true, warm_up: 30, ..config() };
    let folder = std::env::temp_dir().join(format!("rlx-recall-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let shared = Measured::new(Synthetic::new(&config), Some(LedgerDir::new(&folder)));
    let terms = ObjectiveConfig { recall: true, guesses: 2, ..terms(&config, &shared) };
    let shared = shared.erased();
    let mut rng = Rng::stream(5, 0);
    for _ in 0..40 {
        let mut c = vec![0; 12];
        shared.space().sample(&mut rng, &mut c);
        shared.measure(&c, 0, 0, &never).unwrap();
    }
    let mut log = Scalars::default();
    for recall in [true, false] {
        let mut envs = SurrogateVector::new(&shared, &ObjectiveConfig { recall, ..terms.clone() }, 2, 0).unwrap();
        let (spec, mut slab) = (envs.spec().clone(), envs.slab(2));
        let mut act = ActionBuffer::new(&spec.act, 2);
        envs.reset(slab.frame_mut(0));
        for _ in 0..2 {
            random_actions(&spec, slab.frame(0), &mut rng, &mut act);
            envs.step(act.get(), slab.frame_mut(1)).unwrap();
            slab.carry();
        }
        let mut state = Vec::new();
        envs.save(&mut state);
        let mut again =
            SurrogateVector::new(&shared, &ObjectiveConfig { recall: false, ..terms.clone() }, 2, 0).unwrap();
        again.load(&state).unwrap();
        for envs in [&mut envs, &mut again] {
            log.clear();
            envs.objective().unwrap().report(&mut log);
            assert_eq!(log.get("search/evaluations"), Some(2.0), "what is recalled does not count");
            assert_eq!(log.get("surrogate/trusted").is_some(), recall);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A batch with a surrogate: what it measures gets rarer once the surrogate is trusted, never passes the limit, and a saved batch goes
/// on as if it had not stopped.
#[test]
fn a_surrogate_spares_measurements_and_is_resumed_to_the_bit() {
    let config = Config { surrogate: true, warm_up: 30, imagined: 9, evaluations: 60, ..config() };
    let (shared, terms) = open(&config, never);
    let terms = ObjectiveConfig { guesses: 3, ..terms };
    let new = || SurrogateVector::new(&shared, &terms, 4, 7).unwrap();
    let play = |envs: &mut SurrogateVector, slab: &mut rlx::Slab, rng: &mut Rng, ticks: usize| -> Vec<f32> {
        let (spec, mut out) = (envs.spec().clone(), Vec::new());
        let mut act = ActionBuffer::new(&spec.act, 4);
        for _ in 0..ticks {
            slab.carry();
            random_actions(&spec, slab.frame(0), rng, &mut act);
            envs.step(act.get(), slab.frame_mut(1)).unwrap();
            out.extend_from_slice(slab.frame(1).reward);
        }
        out
    };
    let mut first = new();
    let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let ear = said.clone();
    first.objective().unwrap().listen(rlx::objective::Tell::new(move |line| ear.lock().unwrap().push(line.into())));
    let (mut slab, mut rng) = (first.slab(2), Rng::stream(2, 0));
    first.reset(slab.frame_mut(1));
    play(&mut first, &mut slab, &mut rng, 200);
    let (mut state, mut tick) = (Vec::new(), Vec::new());
    first.save(&mut state);
    slab.save_tick(1, &mut tick);
    let mut second = new();
    second.load(&state).unwrap();
    let (mut other, mut same) = (second.slab(2), rng.clone());
    other.load_tick(1, &mut &tick[..]).unwrap();
    let expected = play(&mut first, &mut slab, &mut rng, 300);
    assert_eq!(play(&mut second, &mut other, &mut same, 300), expected);
    let mut log = Scalars::default();
    first.objective().unwrap().report(&mut log);
    let measured = log.get("search/evaluations").unwrap();
    let episodes = 500.0 * 4.0 / config.blocks as f64;
    assert!((30.0..=64.0).contains(&measured), "{measured} of {episodes} episodes were measured");
    assert_eq!(log.get("surrogate/trusted"), Some(1.0));
    // What the objective guesses comes first, for a sixth, a half and five sixths of the way between the budgets.
    let (objective, history) = (Synthetic::new(&config), first.objective().unwrap().history());
    for (trial, share) in history.iter().zip([1.0 / 6.0, 0.5, 5.0 / 6.0]) {
        let budget = terms.budgets.0 + share * (terms.budgets.1 - terms.budgets.0);
        let mut guess = rlx::objective::cheapest(&objective);
        rlx::objective::fill(&objective, &mut guess, budget, &mut |c| objective.guess(c));
        assert_eq!(trial.config, guess);
    }
    let share = log.get("search/hypervolume").unwrap();
    assert!((0.0..=1.0).contains(&share), "{share}");
    let said = said.lock().unwrap();
    assert!(said[0].contains("first model that fits") && said.iter().all(|l| l.contains("measurement")), "{said:?}");
    for cut in [0, 5, state.len() / 2, state.len() - 1] {
        assert!(new().load(&state[..cut]).is_err());
    }
}
