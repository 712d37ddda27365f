//! An underpowered car in a valley (Moore 1990) with a continuous force, as Gymnasium's MountainCarContinuous-v0.
use rlx::{Env, Result, Rng, Space, Spec, Status, View, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the world; the defaults are MountainCarContinuous-v0's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Steps after which an episode times out.
    #[schemars(range(min = 1))]
    pub time_limit: u32,
    /// Least speed at the top that counts as arriving.
    #[schemars(range(min = -0.07, max = 0.07))]
    pub goal_velocity: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { time_limit: 999, goal_velocity: 0.0 }
    }
}

const POSITION: (f64, f64) = (-1.2, 0.6);
const MAX_SPEED: f64 = 0.07;
const GOAL: f64 = 0.45;
const POWER: f64 = 0.0015;
/// Of a film: the world itself has no unit of time.
const TICK_S: f64 = 1.0 / 30.0;

/// Position and speed.
pub type State = [f64; 2];

/// The world. The original keeps its state in f64 until the first step and in f32 afterwards, and so does this.
#[derive(Clone, Debug)]
pub struct MountainCarContinuous {
    state: State,
    fresh: bool,
    config: Config,
}

impl MountainCarContinuous {
    /// A world with that config.
    pub fn new(config: &Config) -> Self {
        Self { state: [0.0; 2], fresh: true, config: config.clone() }
    }
    /// The physical state.
    pub fn state(&self) -> State {
        self.state
    }
    /// Puts the world into a state, at the start of an episode or (rounded to f32) within one.
    pub fn set_state(&mut self, state: State, fresh: bool) {
        self.state = if fresh { state } else { state.map(|x| f64::from(x as f32)) };
        self.fresh = fresh;
    }
    /// A sum in the precision of the state.
    fn sum(&self, a: f64, b: f64) -> f64 {
        if self.fresh { a + b } else { f64::from(a as f32 + b as f32) }
    }
    fn show(&self, obs: &mut [f32]) {
        obs.copy_from_slice(&self.state.map(|x| x as f32));
    }
}

impl Env for MountainCarContinuous {
    type Obs = f32;
    type Act = f32;

    fn spec(&self) -> Spec {
        let speed = MAX_SPEED as f32;
        let obs =
            Space::Box { shape: vec![2], low: vec![POSITION.0 as f32, -speed], high: vec![POSITION.1 as f32, speed] };
        Spec::solo("mountain-car-continuous", obs, Space::symmetric(&[1.0]))
            .limited(self.config.time_limit)
            .named(&[("position", ""), ("velocity", "")])
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.set_state([rng.uniform(-0.6, -0.4), 0.0], true);
        self.show(view.obs);
    }

    fn step(&mut self, act: &[f32], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        let act = crate::force(act)?;
        let [position, velocity] = self.state;
        let angle = if self.fresh { 3.0 * position } else { f64::from(3.0 * position as f32) };
        let slope = 0.0025 * angle.cos();
        // A force within its bounds is an f32 there, one cut to them a Python float, that is an f64.
        let push = if act.abs() > 1.0 {
            f64::from(act.clamp(-1.0, 1.0)) * POWER - slope
        } else {
            f64::from(act * POWER as f32 - slope as f32)
        };
        let mut velocity = self.sum(velocity, push).clamp(-MAX_SPEED, MAX_SPEED);
        let position = self.sum(position, velocity).clamp(POSITION.0, POSITION.1);
        if position == POSITION.0 && velocity < 0.0 {
            velocity = 0.0;
        }
        let goal = if self.fresh { GOAL } else { f64::from(GOAL as f32) };
        let arrived = position >= goal && velocity >= self.config.goal_velocity;
        pay[0] = (if arrived { 100.0 } else { 0.0 } - f64::from(act).powi(2) * 0.1) as f32;
        self.set_state([position, velocity], false);
        self.show(view.obs);
        Ok(if arrived { Status::Terminated } else { Status::Running })
    }

    fn draw(&self) -> Option<rlx::Drawing> {
        use crate::draw::*;
        let [position, velocity] = self.state.map(|v| v as f32);
        // The hill of Gymnasium's picture: what drives the car is cos(3 x), the slope of sin(3 x).
        let height = |x: f32| 0.45 * (3.0 * x).sin();
        let (low, high, goal) = (POSITION.0 as f32, POSITION.1 as f32, GOAL as f32);
        let at = |i: usize| low + (high - low) * i as f32 / 60.0;
        let mut bodies: Vec<_> =
            (0..60).map(|i| rod([at(i), height(at(i))], [at(i + 1), height(at(i + 1))], 0.006, LINE)).collect();
        bodies.push(rod([goal, height(goal)], [goal, height(goal) + 0.2], 0.006, DARK));
        bodies.push(block([goal + 0.045, height(goal) + 0.175], [0.045, 0.008, 0.025], 0.0, YELLOW));
        let angle = (0.45 * 3.0 * (3.0 * position).cos()).atan();
        // Up and along the hill, where the car stands.
        let over = |along: f32, up: f32| {
            let (sin, cos) = angle.sin_cos();
            [position + along * cos - up * sin, height(position) + along * sin + up * cos]
        };
        bodies.push(block(over(0.0, 0.065), [0.075, 0.03, 0.03], angle, DARK));
        bodies.push(disc(over(0.045, 0.03), 0.028, 0.03, LINE));
        bodies.push(disc(over(-0.045, 0.03), 0.028, 0.03, LINE));
        let notes = vec![("position", format!("{position:.2}")), ("velocity", format!("{velocity:.3}"))];
        Some(drawing(bodies, (-0.3, 0.08), 1.5, TICK_S, Some(position >= goal), notes))
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &(self.state, self.fresh));
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        (self.state, self.fresh) = snapshot::get(state)?;
        Ok(())
    }
}
