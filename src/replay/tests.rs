//! Against a naive list of transitions, over random episodes, rings that wrap, and every strategy.
use super::*;
use crate::{Goal, Judged, Space, checkpoint::Store};
use std::sync::Arc;

const N: usize = 3;

/// A goal world's spec: (achieved, desired, clock); terminates where the goal is reached when `deadly`.
fn spec(deadly: bool) -> Spec {
    let mut spec = Spec::solo("goals", Space::uniform(3, -1e9, 1e9), Space::Discrete(5));
    let judge = move |a: &[f32], d: &[f32]| {
        let there = (a[0] - d[0]).abs() < 0.5;
        Judged { reward: if there { 0.0 } else { -1.0 }, terminated: there && deadly, success: there }
    };
    spec.goal = Some(Goal { achieved: 0..1, desired: 1..2, judge: Arc::new(judge) });
    spec
}

#[derive(Clone, Debug)]
struct Step {
    obs: [f32; 3],
    act: i64,
    reward: f32,
    next: [f32; 3],
    status: Status,
}

/// Random worlds: `achieved` walks, `clock` makes every view unique, so that a sample tells where it is from.
struct Worlds {
    rng: Rng,
    now: [[f32; 3]; N],
    clock: f32,
    past: Vec<[Step; N]>,
    deadly: bool,
}

impl Worlds {
    fn new(seed: u64, deadly: bool) -> Self {
        let mut worlds = Self { rng: Rng::stream(seed, 0), now: [[0.0; 3]; N], clock: 0.0, past: Vec::new(), deadly };
        for w in 0..N {
            worlds.now[w] = worlds.fresh();
        }
        worlds
    }
    fn fresh(&mut self) -> [f32; 3] {
        self.clock += 1.0;
        [0.0, 3.0 + self.rng.below(3) as f32, self.clock]
    }
    fn push(&mut self, replay: &mut Replay, slab: &mut Slab) {
        let before = self.now;
        let steps: [Step; N] = std::array::from_fn(|w| {
            let obs = self.now[w];
            self.clock += 1.0;
            let next = [obs[0] + self.rng.below(3) as f32 - 0.5, obs[1], self.clock];
            let there = (next[0] - next[1]).abs() < 0.5;
            let status = match (there && self.deadly, self.rng.below(9)) {
                (true, _) => Status::Terminated,
                (_, 0) => Status::Truncated,
                _ => Status::Running,
            };
            Step { obs, act: self.rng.below(5) as i64, reward: if there { 0.0 } else { -1.0 }, next, status }
        });
        for (w, step) in steps.iter().enumerate() {
            self.now[w] = if step.status == Status::Running { step.next } else { self.fresh() };
        }
        for (t, rows) in [(0, before), (1, self.now)] {
            assert!(slab.frame_mut(t).obs.copy_from(ColumnRef::F32(rows.as_flattened())));
        }
        let after = slab.frame_mut(1);
        let last: Vec<f32> = steps.iter().flat_map(|s| s.next).collect();
        let mut column = after.last;
        assert!(column.copy_from(ColumnRef::F32(&last)));
        for (w, s) in steps.iter().enumerate() {
            (after.reward[w], after.status[w]) = (s.reward, s.status);
        }
        let acts: Vec<i64> = steps.iter().map(|s| s.act).collect();
        replay.push(slab.frame(0), Actions::Discrete(&acts), slab.frame(1)).unwrap();
        self.past.push(steps);
    }
}

fn slab(ticks: usize) -> Slab {
    Slab::new(&spec(false), N, ticks, |n| Column::F32(vec![0.0; n]))
}

/// What the definition says of a relabelled or plain n-step transition.
fn naive(
    past: &[[Step; N]],
    tick: usize,
    world: usize,
    n: usize,
    gamma: f32,
    goal: Option<f32>,
    deadly: bool,
) -> (f32, f32, [f32; 3]) {
    let (mut sum, mut discount, mut next) = (0.0, 1.0, [0.0; 3]);
    for steps in &past[tick..past.len().min(tick + n)] {
        let s = &steps[world];
        next = s.next;
        let there = |d: f32| (s.next[0] - d).abs() < 0.5;
        let reward = goal.map_or(s.reward, |g| if there(g) { 0.0 } else { -1.0 });
        sum += discount * reward;
        discount *= gamma;
        let died = goal.map_or(s.status == Status::Terminated, |g| deadly && there(g));
        if died {
            return (sum, 0.0, with(next, goal));
        }
        if s.status != Status::Running {
            break;
        }
    }
    (sum, discount, with(next, goal))
}

fn with(mut row: [f32; 3], goal: Option<f32>) -> [f32; 3] {
    if let Some(g) = goal {
        row[1] = g;
    }
    row
}

#[test]
fn every_sample_is_what_the_definition_says() {
    for (case, strategy) in [Strategy::Future, Strategy::Final, Strategy::Episode].into_iter().enumerate() {
        for deadly in [false, true] {
            for n_step in [1, 3] {
                let hindsight = Some(Hindsight { strategy, k: 4.0 });
                let config = ReplayConfig { capacity: 32 * N, n_step, gamma: 0.9, hindsight };
                let mut slab = slab(2);
                let mut replay = Replay::new(config, &spec(deadly), N, &slab).unwrap();
                let mut worlds = Worlds::new(case as u64, deadly);
                let (mut batch, mut rng) = (replay.batch(64), Rng::stream(9, 9));
                let (mut relabelled, mut seen) = (0u32, 0u32);
                for tick in 0..100 {
                    worlds.push(&mut replay, &mut slab);
                    assert_eq!(replay.len(), (tick + 1).min(32) * N);
                    replay.sample(&mut rng, &mut batch).unwrap();
                    let (Column::F32(obs), Column::F32(next), ActionBuffer::Discrete(act)) =
                        (&batch.obs, &batch.next, &batch.act)
                    else {
                        panic!()
                    };
                    for k in 0..64 {
                        let (row, after) = (&obs[k * 3..k * 3 + 3], &next[k * 3..k * 3 + 3]);
                        // The clock tells where it is from; the ring keeps the last 32 ticks.
                        let found = worlds
                            .past
                            .iter()
                            .enumerate()
                            .find_map(|(t, s)| Some((t, s.iter().position(|s| s.obs[2] == row[2])?)));
                        let (from, world) = found.unwrap();
                        let step = &worlds.past[from][world];
                        assert!(from + 32 > tick && act[k] == step.act);
                        let goal = (row[1] != step.obs[1]).then_some(row[1]);
                        let as_it_was = naive(&worlds.past, from, world, n_step, 0.9, None, deadly);
                        let as_given = naive(&worlds.past, from, world, n_step, 0.9, Some(row[1]), deadly);
                        let got = (batch.reward[k], batch.discount[k], [after[0], after[1], after[2]]);
                        // Relabelled to the very goal it had, the two may both be right.
                        assert!(
                            got == as_given || (goal.is_none() && got == as_it_was),
                            "{got:?} {as_given:?} {as_it_was:?}"
                        );
                        assert!(goal.is_none() || batch.relabelled[k], "another goal than the episode's is said to be");
                        if let Some(g) = goal {
                            relabelled += 1;
                            let end = (from..=tick)
                                .find(|t| worlds.past[*t][world].status != Status::Running)
                                .unwrap_or(tick);
                            let oldest = (tick + 1).saturating_sub(32);
                            let start = (oldest..from)
                                .rev()
                                .find(|t| worlds.past[*t][world].status != Status::Running)
                                .map_or(oldest, |t| t + 1);
                            let range = match strategy {
                                Strategy::Future => from..=end,
                                Strategy::Final => end..=end,
                                Strategy::Episode => start..=end,
                            };
                            assert!(range.clone().any(|t| worlds.past[t][world].next[0] == g), "goal {g} of {range:?}");
                        }
                        seen += 1;
                    }
                }
                // 4 of 5, less those whose new goal happens to be the old one: many where an episode ends at its goal.
                let share = f64::from(relabelled) / f64::from(seen);
                assert!(share < 0.82 && (deadly || share > 0.70), "{share}");
            }
        }
    }
}

/// Chi-square over the choices of (world, tick).
#[test]
fn transitions_are_drawn_uniformly() {
    let config = ReplayConfig {
        capacity: 16 * N,
        n_step: 1,
        gamma: 1.0,
        hindsight: Some(Hindsight { strategy: Strategy::Future, k: 1e9 }),
    };
    let mut slab = slab(2);
    let mut replay = Replay::new(config, &spec(false), N, &slab).unwrap();
    let mut worlds = Worlds::new(5, false);
    for _ in 0..40 {
        worlds.push(&mut replay, &mut slab);
    }
    let mut counts = std::collections::BTreeMap::<u32, f64>::new();
    let (mut batch, mut rng) = (replay.batch(48), Rng::stream(2, 1));
    for _ in 0..1000 {
        replay.sample(&mut rng, &mut batch).unwrap();
        let Column::F32(obs) = &batch.obs else { panic!() };
        obs.chunks(3).for_each(|row| *counts.entry(row[2] as u32).or_default() += 1.0);
    }
    assert_eq!(counts.len(), 48);
    let chi: f64 = counts.values().map(|c| (c - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 110.0, "chi-square {chi} with 47 degrees of freedom"); // 1 - 1e-6 quantile: 109
}

/// What a thousand draws do not meet is found all the same, wherever it is in a ring that wrapped; what is not there is an error.
#[test]
fn rare_transitions_are_found() {
    let config = ReplayConfig { capacity: 8000 * N, n_step: 1, gamma: 1.0, hindsight: None };
    let mut slab = slab(2);
    let mut replay = Replay::new(config, &spec(false), N, &slab).unwrap();
    let mut worlds = Worlds::new(5, false);
    for _ in 0..9000 {
        worlds.push(&mut replay, &mut slab);
    }
    let kept = &worlds.past[worlds.past.len() - replay.filled() as usize..];
    let (mut batch, mut rng) = (replay.batch(16), Rng::stream(2, 1));
    let rare = [kept[0][0].obs[2], kept[4321][2].obs[2], kept[kept.len() - 1][1].obs[2]];
    let mut found = [0; 3];
    for _ in 0..20 {
        replay.sample_of(None, |row| rare.contains(&row.f32().unwrap()[2]), &mut rng, &mut batch).unwrap();
        for row in batch.obs.slice(0..batch.obs.len()).f32().unwrap().chunks(3) {
            found[rare.iter().position(|r| *r == row[2]).unwrap()] += 1;
        }
    }
    assert!(found.iter().all(|n| *n > 0), "{found:?}");
    for one in rare {
        replay.sample_of(None, |row| row.f32().unwrap()[2] == one, &mut rng, &mut batch).unwrap();
    }
    let none = replay.sample_of(None, |row| row.f32().unwrap()[2] < 0.0, &mut rng, &mut batch);
    assert!(none.unwrap_err().to_string().contains("no transition of the kind"));
}

#[test]
fn checkpoints_are_exact_and_share_their_full_chunks() {
    let dir = std::env::temp_dir().join(format!("rlx-replay-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let store = Store::new(&dir);
    let config = ReplayConfig { capacity: 64 * N, n_step: 2, gamma: 0.9, hindsight: None };
    let make = || Replay::new(config, &spec(false), N, &slab(2)).unwrap();
    let (mut whole, mut worlds, mut slab) = (make(), Worlds::new(1, false), slab(2));
    for pushes in [0, 1, 9, 30, 20, 3, 64, 200] {
        for _ in 0..pushes {
            worlds.push(&mut whole, &mut slab);
        }
        let step = whole.pushed;
        store.save("step", step, 100, |to| whole.save(to)).unwrap();
        let mut back = make();
        back.load(&store.open("step", step).unwrap()).unwrap();
        assert_eq!(
            (back.pushed, &back.obs, &back.next, &back.act),
            (whole.pushed, &whole.obs, &whole.next, &whole.act)
        );
        assert_eq!((&back.reward, &back.status), (&whole.reward, &whole.status));
        // Written without a checkpoint before it to share with, the bytes are the same.
        let alone = Store::new(dir.join("alone"));
        alone.save("step", step, 1, |to| whole.save(to)).unwrap();
        let read = |s: &Store| {
            let d = s.open("step", step).unwrap();
            d.names().map(|n| (n.to_owned(), d.get(n).unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(read(&store), read(&alone));
    }
    use std::os::unix::fs::MetadataExt;
    let shared = std::fs::read_dir(&dir).unwrap().filter_map(|e| std::fs::read_dir(e.ok()?.path()).ok()).flatten();
    let links = shared.filter(|e| e.as_ref().unwrap().metadata().unwrap().nlink() > 1).count();
    assert!(links > 10, "{links} files are shared");
    let mut other = Replay::new(ReplayConfig { capacity: 128 * N, ..config }, &spec(false), N, &slab).unwrap();
    assert!(other.load(&store.open("step", whole.pushed).unwrap()).is_err(), "of another size");
    let elsewhere = Spec { name: "elsewhere".into(), ..spec(false) };
    let mut other = Replay::new(config, &elsewhere, N, &slab).unwrap();
    let error = other.load(&store.open("step", whole.pushed).unwrap()).unwrap_err().to_string();
    assert!(error.contains("expected elsewhere, found goals"), "{error}");
    // A chunk that is sound as a file and belongs to other ticks: as good as damaged.
    let swapped = Store::new(dir.join("swapped"));
    let from = store.open("step", whole.pushed).unwrap();
    let names: Vec<&str> = from.names().filter(|n| *n != "replay.bin").collect();
    let swap = |to: &mut SaveDir| {
        to.put("replay.bin", &from.get("replay.bin")?)?;
        to.put(names[0], &from.get(names[1])?)?;
        names[1..].iter().try_for_each(|n| to.put(n, &from.get(n)?))
    };
    swapped.save("step", 1, 1, swap).unwrap();
    assert!(make().load(&swapped.open("step", 1).unwrap()).is_err());
    let missing = |to: &mut SaveDir| to.put("replay.bin", &from.get("replay.bin")?);
    swapped.save("step", 2, 1, missing).unwrap();
    assert!(make().load(&swapped.open("step", 2).unwrap()).is_err());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_can_not_be_replayed_is_refused() {
    let slab = slab(2);
    let config = ReplayConfig {
        capacity: 10,
        n_step: 1,
        gamma: 0.9,
        hindsight: Some(Hindsight { strategy: Strategy::Future, k: 4.0 }),
    };
    let mut plain = spec(false);
    plain.goal = None;
    assert!(Replay::new(config, &plain, N, &slab).err().unwrap().to_string().contains("no goals"));
    plain.players = 2;
    assert!(Replay::new(ReplayConfig { hindsight: None, ..config }, &plain, N, &slab).is_err());
    assert!(Replay::new(ReplayConfig { n_step: 0, ..config }, &spec(false), N, &slab).is_err());
    let mut empty = Replay::new(config, &spec(false), N, &slab).unwrap();
    let mut batch = empty.batch(2);
    assert!(empty.sample(&mut Rng::stream(0, 0), &mut batch).is_err());
    assert!(empty.push(slab.frame(0), Actions::Continuous(&[0.0; N]), slab.frame(1)).is_err());
}

/// Chi-square over the goal's tick for each transition, and the share that is relabelled: k of k + 1.
#[test]
fn goals_are_drawn_uniformly_from_what_their_strategy_allows() {
    // One world whose achieved goal is its tick, so that a goal tells when it was achieved; 24 ticks in a ring of 16, episodes end
    // at 11 (by time), 18 (by death), and the last one goes on. Ticks 8 to 23 are kept.
    const ENDS: [(u64, Status); 2] = [(11, Status::Truncated), (18, Status::Terminated)];
    for (strategy, k) in
        [(Strategy::Future, 4.0), (Strategy::Final, 4.0), (Strategy::Episode, 4.0), (Strategy::Future, 1.0)]
    {
        let config = ReplayConfig { capacity: 16, n_step: 1, gamma: 0.9, hindsight: Some(Hindsight { strategy, k }) };
        let mut slab = Slab::new(&spec(false), 1, 2, |n| Column::F32(vec![0.0; n]));
        let mut replay = Replay::new(config, &spec(false), 1, &slab).unwrap();
        for t in 0..24u64 {
            let rows = [[t as f32, -1.0, t as f32], [t as f32 + 1.0, -1.0, 0.0]];
            for (i, row) in rows.iter().enumerate() {
                assert!(slab.frame_mut(i).obs.copy_from(ColumnRef::F32(row)));
            }
            let after = slab.frame_mut(1);
            let mut last = after.last;
            assert!(last.copy_from(ColumnRef::F32(&rows[1])));
            after.status[0] = ENDS.iter().find(|e| e.0 == t).map_or(Status::Running, |e| e.1);
            replay.push(slab.frame(0), Actions::Discrete(&[0]), slab.frame(1)).unwrap();
        }
        let (mut batch, mut rng) = (replay.batch(32), Rng::stream(11, 0));
        let (mut counts, mut drawn, mut relabelled) = (vec![[0.0f64; 25]; 24], vec![0.0; 24], 0.0f64);
        const DRAWS: usize = 6000;
        for _ in 0..DRAWS {
            replay.sample(&mut rng, &mut batch).unwrap();
            let Column::F32(obs) = &batch.obs else { panic!() };
            assert!(obs.chunks(3).zip(&batch.relabelled).all(|(row, said)| (row[1] >= 0.0) == *said));
            for row in obs.chunks(3).filter(|row| row[1] >= 0.0) {
                counts[row[2] as usize][row[1] as usize] += 1.0;
                drawn[row[2] as usize] += 1.0;
                relabelled += 1.0;
            }
        }
        // The deviation of the share is below 0.0012: six of them.
        let share = relabelled / (DRAWS * 32) as f64;
        assert!((share - k / (k + 1.0)).abs() < 0.007, "{strategy:?}: {share} relabelled");
        for t in 8..24u64 {
            let end = ENDS.iter().map(|e| e.0).find(|e| *e >= t).unwrap_or(23);
            let start = ENDS.iter().map(|e| e.0 + 1).filter(|s| *s <= t).max().unwrap_or(8);
            let allowed = match strategy {
                Strategy::Future => t..=end,
                Strategy::Final => end..=end,
                Strategy::Episode => start..=end,
            };
            // A transition achieves what it leads to.
            let (t, n) = (t as usize, allowed.clone().count() as f64);
            let of = |tick: u64| counts[t][tick as usize + 1];
            assert_eq!(allowed.clone().map(of).sum::<f64>(), drawn[t], "{strategy:?}, tick {t}: no other goal");
            let expected = drawn[t] / n;
            let chi: f64 = allowed.map(|tick| (of(tick) - expected).powi(2) / expected).sum();
            // Beyond the 1 - 1e-6 quantile for up to 6 degrees of freedom, 38.3.
            assert!(chi < 38.3, "{strategy:?}, tick {t}: chi-square {chi} over {n} goals");
        }
    }
}

/// Bytes and vectors: image-like observations and continuous actions go through as they are, a time-out bootstraps from its
/// final view and a death from nothing.
#[test]
fn bytes_and_vectors_are_kept_as_they_are() {
    let spec = Spec::solo("pixels", Space::uniform(4, 0.0, 255.0), Space::uniform(2, -1.0, 1.0));
    let mut slab = Slab::new(&spec, 2, 2, |n| Column::U8(vec![0; n]));
    let config = ReplayConfig { capacity: 20, n_step: 2, gamma: 0.5, hindsight: None };
    let mut replay = Replay::new(config, &spec, 2, &slab).unwrap();
    // World 0 dies at every third tick, world 1 runs out of time there.
    for t in 0..31u8 {
        let rows = |mark: u8| (0..8).map(|i| mark.wrapping_mul(8).wrapping_add(i)).collect::<Vec<u8>>();
        assert!(slab.frame_mut(0).obs.copy_from(ColumnRef::U8(&rows(t))));
        let after = slab.frame_mut(1);
        let (mut obs, mut last) = (after.obs, after.last);
        assert!(obs.copy_from(ColumnRef::U8(&rows(t + 1))) && last.copy_from(ColumnRef::U8(&rows(t + 100))));
        after.reward.copy_from_slice(&[f32::from(t), -f32::from(t)]);
        after.status.fill(Status::Running);
        if t % 3 == 2 {
            after.status.copy_from_slice(&[Status::Terminated, Status::Truncated]);
        }
        let act = [f32::from(t), 0.1, f32::from(t), 0.2];
        replay.push(slab.frame(0), Actions::Continuous(&act), slab.frame(1)).unwrap();
    }
    let (mut batch, mut rng, mut seen) = (replay.batch(64), Rng::stream(0, 3), std::collections::BTreeSet::new());
    for _ in 0..20 {
        replay.sample(&mut rng, &mut batch).unwrap();
        let (Column::U8(obs), Column::U8(next), ActionBuffer::Continuous(act)) = (&batch.obs, &batch.next, &batch.act)
        else {
            panic!()
        };
        for i in 0..64 {
            let (t, world) = (act[2 * i] as u8, usize::from(act[2 * i + 1] == 0.2));
            let row = |mark: u8| (0..4).map(|j| mark.wrapping_mul(8) + 4 * world as u8 + j).collect::<Vec<u8>>();
            assert_eq!(obs[4 * i..4 * i + 4], row(t));
            let sign = [1.0, -1.0][world];
            // Two steps, unless the first ends the episode or is the newest.
            let two = t % 3 != 2 && t < 30;
            let reward = f32::from(t) + if two { 0.5 * f32::from(t + 1) } else { 0.0 };
            assert_eq!(batch.reward[i], sign * reward, "tick {t}");
            let led = t + u8::from(two);
            let ends = led % 3 == 2;
            assert_eq!(next[4 * i..4 * i + 4], row(if ends { led + 100 } else { led + 1 }), "tick {t}");
            let discount = if two { 0.25 } else { 0.5 };
            assert_eq!(batch.discount[i], if ends && world == 0 { 0.0 } else { discount }, "tick {t}");
            seen.insert((t, world));
        }
    }
    // 20 transitions of 2 worlds are 10 ticks, rounded up to 16 chunks of one.
    assert_eq!((replay.len(), seen.len(), seen.first().unwrap().0), (32, 32, 15));
    let mut wrong = Batch { obs: Column::F32(vec![0.0; 256]), ..batch.clone() };
    assert!(replay.sample(&mut rng, &mut wrong).is_err(), "a batch of floats");
    wrong = Batch { act: ActionBuffer::Discrete(vec![0; 128]), ..batch };
    assert!(replay.sample(&mut rng, &mut wrong).is_err(), "a batch of ids");
}
