"""Optuna's ask and tell as JSON lines: a request on standard input, its answer on standard output.

The trials of the sweep are the record of truth. The study is a journal beside them, for the samplers and for optuna-dashboard: on opening
it is brought to what the trials say, and made anew from them when it is gone. Trial n is drawn with a seed of its own, so that it depends
on the sweep, its number and the trials before it alone, however often the sweep was broken off.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import warnings

MARK = "rlx_trial"


def samplers(optuna, request, number):
    """The sampler for trial `number`; whole seeds apart, so that no two of a sweep's draws come from the same one."""
    s = optuna.samplers
    seed = (request["seed"] * 1_000_003 + number) % 2**32
    startup = request["startup"]
    make = {
        # All keys jointly; trials that are being run count as bad, so that several side by side are not the same.
        "tpe": lambda: s.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True),
        "gp": lambda: s.GPSampler(seed=seed, n_startup_trials=startup),
        "cmaes": lambda: s.CmaEsSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False),
        # One scrambled sequence: its place is kept in the study.
        "qmc": lambda: s.QMCSampler(seed=request["seed"] % 2**32, scramble=True, warn_independent_sampling=False),
        "random": lambda: s.RandomSampler(seed=seed),
    }
    return make[request["sampler"]]()


class Bridge:
    def __init__(self, optuna, request):
        self.optuna, self.request = optuna, request
        d = optuna.distributions
        self.space = {}
        for key, r in request["space"].items():
            if "choices" in r:
                # By place: a choice may be a list, which Optuna takes no part in.
                plain = all(isinstance(c, (bool, int, float, str)) for c in r["choices"])
                names = r["choices"] if plain else [json.dumps(c) for c in r["choices"]]
                self.space[key] = d.CategoricalDistribution(names)
            elif r["whole"]:
                self.space[key] = d.IntDistribution(int(r["low"]), int(r["high"]), log=r["log"])
            else:
                self.space[key] = d.FloatDistribution(r["low"], r["high"], log=r["log"])
        self.study = optuna.create_study(
            study_name=request["study"],
            storage=optuna.storages.JournalStorage(self.journal(request["journal"])),
            sampler=samplers(optuna, request, 0),
            # rlx prunes, by one rule for all samplers.
            pruner=optuna.pruners.NopPruner(),
            direction="minimize" if request["lower_is_better"] else "maximize",
            load_if_exists=True,
        )
        self.agree(request["trials"])

    def journal(self, path):
        # The sweep's lock is held by who started this: what a killed process left half done is nobody's.
        if os.path.exists(path):
            with open(path, "rb+") as f:
                whole = f.read().rfind(b"\n") + 1
                f.truncate(whole)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".lock")
        return self.optuna.storages.journal.JournalFileBackend(path)

    def agree(self, trials):
        """What the sweep's trials say is told; what the study has beside it was broken off in the asking."""
        state = self.optuna.trial.TrialState
        known = {}
        for t in self.study.get_trials(deepcopy=False):
            known[t.user_attrs.get(MARK)] = t
        numbers = {t["number"] for t in trials}
        for t in self.study.get_trials(deepcopy=False):
            mark = t.user_attrs.get(MARK)
            if t.state == state.RUNNING and (mark is None or known[mark].number != t.number):
                self.study.tell(t.number, state=state.FAIL)
        for trial in trials:
            there = known.get(trial["number"])
            if there is None:
                self.add(trial)
            elif there.state == state.RUNNING and trial["status"] != "started":
                self.tell(trial)
        self.asked = {n: t.number for n, t in known.items() if t.state == state.RUNNING and n not in numbers}

    def add(self, trial):
        params = {k: self.inward(k, v) for k, v in trial["keys"].items() if k in self.space}
        started = self.optuna.trial.create_trial(
            state=self.optuna.trial.TrialState.RUNNING,
            params=params,
            distributions={k: self.space[k] for k in params},
            user_attrs={MARK: trial["number"]},
        )
        self.study.add_trial(started)
        if trial["status"] != "started":
            self.tell(trial)

    def inward(self, key, value):
        choices = self.request["space"][key].get("choices")
        return value if choices is None else self.space[key].choices[choices.index(value)]

    def number(self, trial):
        """Optuna's number of the last trial that has this one's mark."""
        own = [t.number for t in self.study.get_trials(deepcopy=False) if t.user_attrs.get(MARK) == trial]
        return own[-1]

    def ask(self, number):
        # Asked before, and broken off before the sweep wrote it down: it is the same trial.
        if number in self.asked:
            params = self.study.get_trials(deepcopy=False)[self.asked.pop(number)].params
        else:
            if self.request["sampler"] != "qmc":
                self.study.sampler = samplers(self.optuna, self.request, number)
            trial = self.study.ask(self.space)
            trial.set_user_attr(MARK, number)
            params = trial.params
        place = {k: int(d.to_internal_repr(params[k])) for k, d in self.space.items() if hasattr(d, "choices")}
        return {"values": {**params, **place}}

    def tell(self, trial):
        state = self.optuna.trial.TrialState
        number = self.number(trial["number"])
        storage, id = self.study._storage, self.study.get_trials(deepcopy=False)[number]._trial_id
        for step, value in trial.get("curve") or []:
            storage.set_trial_intermediate_value(id, int(step), value)
        value = trial.get("value")
        if trial["status"] == "finished" and value is not None:
            self.study.tell(number, value)
        elif trial["status"] == "pruned":
            self.study.tell(number, state=state.PRUNED)
        else:
            self.study.tell(number, state=state.FAIL)
        return {}


def main():
    # The program that started this says when it ends: by the end of standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w")
    # Whatever a library prints is no answer.
    os.dup2(2, 1)

    def answer(what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    warnings.simplefilter("ignore")
    try:
        # What the sampler needs is missed now and not by the first trial.
        for package in sys.argv[1:]:
            importlib.import_module(package)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if int(optuna.__version__.split(".")[0]) < 4:
            raise ImportError(f"Optuna {optuna.__version__} is too old: it must be 4 or later")
    except ImportError as e:
        answer({"missing": str(e)})
        return
    answer({"version": optuna.__version__})
    bridge = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if "open" in request:
                bridge = Bridge(optuna, request["open"])
                answer({})
            elif "ask" in request:
                answer(bridge.ask(request["ask"]))
            else:
                answer(bridge.tell(request["tell"]))
        except Exception as e:
            answer({"error": f"{type(e).__name__}: {e}"})


main()
