use super::{Bridge, Chain, Config, Order};
use crate::sac;
use rlx::{
    ActionBuffer, Algorithm, Device, Env, Field, Goal, Judged, Learner, Mode, Policy, Result, Rng, Scalars, Setup,
    Skill, Space, Spec, Status, VecEnv, Vector, View, snapshot,
};
use std::sync::Arc;

/// A point in the square that must be at one goal, then at another; .15 a step. Where there is time for a single step, it begins at the first.
struct Errand {
    at: [f32; 2],
    goals: [[f32; 2]; 2],
    done: usize,
    limit: u32,
}

impl Errand {
    fn show(&self, obs: &mut [f32]) {
        let [a, b] = self.goals;
        obs.copy_from_slice(&[
            self.at[0],
            self.at[1],
            self.done.min(1) as f32,
            self.at[0],
            self.at[1],
            a[0],
            a[1],
            self.at[0],
            self.at[1],
            b[0],
            b[1],
        ]);
    }
}

fn judge(a: &[f32], d: &[f32]) -> Judged {
    let success = (a[0] - d[0]).hypot(a[1] - d[1]) < 0.15;
    Judged { reward: if success { 0.0 } else { -1.0 }, terminated: success, success }
}

impl Env for Errand {
    type Obs = f32;
    type Act = f32;
    fn spec(&self) -> Spec {
        let mut spec =
            Spec::solo("errand", Space::uniform(11, -2.0, 2.0), Space::uniform(2, -1.0, 1.0)).limited(self.limit);
        let goal =
            |start: usize| Goal { achieved: start..start + 2, desired: start + 2..start + 4, judge: Arc::new(judge) };
        spec.fields = vec![Field::new("at", 0..2, ""), Field::new("skill", 2..3, ""), Field::new("goals", 3..11, "")];
        spec.skills =
            vec![Skill { name: "first".into(), goal: goal(3) }, Skill { name: "second".into(), goal: goal(7) }];
        spec
    }
    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        let mut point = || [rng.uniform(-1.0, 1.0) as f32, rng.uniform(-1.0, 1.0) as f32];
        (self.at, self.goals, self.done) = (point(), [point(), point()], 0);
        if self.limit == 1 {
            self.goals[0] = self.at;
        }
        self.show(view.obs);
    }
    fn step(&mut self, act: &[f32], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        for (x, a) in self.at.iter_mut().zip(act) {
            *x = (*x + 0.15 * a.clamp(-1.0, 1.0)).clamp(-1.0, 1.0);
        }
        let judged = judge(&self.at, &self.goals[self.done.min(1)]);
        pay[0] = judged.reward;
        self.done += usize::from(judged.success);
        self.show(view.obs);
        Ok(if self.done == 2 { Status::Terminated } else { Status::Running })
    }
    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &(self.at, self.goals, self.done as u64));
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        let (at, goals, done): ([f32; 2], [[f32; 2]; 2], u64) = snapshot::get(state)?;
        *self = Self { at, goals, done: done as usize, ..*self };
        Ok(())
    }
    fn metrics(&self, out: &mut Scalars) {
        out.put("success", f64::from(u8::from(self.done == 2)));
    }
}

fn worlds(n: usize, seed: u64) -> VecEnv<Errand> {
    limited(n, seed, 40)
}

fn limited(n: usize, seed: u64, limit: u32) -> VecEnv<Errand> {
    VecEnv::new(n, seed, move || Errand { at: [0.0; 2], goals: [[0.0; 2]; 2], done: 0, limit })
}

fn learner(bridge: Bridge, order: Order) -> Chain {
    let sac = sac::Config {
        num_envs: 8,
        hidden: vec![64, 64],
        batch_size: 64,
        learning_starts: 800,
        utd: 0.25,
        buffer_size: 20_000,
        learning_rate: 2e-3,
        ..sac::Config::default()
    };
    let config = Config { bridge, order, sac, ..Config::default() };
    let setup = Setup { spec: worlds(1, 0).spec().clone(), worlds: 8, seed: 1, steps: 10_000, device: Device::Cpu };
    Chain::fits(&config, &setup.spec).unwrap();
    Chain::new(config, setup).unwrap()
}

fn train(chain: &mut Chain, envs: &mut VecEnv<Errand>, steps: u64) {
    let (mut done, mut log) = (0, Scalars::default());
    while done < steps {
        log.clear();
        done += chain.iterate(envs, &mut log).unwrap();
        envs.episodes().clear();
    }
}

/// The share of a hundred episodes in which the greedy chain is done in time.
fn success(chain: &mut Chain) -> f64 {
    let mut envs = worlds(20, 999);
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let mut action = ActionBuffer::new(&envs.spec().act.clone(), 20);
    let (rows, mut t, mut ends) = ((0..20).collect::<Vec<u32>>(), 0, Vec::new());
    while ends.len() < 100 {
        chain.act(slab.frame(t % 2), &rows, Mode::Greedy, &mut [], action.get_mut()).unwrap();
        envs.step(action.get(), slab.frame_mut((t + 1) % 2)).unwrap();
        ends.extend(envs.episodes().status.iter().map(|s| f64::from(u8::from(*s == Status::Terminated))));
        envs.episodes().clear();
        t += 1;
    }
    ends.iter().sum::<f64>() / ends.len() as f64
}

/// Every way to hold a chain together learns an errand of two goals from sparse rewards, and a chain that has learnt nothing does not.
#[test]
fn chains_are_learnt_from_sparse_rewards() {
    rlx_nn::threads::set(1);
    assert!(success(&mut learner(Bridge::None, Order::Joint)) < 0.5);
    let ways = [(Bridge::None, Order::Joint), (Bridge::Tdrp, Order::Sequence), (Bridge::Terminal, Order::Joint)];
    for (bridge, order) in ways {
        let mut chain = learner(bridge, order);
        train(&mut chain, &mut worlds(8, 1), 12_000);
        let rate = success(&mut chain);
        assert!(rate >= 0.9, "{bridge:?} {order:?}: {rate}");
    }
}

/// A skill that succeeds as time runs out for the chain has succeeded, and its ending is its own.
#[test]
fn a_success_on_the_last_tick_is_one() {
    rlx_nn::threads::set(1);
    let mut chain = learner(Bridge::None, Order::Joint);
    train(&mut chain, &mut limited(8, 1, 1), 400);
    assert!(chain.state.success[0] > 0.2 && chain.state.success[1] == 0.0, "{:?}", chain.state.success);
    assert!(chain.state.endings[0].len() > 100);
}

/// Where skills are learnt one after another, one that is learnt alone waits for none that is never met.
#[test]
fn a_later_skill_alone_is_learnt_in_sequence_too() {
    let mut chain = learner(Bridge::None, Order::Sequence);
    (chain.state.transitions[0], chain.state.transitions[1]) = (0, 10_000);
    assert_eq!(chain.next_skill(), Some(1));
    chain.state.transitions[0] = 10_000;
    assert_eq!(chain.next_skill(), Some(0));
}

/// A bridge pays for where the chain goes on from: for ends by the episode's own goal, not for those that are ends by hindsight alone.
#[test]
fn a_bridge_pays_for_successes_by_the_episodes_own_goal() {
    rlx_nn::threads::set(1);
    for bridge in [Bridge::None, Bridge::Tdrp, Bridge::Terminal] {
        let mut chain = learner(bridge, Order::Joint);
        train(&mut chain, &mut worlds(8, 1), 6000);
        let mut running = chain.running.take().unwrap();
        let goal = chain.setup.spec.skills[0].goal.clone();
        let (mut rng, mut paid, mut ends) = (Rng::named(3, "batches", 0), 0, [0; 2]);
        for _ in 0..100 {
            let batch = &mut running.batch;
            running.replay.sample_of(Some(&goal), |row| row.f32().unwrap()[2] == 0.0, &mut rng, batch).unwrap();
            let before = batch.reward.clone();
            chain.pay_bridge(batch, 0).unwrap();
            for (i, before) in before.iter().enumerate() {
                let (end, hindsight) = (batch.discount[i] == 0.0, batch.relabelled[i]);
                let less = batch.reward[i] < *before;
                assert!(batch.reward[i] <= *before, "a bridge is a cost");
                assert!(!less || (end && !hindsight), "{bridge:?} pays what is no end, or one by hindsight alone");
                paid += usize::from(less);
                ends[usize::from(hindsight)] += usize::from(end);
            }
        }
        assert!(ends.iter().all(|n| *n > 20), "both kinds of ends are there: {ends:?}");
        assert_eq!(paid > 0, bridge != Bridge::None, "{bridge:?}");
    }
}
