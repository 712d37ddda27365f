//! The contract suite that every world signs: what `rlx check-env` runs, and the tests of every registered world.
//!
//! It reports instead of asserting, and a panic inside a world is a violation like any other.
mod checks;
mod stage;
#[cfg(test)]
mod tests;

use crate::{Env, Result};
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What the contract promises.
    pub promise: &'static str,
    /// How it was broken; empty when it was kept.
    pub violations: Vec<String>,
}

/// What came of the suite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The world's name.
    pub world: String,
    /// Every check.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.violations.is_empty())
    }
    /// The names of the checks that found something.
    pub fn broken(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|c| !c.violations.is_empty()).map(|c| c.name).collect()
    }
}

/// A promise and how it is looked into: errors and panics count as violations.
type Look<E> = (&'static str, &'static str, fn(&dyn Fn() -> E, &mut Vec<String>) -> Result<()>);

/// Runs every check on the worlds that `make` makes.
pub fn check<E: Env>(make: &dyn Fn() -> E) -> Report {
    let looks: [Look<E>; 13] = [
        ("spec", "says the same at every call and fits itself", checks::spec),
        ("seed", "the same seed gives the same bits, another seed another episode", checks::seed),
        ("batch", "world i is the same whatever the batch, the threads and its neighbours' actions", checks::batch),
        ("rows", "every view is written in full, and nothing outside it", checks::rows),
        ("episodes", "nothing of an episode reaches the next one", checks::episodes),
        ("legal", "each acting row has an action that is allowed", checks::legal),
        ("values", "observations are finite and within the space, rewards finite", checks::values),
        ("seats", "each row is seen through the eyes of a seat that is there", checks::seats),
        ("snapshot", "save and load continue bit for bit, and what is no state is refused", checks::snapshot),
        ("ends", "episodes end, by the world's rules or its time limit", checks::ends),
        ("endings", "a time-out is never told as a death: the time limit is the vector's", checks::endings),
        ("goal", "the goal's judge says what the world does: reward and termination", checks::goal),
        ("refusals", "an impossible action is an error that names it", checks::refusals),
    ];
    let world =
        catch_unwind(AssertUnwindSafe(|| make().spec().name)).unwrap_or_else(|_| "a world that cannot be made".into());
    let run = |(name, promise, look): Look<E>| {
        let mut violations = Vec::new();
        match catch_unwind(AssertUnwindSafe(|| look(make, &mut violations))) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => violations.push(format!("an error: {e}")),
            Err(panic) => violations.push(describe(&*panic)),
        }
        // One kind of mistake shows at every tick: a few examples say it.
        violations.truncate(5);
        Check { name, promise, violations }
    };
    Report { world, checks: looks.into_iter().map(run).collect() }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message");
    let outside = ["out of range", "out of bounds", "length"].iter().any(|w| text.contains(w));
    if outside { format!("it writes outside its rows: a panic: {text}") } else { format!("a panic: {text}") }
}
