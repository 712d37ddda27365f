//! Tests of `search`.
use super::*;

const TEXT: &str = "format = 1\n[base]\nenv = \"cartpole\"\n[space]\nx = { low = -4.0, high = 4.0 }\nrate = { low = 1e-5, high = 1e-1, log = true }\n\
                    n = { low = 1, high = 8 }\nkind = { choices = [\"a\", \"b\", \"c\"] }\n";

fn space(method: &str) -> Space {
    Space::parse(&format!("{TEXT}[search]\nmethod = \"{method}\"\ntrials = 60\nseed = 3\n")).unwrap()
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |a: &str, b: &str| format!("{:#}", Space::parse(&TEXT.replace(a, b)).unwrap_err());
    assert!(wrong("[space]", "[spce]").contains("did you mean 'space'?"));
    assert!(wrong("high = 4.0", "hig = 4.0").contains("did you mean 'high'?"));
    assert!(wrong("high = 4.0", "high = -5.0").contains("must be below"));
    assert!(wrong("low = 1e-5", "low = 0.0").contains("above 0"));
    assert!(wrong("[\"a\", \"b\", \"c\"]", "[]").contains("choices"));
    let metric = "[metric]\nname = \"losses/x\"\nlower_is_beter = true\n[space]";
    assert!(wrong("[space]", metric).contains("did you mean 'lower_is_better'?"));
    assert!(wrong("env =", "x = 1\nenv =").contains("'x' cannot be searched"));
    assert!(wrong("format = 1", "format = 2").contains("format = 1"));
}

#[test]
fn values_are_in_their_ranges_of_their_types_and_the_same_each_time() {
    for method in ["random", "sobol", "tpe"] {
        let s = space(method);
        let mut before = Vec::new();
        let mut seen = [0usize; 9];
        for n in 0..60 {
            let keys = s.ask(n, &before).unwrap().unwrap();
            assert_eq!(keys, s.ask(n, &before).unwrap().unwrap());
            let x = keys["x"].as_f64().unwrap();
            let rate = keys["rate"].as_f64().unwrap();
            let n = keys["n"].as_i64().unwrap();
            assert!((-4.0..=4.0).contains(&x) && (1e-5..=1e-1).contains(&rate) && (1..=8).contains(&n), "{keys:?}");
            assert!(["a", "b", "c"].contains(&keys["kind"].as_str().unwrap()));
            seen[n as usize] += 1;
            before.push((keys, Some(x * x)));
        }
        assert!(method == "tpe" || seen[1..].iter().all(|c| *c > 0), "{method}: {seen:?}");
    }
}

#[test]
fn tpe_finds_a_minimum_that_random_search_does_not() {
    let goal = |keys: &Table| {
        let rate: f64 = keys["rate"].as_f64().unwrap();
        (keys["x"].as_f64().unwrap() - 1.5).powi(2)
            + (rate.log10() + 3.0).powi(2)
            + f64::from(u8::from(keys["kind"] != "b"))
    };
    let best = |method: &str| -> f64 {
        let s = space(method);
        let mut before = Vec::new();
        for n in 0..60 {
            let keys = s.ask(n, &before).unwrap().unwrap();
            let value = goal(&keys);
            before.push((keys, Some(value)));
        }
        // The mean of the second half: that it goes where it is good.
        before[30..].iter().filter_map(|b| b.1).sum::<f64>() / 30.0
    };
    assert!(best("tpe") < 0.5 * best("random"), "{} and {}", best("tpe"), best("random"));
}

#[test]
fn shares_and_values_are_each_others_inverse() {
    let s = space("random");
    for (_, range) in &s.ranges[..2] {
        for share in [0.0, 0.3, 0.99] {
            assert!((range.share(&range.at(share)).unwrap() - share).abs() < 1e-9);
        }
    }
    let whole = Range::Numbers { low: 1.0, high: 8.0, log: true, whole: true };
    assert_eq!((whole.at(0.0), whole.at(1.0)), (Value::from(1), Value::from(8)));
}

#[test]
fn d2_the_ends_of_a_range_are_the_ends() {
    // exp(ln(1e-8)) is 9.999999999999982e-9, which a key whose own bound is 1e-8 refuses.
    for (low, high) in [(1e-8, 1e-2), (1e-5, 0.1), (0.1, 0.3), (1e-300, 1e300), (3.0, 7.0)] {
        for log in [false, true] {
            let range = Range::Numbers { low, high, log, whole: false };
            for share in [0.0, 1e-17, 0.5, 1.0 - 1e-16, 1.0] {
                let x = range.at(share).as_f64().unwrap();
                assert!((low..=high).contains(&x), "{low} to {high}, log {log}, share {share}: {x}");
            }
            assert!(log || range.at(0.0) == low);
        }
    }
    assert_eq!(Range::Numbers { low: 1e-8, high: 1.0, log: true, whole: false }.clamped(9.99e-9), Value::from(1e-8));
}

#[test]
fn d3_no_configuration_of_a_small_space_comes_twice() {
    let text = "format = 1\n[base]\nenv = \"cartpole\"\n[space]\nn = { low = 1, high = 3 }\nkind = { choices = [\"a\", \"b\"] }\n";
    for method in ["random", "sobol", "tpe"] {
        let s = Space::parse(&format!("{text}[search]\nmethod = \"{method}\"\ntrials = 16\nstartup = 2\n")).unwrap();
        assert_eq!(s.size(), Some(6));
        let mut before: Vec<(Table, Option<f64>)> = Vec::new();
        for n in 0..6 {
            let keys = s.ask(n, &before).unwrap().unwrap();
            assert!(before.iter().all(|b| b.0 != keys), "{method}: {keys:?} again");
            before.push((keys.clone(), keys["n"].as_f64()));
        }
        assert!(s.ask(6, &before).unwrap().is_none(), "{method}: all six were had");
    }
    assert_eq!(space("tpe").size(), None, "real numbers do not run out");
}

#[test]
fn d4_trials_that_are_begun_together_are_not_all_of_one_choice() {
    // The crate tpe 0.3 takes the best of 24 draws: without counting those under way, 20 asks give one choice 20 times.
    let s = space("tpe");
    let mut before: Vec<(Table, Option<f64>)> = Vec::new();
    for n in 0..12 {
        let keys = s.ask(n, &before).unwrap().unwrap();
        before.push((keys, Some(n as f64)));
    }
    let mut kinds = std::collections::BTreeSet::new();
    for n in 12..20 {
        let keys = s.ask(n, &before).unwrap().unwrap();
        kinds.insert(keys["kind"].to_string());
        before.push((keys, None));
    }
    assert!(kinds.len() > 1, "{kinds:?}");
}
