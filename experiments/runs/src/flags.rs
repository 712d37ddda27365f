//! Counts on the command line, and what is meant by a flag of another library's.
use rlx::{Registry, config::Keys};
use std::ops::{Bound, RangeBounds};

/// A parser of counts in a range: `1000`, `1e3` and `1_000` are one number.
pub fn count<T: TryFrom<u64> + 'static>(
    range: impl RangeBounds<u64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let low = match range.start_bound() {
            Bound::Included(low) => *low,
            Bound::Excluded(low) => low + 1,
            Bound::Unbounded => 0,
        };
        let high = match range.end_bound() {
            Bound::Included(high) => *high,
            Bound::Excluded(high) => high - 1,
            Bound::Unbounded => u64::MAX,
        };
        let plain = text.trim().replace('_', "");
        let x: f64 = plain
            .parse()
            .ok()
            .filter(|x: &f64| x.is_finite())
            .ok_or("it must be a number, as in 1000, 1e3 or 1_000")?;
        // Digits are read as they are: a float would round them.
        let whole = plain.parse::<u64>().ok().or((x >= 0.0 && x.fract() == 0.0 && x < 9e15).then_some(x as u64));
        match whole {
            _ if x < low as f64 => Err(format!("it must be at least {low}")),
            Some(n) if n <= high => T::try_from(n).map_err(|_| "it is too large".into()),
            None if x.fract() != 0.0 => Err("it must be a whole number".into()),
            _ if high == u64::MAX => Err("it is too large".into()),
            _ => Err(format!("it is too large: it must be at most {high}")),
        }
    }
}

/// Names that Stable-Baselines3, CleanRL and their like have for keys of this program.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("lr", &["learning_rate"]),
    ("discount", &["gamma"]),
    ("n_steps", &["num_steps"]),
    ("n_envs", &["num_envs"]),
    ("n_epochs", &["epochs"]),
    ("update_epochs", &["epochs"]),
    ("batch_size", &["batch_size", "minibatch_size"]),
    ("ent_coef", &["entropy_coef"]),
    ("vf_coef", &["value_coef"]),
    ("clip_coef", &["clip_range"]),
];

/// Names that they have for flags of `rlx train`.
const FLAGS: &[(&str, &str)] = &[
    ("total_timesteps", "--steps"),
    ("timesteps", "--steps"),
    ("n_timesteps", "--steps"),
    ("total_steps", "--steps"),
    ("env_id", "--env"),
    ("algorithm", "--algo"),
    ("num_threads", "--threads"),
    ("exp_name", "--name"),
];

/// The names here of what others call `name`.
pub fn ours(name: &str) -> Vec<&str> {
    SYNONYMS.iter().find(|s| s.0 == name).map_or_else(|| vec![name], |s| s.1.to_vec())
}

fn given<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|w| w == flag || w.starts_with(&format!("{flag}=")))?;
    words[at].split_once('=').map(|p| p.1).or_else(|| words.get(at + 1).map(String::as_str))
}

/// What to write in the place of `flag`, which `rlx train` does not have; None where nothing is known of it. Only what fits the world and
/// algorithm of the same line is named.
pub fn meant(registry: &Registry, words: &[String], flag: &str) -> Option<String> {
    let value = given(words, flag).filter(|v| !v.starts_with("--"));
    let name = flag.trim_start_matches('-').replace('-', "_").to_lowercase();
    if let Some((_, ours)) = FLAGS.iter().find(|f| f.0 == name) {
        return Some(format!("{ours} {}", value.unwrap_or("VALUE")));
    }
    let named = given(words, "--algo").and_then(|a| registry.find_algo(a).ok());
    let world = given(words, "--env").and_then(|w| registry.find_world(w).ok());
    let run = Keys::of::<crate::run_config::RunConfig>();
    let fitting = world.map(|w| crate::experiment::fitting(registry, &w.name));
    let fits =
        |name: &str| named.map_or_else(|| fitting.as_ref().is_none_or(|f| f.contains(&name)), |n| n.name == name);
    let algos = registry.algos().iter().filter(|a| fits(&a.name)).map(|a| &a.keys);
    let all: Vec<&Keys> = algos.chain(world.map(|w| &w.keys)).chain([&run]).collect();
    let wanted = ours(&name);
    let key = wanted.iter().find_map(|w| all.iter().find_map(|keys| keys.get(w)))?;
    match value {
        Some(value) if key.parse(value).is_ok() => Some(format!("--set {}={value}", key.name)),
        _ => Some(format!("--set {}=VALUE, where VALUE is {}", key.name, key.allowed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e8_counts_are_read_alike_and_what_is_wrong_is_said() {
        let parse = |text: &str| count::<u64>(1..=1_000_000)(text);
        for text in ["1000", "1e3", "1_000", " 1000 "] {
            assert_eq!(parse(text), Ok(1000), "{text}");
        }
        assert_eq!(parse("-5").unwrap_err(), "it must be at least 1");
        assert_eq!(parse("0").unwrap_err(), "it must be at least 1");
        assert_eq!(parse("1e30").unwrap_err(), "it is too large: it must be at most 1000000");
        assert_eq!(count::<u64>(1..)("1e30").unwrap_err(), "it is too large");
        assert_eq!(count::<u64>(0..)("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse("1.5").unwrap_err(), "it must be a whole number");
        assert!(parse("many").is_err() && parse("nan").is_err() && parse("inf").is_err());
    }

    #[test]
    fn e8_flags_of_others_are_answered_with_what_is_accepted() {
        let registry = rlx_experiments::registry();
        let said = |line: &str, flag: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            meant(&registry, &words, flag)
        };
        assert_eq!(said("--env cartpole --algo ppo --lr 3e-4", "--lr").unwrap(), "--set learning_rate=3e-4");
        assert_eq!(said("--env CartPole-v1 --algo PPO --gamma .9", "--gamma").unwrap(), "--set gamma=.9");
        assert_eq!(said("--total-timesteps 1e6", "--total-timesteps").unwrap(), "--steps 1e6");
        assert_eq!(said("--algo ppo --n-steps=64", "--n-steps").unwrap(), "--set num_steps=64");
        assert_eq!(said("--algo ppo --batch-size 64", "--batch-size").unwrap(), "--set minibatch_size=64");
        assert!(
            said("--algo ppo --lr 300", "--lr")
                .unwrap()
                .starts_with("--set learning_rate=VALUE, where VALUE is a number")
        );
        assert_eq!(said("--algo ppo --frobnicate 3", "--frobnicate"), None);
        // Whatever is suggested for a name in the list is a key of some algorithm.
        for (name, _) in SYNONYMS {
            let flag = format!("--{}", name.replace('_', "-"));
            let words = [flag.clone()];
            assert!(meant(&registry, &words, &flag).is_some(), "{name}");
        }
    }
}
