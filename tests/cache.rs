//! One cache and one finder of models, whatever command asks.
use crate::common::{TempDir, rlx};
use rlx_lm::{
    archive::Stored,
    llama::{export, tiny},
};
use std::{fs, process::Output};

#[test]
fn a16_every_command_uses_rlx_cache() {
    let dir = TempDir::new();
    let (cache, home) = (dir.0.join("own-cache"), dir.0.join("home"));
    fs::create_dir_all(cache.join("models")).unwrap();
    fs::create_dir(&home).unwrap();
    export::transformers(&tiny(1), None, Stored::F32, &cache.join("models/mine")).unwrap();
    let row = |i: u32| format!("w{i} w{},{}\n", i * 7, if i.is_multiple_of(2) { "good" } else { "bad" });
    fs::write(dir.0.join("moods.csv"), format!("said,mood\n{}", (0..60).map(row).collect::<String>())).unwrap();
    let run = |args: &[&str]| -> Output {
        rlx(&dir.0, args).env("RLX_CACHE", &cache).env("HOME", &home).env_remove("XDG_CACHE_HOME").output().unwrap()
    };
    let place = |kind: &str, name: &str| cache.join(kind).join(name).display().to_string();
    let train = |world: &'static str, key: &'static str| {
        ["train", "--env", world, "--preset", "none", "--algo", "random", "--steps", "4", "--name", "t", "--set", key]
    };
    // What is not there is looked for in this cache, by each in the same words.
    for (name, args) in [
        ("smollm2-135m", &["lm", "info", "smollm2-135m"][..]),
        ("smollm2-135m", &["lm", "generate", "smollm2-135m", "--prompt", "a"]),
        ("smollm2-135m", &train("compress-llama", "model=smollm2-135m")),
        ("minilm-l6", &["heal", "--model", "minilm-l6", "--data", "moods.csv", "--text", "said", "--label", "mood"]),
        ("minilm-l6", &train("heal-bert", "model=minilm-l6")),
    ] {
        let out = run(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{args:?}");
        // The healing world reads its data set first, from the same cache.
        let right = [place("models", name), cache.join("data").display().to_string()];
        assert!(right.iter().any(|r| said.contains(r)) && said.contains("rlx fetch"), "{args:?}: {said}");
    }
    // What is there is found by its name.
    let out = run(&["lm", "info", "mine"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let list = String::from_utf8(run(&["list", "models", "--json"]).stdout).unwrap();
    assert!(list.contains(&place("models", "minilm-l6")), "{list}");
    // What a world measured is kept there too.
    let out =
        run(&[&train("compress-llama", "model=tiny")[..], &["--set", "tokens=64", "--set", "eval_every=0"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(cache.join("ledgers").is_dir());
    assert!(!home.join(".cache").exists(), "a second cache was made");
}
