//! From what is typed to what is run.
use super::*;

fn request(env: &str, algo: &str, set: &[&str]) -> Request {
    Request {
        env: Some(env.into()),
        algo: Some(algo.into()),
        set: set.iter().map(|s| (*s).into()).collect(),
        ..Default::default()
    }
}
fn fails(request: &Request) -> String {
    format!("{:#}", Experiment::new(&rlx_experiments::registry(), request).err().expect("an error"))
}

#[test]
fn a_config_written_is_the_config_read() {
    let registry = rlx_experiments::registry();
    for preset in registry.presets() {
        let request = Request { preset: Some(preset.name.clone()), ..Default::default() };
        // Whatever is fetched on this machine: the model that comes with the program stands for the real one.
        let world = registry.find_world(&preset.env).unwrap();
        let set = if world.keys.get("model").is_some() { vec!["model=tiny".into()] } else { Vec::new() };
        let made = Experiment::new(&registry, &Request { set, ..request }).unwrap();
        let text = made.to_toml();
        let read = Experiment::from_toml(&registry, &text).unwrap();
        assert_eq!((read.run.clone(), &read.env, &read.hyper), (made.run, &made.env, &made.hyper));
        assert_eq!(read.to_toml(), text);
    }
}

#[test]
fn file_then_set_then_flags() {
    let mut r = request("cartpole", "ppo", &["learning_rate=0.5", "seed=4", "ppo.gamma=0.5"]);
    r.config = Some("[run]\nseed = 1\nsteps = 77\n[algo]\nlearning_rate = 0.25\nepochs = 3\n".into());
    r.flags = vec![("seed", "9".into())];
    let e = Experiment::new(&rlx_experiments::registry(), &r).unwrap();
    assert_eq!((e.run.seed, e.run.steps), (9, 77));
    assert_eq!((e.hyper["learning_rate"].as_f64(), e.hyper["epochs"].as_u64()), (Some(0.5), Some(3)));
    assert_eq!(e.hyper["gae_lambda"].as_f64(), Some(0.8), "from the preset");
    assert_eq!(e.run.preset, "cartpole-ppo");
}

#[test]
fn evaluations_may_be_in_another_setting_of_the_world() {
    let set = ["begin=any", "eval_set=[\"begin=first\", \"time_limit=80\"]"];
    let e = Experiment::new(&rlx_experiments::registry(), &request("assemble", "chain", &set)).unwrap();
    assert_eq!((e.env["begin"].as_str(), e.eval_env["begin"].as_str()), (Some("any"), Some("first")));
    assert_eq!(e.eval_env["time_limit"].as_u64(), Some(80));
    let mut read = Experiment::from_toml(&rlx_experiments::registry(), &e.to_toml()).unwrap();
    assert_eq!((&read.run, &read.eval_env), (&e.run, &e.eval_env));
    read.judge_in(&["skill=insert".into()]).unwrap();
    assert_eq!((read.eval_env["skill"].as_str(), read.eval_env["time_limit"].as_u64()), (Some("insert"), Some(80)));
    assert_eq!((&read.run, &read.env), (&e.run, &e.env), "training's world stays");
    let other = ["eval_set=[\"decide=[bits]\"]", "model=tiny"];
    assert!(fails(&request("compress-llama", "random", &other)).contains("only the same policy can be judged"));
    assert!(fails(&request("push", "sac", &["eval_set=[\"rewrad=dense\"]"])).contains("did you mean 'reward'"));
}

#[test]
fn e8_names_of_gymnasium_and_any_case_are_known() {
    let registry = rlx_experiments::registry();
    for (given, meant) in [
        ("CartPole-v1", "cartpole"),
        ("cartpole-V1", "cartpole"),
        ("Pendulum-v1", "pendulum"),
        ("Acrobot-v1", "acrobot"),
        ("MountainCarContinuous-v0", "mountain-car-continuous"),
        ("mountain_car_continuous", "mountain-car-continuous"),
    ] {
        let e = Experiment::new(&registry, &request(given, "PPO", &[])).unwrap();
        assert_eq!((e.world.name.as_str(), e.run.env.as_str(), e.run.algo.as_str()), (meant, meant, "ppo"));
        assert_eq!(e.run.preset, format!("{meant}-ppo"), "the preset is found by whatever name");
    }
    // Other physics: like it, and not the same.
    for (given, like) in [("FetchReach-v4", "reach"), ("PandaPickAndPlace-v3", "pick-place"), ("FetchPush-v2", "push")]
    {
        let said = fails(&request(given, "sac", &[]));
        assert_eq!(said, format!("there is no world '{given}': did you mean '{like}', which is like it?"));
    }
}

#[test]
fn e8_only_what_fits_the_world_is_suggested() {
    assert_eq!(fails(&request("CartPole-v1", "a2c", &[])), "there is no algorithm 'a2c': what fits cartpole: ppo");
    let said = fails(&request("red10", "ppo2", &[]));
    assert!(said.contains("what fits red10") && !said.contains("did you mean 'ppo'"), "{said}");
    assert!(fails(&request("cartpole", "ppo", &["steps=1e30"])).contains("too large"));
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    assert_eq!(fails(&request("cartpol", "ppo", &[])), "there is no world 'cartpol': did you mean 'cartpole'?");
    assert_eq!(fails(&request("cartpole", "pppo", &[])), "there is no algorithm 'pppo': did you mean 'ppo'?");
    assert!(fails(&request("cartpole", "ppo", &["learning_rat=1"])).contains("did you mean 'learning_rate'?"));
    assert!(fails(&request("cartpole", "ppo", &["gamma=2"])).contains("gamma = 2.0: it must be a number from 0 to 1"));
    assert!(fails(&request("cartpole", "ppo", &["gamma"])).contains("key=value"));
    assert!(fails(&request("cartpole", "ppo", &["minibatch_size=1000"])).contains("256 transitions"));
    let mut r = request("pendulum", "ppo", &[]);
    r.preset = Some("cartpole-ppo".into());
    assert!(fails(&r).contains("is for env 'cartpole'"));
    r.preset = Some("pendulum-pp".into());
    assert!(fails(&r).contains("did you mean 'pendulum-ppo'?"));
    r = request("cartpole", "ppo", &[]);
    r.config = Some("format = 99".into());
    assert!(fails(&r).contains("format 99") && fails(&r).contains("reads format 1"));
    r.config = Some("[runn]\nseed = 1".into());
    assert!(fails(&r).contains("did you mean 'run'?"));
    r.config = Some("[algo]\ngamma = \"x\"".into());
    assert!(fails(&r).contains("gamma = \"x\": it must be a number from 0 to 1"));
}
