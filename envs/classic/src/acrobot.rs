//! A two-link pendulum driven at the joint between its links (Sutton 1996), as Gymnasium's Acrobot-v1: the dynamics of Sutton and
//! Barto's book, integrated by Runge and Kutta's method of fourth order.
use rlx::{Env, Result, Rng, Space, Spec, Status, View, snapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_PI_2, PI};

/// Settings of the world; the defaults are Acrobot-v1's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Steps after which an episode times out.
    #[schemars(range(min = 1))]
    pub time_limit: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { time_limit: 500 }
    }
}

const STEP_S: f64 = 0.2;
const LENGTH_1_M: f64 = 1.0;
const MASS_1_KG: f64 = 1.0;
const MASS_2_KG: f64 = 1.0;
const CENTRE_1_M: f64 = 0.5;
const CENTRE_2_M: f64 = 0.5;
/// Moment of inertia of each link, kg m^2.
const INERTIA: f64 = 1.0;
const GRAVITY: f64 = 9.8;
const MAX_SPEED_1: f64 = 4.0 * PI;
const MAX_SPEED_2: f64 = 9.0 * PI;

/// Angle of the first link from hanging, rad; of the second from the first, rad; their speeds, rad/s.
pub type State = [f64; 4];

/// The world.
#[derive(Clone, Debug)]
pub struct Acrobot {
    state: State,
    config: Config,
}

/// Speeds and accelerations in a state under a torque, N m.
fn derivative([angle_1, angle_2, speed_1, speed_2]: State, torque: f64) -> State {
    let d1 = MASS_1_KG * CENTRE_1_M.powi(2)
        + MASS_2_KG * (LENGTH_1_M.powi(2) + CENTRE_2_M.powi(2) + 2.0 * LENGTH_1_M * CENTRE_2_M * angle_2.cos())
        + INERTIA
        + INERTIA;
    let d2 = MASS_2_KG * (CENTRE_2_M.powi(2) + LENGTH_1_M * CENTRE_2_M * angle_2.cos()) + INERTIA;
    let phi2 = MASS_2_KG * CENTRE_2_M * GRAVITY * (angle_1 + angle_2 - FRAC_PI_2).cos();
    let phi1 = -MASS_2_KG * LENGTH_1_M * CENTRE_2_M * speed_2.powi(2) * angle_2.sin()
        - 2.0 * MASS_2_KG * LENGTH_1_M * CENTRE_2_M * speed_2 * speed_1 * angle_2.sin()
        + (MASS_1_KG * CENTRE_1_M + MASS_2_KG * LENGTH_1_M) * GRAVITY * (angle_1 - FRAC_PI_2).cos()
        + phi2;
    let acceleration_2 =
        (torque + d2 / d1 * phi1 - MASS_2_KG * LENGTH_1_M * CENTRE_2_M * speed_1.powi(2) * angle_2.sin() - phi2)
            / (MASS_2_KG * CENTRE_2_M.powi(2) + INERTIA - d2.powi(2) / d1);
    let acceleration_1 = -(d2 * acceleration_2 + phi1) / d1;
    [speed_1, speed_2, acceleration_1, acceleration_2]
}

fn runge_kutta(state: State, torque: f64) -> State {
    let along = |k: State, h: f64| std::array::from_fn(|i| state[i] + h * k[i]);
    let k1 = derivative(state, torque);
    let k2 = derivative(along(k1, STEP_S / 2.0), torque);
    let k3 = derivative(along(k2, STEP_S / 2.0), torque);
    let k4 = derivative(along(k3, STEP_S), torque);
    std::array::from_fn(|i| state[i] + STEP_S / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

/// Brings an angle to [-pi, pi].
fn wrap(mut angle: f64) -> f64 {
    while angle > PI {
        angle -= 2.0 * PI;
    }
    while angle < -PI {
        angle += 2.0 * PI;
    }
    angle
}

impl Acrobot {
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
    fn show(&self, obs: &mut [f32]) {
        let [a, b, c, d] = self.state;
        obs.copy_from_slice(&[a.cos(), a.sin(), b.cos(), b.sin(), c, d].map(|x| x as f32));
    }
}

impl Env for Acrobot {
    type Obs = f32;
    type Act = i64;

    fn spec(&self) -> Spec {
        let obs = Space::symmetric(&[1.0, 1.0, 1.0, 1.0, MAX_SPEED_1 as f32, MAX_SPEED_2 as f32]);
        Spec::solo("acrobot", obs, Space::Discrete(3)).limited(self.config.time_limit).named(&[
            ("cos_angle_1", ""),
            ("sin_angle_1", ""),
            ("cos_angle_2", ""),
            ("sin_angle_2", ""),
            ("speed_1", "rad/s"),
            ("speed_2", "rad/s"),
        ])
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        // Rounded to f32, as the original does at the start only.
        self.state = std::array::from_fn(|_| f64::from(rng.uniform(-0.1, 0.1) as f32));
        self.show(view.obs);
    }

    fn step(&mut self, act: &[i64], _: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        let torque = crate::choice(act, 3)? as f64 - 1.0;
        let [a, b, c, d] = runge_kutta(self.state, torque);
        self.state = [wrap(a), wrap(b), c.clamp(-MAX_SPEED_1, MAX_SPEED_1), d.clamp(-MAX_SPEED_2, MAX_SPEED_2)];
        self.show(view.obs);
        let above = -self.state[0].cos() - (self.state[1] + self.state[0]).cos() > 1.0;
        pay[0] = if above { 0.0 } else { -1.0 };
        Ok(if above { Status::Terminated } else { Status::Running })
    }

    fn draw(&self) -> Option<rlx::Drawing> {
        use crate::draw::*;
        let [a, b, ..] = self.state.map(|v| v as f32);
        let elbow = [a.sin(), -a.cos()];
        let foot = [elbow[0] + (a + b).sin(), elbow[1] - (a + b).cos()];
        let above = foot[1] > 1.0;
        let bodies = vec![
            rod([-2.2, 1.0], [2.2, 1.0], 0.012, LINE),
            rod([0.0, 0.0], elbow, 0.09, TEAL),
            rod(elbow, foot, 0.09, TEAL),
            disc([0.0, 0.0], 0.08, 0.09, YELLOW),
            disc(elbow, 0.08, 0.09, YELLOW),
        ];
        Some(drawing(bodies, (0.0, 0.0), 4.7, STEP_S, Some(above), vec![("foot", format!("{:.2} of 1 m", foot[1]))]))
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::put(out, &self.state);
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        self.state = snapshot::get(state)?;
        Ok(())
    }
}
