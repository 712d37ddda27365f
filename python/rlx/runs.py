"""Runs that rlx wrote, for notebooks: a data frame of what they are, and their curves.

>>> runs = rlx.runs("runs/")
>>> runs[["env", "algo", "seed", "steps", "eval.return.mean"]]
>>> runs.metrics("charts/episodic_return").groupby("algo").value.max()
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

try:
    import pandas
except ModuleNotFoundError:  # said when it is needed
    pandas = None

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None


def _pandas() -> Any:
    if pandas is None:
        raise ModuleNotFoundError("rlx.runs needs pandas: pip install pandas")
    return pandas


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nest of dicts as one, dots between its keys."""
    out: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            out.update(_flat(value, f"{prefix}{key}."))
        else:
            out[prefix + key] = value
    return out


class Run:
    """A run's folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "config.toml").exists():
            raise ValueError(f"{self.path} is no run: it has no config.toml")

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.path.name

    @property
    def config(self) -> dict[str, Any]:
        """Every choice that it was made with: the tables run, env and algo."""
        if tomllib is None:
            raise ModuleNotFoundError("config.toml is read from Python 3.11 on")
        return tomllib.loads((self.path / "config.toml").read_text())

    @property
    def summary(self) -> dict[str, Any]:
        """How it stands or how it ended: empty for one that has not written it yet."""
        path = self.path / "summary.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def metrics(self, tag: str | list[str] | None = None) -> Any:
        """Its curves, a row for each step that was logged; ``tag`` keeps one of the columns or some of them."""
        path = self.path / "metrics.jsonl"
        rows = []
        if path.exists():
            for line in path.read_bytes().splitlines():
                try:
                    rows.append(_flat(json.loads(line)))
                except json.JSONDecodeError:
                    # The last line of a run that is being written, or that was killed while it wrote.
                    break
        frame = _pandas().DataFrame(rows, columns=None if rows else ["step"]).set_index("step")
        if tag is None:
            return frame
        tags = [tag] if isinstance(tag, str) else list(tag)
        missing = [t for t in tags if t not in frame]
        if missing:
            raise ValueError(f"{self.name} has no curve {missing[0]!r}: there are {', '.join(frame.columns)}")
        return frame[tag].dropna() if isinstance(tag, str) else frame[tags].dropna(how="all")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def _base() -> type:
    return pandas.DataFrame if pandas is not None else object


class Runs(_base()):  # type: ignore[misc]
    """A data frame with a row for each run: what its summary says, and its choices as ``config.run.steps`` and so on."""

    _metadata = ["_runs"]

    @property
    def _constructor(self) -> Any:
        return Runs

    def run(self, name: str) -> Run:
        """The run of that name, for its curves and choices."""
        if name not in self._runs:
            raise ValueError(f"there is no run {name!r}: there are {', '.join(self._runs) or 'none'}")
        return self._runs[name]

    def metrics(self, tag: str) -> Any:
        """A curve of all these runs: columns run, env, algo, seed, step and value. Runs without that curve have no rows."""
        parts = []
        for name in self.index:
            try:
                curve = self._runs[name].metrics(tag)
            except ValueError:
                continue
            part = curve.rename("value").reset_index()
            for key in ("seed", "algo", "env"):
                part.insert(0, key, self.at[name, key] if key in self else None)
            part.insert(0, "run", name)
            parts.append(part)
        if not parts:
            raise ValueError(f"none of these {len(self)} runs has a curve {tag!r}")
        return _pandas().concat(parts, ignore_index=True)


def runs(folder: str | Path = "runs") -> Runs:
    """The runs of a folder, those within its folders too, as a data frame whose index are their names."""
    _pandas()
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of runs")
    found = sorted(path.parent for path in folder.rglob("config.toml") if "checkpoints" not in path.parts)
    all_runs = {str(path.relative_to(folder)) if path != folder else path.name: Run(path) for path in found}
    rows = []
    for name, run in all_runs.items():
        row: dict[str, Any] = {"name": name}
        if tomllib is not None:
            config = run.config
            chosen = config.get("run", {})
            row |= {key: chosen.get(key) for key in ("env", "algo", "seed")}
            row |= _flat(config, "config.")
        rows.append(row | _flat(run.summary))
    frame = Runs(rows, columns=None if rows else ["name"]).set_index("name")
    frame._runs = all_runs
    return frame
