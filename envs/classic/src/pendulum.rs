//! A pendulum driven at its joint, as Gymnasium's Pendulum-v1. Angle 0 is upright.
use rlx::{Env, Result, Rng, Space, Spec, Status, View, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

/// Settings of the world; the defaults are Pendulum-v1's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Steps after which an episode times out.
    #[schemars(range(min = 1))]
    pub time_limit: u32,
    /// Acceleration of gravity, m/s^2.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub gravity: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { time_limit: 200, gravity: 10.0 }
    }
}

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f32 = 2.0;
const STEP_S: f64 = 0.05;

/// Angle rad, angular speed rad/s.
pub type State = [f64; 2];

/// The world: mass 1 kg, length 1 m.
#[derive(Clone, Debug)]
pub struct Pendulum {
    state: State,
    config: Config,
}

impl Pendulum {
    /// A world with that config.
    pub fn new(config: &Config) -> Self {
        Self { state: [0.0; 2], config: config.clone() }
    }
    /// The physical state.
    pub fn state(&self) -> State {
        self.state
    }
    /// Puts the world into a state, whatever it was in, for experiments that start from there. The next step goes on from it;
    /// ticks towards the time limit are the vector's and go on counting.
    pub fn set_state(&mut self, state: State) {
        self.state = state;
    }
    fn show(&self, obs: &mut [f32]) {
        let [angle, speed] = self.state;
        obs.copy_from_slice(&[angle.cos() as f32, angle.sin() as f32, speed as f32]);
    }
}

impl Env for Pendulum {
    type Obs = f32;
    type Act = f32;

    fn spec(&self) -> Spec {
        let obs = Space::symmetric(&[1.0, 1.0, MAX_SPEED as f32]);
        Spec::solo("pendulum", obs, Space::symmetric(&[MAX_TORQUE])).limited(self.config.time_limit).named(&[
            ("cos_angle", ""),
            ("sin_angle", ""),
            ("angular_speed", "rad/s"),
        ])
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.state = [rng.uniform(-PI, PI), rng.uniform(-1.0, 1.0)];
        self.show(view.obs);
    }

    fn step(&mut self, act: &[f32], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        // The torque stays in f32 until it meets an f64, as in the original.
        let torque = crate::force(act)?.clamp(-MAX_TORQUE, MAX_TORQUE);
        let [angle, speed] = self.state;
        let upright = (angle + PI).rem_euclid(TAU) - PI;
        // Paid for the state before the step.
        pay[0] = -(upright * upright + 0.1 * (speed * speed) + f64::from(0.001 * (torque * torque))) as f32;
        let acceleration = 3.0 * self.config.gravity / 2.0 * angle.sin() + f64::from(3.0 * torque);
        let speed = (speed + acceleration * STEP_S).clamp(-MAX_SPEED, MAX_SPEED);
        self.state = [angle + speed * STEP_S, speed];
        self.show(view.obs);
        Ok(Status::Running)
    }

    fn draw(&self) -> Option<rlx::Drawing> {
        use crate::draw::*;
        let [angle, speed] = self.state.map(|v| v as f32);
        // A positive angle is to the left, as in Gymnasium's picture.
        let tip = [-angle.sin(), angle.cos()];
        let bodies = vec![
            rod([0.0, 0.0], tip, 0.09, RED),
            disc([0.0, 0.0], 0.05, 0.09, DARK),
            disc([0.0, 1.25], 0.02, 0.0, LINE),
        ];
        let away = (angle + std::f32::consts::PI).rem_euclid(2.0 * std::f32::consts::PI) - std::f32::consts::PI;
        let notes =
            vec![("from upright", format!("{:.0}\u{b0}", away.to_degrees())), ("speed", format!("{speed:.1} rad/s"))];
        Some(drawing(bodies, (0.0, 0.0), 2.9, STEP_S, None, notes))
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &self.state);
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        self.state = snapshot::get(state)?;
        Ok(())
    }
}
