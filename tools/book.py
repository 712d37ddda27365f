#!/usr/bin/env python3
"""The parts of the book that the program knows best, and the checks of all its pages.

    tools/book.py            write the generated parts of docs/ anew       needs rlx on the PATH, or RLX=path/to/rlx, and cargo
    tools/book.py --check    fail if one of them is stale, and check links
    tools/book.py --links    check links alone: needs nothing but Python

A folder after that has other copies of README.md and docs/, and names after it are the only parts to look at: the tests plant faults so.

A generated part stands between `<!-- made by tools/book.py: NAME -->` and `<!-- end of NAME -->`; NAME is one of PARTS below. What is
around it is written by hand. Only the standard library is used.
"""
import concurrent.futures
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else ROOT
DOCS = PAGES / "docs"
ONLY = sys.argv[3:]
RLX = os.path.abspath(os.environ["RLX"]) if "RLX" in os.environ else "rlx"


def run(*command, folder=ROOT):
    """What a command prints; without a terminal, so that its lines are as wide everywhere."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=folder,
                          env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def each(do, *items):
    """What `do` makes of each item, some at a time: starting the program is nearly all of the work."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(do, *items))


def listed(*words):
    return json.loads(run(RLX, "list", *words, "--json"))


def cell(text):
    """Text as a cell of a table."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def code(value):
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|")


def table(heads, rows):
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows)])


def names(kind):
    """A list without keys; what is in this machine's cache is left out."""
    about = lambda e: cell(re.sub(r"; (not )?fetched\)", ")", e["about"]))
    return table(["name", "what it is"], [[f"`{e['name']}`", about(e)] for e in listed(kind)])


def keys(entry):
    if not entry["keys"]:
        return "It has no keys of its own."
    row = lambda k: [f"`{k['name']}`", code(k["default"]), cell(k["allowed"]), cell(k["about"])]
    return table(["key", "default", "allowed", "meaning"], map(row, entry["keys"]))


def all_keys(kind):
    """A section for each name of a list, with its keys."""
    entries = each(lambda entry: listed(kind, entry["name"]), listed(kind))
    return "\n\n".join(f"## {e['name']}\n\n{cell(e['about'])}.\n\n{keys(e)}" for e in entries)


def presets():
    entries = each(lambda entry: listed("presets", entry["name"]), listed("presets"))
    row = lambda p: [f"`{p['name']}`", f"`{p['env']}`", f"`{p['algo']}`", cell(p["about"])]
    return table(["preset", "environment", "algorithm", "what it is"], map(row, entries))


def helps(*words):
    """The help of a command, and of each of its own commands."""
    text = run(RLX, *words, "--help").rstrip()
    level = "#" * min(len(words) + 1, 4)
    out = [f"{level} rlx {' '.join(words)}".rstrip() + f"\n\n```text\n{text}\n```"]
    commands = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    names = re.findall(r"^  ([a-z-]+) ", commands[1] if commands else "", re.M)
    return out + sum(each(lambda name: helps(*words, name), [name for name in names if name != "help"]), [])


def cli():
    return "\n\n".join(helps()[1:])


def experiment_new():
    with tempfile.TemporaryDirectory() as folder:
        run(RLX, "experiment", "new", "mine", folder=folder)
        return f"```toml\n{(Path(folder) / 'mine.toml').read_text().rstrip()}\n```"


def experiments():
    row = lambda e: [f"`{e['name']}`", cell(e["about"]), str(e["cells"]), str(e["quick_cells"])]
    return table(["name", "what it asks", "runs", "with `--quick`"], map(row, json.loads(run(RLX, "experiment", "list", "--json"))))


def crates():
    """The crates of the workspace, and which of them each may use."""
    packages = json.loads(run("cargo", "metadata", "--no-deps", "--format-version", "1", "--offline"))["packages"]
    known = {p["name"] for p in packages}
    rows = []
    for p in sorted(packages, key=lambda p: p["manifest_path"]):
        folder = str(Path(p["manifest_path"]).parent.relative_to(ROOT))
        uses = [f"`{d['name']}`" for d in p["dependencies"] if d["name"] in known and d["kind"] is None]
        rows.append([f"`{p['name']}`", "`src/`" if folder == "." else f"`{folder}/`", cell(p["description"] or ""), ", ".join(uses)])
    return table(["crate", "folder", "what it holds", "uses"], rows)


PARTS = {
    "cli": cli,
    "help": lambda: f"```text\n{run(RLX, '--help').rstrip()}\n```",
    "run": lambda: keys(listed("run")),
    "heal": lambda: keys(listed("heal")),
    "presets": presets,
    "envs": lambda: all_keys("envs"),
    "algos": lambda: all_keys("algos"),
    "bots": lambda: names("bots"),
    "models": lambda: names("models"),
    "data": lambda: names("data"),
    "experiments": experiments,
    "experiment new": experiment_new,
    "sweep --example": lambda: f"```toml\n{run(RLX, 'sweep', '--example').rstrip()}\n```",
    "crates": crates,
}
PART = re.compile(r"(<!-- made by tools/book.py: (.+?) -->\n).*?(<!-- end of \2 -->)", re.S)


def remade(text):
    new = lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}"
    return PART.sub(lambda part: part[0] if ONLY and part[2] not in ONLY else new(part), text)


def generate(check):
    """Writes the generated parts, or says which are stale."""
    wrong, found = [], []
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text()
        found += [part[2] for part in PART.finditer(before)]
        after = remade(before)
        if after != before and check:
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "the page", "the program", lineterm="", n=0)
            wrong.append(f"{page.relative_to(PAGES)}: stale, `make book` writes it anew\n" + "\n".join(list(lines)[:12]))
        elif after != before:
            page.write_text(after)
            print(f"{page.relative_to(PAGES)}: written anew")
    return wrong + [f"docs: the part '{name}' stands there {found.count(name)} times" for name in PARTS if found.count(name) != 1]


def prose(text):
    """A page without its blocks of code, fenced and indented, and without comments."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def anchors(page):
    """The anchors of a page's headings, as GitHub and mdBook make them."""
    found, out = {}, set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(page.read_text()), re.M):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        out.add(slug + (f"-{found[slug]}" if slug in found else ""))
        found[slug] = found.get(slug, 0) + 1
    return out


FOLDERS = "src nn lm agents envs experiments tests tools findings docs".split()
NAMED = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")


def links():
    """Links that lead nowhere, files that are named and not there, and pages that the table of contents lacks."""
    wrong = []
    pages = sorted(DOCS.rglob("*.md"))
    for page in [PAGES / "README.md", *pages]:
        text, here = prose(page.read_text()), page.relative_to(PAGES)
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            to = (page.parent / path).resolve() if path else page
            if not to.exists():
                wrong.append(f"{here}: there is no {target}")
            elif page.name != "README.md" and not to.is_relative_to(DOCS):
                wrong.append(f"{here}: {target} is outside of the book")
            elif anchor and anchor not in anchors(to):
                wrong.append(f"{here}: there is no heading {target}")
        wrong += [f"{here}: there is no file {name}" for name in NAMED.findall(text) if not (ROOT / name).exists()]
    lines = len((PAGES / "README.md").read_text().splitlines())
    if lines > 120:
        wrong.append(f"README.md: {lines} lines, and 120 are what a newcomer reads: move some into a page")
    contents = (DOCS / "SUMMARY.md").read_text()
    for page in pages:
        name = str(page.relative_to(DOCS))
        if name != "SUMMARY.md" and contents.count(f"({name})") != 1:
            wrong.append(f"docs/SUMMARY.md: {name} stands there {contents.count(f'({name})')} times, and once would be right")
    # What the program and the sources say of pages.
    sources = [p for f in FOLDERS for p in (ROOT / f).rglob("*") if p.suffix in (".rs", ".toml", ".py", ".sh")]
    for source in sources:
        for name in set(re.findall(r"docs/[\w/-]+\.md", source.read_text())):
            if not (PAGES / name).exists() and "(its docs/" not in source.read_text():
                wrong.append(f"{source.relative_to(ROOT)}: there is no {name}")
    return wrong


def main(mode):
    wrong = generate(mode == "--check") if mode != "--links" else []
    wrong += links()
    if wrong:
        sys.exit("\n".join(wrong))
    pages = len(list(DOCS.rglob("*.md")))
    print(f"{pages} pages, links resolve" + ("" if mode == "--links" else ", generated parts as the program has them"))


if __name__ == "__main__":
    if sys.argv[1:2] not in ([], ["--check"], ["--links"]):
        sys.exit(__doc__)
    main("".join(sys.argv[1:2]))
