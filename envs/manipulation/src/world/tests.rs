//! What a world promises whatever is done to it: finite and slow physics, nothing through anything, snapshots that are its own.
use super::*;
use rlx::{ActionBuffer, Actions, Registry, Table, VecEnv, Vector as Worlds};
use vandals::Vandal;

mod vandals;

fn registry() -> Registry {
    let mut registry = Registry::new();
    crate::register(&mut registry);
    registry
}

fn table(text: &str) -> Table {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
    let value = |text: &str| text.parse::<u32>().map_or_else(|_| text.into(), Into::into);
    pairs.map(|(key, text)| (key.to_owned(), value(text))).collect()
}

fn vector(world: &str, settings: &str, n: usize, seed: u64) -> Box<dyn Worlds> {
    registry().find_world(world).unwrap().vector(&table(settings), n, seed).unwrap()
}

fn config(robot: RobotKind) -> crate::Config {
    crate::Config { robot, ..crate::Config::default() }
}

/// Every world that a robot has.
fn worlds(robot: RobotKind) -> Vec<Manipulation> {
    use crate::tasks::{basic, blocks, furniture, parts};
    let (c, fetch) = (config(robot), crate::Convention::Fetch);
    let gantry = crate::GantryConfig::default();
    let mut all = vec![
        crate::world("reach", &c, 50, basic::Reach(fetch)),
        crate::world("push", &c, 50, basic::Push(fetch)),
        crate::world("slide", &c, 50, basic::Slide(fetch)),
        crate::world("pick-place", &c, 50, basic::PickPlace(fetch)),
        crate::world("lift", &c, 50, blocks::Lift(fetch)),
        crate::world("stack", &c, 100, blocks::Stack(fetch)),
        crate::world("flip", &c, 50, blocks::Flip(fetch)),
    ];
    if robot == RobotKind::Gantry {
        all.push(crate::gantry("drawer-open", &gantry, 50, furniture::DrawerOpen));
        all.push(crate::gantry("door-open", &gantry, 75, furniture::DoorOpen));
        all.push(crate::gantry("peg-insert", &gantry, 75, parts::PegInsert));
        all.push(crate::gantry("nut-thread", &gantry, 75, parts::NutThread));
        let stack = crate::ChainConfig { begin: crate::Begin::Any, ..Default::default() };
        all.push(crate::chain::<crate::Stack3Skill>("stack3", &stack, 150, blocks::Stack3));
        let store = crate::ChainConfig { begin: crate::Begin::Any, held: 0.5, ..Default::default() };
        all.push(crate::chain::<crate::DrawerStoreSkill>("drawer-store", &store, 200, furniture::DrawerStore));
        let assemble = crate::ChainConfig { begin: crate::Begin::Any, held: 0.5, ..Default::default() };
        all.push(crate::chain::<crate::AssembleSkill>("assemble", &assemble, 120, parts::Assemble));
    }
    all
}

/// One world's rows and payments.
struct Played {
    obs: Vec<f32>,
    pay: [f32; 1],
}

impl Played {
    fn of(world: &Manipulation) -> Self {
        Self { obs: vec![0.0; world.layout.width], pay: [0.0] }
    }
    fn reset(&mut self, world: &mut Manipulation, rng: &mut Rng) {
        world.reset(rng, View { obs: &mut self.obs, mask: &mut [], seat: &mut [0] });
    }
    fn step(&mut self, world: &mut Manipulation, act: &[f32], rng: &mut Rng) -> Result<Status> {
        self.pay = [0.0];
        world.step(act, rng, View { obs: &mut self.obs, mask: &mut [], seat: &mut [0] }, &mut self.pay)
    }
}

#[test]
fn what_is_restored_goes_on_to_the_bit() {
    for (robot, seed) in (0..3).flat_map(|s| [(RobotKind::Gantry, s), (RobotKind::Panda, s)]) {
        for (mut world, mut other) in worlds(robot).into_iter().zip(worlds(robot)) {
            let mut rng = Rng::named(9, "restored", seed);
            let (mut a, mut b) = (Played::of(&world), Played::of(&other));
            let mut vandal = Vandal::default();
            a.reset(&mut world, &mut rng);
            // The other one has a life of its own before.
            b.reset(&mut other, &mut rng);
            for k in 0..60 {
                if k % 20 == 7 {
                    let mut state = Vec::new();
                    world.save(&mut state);
                    other.load(&state).unwrap();
                }
                let act = vandal.act(&world, &mut rng).to_vec();
                let ended = a.step(&mut world, &act, &mut rng).unwrap();
                let same = b.step(&mut other, &act, &mut rng).unwrap();
                if k >= 7 {
                    let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert!(bits(&a.obs) == bits(&b.obs), "{} {robot:?} at step {k}", world.options.name);
                    assert_eq!((ended, a.pay), (same, b.pay));
                }
            }
        }
    }
}

#[test]
fn a_world_is_the_same_in_every_batch_on_any_threads() {
    const STEPS: usize = 12;
    let rows = |n: usize, threads: usize, settings: &str| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut envs = vector("pick-place", settings, n, 4);
            let (spec, mut slab) = (envs.spec().clone(), envs.slab(2));
            envs.reset(slab.frame_mut(0));
            let mut act = ActionBuffer::new(&spec.act, n);
            let mut rngs: Vec<Rng> = (0..n as u64).map(|i| Rng::named(1, "batch", i)).collect();
            let mut seen = vec![Vec::new(); n];
            for t in 0..STEPS {
                let rlx::ActionsMut::Continuous(out) = act.get_mut() else { unreachable!() };
                for (row, rng) in out.chunks_mut(4).zip(&mut rngs) {
                    row.iter_mut().for_each(|a| *a = rng.uniform(-1.2, 1.2) as f32);
                }
                envs.step(act.get(), slab.frame_mut((t + 1) % 2)).unwrap();
                let frame = slab.frame((t + 1) % 2);
                let rlx::ColumnRef::F32(obs) = frame.obs else { unreachable!() };
                for (i, row) in obs.chunks(obs.len() / n).enumerate() {
                    seen[i].extend(row.iter().chain(&frame.reward[i..=i]).map(|x| x.to_bits()));
                }
            }
            seen
        })
    };
    for settings in ["time_limit=7", "robot=panda time_limit=7"] {
        let all = rows(9, 1, settings);
        for (n, threads) in [(1, 1), (4, 1), (9, 2), (9, 3), (5, 4)] {
            let some = rows(n, threads, settings);
            assert!(some == all[..n], "'{settings}': {n} worlds on {threads} threads");
        }
    }
}

#[test]
fn a_snapshot_of_another_world_or_version_or_a_damaged_one_is_refused() {
    let saved = |world: &Manipulation| {
        let mut state = Vec::new();
        world.save(&mut state);
        state
    };
    let mut rng = Rng::named(2, "refused", 0);
    let c = crate::Config::default();
    let fetch = crate::Convention::Fetch;
    let mut world = crate::world("push", &c, 50, crate::tasks::basic::Push(fetch));
    let mut played = Played::of(&world);
    played.reset(&mut world, &mut rng);
    played.step(&mut world, &[1.0, 0.0, -1.0, 0.0], &mut rng).unwrap();
    let state = saved(&world);
    let panda = crate::Convention::Panda;
    let others = [
        ("another task", crate::world("pick-place", &c, 50, crate::tasks::basic::PickPlace(fetch))),
        ("another robot", crate::world("push", &config(RobotKind::Panda), 50, crate::tasks::basic::Push(fetch))),
        (
            "another convention",
            crate::world(
                "push",
                &crate::Config { convention: panda, ..c.clone() },
                50,
                crate::tasks::basic::Push(panda),
            ),
        ),
        (
            "another accuracy",
            crate::world(
                "push",
                &crate::Config { accuracy: crate::Accuracy::Fine, ..c.clone() },
                50,
                crate::tasks::basic::Push(fetch),
            ),
        ),
    ];
    for (what, mut other) in others {
        let error = other.load(&state).expect_err(what).to_string();
        assert!(error.contains("snapshot of a manipulation world: expected"), "{what}: {error}");
    }
    let version = state.windows(VERSION.len()).position(|w| w == VERSION.as_bytes()).unwrap();
    let mut old = state.clone();
    old[version + "rlx-manipulation ".len()] = b'0';
    let error = world.load(&old).unwrap_err().to_string();
    assert!(error.contains(VERSION) && error.contains("rlx-manipulation 0"), "{error}");
    for cut in (0..state.len()).step_by(41) {
        assert!(world.load(&state[..cut]).is_err(), "cut at {cut}");
    }
    for at in (0..state.len()).step_by(37) {
        let mut damaged = state.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(world.load(&damaged).is_err(), "changed at {at}");
    }
    assert!(saved(&world) == state, "what was refused changed nothing");
}

#[test]
fn actions_out_of_range_are_clipped_and_counted_and_nan_is_refused_with_its_step() {
    let make =
        || crate::world("push", &crate::Config::default(), 5, crate::tasks::basic::Push(crate::Convention::Fetch));
    let (mut wild, mut tame) = (VecEnv::new(1, 3, make), VecEnv::new(1, 3, make));
    let (mut a, mut b) = (wild.slab(1), tame.slab(1));
    wild.reset(a.frame_mut(0));
    tame.reset(b.frame_mut(0));
    for k in 0..5 {
        if k == 3 {
            for bad in [f32::NAN, f32::INFINITY] {
                let error = wild.step(Actions::Continuous(&[0.0, bad, 0.0, 0.0]), a.frame_mut(0)).unwrap_err();
                let error = error.to_string();
                assert!(error.contains("at step 3 of an episode") && error.contains("finite"), "{error}");
            }
        }
        let (far, near) = if k < 2 { (7.5, 1.0) } else { (0.5, 0.5) };
        wild.step(Actions::Continuous(&[far, -far, 0.0, far]), a.frame_mut(0)).unwrap();
        tame.step(Actions::Continuous(&[near, -near, 0.0, near]), b.frame_mut(0)).unwrap();
        assert_eq!(a.frame(0).obs, b.frame(0).obs, "clipped, and what was refused left no trace");
    }
    let clipped = |envs: &mut VecEnv<Manipulation>| envs.episodes().metrics[0].get("clipped");
    assert_eq!((clipped(&mut wild), clipped(&mut tame)), (Some(2.0), Some(0.0)));
}

/// The engine takes what is not finite out of its world and goes on: here that is an error, and no panic.
#[test]
fn what_is_lost_is_an_error() {
    for robot in [RobotKind::Gantry, RobotKind::Panda] {
        let spoilers: [fn(&mut Manipulation); 2] = [
            |w| w.scene.world.bodies[w.scene.things[0].body].set_linvel(Vector::splat(f32::NAN), true),
            |w| {
                let mut lost = w.scene.command;
                lost.joints[0] = f32::NAN;
                w.scene.machine.place(&mut w.scene.world, &lost);
            },
        ];
        for (k, spoil) in spoilers.into_iter().enumerate() {
            let mut world = worlds(robot).swap_remove(1);
            let (mut rng, mut play) = (Rng::named(3, "lost", 0), Played::of(&world));
            play.reset(&mut world, &mut rng);
            play.step(&mut world, &[0.1, 0.0, 0.0, 0.0], &mut rng).unwrap();
            spoil(&mut world);
            let error = play.step(&mut world, &[0.1, 0.0, 0.0, 0.0], &mut rng).expect_err("a body is lost");
            assert!(error.to_string().contains("the physics of push"), "{robot:?} {k}: {error}");
        }
    }
}

/// What a skill of a chain has reached says nothing of the next one, and a drawer that is closed beside its block stores nothing.
#[test]
fn a_chain_is_judged_by_the_skill_at_work_and_by_what_is_kept() {
    use crate::tasks::furniture::DrawerStore;
    let mut world = crate::chain::<crate::DrawerStoreSkill>("drawer-store", &Default::default(), 200, DrawerStore);
    let (mut rng, mut play) = (Rng::named(6, "kept", 0), Played::of(&world));
    let mut end = |world: &mut Manipulation, play: &mut Played| {
        let (mut act, mut k) = (vec![0.0; ACTIONS], world.episode.skill);
        for _ in 0..200 {
            world.scripted(&mut act);
            if play.step(world, &act, &mut rng).unwrap() == Status::Terminated {
                return;
            }
            if std::mem::replace(&mut k, world.episode.skill) != k && k == 1 {
                assert!(world.episode.distance > 0.05, "the block is not yet over the drawer");
                assert_eq!(world.drawing().success, Some(false));
            }
        }
        panic!("the drawer was not closed");
    };
    let mut seeds = Rng::named(6, "begun", 0);
    play.reset(&mut world, &mut seeds);
    end(&mut world, &mut play);
    assert!(world.episode.done);
    let alone = crate::ChainConfig { skill: crate::DrawerStoreSkill::Close, ..Default::default() };
    let mut world = crate::chain::<crate::DrawerStoreSkill>("drawer-store", &alone, 200, DrawerStore);
    for stored in [true, false] {
        play.reset(&mut world, &mut seeds);
        if !stored {
            world.scene.put(1, Vector::new(-0.2, 0.15, 0.025), Rotation::IDENTITY);
        }
        end(&mut world, &mut play);
        let mut metrics = Scalars::default();
        world.metrics(&mut metrics);
        assert_eq!(metrics.iter().find(|m| m.0 == "success").map(|m| m.1), Some(f64::from(u8::from(stored))));
    }
}

#[test]
fn a_task_refuses_a_robot_that_can_not_do_it() {
    for world in ["drawer-open", "peg-insert", "assemble"] {
        let registry = registry();
        let made = registry.find_world(world).unwrap().vector(&table("robot=panda"), 1, 0);
        let error = made.err().unwrap().to_string();
        assert!(error.contains("panda") && error.contains("gantry"), "{world}: {error}");
    }
    let error = registry().find_world("push").unwrap().vector(&table("robot=fetch"), 1, 0).err().unwrap().to_string();
    assert!(error.contains("fetch") && error.contains("gantry") && error.contains("panda"), "{error}");
}

/// What is drawn is where the physics has it, and a filmed episode has the same bodies all along.
#[test]
fn drawings_are_where_things_are() {
    for robot in [RobotKind::Gantry, RobotKind::Panda] {
        for mut world in worlds(robot) {
            let (mut rng, mut played) = (Rng::named(8, "drawn", 0), Played::of(&world));
            played.reset(&mut world, &mut rng);
            let first = world.drawing();
            for _ in 0..5 {
                let drawing = world.drawing();
                assert_eq!(drawing.bodies.len(), first.bodies.len());
                for (a, b) in drawing.bodies.iter().zip(&first.bodies) {
                    assert_eq!(a.shape, b.shape);
                    assert!(a.at.iter().chain(&a.turn).all(|x| x.is_finite()));
                    let norm: f32 = a.turn.iter().map(|q| q * q).sum();
                    assert!((norm - 1.0).abs() < 1e-4);
                }
                if matches!(world.options.name, "push" | "stack") {
                    let at = world.scene.at(0).to_array();
                    assert!(drawing.bodies.iter().any(|b| b.at == at), "{}: the block", world.options.name);
                }
                played.step(&mut world, &[0.5, -0.5, -1.0, 1.0], &mut rng).unwrap();
            }
        }
    }
}

/// Half of the episodes begin in the hand, and from there the scripted player does as well as ever.
#[test]
fn what_begins_in_the_hand_can_be_done_from_there() {
    use crate::tasks::{basic, blocks, furniture, parts};
    fn held<S: Default>() -> crate::ChainConfig<S> {
        crate::ChainConfig { begin: crate::Begin::Any, held: 0.5, ..Default::default() }
    }
    let (fetch, parts_held) = (crate::Convention::Fetch, crate::GantryConfig { held: 0.5, ..Default::default() });
    // The world, and what its first skill takes hold of.
    let mut worlds = vec![
        (crate::chain::<crate::Stack3Skill>("stack3", &held(), 150, blocks::Stack3), 1),
        (crate::chain::<crate::DrawerStoreSkill>("drawer-store", &held(), 200, furniture::DrawerStore), 0),
        (crate::chain::<crate::AssembleSkill>("assemble", &held(), 120, parts::Assemble), 0),
        (crate::gantry("peg-insert", &parts_held, 75, parts::PegInsert), 0),
        (crate::gantry("nut-thread", &parts_held, 75, parts::NutThread), 0),
    ];
    for robot in [RobotKind::Gantry, RobotKind::Panda] {
        let config = crate::Config { held: 0.5, ..config(robot) };
        worlds.push((crate::world("pick-place", &config, 50, basic::PickPlace(fetch)), 0));
        worlds.push((crate::world("lift", &config, 50, blocks::Lift(fetch)), 0));
        worlds.push((crate::world("stack", &config, 100, blocks::Stack(fetch)), 1));
    }
    for (world, thing) in &mut worlds {
        let mut rng = Rng::named(4, "held", 0);
        let mut play = Played::of(world);
        let (mut near, mut begun, mut done) = (0, 0, 0);
        for _ in 0..100 {
            play.reset(world, &mut rng);
            if world.episode.skill == 0 {
                begun += 1;
                near += u32::from((world.scene.tool() - world.scene.at(*thing)).length() < 0.035);
            }
            let mut act = vec![0.0; ACTIONS];
            for _ in 0..world.options.time_limit {
                world.scripted(&mut act);
                if play.step(world, &act, &mut rng).unwrap() == Status::Terminated {
                    break;
                }
            }
            done += u32::from(world.episode.done || world.episode.success);
        }
        let (share, name) = (f64::from(near) / f64::from(begun), world.options.name);
        assert!((share - 0.5).abs() < 0.2, "{name} {:?}: {near} of {begun} begin in the hand", world.options.robot);
        assert!(done >= 97, "{name} {:?}: {done} of 100 done", world.options.robot);
    }
}
