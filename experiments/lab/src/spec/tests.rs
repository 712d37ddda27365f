//! Tests of `spec`.
use super::*;

fn wrong(text: &str) -> String {
    format!("{:#}", Spec::parse(&rlx_experiments::registry(), "x", text, false).unwrap_err())
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    assert!(wrong("format = 1\nseds = 3").contains("a spec has no key 'seds': did you mean 'seeds'?"));
    assert!(wrong("format = 2\nseeds = 3").contains("format 2"));
    assert!(wrong("seeds = 3").contains("format = 1"));
    assert!(wrong("format = 1").contains("seeds is missing"));
    assert!(wrong("format = 1\nseeds = 0").contains("seeds is empty"));
    assert!(wrong("format = 1\nseeds = [1, 2, 1]").contains("seeds has 1 twice"));
    assert!(wrong("format = 1\nseeds = -1").contains("seeds = -1"));
    assert!(wrong("format = 1\nseeds = 1\n[grid]\ngamma = []").contains("grid.gamma is empty"));
    assert!(wrong("format = 1\nseeds = 1\n[grid]\ngamma = 0.9").contains("belongs to [base]"));
    assert!(wrong("format = 1\nseeds = 1\n[grid]\ngamma = [0.9, 0.9]").contains("0.9 twice"));
    assert!(wrong("format = 1\nseeds = 1\n[budget]\ntim = \"1m\"").contains("did you mean 'time'?"));
    assert!(wrong("format = 1\nseeds = 1\n[budget]\ntime = \"soon\"").contains("like 90s"));
    assert!(wrong("format = 1\nseeds = 1\n[base]\nseed = 3").contains("seeds is the place"));
    assert!(wrong("format = 1\nseeds = 1\ntask = \"gama\"\n[grid]\ngamma = [0.9]").contains("did you mean 'gamma'?"));
    assert!(
        wrong("format = 1\nseeds = 1\n[grid]\nalgo = [\"ppo\"]\n[variants]\na = { algo = \"x\" }").contains("both")
    );
    assert!(wrong("format = 1\nseeds = 1\n[[metrics]]\nnam = \"x\"").contains("did you mean 'name'?"));
    assert!(
        wrong("format = 1\nseeds = 1\n[[metrics]]\nname = \"x\"\ntasks.a = { low = 1 }").contains("both low and high")
    );
    let mut registry = rlx_experiments::registry();
    registry.extension_mut::<Lab>().spec("classic", "format = 1\nseeds = 1");
    assert!(format!("{:#}", Spec::open(&registry, "clasic", false).unwrap_err()).contains("did you mean 'classic'?"));
    assert_eq!(wrong("format = 1\nkind = \"hael\"\nseeds = 1").split(": ").last(), Some("it must be train"));
    assert!(
        format!("{:#}", Spec::parse(&rlx_experiments::registry(), "x", "format = 1\nseeds = 1", true).unwrap_err())
            .contains("no quick variant")
    );
}

#[test]
fn a_change_that_matters_is_shown_and_one_that_does_not_is_none() {
    let old =
        Spec::parse(&rlx_experiments::registry(), "x", "format = 1\nseeds = 2\n[base]\nsteps = 5", false).unwrap();
    let new = Spec::parse(
        &rlx_experiments::registry(),
        "x",
        "format = 1\nabout = \"y\"\nseeds = 3\n[base]\nsteps = 5",
        false,
    )
    .unwrap();
    assert_eq!(old.difference(&new), ["- seeds = [0,1]", "+ seeds = [0,1,2]"]);
    let words = Spec::parse(
        &rlx_experiments::registry(),
        "x",
        "format = 1\nabout = \"z\"\nseeds = 2\n[budget]\nsteps = 5",
        false,
    )
    .unwrap();
    assert!(old.difference(&words).is_empty());
}
