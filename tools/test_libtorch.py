#!/usr/bin/env python3
"""Tests of libtorch.py with wheels of a few bytes: offline, in a second."""
import concurrent.futures
import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("libtorch", HERE / "libtorch.py")
libtorch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(libtorch)


def fake_wheels(folder):
    """Wheels with the right files of a few bytes; the table that install() reads, made for them."""
    parts = [{"torch/lib/libtorch_cpu.so": b"cpu", "torch/lib/libc10.so": b"c10", "torch/lib/libgomp.so.1": b"gomp",
              "torch/lib/libtorch_cuda.so": b"left out", "torch/include/a/b.h": b"header"},
             {"nvidia/cu13/lib/libcudart.so.13": b"rt"}, {"nvidia/cu13/lib/libcupti.so.13": b"cupti"}]
    table = []
    for number, files in enumerate(parts):
        path = folder / f"w{number}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        table.append((f"w{number}==1", path.name, libtorch.sha256(path), path.stat().st_size, []))
    return table


class Install(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.root = Path(temporary.name)
        self.store = self.root / "store"
        self.store.mkdir()
        self.table = fake_wheels(self.store)
        self.calls = 0
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LIBTORCH") and k != "RLX_CACHE"}
        clean["XDG_CACHE_HOME"] = str(self.root / "cache")
        for patch in (mock.patch.dict(os.environ, clean, clear=True), mock.patch.object(libtorch, "WHEELS", self.table),
                      mock.patch.object(libtorch, "NEEDED", 1000), mock.patch.object(libtorch.subprocess, "run", self.pip)):
            patch.start()
            self.addCleanup(patch.stop)
        self.clone = self.root / "clone"
        (self.clone / "tools").mkdir(parents=True)
        self.spoil = None
        self.on_download = lambda: None

    def test_a16_the_cache_is_where_rlx_has_it(self):
        home = Path(os.path.expanduser("~"))
        for names, right in [({}, home / ".cache/rlx"), ({"XDG_CACHE_HOME": "/x"}, Path("/x/rlx")),
                             ({"XDG_CACHE_HOME": "x"}, home / ".cache/rlx"), ({"RLX_CACHE": ""}, home / ".cache/rlx"),
                             ({"XDG_CACHE_HOME": "/x", "RLX_CACHE": "/own"}, Path("/own")), ({"RLX_CACHE": "own"}, Path.cwd() / "own")]:
            clean = {k: v for k, v in os.environ.items() if k not in ("RLX_CACHE", "XDG_CACHE_HOME")}
            with mock.patch.dict(os.environ, {**clean, **names}, clear=True):
                self.assertEqual(libtorch.cache(), right, names)

    def pip(self, command, env=None, **_):
        """Stands for pip: copies the wheel, or spoils it as `spoil` says."""
        if "--version" in command:
            return subprocess.CompletedProcess(command, 1 if self.spoil == "no pip" else 0)
        self.calls += 1
        self.assertTrue(Path(env["TMPDIR"]).is_relative_to(libtorch.cache()), "the space was checked there")
        self.on_download()
        name = command[-1].split("==")[0] + ".whl"
        data = (self.store / name).read_bytes()
        target = Path(command[command.index("--dest") + 1]) / name
        if self.spoil == "network":
            return subprocess.CompletedProcess(command, 1)
        target.write_bytes(data[:-3] + b"xyz" if self.spoil == "bytes" else data)
        return subprocess.CompletedProcess(command, 0)

    def main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.object(libtorch, "__file__", str(self.clone / "tools" / "libtorch.py")), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = libtorch.main(list(arguments))
        return code, out.getvalue(), err.getvalue()

    def test_installs_once_for_all_clones(self):
        code, out, _ = self.main()
        self.assertEqual(code, 0, out)
        self.assertIn("MB, into", out)
        tree = libtorch.home()
        self.assertEqual((tree / "lib/libtorch_cpu.so").read_bytes(), b"cpu")
        self.assertEqual(os.readlink(tree / "lib/libtorch.so"), "libtorch_cpu.so")
        self.assertFalse((tree / "lib/libtorch_cuda.so").exists())
        self.assertEqual((tree / "include/a/b.h").read_bytes(), b"header")
        self.assertEqual((tree / "build-version").read_text(), libtorch.VERSION + "\n")
        self.assertIn(str(tree), (self.clone / ".cargo/config.toml").read_text())
        self.assertEqual(self.main()[0], 0)
        self.assertEqual(self.calls, 3)

    def test_a_spoilt_download_is_refused_and_removed(self):
        self.spoil = "bytes"
        code, _, err = self.main()
        self.assertEqual(code, 1)
        self.assertIn("SHA-256", err)
        self.assertFalse(libtorch.home().exists())
        self.assertEqual(list((libtorch.cache() / "wheels").iterdir()), [])
        self.spoil = None
        self.assertEqual(self.main()[0], 0)

    def test_an_interrupted_unpacking_is_not_taken_for_whole(self):
        with mock.patch.object(libtorch.shutil, "copyfileobj", side_effect=KeyboardInterrupt):
            self.assertEqual(self.main()[0], 1)
        self.assertFalse(libtorch.home().exists())
        self.assertEqual(self.main()[0], 0)
        self.assertEqual(self.calls, 3, "what was downloaded whole is not downloaded again")

    def test_a_damaged_tree_is_noticed_and_mended(self):
        self.main()
        (libtorch.home() / "lib/libc10.so").write_bytes(b"c1")
        self.assertEqual(self.main()[0], 0)
        self.assertEqual((libtorch.home() / "lib/libc10.so").read_bytes(), b"c10")
        (libtorch.home() / "lib/libc10.so").write_bytes(b"C10")
        self.assertEqual(self.main("--verify")[0], 0)
        self.assertEqual((libtorch.home() / "lib/libc10.so").read_bytes(), b"c10")

    def test_the_users_own_libtorch_wins(self):
        self.main()
        for own in ("LIBTORCH", "LIBTORCH_USE_PYTORCH"):
            with mock.patch.dict(os.environ, {own: "1"}):
                code, out, _ = self.main()
            self.assertEqual((code, f"your {own}" in out), (0, True))
            self.assertFalse((self.clone / ".cargo/config.toml").exists())
        self.assertEqual(self.calls, 3)

    def test_a_broken_connection_is_tried_again(self):
        def mend():
            self.spoil = "network" if self.calls < libtorch.TRIES else None

        self.on_download = mend
        self.assertEqual(self.main()[0], 0)
        self.assertEqual(self.calls, libtorch.TRIES + 2)

    def test_two_clones_at_once_download_once(self):
        started, waiting = threading.Event(), threading.Event()
        real = libtorch.fcntl.flock

        def flock(lock, how):
            try:
                real(lock, how)
            except BlockingIOError:
                waiting.set()
                raise

        def on_download():
            started.set()
            self.assertTrue(waiting.wait(10), "the second installer waits for the first")

        self.on_download = on_download
        with mock.patch.object(libtorch.fcntl, "flock", flock), contextlib.redirect_stdout(io.StringIO()), \
                concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(libtorch.install)
            self.assertTrue(started.wait(10))
            second = pool.submit(libtorch.install)
            self.assertEqual(first.result(20), second.result(20))
        self.assertEqual(self.calls, 3)
        self.assertTrue(libtorch.is_whole(libtorch.home(), deep=True))

    def test_path_is_the_one_that_the_build_takes(self):
        self.assertEqual(self.main("--path")[1].strip(), str(libtorch.home()))
        with mock.patch.dict(os.environ, {"LIBTORCH": "/mine"}):
            self.assertEqual(self.main("--path")[1].strip(), "/mine")
            with mock.patch.dict(os.environ, {"LIBTORCH_USE_PYTORCH": "1"}):
                found = importlib.util.spec_from_file_location("torch", "/python/torch/__init__.py")
                with mock.patch.object(libtorch.importlib.util, "find_spec", return_value=found):
                    self.assertEqual(self.main("--path")[1].strip(), "/python/torch")
                with mock.patch.object(libtorch.importlib.util, "find_spec", return_value=None):
                    code, _, err = self.main("--path")
        self.assertEqual((code, "no torch" in err, err.count("\n")), (1, True, 1))

    def test_a_foreign_cargo_config_is_left_alone(self):
        config = self.clone / ".cargo/config.toml"
        config.parent.mkdir()
        config.write_text("[build]\njobs = 1\n")
        code, out, _ = self.main()
        self.assertEqual((code, config.read_text()), (0, "[build]\njobs = 1\n"))
        self.assertIn("your own", out)

    def test_what_is_missing_is_one_sentence(self):
        cases = [("no pip", {}, "has no pip"), ("network", {}, "could not download w0==1")]
        for spoil, _, words in cases:
            self.spoil = spoil
            code, _, err = self.main()
            self.assertEqual((code, words in err, err.count("\n")), (1, True, 1), err)
        self.spoil = None
        with mock.patch.object(libtorch, "NEEDED", 1 << 60):
            code, _, err = self.main()
        self.assertEqual((code, "GB free" in err), (1, True), err)
        with mock.patch.object(libtorch.platform, "machine", return_value="riscv64"):
            code, _, err = self.main()
        self.assertEqual((code, "riscv64" in err and "LIBTORCH" in err), (1, True), err)
        for libc in ("glibc 2.17", None):
            with mock.patch.object(libtorch.os, "confstr", return_value=libc):
                code, _, err = self.main()
            self.assertEqual((code, "glibc 2.28" in err, err.count("\n")), (1, True, 1), err)
        self.assertFalse(libtorch.home().exists())
        self.assertEqual(self.main("--verfy")[0], 1)


class Preflight(unittest.TestCase):
    """preflight.sh on a PATH that lacks one thing at a time."""

    def run_without(self, *missing):
        with tempfile.TemporaryDirectory() as folder:
            tools = ("sh", "cargo", "rustc", "cc", "c++", "g++", "clang++", "python3", "sed", "df", "awk", "mkdir")
            for tool in tools:
                found = libtorch.shutil.which(tool)
                if found and tool not in missing:
                    # Not a link: rustup's and pyenv's programs look at the name and folder they are called by.
                    script = Path(folder) / tool
                    script.write_text(f'#!/bin/sh\nexec {found} "$@"\n')
                    script.chmod(0o755)
            env = {**os.environ, "PATH": folder, "CARGO_TARGET_DIR": folder + "/target"}
            for name in ("LIBTORCH", "LIBTORCH_USE_PYTORCH", "CXX", "PYTHON"):
                env.pop(name, None)
            return subprocess.run(["/bin/sh", HERE / "preflight.sh"], env=env, capture_output=True, text=True)

    def test_each_missing_thing_is_one_sentence(self):
        self.assertEqual(self.run_without().returncode, 0)
        for missing, words in [(("cargo",), "cargo is not"), (("c++", "g++", "clang++"), "no C++ compiler"), (("cc",), "no linker"), (("python3",), "no python3")]:
            done = self.run_without(*missing)
            self.assertEqual((done.returncode, words in done.stderr, done.stderr.count("\n")), (1, True, 1), done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
