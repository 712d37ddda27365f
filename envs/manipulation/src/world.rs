//! A task as a world: actions in, rows out, goals judged.
use crate::{
    goal::{Aim, Reward},
    layout::Layout,
    physics::Template,
    robot::{Command, Gantry, Panda, RobotKind},
    scene::Scene,
    tasks::Task,
};
use rapier3d::prelude::*;
use rlx::{Encoding, Env, Error, Goal, Result, Rng, Scalars, Skill, Space, Spec, Status, View, snapshot};
use serde::{Deserialize, Serialize};

/// Scalars of an action: the tool's way, and the fingers'.
const ACTIONS: usize = 4;
/// Farthest that the largest action asks for: tool (m), each finger (m), as Fetch has the first.
const MOVE: f32 = 0.05;
const OPEN: f32 = 0.02;
/// Part of every snapshot: another one is of another engine or layout.
const VERSION: &str = "rlx-manipulation 3, rapier3d 0.36.1";

/// Where an episode of a chain begins, and which skills it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// At any skill instead of the first.
    pub any: bool,
    /// That skill alone.
    pub only: Option<usize>,
}

/// Everything about a world but its task.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub name: &'static str,
    pub robot: RobotKind,
    pub fine: bool,
    pub reward: Reward,
    /// Whether success ends an episode.
    pub ends: bool,
    pub time_limit: u32,
    /// The share of episodes that begin with the hand where it takes hold.
    pub held: f64,
    /// Set for chains of skills.
    pub chain: Option<Chain>,
}

/// What an episode is besides its physics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Episode {
    /// Goals of all skills, one after another.
    desired: Vec<f32>,
    /// Skills that are done.
    skill: usize,
    /// Skills that were done when it began.
    began: usize,
    step: u64,
    /// Actions outside of [-1, 1].
    clipped: u64,
    success: bool,
    once: bool,
    distance: f32,
    done: bool,
}

/// A manipulation task as a world.
pub struct Manipulation {
    pub(crate) options: Options,
    pub(crate) task: Box<dyn Task>,
    pub(crate) scene: Scene,
    aims: Vec<Aim>,
    template: Template,
    layout: Layout,
    /// Where the row's parts after the robot's begin.
    core: usize,
    episode: Episode,
}

impl Manipulation {
    pub(crate) fn new(options: Options, task: Box<dyn Task>) -> Self {
        let robot: Box<dyn crate::robot::Robot> = match options.robot {
            RobotKind::Gantry => Box::new(Gantry::new()),
            RobotKind::Panda => Box::new(Panda::new()),
        };
        let mut scene = Scene::new(robot, options.fine, task.bounds());
        task.build(&mut scene);
        let template = Template::of(&scene.world);
        let names: Vec<&str> = scene.things.iter().map(|t| t.name).collect();
        let mut layout = Layout::robot(&names);
        let core = layout.width;
        let aims = task.aims();
        if options.chain.is_some() {
            layout.add("skill", 1, "");
            let field = layout.fields.last_mut().expect("just added");
            field.encoding = Encoding::OneHot(aims.len() as u16);
            for aim in &aims {
                layout.add(&format!("{}_achieved", aim.name), aim.width, aim.unit);
                layout.add(&format!("{}_desired", aim.name), aim.width, aim.unit);
            }
        } else {
            layout.add("achieved_goal", aims[0].width, aims[0].unit).add("desired_goal", aims[0].width, aims[0].unit);
        }
        let episode = Episode { desired: vec![0.0; aims.iter().map(|a| a.width).sum()], ..Episode::default() };
        Self { options, task, scene, aims, template, layout, core, episode }
    }

    /// Where skill `k` keeps its goal: in the row, and in the list of desired goals.
    fn goal(&self, k: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let before: usize = self.aims[..k].iter().map(|a| a.width).sum();
        let (w, chain) = (self.aims[k].width, usize::from(self.options.chain.is_some()));
        let at = self.core + chain + 2 * before;
        (at..at + 2 * w, before..before + w)
    }

    /// Whether success at skill `k` ends the episode.
    fn last(&self, k: usize) -> bool {
        k + 1 == self.aims.len() || self.options.chain.is_some_and(|c| c.only.is_some())
    }

    fn observe(&self, row: &mut [f32]) {
        self.scene.observe(row);
        if self.options.chain.is_some() {
            row[self.core] = self.episode.skill as f32;
        }
        for (k, aim) in self.aims.iter().enumerate() {
            let (at, part) = self.goal(k);
            let (achieved, desired) = row[at].split_at_mut(aim.width);
            self.task.achieved(k, &self.scene, achieved);
            desired.copy_from_slice(&self.episode.desired[part]);
        }
    }

    /// The number of the skill at work, its aim, and what is desired of it.
    pub(crate) fn at_work(&self) -> (usize, &Aim, &[f32]) {
        let k = self.episode.skill;
        (k, &self.aims[k], &self.episode.desired[self.goal(k).1])
    }

    /// How far the goal at work is by an observation.
    fn aim_distance(&self, row: &[f32]) -> f32 {
        let (k, aim, desired) = self.at_work();
        let at = self.goal(k).0.start;
        aim.distance(&row[at..at + aim.width], desired)
    }

    pub(crate) fn aims(&self) -> &[Aim] {
        &self.aims
    }

    /// What skill `k` is to achieve.
    pub(crate) fn desired(&self, k: usize) -> &[f32] {
        &self.episode.desired[self.goal(k).1]
    }

    /// How far the goal is, and whether a chain is done.
    pub(crate) fn standing(&self) -> (f32, bool) {
        (self.episode.distance, self.episode.done)
    }

    /// What the scripted policy does now.
    fn scripted(&self, act: &mut [f32]) {
        let (k, _, desired) = self.at_work();
        let hint = self.task.script(k, &self.scene, desired);
        act[..3].copy_from_slice(&(hint.by / MOVE).to_array().map(|x| x.clamp(-1.0, 1.0)));
        act[3] = hint.open;
    }

    fn identity(&self) -> String {
        let Options { name, robot, fine, reward, ends, .. } = &self.options;
        let goals = self.episode.desired.len();
        format!("{VERSION}, {name}, {robot:?}, fine {fine}, {goals} goals, {reward:?}, success ends it {ends}")
    }
}

impl Env for Manipulation {
    type Obs = f32;
    type Act = f32;

    fn spec(&self) -> Spec {
        let obs = Space::uniform(self.layout.width, f32::NEG_INFINITY, f32::INFINITY);
        let mut spec =
            Spec::solo(self.options.name, obs, Space::uniform(ACTIONS, -1.0, 1.0)).limited(self.options.time_limit);
        spec.fields = self.layout.fields.clone();
        spec.bots = vec!["scripted".into()];
        spec.grain = 2;
        let goal = |k: usize, ends: bool| {
            let (at, w) = (self.goal(k).0.start, self.aims[k].width);
            let judge = self.aims[k].judged_by(self.options.reward, ends);
            Goal { achieved: at..at + w, desired: at + w..at + 2 * w, judge }
        };
        if self.options.chain.is_some() {
            let skill = |(k, aim): (usize, &Aim)| Skill { name: aim.name.into(), goal: goal(k, true) };
            spec.skills = self.aims.iter().enumerate().map(skill).collect();
        } else {
            spec.goal = Some(goal(0, self.options.ends));
        }
        spec
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.scene.restore(&self.template);
        let first = match self.options.chain {
            Some(Chain { only: Some(k), .. }) => k,
            Some(Chain { any: true, .. }) => rng.below(self.aims.len()),
            _ => 0,
        };
        let mut desired = std::mem::take(&mut self.episode.desired);
        self.task.begin(first, &mut self.scene, rng, &mut desired);
        if self.options.held > 0.0 && rng.unit() < self.options.held {
            self.task.hold(first, &mut self.scene);
        }
        self.episode = Episode { desired, skill: first, began: first, ..Episode::default() };
        self.observe(view.obs);
        self.episode.distance = self.aim_distance(view.obs);
    }

    fn step(&mut self, act: &[f32], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        if act.len() != ACTIONS || act.iter().any(|a| !a.is_finite()) {
            let step = self.episode.step;
            return Err(Error::invalid(format!(
                "action {act:?} at step {step} of an episode: it must be {ACTIONS} finite numbers from -1 to 1"
            )));
        }
        self.episode.step += 1;
        self.episode.clipped += u64::from(act.iter().any(|a| a.abs() > 1.0));
        let a = |i: usize| act.get(i).map_or(0.0, |a| a.clamp(-1.0, 1.0));
        let by = Vector::new(a(0), a(1), a(2)) * MOVE;
        let open = if self.task.grips() { a(3) * OPEN } else { 0.0 };
        let sound = self.scene.control(by, open);
        self.observe(view.obs);
        if !sound || view.obs.iter().any(|x| !x.is_finite()) {
            let what = format!("the physics of {}", self.options.name);
            return Err(Error::NonFinite { what, step: self.episode.step });
        }
        let (k, aim, desired) = self.at_work();
        let (at, w) = (self.goal(k).0.start, aim.width);
        let achieved = &view.obs[at..at + w];
        let distance = aim.distance(achieved, desired);
        let ends = if self.options.chain.is_some() { self.last(k) } else { self.options.ends };
        let judged = aim.judge(self.options.reward, ends, achieved, desired);
        pay[0] = judged.reward;
        let last = self.last(k);
        let episode = &mut self.episode;
        episode.distance = distance;
        episode.success = judged.success && last && self.task.kept(&self.scene);
        episode.once |= episode.success;
        if self.options.chain.is_some() && judged.success {
            if last {
                episode.done = episode.success;
            } else {
                episode.skill = k + 1;
                view.obs[self.core] = (k + 1) as f32;
                self.episode.distance = self.aim_distance(view.obs);
            }
        }
        Ok(if judged.terminated { Status::Terminated } else { Status::Running })
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        snapshot::put(&mut body, &self.scene.world);
        snapshot::put(&mut body, &(&self.scene.command, &self.episode));
        snapshot::put(out, &(self.identity(), checksum(&body)));
        out.extend_from_slice(&body);
    }

    fn load(&mut self, mut state: &[u8]) -> Result<()> {
        let (identity, sum): (String, u64) = snapshot::take(&mut state)?;
        if identity != self.identity() {
            return Err(Error::mismatch("snapshot of a manipulation world", self.identity(), identity));
        }
        if sum != checksum(state) {
            return Err(Error::invalid("snapshot of a manipulation world: it is damaged, its checksum is another"));
        }
        let world: PhysicsWorld = snapshot::take(&mut state)?;
        let (command, episode): (Command, Episode) = snapshot::get(state)?;
        let now = &mut self.scene.world;
        now.islands = world.islands;
        now.broad_phase = world.broad_phase;
        now.narrow_phase = world.narrow_phase;
        now.bodies = world.bodies;
        now.colliders = world.colliders;
        now.impulse_joints = world.impulse_joints;
        now.multibody_joints = world.multibody_joints;
        (self.scene.command, self.episode) = (command, episode);
        Ok(())
    }

    fn metrics(&self, out: &mut Scalars) {
        let flag = |yes: bool| f64::from(u8::from(yes));
        let e = &self.episode;
        if self.options.chain.is_some() {
            out.put("success", flag(e.done));
            out.put("skills_done", (e.skill - e.began) as f64 + flag(e.done));
        } else {
            out.put("success", flag(e.success));
            out.put("success_once", flag(e.once));
        }
        out.put("distance", f64::from(e.distance));
        out.put("clipped", e.clipped as f64);
    }

    fn bot(&self, number: usize, _: &mut Rng, act: &mut [f32]) -> Result<()> {
        if number != 0 {
            return Err(Error::invalid(format!("bot {number}: this world has one")));
        }
        self.scripted(act);
        Ok(())
    }

    fn draw(&self) -> Option<rlx::Drawing> {
        Some(self.drawing())
    }
}

/// FNV-1a over words: a damaged state is refused before the engine sees it.
fn checksum(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| chunk.iter().fold(chunk.len() as u64, |w, b| w << 8 | u64::from(*b));
    bytes.chunks(7).map(word).fold(0xCBF2_9CE4_8422_2325, |h, w| (h ^ w).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests;
