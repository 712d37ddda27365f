//! Classic control worlds: CartPole, Pendulum, Acrobot, MountainCarContinuous.
