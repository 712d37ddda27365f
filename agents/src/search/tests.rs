//! Searchers on a model of a model, small enough to be tried out whole: 5 blocks of a ratio and bits, 59,049 configurations.
use super::{baseline, evolution, knapsack, *};
use rlx::{
    Algorithm, Checkpoint, Encoding, Env, Field, Frame, Learner, Measure, Mode, Policy as _, SearchSpace, Setup, Space,
    Spec, Status, VecEnv, Vector, View,
    checkpoint::Store,
    objective::{BUDGET, DIMENSIONS, Dimension, guessed},
};
use std::path::PathBuf;

const BLOCKS: usize = 5;
const SIZES: [f64; BLOCKS] = [100.0, 140.0, 90.0, 200.0, 120.0];
const WORTH: [f64; BLOCKS] = [0.9, 0.2, 0.5, 0.3, 0.7];

struct Toy {
    space: SearchSpace,
    names: Vec<String>,
    fidelities: Vec<String>,
    budgets: (f64, f64),
    calls: u64,
}

impl Toy {
    fn new(budgets: (f64, f64)) -> Self {
        let block = |i: usize| {
            [
                Dimension::ordinal(format!("block {i} ratio"), &[0.0, 0.25, 0.5]),
                Dimension::ordinal(format!("block {i} bits"), &[2.0, 3.0, 4.0]),
            ]
        };
        Self {
            space: SearchSpace::new((0..BLOCKS).flat_map(block).collect()).unwrap(),
            names: vec!["mutual information".into()],
            fidelities: vec!["untuned".into(), "tuned".into()],
            budgets,
            calls: 0,
        }
    }
    fn parts(config: &[u16]) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
        config.chunks_exact(2).enumerate().map(|(i, c)| (i, 0.25 * f64::from(c[0]), 2.0 + f64::from(c[1])))
    }
    fn loss(config: &[u16]) -> f64 {
        let harm = |(i, ratio, bits): (usize, f64, f64)| WORTH[i] * (ratio * ratio + 4f64.powf(2.0 - bits) / 2.0);
        let sum: f64 = Self::parts(config).map(harm).sum();
        // Harm compounds: losses do not add up.
        2.0 + sum + 0.5 * sum * sum
    }
    /// The least loss of all configurations under a budget.
    fn optimum(&self, budget: f64) -> f64 {
        let mut best = f64::INFINITY;
        for code in 0..3usize.pow(2 * BLOCKS as u32) {
            let config: Vec<u16> = (0..2 * BLOCKS as u32).map(|d| (code / 3usize.pow(d) % 3) as u16).collect();
            if self.cost(&config) <= budget {
                best = best.min(Self::loss(&config));
            }
        }
        best
    }
}

impl Objective for Toy {
    fn name(&self) -> &str {
        "toy"
    }
    fn version(&self) -> &str {
        "1"
    }
    fn space(&self) -> &SearchSpace {
        &self.space
    }
    fn fidelities(&self) -> &[String] {
        &self.fidelities
    }
    fn cost(&self, config: &[u16]) -> f64 {
        Self::parts(config).map(|(i, ratio, bits)| SIZES[i] * (1.0 - ratio) * (bits + 0.5)).sum()
    }
    fn feature_names(&self) -> &[String] {
        &self.names
    }
    fn features(&self, config: &[u16], out: &mut [f32]) {
        out[0] = Self::parts(config)
            .map(|(i, ratio, bits)| WORTH[i] * (1.0 - ratio) * (1.0 - 4f64.powf(1.0 - bits)))
            .sum::<f64>() as f32;
    }
    fn budgets(&self) -> (f64, f64) {
        self.budgets
    }
    fn baselines(&self) -> Vec<(String, Vec<u16>)> {
        vec![("whole".into(), [0, 2].repeat(BLOCKS)), ("three bits".into(), [0, 1].repeat(BLOCKS))]
    }
    fn ticks(&self) -> u64 {
        BLOCKS as u64
    }
    fn evaluate(&mut self, config: &[u16], fidelity: u32, _: u64, _: &dyn Fn() -> bool) -> Result<Measure> {
        self.calls += 1;
        Ok(Measure { loss: Self::loss(config) - 0.1 * f64::from(fidelity), ..Measure::default() })
    }
}

/// An environment over it whose step nobody takes: searchers go to the objective.
struct Over(Toy);

impl Env for Over {
    type Obs = f32;
    type Act = i64;
    fn spec(&self) -> Spec {
        let mut spec = Spec::solo("over", Space::uniform(3, -1.0, 1e9), Space::MultiDiscrete(vec![3, 3]));
        spec.fields = vec![Field::new(BUDGET, 0..1, "bytes"), Field::new(DIMENSIONS, 1..3, "")];
        assert_eq!(spec.fields[0].encoding, Encoding::Number);
        spec
    }
    fn reset(&mut self, _: &mut Rng, view: View<'_, f32>) {
        view.obs.copy_from_slice(&[0.0; 3]);
    }
    fn step(&mut self, _: &[i64], _: &mut Rng, _: View<'_, f32>, _: &mut [f32]) -> Result<Status> {
        Ok(Status::Running)
    }
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn objective(&mut self) -> Option<&mut dyn Objective> {
        Some(&mut self.0)
    }
}

const RANGE: (f64, f64) = (1300.0, 2200.0);

fn vector(budgets: (f64, f64)) -> VecEnv<Over> {
    VecEnv::new(1, 0, || Over(Toy::new(budgets)))
}

fn learner<S: Proposer>(seed: u64, evaluations: u64) -> Searcher<S> {
    let setup = Setup {
        spec: vector(RANGE).spec().clone(),
        worlds: 1,
        seed,
        steps: evaluations * BLOCKS as u64,
        device: rlx::Device::Cpu,
    };
    Searcher::<S>::new(S::Config::default(), setup).unwrap()
}

/// Costs and losses of the first measurements.
fn run<S: Proposer>(searcher: &mut Searcher<S>, envs: &mut VecEnv<Over>, count: usize) -> Vec<(f64, f64)> {
    (0..count)
        .map(|_| {
            let mut log = Scalars::default();
            assert_eq!(searcher.iterate(envs, &mut log).unwrap(), BLOCKS as u64);
            (log.get("search/cost").unwrap(), log.get("search/loss").unwrap())
        })
        .collect()
}

struct Folder(PathBuf);
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A searcher keeps within the highest budget, is the same again, and goes on from a checkpoint as if it had not stopped.
fn keeps_its_promises<S: Proposer>() {
    let mut envs = vector(RANGE);
    let all = run(&mut learner::<S>(3, 60), &mut envs, 40);
    assert!(all.iter().all(|(cost, _)| *cost <= RANGE.1), "{}: {all:?}", S::NAME);
    assert!(all.iter().any(|(cost, _)| *cost > 0.9 * RANGE.1) && all.iter().any(|(cost, _)| *cost < 0.8 * RANGE.1));
    let folder = Folder(std::env::temp_dir().join(format!("rlx-search-{}-{}", std::process::id(), S::NAME)));
    let mut first = learner::<S>(3, 60);
    run(&mut first, &mut envs, 25);
    Store::new(&folder.0).save("step", 25, 1, |to| first.save(to)).unwrap();
    let mut second = learner::<S>(99, 60);
    second.load(&Store::new(&folder.0).open("step", 25).unwrap()).unwrap();
    assert_eq!(run(&mut second, &mut envs, 15), all[25..], "{} goes on otherwise", S::NAME);
}

#[test]
fn every_searcher_keeps_its_promises() {
    keeps_its_promises::<random::Random>();
    keeps_its_promises::<uniform::Uniform>();
    keeps_its_promises::<greedy::Greedy>();
    keeps_its_promises::<knapsack::Knapsack>();
    keeps_its_promises::<evolution::Evolution>();
    keeps_its_promises::<bo::Bo>();
    keeps_its_promises::<qpruner::QPruner>();
    keeps_its_promises::<rankadaptor::RankAdaptor>();
}

/// How far above the exhaustive optimum the best of `count` measurements under one budget is, over three seeds on average.
fn regret<S: Proposer>(count: usize) -> f64 {
    let budget = 1600.0;
    let optimum = Toy::new(RANGE).optimum(budget);
    let one = |seed| {
        let all = run(&mut learner::<S>(seed, count as u64), &mut vector((budget, budget)), count);
        let best = all.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        assert!(best >= optimum - 1e-12, "the optimum is none");
        best - optimum
    };
    (0..3).map(one).sum::<f64>() / 3.0
}

#[test]
fn searchers_come_near_the_exhaustive_optimum_and_nearer_than_chance() {
    let chance = regret::<random::Random>(100);
    assert!(chance > 0.01, "the task is too easy: {chance}");
    let regrets = [
        ("bo", regret::<bo::Bo>(100)),
        ("qpruner", regret::<qpruner::QPruner>(100)),
        ("evolution", regret::<evolution::Evolution>(100)),
        ("knapsack", regret::<knapsack::Knapsack>(100)),
        ("rankadaptor", regret::<rankadaptor::RankAdaptor>(100)),
    ];
    for (name, regret) in regrets {
        assert!(regret < chance, "{name} {regret}, chance {chance}: {regrets:?}");
    }
    // The one answer of greedy upgrades is better than a random configuration is on average.
    assert!(regret::<greedy::Greedy>(1) < regret::<random::Random>(1));
    assert!(regrets[0].1 < 0.1 * chance && regrets[1].1 < 0.1 * chance, "{regrets:?}, chance {chance}");
}

#[test]
fn a_knapsack_is_solved_as_brute_force_does() {
    let mut rng = Rng::stream(8, 0);
    for _ in 0..60 {
        let choices: knapsack::Choices =
            (0..5).map(|_| (0..3).map(|_| (rng.below(11) as f64, rng.normal())).collect()).collect();
        let least: f64 = choices.iter().map(|o| o.iter().map(|p| p.0).fold(f64::INFINITY, f64::min)).sum();
        let budget = least + 20.0; // a slack that the grid divides
        let of = |code: usize| -> Vec<usize> { (0..5u32).map(|i| code / 3usize.pow(i) % 3).collect() };
        let total =
            |pick: &[usize]| pick.iter().zip(&choices).fold((0.0, 0.0), |(c, l), (k, o)| (c + o[*k].0, l + o[*k].1));
        let best =
            (0..243).map(|code| total(&of(code))).filter(|t| t.0 <= budget).map(|t| t.1).fold(f64::INFINITY, f64::min);
        let found = total(&knapsack::solve(&choices, budget).unwrap());
        assert!(found.0 <= budget && (found.1 - best).abs() < 1e-9, "{found:?} where {best} is possible");
        assert!(knapsack::solve(&choices, least - 1.0).is_none());
    }
}

/// Worked by hand: (1,4) (2,2) (4,1) are not dominated, (3,3) by (2,2) alone, (4,4) by all; the middle's crowding is (4-1)/3 + (4-1)/3.
#[test]
fn ranks_and_crowding_of_a_case_worked_by_hand() {
    let trial = |(cost, loss): (f64, f64)| Trial { config: vec![cost as u16, loss as u16], cost, loss, fidelity: 0 };
    let trials: Vec<Trial> = [(1.0, 4.0), (3.0, 3.0), (2.0, 2.0), (4.0, 4.0), (4.0, 1.0)].map(trial).to_vec();
    let rank = evolution::ranks(&trials);
    assert_eq!(rank, [0, 1, 0, 2, 0]);
    let crowd = evolution::crowding(&trials, &rank);
    assert!((crowd[2] - 2.0).abs() < 1e-12 && crowd[0].is_infinite() && crowd[4].is_infinite());
}

#[test]
fn the_policy_acts_out_the_best_that_fits_and_promotion_goes_first() {
    let mut envs = vector(RANGE);
    let mut searcher = learner::<random::Random>(1, 50);
    let all = run(&mut searcher, &mut envs, 30);
    let budget = 1800.0;
    let best = all.iter().filter(|p| p.0 <= budget).map(|p| p.1).fold(f64::INFINITY, f64::min);
    let mut config = Vec::new();
    for block in 0..BLOCKS {
        let obs = [budget as f32, (2 * block) as f32, (2 * block + 1) as f32];
        let frame = Frame {
            obs: rlx::ColumnRef::F32(&obs),
            last: rlx::ColumnRef::F32(&obs),
            mask: &[true; 6],
            seat: &[0],
            reward: &[0.0],
            status: &[Status::Running],
            candidates: None,
        };
        let mut ids = [0; 2];
        searcher.act(frame, &[0], Mode::Greedy, &mut [], rlx::ActionsMut::Discrete(&mut ids)).unwrap();
        config.extend(ids.map(|i| i as u16));
    }
    assert_eq!(Toy::loss(&config), best);
    // After three measurements the best one is measured at the next fidelity.
    let setup = Setup { spec: envs.spec().clone(), worlds: 1, seed: 0, steps: 100, device: rlx::Device::Cpu };
    let config = random::Config { common: Common { promote_every: 3, ..Common::default() } };
    let mut promoted = Searcher::<random::Random>::new(config, setup).unwrap();
    let all = run(&mut promoted, &mut vector((1800.0, 1800.0)), 4);
    let first = all[..3].iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    assert!((all[3].1 - (first - 0.1)).abs() < 1e-12);
    // What the objective guesses comes first, where the budgets are spread; the same is not measured twice.
    let setup = Setup { spec: envs.spec().clone(), worlds: 1, seed: 0, steps: 100, device: rlx::Device::Cpu };
    let config = random::Config { common: Common { initial_guesses: 3, ..Common::default() } };
    let mut guessing = Searcher::<random::Random>::new(config.clone(), setup).unwrap();
    let all = run(&mut guessing, &mut vector((1400.0, 2600.0)), 4);
    let (mut first, mut toy) = (vector((1400.0, 2600.0)), vector((2000.0, 2000.0)));
    for (k, (_, loss)) in all[..3].iter().enumerate() {
        assert_eq!(*loss, Toy::loss(&guessed(first.objective().unwrap(), k as u64, 3)));
    }
    let one = Toy::loss(&guessed(toy.objective().unwrap(), 0, 3));
    let setup = Setup { spec: envs.spec().clone(), worlds: 1, seed: 0, steps: 100, device: rlx::Device::Cpu };
    let mut guessing = Searcher::<random::Random>::new(config, setup).unwrap();
    let all = run(&mut guessing, &mut vector((2000.0, 2000.0)), 3);
    assert!(all[0].1 == one && all[1..].iter().all(|(_, loss)| *loss != one));
    // An environment over no objective is refused with a sentence.
    let bare = Spec::solo("bare", Space::uniform(1, 0.0, 1.0), Space::Discrete(2));
    let why = Searcher::<random::Random>::fits(&random::Config::default(), &bare).unwrap_err();
    assert!(why.contains("costly objective"), "{why}");
}

/// 650 weights: three bits are 2,275, the whole is 2,925.
#[test]
fn baselines_are_measured_by_name_or_in_turn_and_what_is_wrong_is_said() {
    let measure = |name: &str, budget: f64, count: usize| -> Result<Vec<f64>> {
        let mut envs = vector((budget, budget));
        let setup = Setup { spec: envs.spec().clone(), worlds: 1, seed: 0, steps: 100, device: rlx::Device::Cpu };
        let config = baseline::Config { baseline: name.into(), ..baseline::Config::default() };
        let mut searcher = Searcher::<baseline::Baseline>::new(config, setup)?;
        let mut one = || {
            let mut log = Scalars::default();
            searcher.iterate(&mut envs, &mut log)?;
            Ok(log.get("search/cost").unwrap())
        };
        (0..count).map(|_| one()).collect()
    };
    assert_eq!(measure("three bits", 3000.0, 1).unwrap(), [2275.0]);
    assert_eq!(measure("", 3000.0, 3).unwrap(), [2925.0, 2275.0, 2925.0]);
    assert_eq!(measure("", 2500.0, 2).unwrap(), [2275.0, 2275.0]);
    let wrong = |name: &str, budget: f64| measure(name, budget, 1).unwrap_err().to_string();
    assert!(wrong("whol", 3000.0).contains("did you mean 'whole'"), "{}", wrong("whol", 3000.0));
    assert!(wrong("whole", 2500.0).contains("costs 2925, and the budget is 2500"), "{}", wrong("whole", 2500.0));
    assert!(wrong("", 2000.0).contains("no baseline"));
}
