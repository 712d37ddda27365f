//! Slurm's time limits, of which a run should know that it is long enough to save in.

/// How long before the limit Slurm sends its notice, in seconds.
pub const NOTICE_S: u64 = 120;
/// The notice may come a minute early (Slurm 22.05.8): below this there is no time to learn anything.
const LEAST_S: u64 = NOTICE_S + 60;

/// Seconds of `MINUTES`, `M:S`, `H:M:S`, `DAYS-H`, `DAYS-H:M` or `DAYS-H:M:S`; None for anything else, `UNLIMITED` too.
fn seconds(text: &str) -> Option<u64> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let parts: Vec<u64> = rest.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let (h, m, s) = match (days, &parts[..]) {
        (None, [m]) => (0, *m, 0),
        (None, [m, s]) => (0, *m, *s),
        (Some(_), [h]) => (*h, 0, 0),
        (Some(_), [h, m]) => (*h, *m, 0),
        (_, [h, m, s]) => (*h, *m, *s),
        _ => return None,
    };
    Some(((days.unwrap_or(0) * 24 + h) * 60 + m) * 60 + s)
}

/// The time limit among sbatch's arguments, as it stands there; the last one counts.
fn given(arguments: &[String]) -> Option<&str> {
    let of = |(i, word): (usize, &'_ String)| -> Option<usize> {
        let alone = word == "--time" || word == "-t";
        if alone { Some(i + 1) } else { (word.starts_with("--time=") || word.starts_with("-t")).then_some(i) }
    };
    let at = arguments.iter().enumerate().filter_map(of).next_back()?;
    let word = arguments.get(at)?.as_str();
    let value = word.strip_prefix("--time=").or_else(|| word.strip_prefix("-t")).unwrap_or(word);
    Some(value.trim_start_matches('='))
}

/// What is wrong with the time limit among sbatch's arguments, or in `SBATCH_TIMELIMIT` where they have none.
pub fn too_short(arguments: &[String], environment: Option<&str>) -> Option<String> {
    let limit = given(arguments).or(environment)?;
    let short = seconds(limit).is_some_and(|s| s > 0 && s <= LEAST_S);
    short.then(|| {
        format!(
            "the time limit {limit} is too short: Slurm's notice comes {} to {} minutes before its end, and a run saves and stops on it; \
             give more than {} minutes",
            NOTICE_S / 60,
            LEAST_S / 60,
            LEAST_S / 60
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c9_a_time_limit_shorter_than_the_notice_is_found_in_every_form_that_sbatch_takes() {
        let short = |words: &[&str]| too_short(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), None);
        for words in
            [&["--time=2"][..], &["--time", "3:00"], &["-t", "0:1:30"], &["-t2"], &["--time=9:00:00", "-t", "0-0:3"]]
        {
            assert!(short(words).is_some_and(|w| w.contains("more than 3 minutes")), "{words:?}");
        }
        for words in [
            &["--time=4"][..],
            &["--time=4:00:00"],
            &["-t", "1-0"],
            &["--time=0"],
            &["--time=UNLIMITED"],
            &["-p", "2"],
            &["--time"],
        ] {
            assert_eq!(short(words), None, "{words:?}");
        }
        assert!(too_short(&[], Some("1")).is_some() && too_short(&["-t9".into()], Some("1")).is_none());
    }
}
