#!/usr/bin/env python3
"""Whether two builds of rlx train to the same bytes: a change that only tidies must not move one.

    tools/same_bytes.py OLD NEW [--case NAME]... [--keep FOLDER]        OLD and NEW are two rlx programs

Both train each case with the same seed. Equal must be: every file of every checkpoint (networks, optimisers, replays, the learner's
and the worlds' state), the rows of metrics without those of the clock (`perf/`), and the exported policy. Then NEW goes on with a
checkpoint of OLD, and must end in the bytes in which OLD ends: checkpoints of before are read. Exits with 1 where anything differs.
A case takes seconds; nothing is downloaded. Two versions of one compiler profile only: other optimisations may round otherwise.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

QUICK = ["auxiliary_hidden=[16]", "auxiliary_width=8", "auxiliary_buffer=2000"]
SAC = ["num_envs=4", "hidden=[24, 16]", "batch_size=32", "learning_starts=256", "buffer_size=4000", "utd=0.25"]
SEARCH = ["log_every=24", "checkpoint_every=240"]

# name: (world, algorithm, preset, steps, keys)
CASES = {
    "ppo-discrete": ("cartpole", "ppo", "cartpole-ppo", 4096, []),
    "ppo-continuous": ("pendulum", "ppo", "pendulum-ppo", 8192, []),
    "ppo-normalized": ("acrobot", "ppo", "acrobot-ppo", 8192, ["normalize_reward=true", "time_limit=90"]),
    "ppo-limits": ("cartpole", "ppo", "none", 3072, ["clip_range_value=0.2", "target_kl=0.005", "entropy_coef=0.01"]),
    "ppo-multi-discrete": ("compress-synthetic", "ppo", "none", 2048, ["num_steps=32", "surrogate=true"]),
    "ppo-auxiliary": ("reach", "ppo", "none", 1024, ["num_steps=64", "auxiliary=ddl", *QUICK]),
    "dmc-red10": ("red10", "dmc", "none", 2048, ["hidden=32", "head=32"]),
    "sac-reach": ("reach", "sac", "none", 2048, SAC),
    "sac-n-step": ("push", "sac", "none", 1536, [*SAC, "n_step=3", "relabel=episode", "policy_delay=2", "policy_average=0.9"]),
    "sac-pendulum": ("pendulum", "sac", "none", 1536, [*SAC, "norm=none", "normalize_obs=false", "lr_schedule=linear"]),
    "sac-crossq": ("reach", "sac", "none", 1536, [*SAC, "norm=batch", "random_actions=0.1"]),
    "sac-demonstrations": ("push", "sac", "none", 1536, [*SAC, "demonstrations=0.25", "relabel=final", "target_range=[-20, 0]"]),
    "tdrp-push": ("push", "tdrp", "none", 1536, [*SAC, *QUICK]),
    "tdrp-qrl": ("push", "tdrp", "none", 1024, [*SAC, *QUICK, "auxiliary=qrl", "auxiliary_form=raw"]),
    "tdrp-laplacian": ("push", "tdrp", "none", 1024, [*SAC, *QUICK, "auxiliary=laplacian"]),
    "chain-tdrp": ("stack3", "chain", "none", 2048, [*SAC, *QUICK, "demonstrations=0.5"]),
    "chain-terminal": ("stack3", "chain", "none", 2048, [*SAC, "bridge=terminal", "order=sequence", "demonstrations=0.5"]),
    **{
        f"search-{algo}": ("compress-synthetic", algo, "none", 480, [*SEARCH, *keys])
        for algo, keys in {
            "random": ["promote_every=2", "initial_guesses=3"],
            "uniform": [],
            "greedy-mi": [],
            "knapsack": [],
            "evolution": [],
            "bo": [],
            "qpruner": [],
            "rankadaptor": ["offline=8", "offline_epochs=20", "online_epochs=2"],
        }.items()
    },
}


def rlx(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program} {' '.join(map(str, arguments))}: {done.stderr.strip()}")


def content(file):
    """What must be equal of a file: its bytes, without the program's revision, what the clock said, and comments."""
    if file.name == "metrics.jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        return [{k: v for k, v in row.items() if not k.startswith("perf/")} for row in rows]
    if file.name == "trainer.json":
        return {k: v for k, v in json.loads(file.read_text()).items() if k != "revision"}
    data = file.read_bytes()
    if file.suffix != ".safetensors":
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    # The run's config goes along with its comments, which are words and no choices.
    config = header["__metadata__"]["config"].splitlines()
    header["__metadata__"]["config"] = [line for line in config if not line.startswith("#")]
    return list(header.items()), data[end:]


def contents(run):
    wanted = [run / "metrics.jsonl", *run.glob("*.safetensors"), *run.glob("checkpoints/*/**/*")]
    # A manifest has the hashes of the other files, the trainer's among them.
    return {f.relative_to(run): content(f) for f in wanted if f.is_file() and f.name != "manifest.json"}


def differences(old, new):
    a, b = contents(old), contents(new)
    return sorted(str(f) for f in a.keys() | b.keys() if a.get(f) != b.get(f)), len(a)


def train(program, runs, case):
    world, algo, preset, steps, keys = case
    sets = [x for key in ["film=false", "threads=1", "eval_episodes=2", *keys] for x in ("--set", key)]
    rlx(program, "train", "--env", world, "--algo", algo, "--preset", preset, "--steps", steps, "--seed", 5,
        "--name", "x", "--runs", runs, "-q", *sets)
    (run,) = runs.iterdir()
    rlx(program, "export", run, "--checkpoint", "last", "-o", run / "policy.safetensors")
    return run


def check(old, new, name, folder):
    case = CASES[name]
    runs = [train(program, folder / name / side, case) for program, side in [(old, "old"), (new, "new")]]
    differ, files = differences(*runs)
    further = folder / name / "further" / runs[0].name
    shutil.copytree(runs[0], further)
    for program, run in [(old, runs[0]), (new, further)]:
        rlx(program, "train", "--resume", run, "--steps", case[3] * 3 // 2, "-q")
    later, more = differences(runs[0], further)
    return differ + [f"resumed: {f}" for f in later], files + more


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--case", action="append", choices=CASES, help="only these")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder, which must not be there yet")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for name in options.case or CASES:
            try:
                differ, files = check(options.old.resolve(), options.new.resolve(), name, folder)
            except RuntimeError as error:
                differ, files = [str(error)], 0
            failed += bool(differ)
            print(f"{name}: " + ("; ".join(differ) if differ else f"equal, {files} files"), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
