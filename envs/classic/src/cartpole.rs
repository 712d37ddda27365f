//! A pole on a cart (Barto, Sutton and Anderson 1983), as Gymnasium's CartPole-v1.
use crate::trig::sin_cos;
use rlx::{Env, Result, Rng, Space, Spec, Status, View, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the world; the defaults are CartPole-v1's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Steps after which an episode times out.
    #[schemars(range(min = 1))]
    pub time_limit: u32,
    /// Acceleration of gravity, m/s^2.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub gravity: f64,
    /// Force of a push, N.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub force: f64,
    /// Half the pole's length, m.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub half_length: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { time_limit: 500, gravity: 9.8, force: 10.0, half_length: 0.5 }
    }
}

const CART_KG: f64 = 1.0;
const POLE_KG: f64 = 0.1;
const TOTAL_KG: f64 = POLE_KG + CART_KG;
const STEP_S: f64 = 0.02;
const X_LIMIT_M: f64 = 2.4;
const ANGLE_LIMIT_RAD: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;

/// Position m, speed m/s, angle rad, angular speed rad/s.
pub type State = [f64; 4];

/// The world.
#[derive(Clone, Debug)]
pub struct CartPole {
    state: State,
    config: Config,
}

impl CartPole {
    /// A world with that config.
    pub fn new(config: &Config) -> Self {
        Self { state: [0.0; 4], config: config.clone() }
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
    #[inline]
    fn show(&self, obs: &mut [f32]) {
        let [x, speed, angle, spin] = self.state;
        let obs: &mut [f32; 4] = obs.try_into().expect("a row as wide as the spec says");
        *obs = [x as f32, speed as f32, angle as f32, spin as f32];
    }
}

impl Env for CartPole {
    type Obs = f32;
    type Act = i64;

    fn spec(&self) -> Spec {
        let bounds = [2.0 * X_LIMIT_M as f32, f32::INFINITY, 2.0 * ANGLE_LIMIT_RAD as f32, f32::INFINITY];
        Spec::solo("cartpole", Space::symmetric(&bounds), Space::Discrete(2)).limited(self.config.time_limit).named(&[
            ("position", "m"),
            ("speed", "m/s"),
            ("angle", "rad"),
            ("angular_speed", "rad/s"),
        ])
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        self.state = std::array::from_fn(|_| rng.uniform(-0.05, 0.05));
        self.show(view.obs);
    }

    #[inline]
    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        let c = &self.config;
        // A product, not a choice: half of all random actions would be mispredicted branches.
        let force = (f64::from(crate::choice(act, 2)? as u8) * 2.0 - 1.0) * c.force;
        let [x, speed, angle, spin] = self.state;
        let (sin, cos) = sin_cos(angle);
        let moment = POLE_KG * c.half_length;
        // Florian 2007, "Correct equations for the dynamics of the cart-pole system", without friction; in the original's order
        // of operations: the pole is unstable, so a last bit that differs is another trajectory within an episode.
        let push = (force + moment * (spin * spin) * sin) / TOTAL_KG;
        let angular = (c.gravity * sin - cos * push) / (c.half_length * (4.0 / 3.0 - POLE_KG * (cos * cos) / TOTAL_KG));
        let linear = push - moment * angular * cos / TOTAL_KG;
        // Euler's method with the old speeds.
        self.state = [x + STEP_S * speed, speed + STEP_S * linear, angle + STEP_S * spin, spin + STEP_S * angular];
        self.show(view.obs);
        pay[0] = 1.0;
        let fell = self.state[0].abs() > X_LIMIT_M || self.state[2].abs() > ANGLE_LIMIT_RAD;
        Ok(if fell { Status::Terminated } else { Status::Running })
    }

    fn draw(&self) -> Option<rlx::Drawing> {
        use crate::draw::*;
        let [x, _, angle, _] = self.state.map(|v| v as f32);
        // The track is 2 wide, unless the pole needs more room.
        let long = 2.0 * self.config.half_length as f32;
        let scale = 1.0 / (X_LIMIT_M as f32).max(1.6 * long);
        let (middle, axle) = (x * scale, [x * scale, 0.06]);
        let tip = [axle[0] + scale * long * angle.sin(), axle[1] + scale * long * angle.cos()];
        let bodies = vec![
            rod([-1.0, -0.07], [1.0, -0.07], 0.006, LINE),
            rod([-1.0, -0.11], [-1.0, -0.03], 0.006, LINE),
            rod([1.0, -0.11], [1.0, -0.03], 0.006, LINE),
            block([middle, 0.0], [0.125, 0.05, 0.065], 0.0, DARK),
            rod(axle, tip, 0.024, TAN),
            disc(axle, 0.022, 0.05, AXLE),
        ];
        let notes = vec![("angle", format!("{:.1}\u{b0}", angle.to_degrees())), ("position", format!("{x:.2} m"))];
        Some(drawing(bodies, (0.0, 0.28), 1.7, STEP_S, None, notes))
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &self.state);
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        self.state = snapshot::get(state)?;
        Ok(())
    }
}
