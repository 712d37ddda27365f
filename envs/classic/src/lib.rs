//! Classic control worlds: the dynamics of Gymnasium's CartPole-v1, Pendulum-v1, Acrobot-v1 and MountainCarContinuous-v0, held
//! to trajectories that Gymnasium itself produced.
pub mod acrobot;
pub mod cartpole;
mod draw;
pub mod mountain_car_continuous;
pub mod pendulum;
pub mod trig;

pub use acrobot::Acrobot;
pub use cartpole::CartPole;
pub use mountain_car_continuous::MountainCarContinuous;
pub use pendulum::Pendulum;

/// Adds every world of this crate.
pub fn register(registry: &mut rlx::Registry) {
    registry
        .world(
            "cartpole",
            "balance a pole on a cart: 2 choices, +1 a step, ends when it falls (Gymnasium's CartPole-v1)",
            CartPole::new,
        )
        .also_known(&["CartPole-v1"], &["CartPole-v0"])
        .world(
            "pendulum",
            "swing a pendulum up and hold it: 1 torque, never ends by itself (Pendulum-v1)",
            Pendulum::new,
        )
        .also_known(&["Pendulum-v1"], &["Pendulum-v0"])
        .world(
            "acrobot",
            "swing the foot of a two-link robot above a line: 3 torques, -1 a step (Acrobot-v1)",
            Acrobot::new,
        )
        .also_known(&["Acrobot-v1"], &[])
        .world(
            "mountain-car-continuous",
            "drive an underpowered car out of a valley: 1 force, +100 at the top (MountainCarContinuous-v0)",
            MountainCarContinuous::new,
        )
        .also_known(&["MountainCarContinuous-v0"], &["MountainCar-v0"]);
}

/// The one action of a discrete world with `n` choices.
#[inline(always)]
fn choice(act: &[i64], n: usize) -> rlx::Result<usize> {
    match *act {
        [a] if (a as u64) < n as u64 => Ok(a as usize),
        _ => Err(refuse(&act, &format_args!("one of 0..{n}"))),
    }
}

/// The one action of a continuous world.
#[inline(always)]
fn force(act: &[f32]) -> rlx::Result<f32> {
    match *act {
        [a] if a.is_finite() => Ok(a),
        _ => Err(refuse(&act, &"one finite number")),
    }
}

/// Out of line: formatting needs its arguments in memory.
#[cold]
#[inline(never)]
fn refuse(act: &dyn std::fmt::Debug, right: &dyn std::fmt::Display) -> rlx::Error {
    rlx::Error::invalid(format!("action {act:?}: it must be {right}"))
}
