//! A batch against each of its worlds played alone, on every thread count and grain; endings, snapshots, refusals.
mod race;

use super::*;
use crate::{ActionBuffer, ColumnRef, Scalars, Space};
use race::Race;

const LIMIT: u32 = 12;

/// What a tick leaves behind, all of it comparable.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    obs: Column,
    last: Vec<Option<Vec<f32>>>, // of the worlds whose episode ended
    mask: Vec<bool>,
    seat: Vec<u8>,
    reward: Vec<f32>,
    status: Vec<Status>,
    candidates: Option<(Column, Vec<u32>)>,
    hidden: Option<Column>,
}

fn seen(envs: &dyn Vector, f: Frame<'_>) -> Seen {
    let last = f.last.f32().unwrap();
    let finals = f.status.iter().zip(last.chunks(6)).map(|(s, l)| (*s != Status::Running).then(|| l.to_vec()));
    Seen {
        obs: f.obs.to_column(),
        last: finals.collect(),
        mask: f.mask.to_vec(),
        seat: f.seat.to_vec(),
        reward: f.reward.to_vec(),
        status: f.status.to_vec(),
        candidates: envs.candidates().map(|c| (c.rows.to_column(), c.offsets.to_vec())),
        hidden: envs.privileged().map(ColumnRef::to_column),
    }
}

/// The actions of tick `t` in world `i`, whatever the batch.
fn actions(n: usize, t: usize) -> ActionBuffer {
    let of = |i: usize| {
        let mut rng = Rng::stream(t as u64, i as u64);
        [rng.below(3) as i64, rng.below(3) as i64]
    };
    ActionBuffer::Discrete((0..n).flat_map(of).collect())
}

/// Plays `ticks` from tick `from` on; the slab's last frame is left in tick 0.
fn play(envs: &mut dyn Vector, slab: &mut Slab, from: usize, ticks: usize) -> Vec<Seen> {
    let mut all = Vec::new();
    for t in from..from + ticks {
        // What is in the rows before must not matter.
        let mut f = slab.frame_mut(1);
        if let crate::ColumnMut::F32(x) = f.obs.lend() {
            x.fill(f32::NAN);
        }
        f.mask.fill(false);
        f.seat.fill(77);
        f.reward.fill(f32::NAN);
        envs.step(actions(envs.len(), t).get(), slab.frame_mut(1)).unwrap();
        all.push(seen(envs, slab.frame(1)));
        slab.carry();
    }
    all
}

/// The definition: every world on its own, one after another.
fn alone(n: usize, seed: u64, ticks: usize, ragged: bool) -> (Vec<Seen>, Episodes) {
    let choices = if ragged { 0 } else { 3 };
    let empty = Seen {
        obs: Column::F32(Vec::new()),
        last: Vec::new(),
        mask: Vec::new(),
        seat: Vec::new(),
        reward: Vec::new(),
        status: Vec::new(),
        candidates: ragged.then(|| (Column::F32(Vec::new()), vec![0])),
        hidden: Some(Column::F32(Vec::new())),
    };
    let mut all = vec![empty; ticks + 1];
    let mut ended = Vec::new();
    for i in 0..n {
        let (mut env, mut rng) = (Race { ragged, ..Race::default() }, Rng::named(seed, "world", i as u64));
        let fresh = || (vec![0.0; 6], vec![true; 2 * choices], vec![0; 2]);
        let (mut length, mut sums) = (0, [0.0, 0.0]);
        for (t, tick) in all.iter_mut().enumerate() {
            let (mut obs, mut mask, mut seat) = fresh();
            let (mut pay, mut status, mut last) = ([0.0; 2], Status::Running, None);
            let view = View { obs: &mut obs, mask: &mut mask, seat: &mut seat };
            if t == 0 {
                env.reset(&mut rng, view);
            } else {
                let ActionBuffer::Discrete(act) = actions(i + 1, t) else { panic!() };
                status = env.step(&act[i * 2..], &mut rng, view, &mut pay).unwrap();
                length += 1;
                sums.iter_mut().zip(pay).for_each(|(s, p)| *s += f64::from(p));
                if status == Status::Running && length == LIMIT {
                    status = Status::Truncated;
                }
                if status != Status::Running {
                    last = Some(obs);
                    let mut metrics = Scalars::default();
                    env.metrics(&mut metrics);
                    ended.push((t, i, sums, length, status, metrics));
                    (length, sums) = (0, [0.0; 2]);
                    (obs, mask, seat) = fresh();
                    env.reset(&mut rng, View { obs: &mut obs, mask: &mut mask, seat: &mut seat });
                }
            }
            let push = |column: &mut Column, x: &[f32]| match column {
                Column::F32(all) => all.extend_from_slice(x),
                _ => panic!(),
            };
            push(&mut tick.obs, &obs);
            tick.last.push(last);
            tick.mask.extend(mask);
            tick.seat.extend(seat);
            tick.reward.extend(pay);
            tick.status.push(status);
            push(tick.hidden.as_mut().unwrap(), &[env.secret]);
            if let Some((column, offsets)) = &mut tick.candidates {
                let (mut rows, mut counts) = (Vec::new(), Vec::new());
                env.candidates(&mut rows, &mut counts);
                push(column, &rows);
                counts.iter().for_each(|c| offsets.push(offsets.last().unwrap() + c));
            }
        }
    }
    ended.sort_by_key(|e| (e.0, e.1));
    let mut episodes = Episodes::default();
    for (_, world, sums, length, status, metrics) in ended {
        episodes.returns.extend(sums);
        episodes.worlds.push(world as u32);
        episodes.lengths.push(length);
        episodes.status.push(status);
        episodes.metrics.push(metrics);
    }
    (all, episodes)
}

fn race(n: usize, seed: u64, ragged: bool) -> VecEnv<Race> {
    VecEnv::new(n, seed, || Race { ragged, ..Race::default() }).with_oracle()
}

fn on<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn a_batch_is_each_of_its_worlds_alone_on_any_threads() {
    for ragged in [false, true] {
        for n in [1, 5, 200] {
            let (expected, episodes) = alone(n, 3, 60, ragged);
            let kinds = [Status::Terminated, Status::Truncated].map(|k| episodes.status.contains(&k));
            assert!(n == 1 || kinds == [true, true], "both endings are there");
            for (threads, grain) in [(1, 64), (2, 64), (4, 64), (3, 1), (4, 7)] {
                let (got, ended) = on(threads, || {
                    let mut envs = race(n, 3, ragged).grain(grain);
                    let mut slab = envs.slab(2);
                    envs.reset(slab.frame_mut(0));
                    let mut all = vec![seen(&envs, slab.frame(0))];
                    all.extend(play(&mut envs, &mut slab, 1, 60));
                    (all, std::mem::take(envs.episodes()))
                });
                let differs = got.iter().zip(&expected).position(|(a, b)| a != b);
                assert_eq!((got.len(), differs), (61, None), "n {n}, {threads} threads, grain {grain}");
                assert_eq!(ended, episodes, "n {n}, {threads} threads, grain {grain}");
            }
        }
    }
}

/// Reaches its end at the very tick of the time limit, or not at all.
struct Fuse(bool);

impl Env for Fuse {
    type Obs = u8;
    type Act = f32;
    fn spec(&self) -> Spec {
        Spec::solo("fuse", Space::uniform(1, 0.0, 255.0), Space::uniform(1, -1.0, 1.0)).limited(3)
    }
    fn reset(&mut self, _: &mut Rng, view: View<'_, u8>) {
        view.obs[0] = 0;
    }
    fn step(&mut self, act: &[f32], _: &mut Rng, view: View<'_, u8>, pay: &mut [f32]) -> Result<Status> {
        view.obs[0] = act[0] as u8;
        pay[0] = 1.0;
        Ok(if self.0 && act[0] == 3.0 { Status::Terminated } else { Status::Running })
    }
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_death_at_the_time_limit_is_a_death_and_the_last_view_is_the_final_one() {
    for (dies, ending) in [(true, Status::Terminated), (false, Status::Truncated)] {
        let mut envs = VecEnv::new(2, 0, || Fuse(dies));
        let mut slab = envs.slab(4);
        envs.reset(slab.frame_mut(0));
        for t in 1..4 {
            envs.step(Actions::Continuous(&[t as f32; 2]), slab.frame_mut(t)).unwrap();
        }
        for t in 1..3 {
            assert_eq!(slab.frame(t).status, [Status::Running; 2]);
            assert_eq!(slab.frame(t).obs, ColumnRef::U8(&[t as u8; 2]));
        }
        let end = slab.frame(3);
        assert_eq!(end.status, [ending; 2]);
        assert_eq!((end.last, end.obs), (ColumnRef::U8(&[3, 3]), ColumnRef::U8(&[0, 0])));
        assert_eq!(end.reward, [1.0; 2], "the tick that ends is paid");
        let ended = envs.episodes();
        assert_eq!((&ended.lengths, &ended.returns, &ended.worlds), (&vec![3; 2], &vec![3.0; 2], &vec![0, 1]));
        ended.clear();
        assert!(ended.is_empty() && ended.returns.is_empty() && ended.metrics.is_empty());
    }
}

#[test]
fn a_reset_starts_every_count_anew() {
    let mut envs = race(3, 1, false);
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    play(&mut envs, &mut slab, 0, 2);
    assert!(envs.returns.iter().any(|r| *r > 0.0) && envs.episodes.is_empty());
    envs.reset(slab.frame_mut(0));
    let all = play(&mut envs, &mut slab, 0, LIMIT as usize);
    let first = all.iter().position(|s| s.status.contains(&Status::Truncated));
    assert!(first.is_none_or(|t| t + 1 == LIMIT as usize), "the ticks before the reset do not count");
    let paid: f32 = all.iter().take_while(|s| s.status[0] == Status::Running).map(|s| s.reward[0]).sum();
    let end = all.iter().find(|s| s.status[0] != Status::Running).expect("an episode ends within its limit");
    let k = envs.episodes.worlds.iter().position(|w| *w == 0).unwrap();
    assert!((envs.episodes.returns[2 * k] - f64::from(paid + end.reward[0])).abs() < 1e-4);
}

#[test]
fn what_is_saved_goes_on_to_the_bit() {
    for ragged in [false, true] {
        for before in [0, 1, 17, 40] {
            let mut whole = race(5, 9, ragged);
            let mut slab = whole.slab(2);
            whole.reset(slab.frame_mut(0));
            play(&mut whole, &mut slab, 0, before);
            whole.episodes().clear();
            let (mut state, mut tick) = (Vec::new(), Vec::new());
            whole.save(&mut state);
            slab.save_tick(0, &mut tick);

            let mut back = race(5, 1234, ragged);
            let mut other = back.slab(2);
            back.reset(other.frame_mut(0));
            play(&mut back, &mut other, 0, 7);
            back.load(&state).unwrap();
            other.load_tick(0, &mut &tick[..]).unwrap();
            let offer = |e: &VecEnv<Race>| {
                (
                    e.candidates().map(|c| (c.rows.to_column(), c.offsets.to_vec())),
                    e.privileged().map(|c| c.to_column()),
                )
            };
            assert_eq!(offer(&back), offer(&whole), "what the current tick offers is there before the next step");
            assert_eq!(other.frame(0).obs, slab.frame(0).obs);
            assert!(back.episodes().is_empty());
            let mut again = Vec::new();
            back.save(&mut again);
            assert_eq!(again, state);
            assert_eq!(play(&mut back, &mut other, before, 50), play(&mut whole, &mut slab, before, 50));
            assert_eq!(back.episodes(), whole.episodes());
        }
    }
}

#[test]
fn states_that_are_not_its_own_are_refused() {
    let mut envs = race(2, 0, false);
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let mut state = Vec::new();
    envs.save(&mut state);
    for cut in 0..state.len() {
        assert!(envs.load(&state[..cut]).is_err(), "the first {cut} of {} bytes", state.len());
    }
    let longer = [&state[..], &[0]].concat();
    assert!(envs.load(&longer).unwrap_err().to_string().contains("left over"));
    let error = race(3, 0, false).load(&state).unwrap_err().to_string();
    assert!(error.contains("3 x race") && error.contains("2 x race"), "{error}");
    assert!(VecEnv::new(2, 0, || Fuse(true)).load(&state).unwrap_err().to_string().contains("2 x fuse"));
    envs.load(&state).expect("still usable");
    play(&mut envs, &mut slab, 0, 20);
}

#[test]
fn actions_and_frames_that_do_not_fit_are_errors() {
    let mut envs = race(3, 0, false);
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let wrong_type = envs.step(Actions::Continuous(&[0.0; 6]), slab.frame_mut(1)).unwrap_err().to_string();
    assert!(wrong_type.contains("i64"), "{wrong_type}");
    for n in [0, 5, 7] {
        let error = envs.step(Actions::Discrete(&vec![0; n]), slab.frame_mut(1)).unwrap_err().to_string();
        assert!(error.contains("expected 6") && error.contains(&format!("found {n}")), "{error}");
    }
    let mut bytes = Slab::new(&envs.spec, 3, 2, |n| Column::U8(vec![0; n]));
    assert!(envs.step(Actions::Discrete(&[0; 6]), bytes.frame_mut(1)).unwrap_err().to_string().contains("f32"));
    assert!(envs.episodes.is_empty() && envs.slots.iter().all(|s| s.length == 0), "nothing has moved");
}

#[test]
fn the_first_world_that_fails_is_the_one_that_is_reported() {
    let failure = |threads: usize| {
        on(threads, || {
            let mut envs = VecEnv::new(40, 2, || Race { fails_at: Some(1.0), ..Race::default() }).grain(4);
            let mut slab = envs.slab(2);
            envs.reset(slab.frame_mut(0));
            (0..20).find_map(|t| envs.step(actions(40, t).get(), slab.frame_mut(1)).err().map(|e| (t, e.to_string())))
        })
    };
    let first = failure(1).expect("a track breaks");
    assert!(first.1.contains("the track broke"));
    assert_eq!(failure(2), Some(first.clone()));
    assert_eq!(failure(4), Some(first));
}

#[test]
fn hidden_state_is_shut_until_the_door_is_opened() {
    let mut shut = VecEnv::new(2, 0, Race::default);
    let mut slab = shut.slab(1);
    shut.reset(slab.frame_mut(0));
    assert!(shut.privileged().is_none() && shut.candidates().is_none());
    let mut open = race(2, 0, false);
    open.reset(slab.frame_mut(0));
    let secrets: Vec<f32> = open.slots.iter().map(|s| s.env.secret).collect();
    assert_eq!(open.privileged(), Some(ColumnRef::F32(&secrets)));
    let ragged = race(2, 0, true);
    assert!(ragged.frame(&ragged.slab(1), 0).candidates.is_some());
}

/// A world that shows its count.
struct Counting(f32);

impl Env for Counting {
    type Obs = f32;
    type Act = f32;
    fn spec(&self) -> Spec {
        Spec::solo("counting", Space::uniform(1, 0.0, 100.0), Space::uniform(1, -1.0, 1.0)).limited(3)
    }
    fn reset(&mut self, _: &mut Rng, view: View<'_, f32>) {
        self.0 = 0.0;
        view.obs[0] = 0.0;
    }
    fn step(&mut self, _: &[f32], _: &mut Rng, view: View<'_, f32>, _: &mut [f32]) -> Result<Status> {
        self.0 += 1.0;
        view.obs[0] = self.0;
        Ok(Status::Running)
    }
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn draw(&self) -> Option<crate::Drawing> {
        let camera = crate::Camera { eye: [1.0; 3], target: [0.0; 3], angle: 1.0 };
        let body = crate::Body {
            shape: crate::Shape::Ball { radius: 1.0 },
            colour: [0; 4],
            at: [self.0, 0.0, 0.0],
            turn: [0.0, 0.0, 0.0, 1.0],
        };
        Some(crate::Drawing { bodies: vec![body], camera, tick_s: 1.0, success: None, notes: Vec::new() })
    }
}

#[test]
fn a_filmed_episode_keeps_how_it_ended() {
    let mut envs = VecEnv::new(1, 0, || Counting(0.0));
    let mut slab = envs.slab(2);
    envs.reset(slab.frame_mut(0));
    let seen = |d: Option<crate::Drawing>| d.unwrap().bodies[0].at[0];
    for filmed in [false, true] {
        for t in 1..=3 {
            envs.step(crate::Actions::Continuous(&[0.0]), slab.frame_mut(1)).unwrap();
            assert_eq!(seen(envs.draw(0)), (t % 3) as f32, "after the end the next episode is seen");
        }
        let drawings = std::mem::take(&mut envs.episodes().drawings);
        assert_eq!(drawings.len(), usize::from(filmed));
        drawings.into_iter().for_each(|d| assert_eq!(seen(d), 3.0));
        envs.film();
    }
    assert!(envs.draw(1).is_none(), "there is no second world");
}

#[test]
fn worlds_that_wait_or_start_apart_are_worlds_alone() {
    let (n, seeds) = (7, [3, 1, 4, 1, 5, 9, 2].map(Some));
    let mut batch = race(n, 0, false).grain(2);
    let mut slab = batch.slab(1);
    let mut alone: Vec<_> = seeds.iter().map(|s| race(1, s.unwrap(), false)).collect();
    let mut single: Vec<Slab> = alone.iter().map(|v| v.slab(1)).collect();
    batch.reset(slab.frame_mut(0));
    batch.reset_some(&[true; 7], &seeds, slab.frame_mut(0)).unwrap();
    alone.iter_mut().zip(&mut single).for_each(|(v, s)| v.reset(s.frame_mut(0)));
    on(3, || {
        for t in 0..60 {
            let wait: Vec<bool> = (0..n).map(|i| (t + i) % 3 == 0).collect();
            let ActionBuffer::Discrete(act) = actions(n, t) else { panic!() };
            batch.step_some(&wait, Actions::Discrete(&act), slab.frame_mut(0)).unwrap();
            let f = slab.frame(0);
            for i in (0..n).filter(|&i| !wait[i]) {
                alone[i].step(Actions::Discrete(&act[2 * i..2 * i + 2]), single[i].frame_mut(0)).unwrap();
            }
            for i in 0..n {
                let one = single[i].frame(0);
                assert_eq!((f.obs.slice(i * 6..i * 6 + 6), &f.mask[i * 6..i * 6 + 6]), (one.obs, one.mask), "{t} {i}");
                let paid = if wait[i] { [0.0; 2] } else { one.reward.try_into().unwrap() };
                assert_eq!((&f.reward[i * 2..i * 2 + 2], &f.seat[i * 2..i * 2 + 2]), (&paid[..], one.seat));
                assert_eq!(f.status[i], if wait[i] { Status::Running } else { one.status[0] });
            }
            if t % 7 == 3 {
                let which: Vec<bool> = (0..n).map(|i| i % 4 == t % 4).collect();
                batch.reset_some(&which, &[None; 7], slab.frame_mut(0)).unwrap();
                (0..n).filter(|&i| which[i]).for_each(|i| alone[i].reset(single[i].frame_mut(0)));
            }
        }
    });
    let mut ended: Vec<(u32, f64)> = Vec::new();
    alone.iter_mut().enumerate().for_each(|(i, v)| {
        ended.extend(v.episodes().lengths.iter().map(|l| (i as u32, f64::from(*l))));
    });
    let all = batch.episodes();
    let mut found: Vec<(u32, f64)> = all.worlds.iter().zip(&all.lengths).map(|(w, l)| (*w, f64::from(*l))).collect();
    found.sort_by_key(|f| f.0);
    assert!(!found.is_empty());
    assert_eq!(found, ended);
    assert!(batch.step_some(&[false; 6], Actions::Discrete(&[0; 14]), slab.frame_mut(0)).is_err());
    assert!(batch.reset_some(&[true; 7], &[None; 6], slab.frame_mut(0)).is_err());
}
