//! Planted faults: each is caught by the check that is meant for it, and an honest world passes.
use super::check;
use crate::{Env, Error, Goal, Judged, Result, Rng, Role, Space, Spec, Status, View, snapshot};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    IgnoresItsSeed,
    OwnEntropy,
    LeaksBetweenEpisodes,
    WritesOutsideItsRows,
    LeavesARowUnwritten,
    NoLegalAction,
    TimeOutAsDeath,
    KeepsItsOwnLimit,
    SharesState,
    NanReward,
    OutOfBounds,
    NeverEnds,
    ForgetsAField,
    JudgeDisagrees,
    SeatThatIsNotThere,
    TakesAnything,
    SpecThatChanges,
    RoleOfAnotherWidth,
    Panics,
}

/// A walk on a line to a goal, with a mask at the ends, chance and a time limit: what a contract can be broken with.
struct Walk {
    fault: Fault,
    at: f32,
    goal: f32,
    age: u32,
    shared: Arc<AtomicU32>,
}

const LIMIT: u32 = 30;

impl Walk {
    fn show(&self, view: View<'_, f32>) {
        view.obs[0] = self.at;
        if self.fault != Fault::LeavesARowUnwritten || self.age % 5 != 3 {
            view.obs[1] = self.goal;
        }
        view.mask[0] = self.at > -10.0;
        view.mask[1] = self.at < 10.0;
        match self.fault {
            Fault::NoLegalAction if self.at > 1.0 => view.mask.fill(false),
            Fault::WritesOutsideItsRows => view.obs[2] = 1.0,
            Fault::SeatThatIsNotThere => view.seat[0] = 3,
            _ => {}
        }
    }
}

impl Env for Walk {
    type Obs = f32;
    type Act = i64;

    fn spec(&self) -> Spec {
        let mut spec =
            Spec::solo("walk", Space::uniform(2, -11.0, 11.0), Space::Discrete(2)).named(&[("at", "m"), ("goal", "m")]);
        let disagrees = self.fault == Fault::JudgeDisagrees;
        spec.goal = Some(Goal {
            achieved: 0..1,
            desired: 1..2,
            judge: Arc::new(move |a, d| {
                let there = (a[0] - d[0]).abs() < if disagrees { 1.5 } else { 0.5 };
                Judged { reward: if there { 0.0 } else { -1.0 }, terminated: there, success: there }
            }),
        });
        if self.fault == Fault::SpecThatChanges {
            spec.players = 1 + self.shared.fetch_add(1, Ordering::Relaxed) as usize;
        }
        spec.fields[0].role = (self.fault == Fault::RoleOfAnotherWidth).then_some(Role::TeamPrior);
        spec.time_limit = (self.fault != Fault::NeverEnds).then_some(LIMIT);
        spec
    }

    fn reset(&mut self, rng: &mut Rng, view: View<'_, f32>) {
        if self.fault != Fault::LeaksBetweenEpisodes {
            self.at = 0.0;
        }
        self.age = 0;
        self.goal = match self.fault {
            Fault::IgnoresItsSeed => 7.0,
            Fault::OwnEntropy => {
                (self.shared.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) >> 16) as f32 % 7.0 + 2.0
            }
            // Out of reach: no episode ends by the world's own rules.
            Fault::NeverEnds | Fault::TimeOutAsDeath | Fault::KeepsItsOwnLimit => 10.75,
            _ => 2.0 + rng.below(8) as f32,
        };
        self.show(view);
    }

    fn step(&mut self, act: &[i64], rng: &mut Rng, view: View<'_, f32>, pay: &mut [f32]) -> Result<Status> {
        let slip = self.fault != Fault::IgnoresItsSeed && rng.below(10) == 0;
        let by = match (act[0], slip) {
            (0, _) => -1.0,
            (1, true) => 0.0,
            (1, false) => 1.0,
            _ if self.fault == Fault::TakesAnything => 0.0,
            (other, _) => return Err(Error::invalid(format!("action {other}: it must be 0 or 1"))),
        };
        self.age += 1;
        self.at += by;
        if self.fault == Fault::SharesState {
            self.at = (self.at + (self.shared.fetch_add(1, Ordering::Relaxed) % 2) as f32 * 0.25).min(10.0);
        }
        if self.fault == Fault::OutOfBounds && self.at > 2.0 {
            self.at = 40.0;
        }
        assert!(self.fault != Fault::Panics || self.age < 9, "planted");
        let there = (self.at - self.goal).abs() < 0.5;
        pay[0] = if there { 0.0 } else { -1.0 };
        if self.fault == Fault::NanReward && self.age == 3 {
            pay[0] = f32::NAN;
        }
        self.show(view);
        Ok(match self.fault {
            Fault::TimeOutAsDeath if self.age >= LIMIT => Status::Terminated,
            Fault::KeepsItsOwnLimit if self.age >= LIMIT => Status::Truncated,
            _ if there => Status::Terminated,
            _ => Status::Running,
        })
    }

    fn save(&self, out: &mut Vec<u8>) {
        let goal = if self.fault == Fault::ForgetsAField { 5.0 } else { self.goal };
        snapshot::put(out, &(self.at, goal, self.age));
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        (self.at, self.goal, self.age) = snapshot::get(state)?;
        Ok(())
    }
}

fn broken(fault: Fault) -> Vec<&'static str> {
    let shared = Arc::new(AtomicU32::new(0));
    let make = move || Walk { fault, at: 0.0, goal: 5.0, age: 0, shared: shared.clone() };
    check(&make).broken()
}

#[test]
fn an_honest_world_passes() {
    assert_eq!(broken(Fault::None), [] as [&str; 0]);
}

#[test]
fn each_planted_fault_is_caught_by_the_check_that_is_meant_for_it() {
    for (fault, meant) in [
        (Fault::IgnoresItsSeed, "seed"),
        (Fault::OwnEntropy, "seed"),
        (Fault::LeaksBetweenEpisodes, "episodes"),
        (Fault::WritesOutsideItsRows, "rows"),
        (Fault::LeavesARowUnwritten, "rows"),
        (Fault::NoLegalAction, "legal"),
        (Fault::TimeOutAsDeath, "endings"),
        (Fault::KeepsItsOwnLimit, "endings"),
        (Fault::SharesState, "batch"),
        (Fault::NanReward, "values"),
        (Fault::OutOfBounds, "values"),
        (Fault::NeverEnds, "ends"),
        (Fault::ForgetsAField, "snapshot"),
        (Fault::JudgeDisagrees, "goal"),
        (Fault::SeatThatIsNotThere, "seats"),
        (Fault::TakesAnything, "refusals"),
        (Fault::SpecThatChanges, "spec"),
        (Fault::RoleOfAnotherWidth, "spec"),
        (Fault::Panics, "values"),
    ] {
        let found = broken(fault);
        assert!(found.contains(&meant), "{fault:?} is caught by {found:?}, not by '{meant}'");
    }
}

#[test]
fn small_faults_break_nothing_else() {
    // Where a fault touches one promise only, only that one is reported.
    for (fault, only) in [
        (Fault::IgnoresItsSeed, "seed"),
        (Fault::LeavesARowUnwritten, "rows"),
        (Fault::NeverEnds, "ends"),
        (Fault::JudgeDisagrees, "goal"),
        (Fault::TakesAnything, "refusals"),
        (Fault::SeatThatIsNotThere, "seats"),
        (Fault::NanReward, "values"),
    ] {
        let found: Vec<_> = broken(fault)
            .into_iter()
            .filter(|n| !matches!((*n, only), ("goal", "values") | ("values", "rows")))
            .collect();
        assert_eq!(found, [only], "{fault:?}");
    }
}
