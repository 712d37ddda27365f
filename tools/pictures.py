#!/usr/bin/env python3
"""The pictures of README, made anew by the commands that they show: docs/pictures/{table.svg,film.gif,report.svg}.

    tools/pictures.py [table|film|report ...]     needs rlx on the PATH, or RLX=path/to/rlx; all three take a few minutes

Only the standard library is used. The table is `rlx play red10` in a pseudo-terminal, whose screen becomes an SVG.
"""
import fcntl
import html
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
from pathlib import Path

RLX = os.environ.get("RLX", "rlx")
OUT = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS, ROWS = 100, 30
# What is typed at the table: twice a hint and what it proposes, and once more a hint.
TABLE = ["play", "red10", "--seed", "3", "--delay", "0s", "--lang", "en"]
KEYS = "h\rh\rh"

PALETTE = ["#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5",
           "#666666", "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff"]
# Stands in the second cell of a character that fills two.
WIDE = "\0"
FOREGROUND, BACKGROUND = "#d4d4d4", "#1e1e1e"


def colour(code):
    """An entry of the 256 colours of xterm."""
    if code < 16:
        return PALETTE[code]
    if code > 231:
        return "#" + f"{8 + 10 * (code - 232):02x}" * 3
    levels = [0, 95, 135, 175, 215, 255]
    code -= 16
    return "#" + "".join(f"{levels[v]:02x}" for v in (code // 36, code // 6 % 6, code % 6))


class Screen:
    """As much of a terminal as the table asks for: cells of (character, style), moves of the cursor, erasing and styles."""

    PLAIN = (None, None, False, False, False)

    def __init__(self):
        self.cells = [[(" ", self.PLAIN)] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0
        self.style = self.PLAIN

    def feed(self, text):
        for escape, letter, other, character in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|(\x1b.)|(.)", text, re.S):
            if letter:
                self.control(escape, letter)
            elif other:
                pass
            elif character == "\r":
                self.column = 0
            elif character == "\n":
                self.row = min(self.row + 1, ROWS - 1)
            elif character >= " " and self.column < COLUMNS:
                wide = unicodedata.east_asian_width(character) in "WF"
                self.cells[self.row][self.column:self.column + 1 + wide] = [(c, self.style) for c in character + WIDE * wide]
                self.column += 1 + wide

    def control(self, escape, letter):
        if escape.startswith("?"):
            return
        values = [int(v or 0) for v in escape.split(";")]
        first = max(values[0], 1)
        if letter == "H":
            self.row, self.column = first - 1, max(values[1] if len(values) > 1 else 1, 1) - 1
        elif letter == "C":
            self.column += first
        elif letter == "J":
            self.cells = [[(" ", self.style)] * COLUMNS for _ in range(ROWS)]
        elif letter == "K":
            self.cells[self.row][self.column:] = [(" ", self.style)] * (COLUMNS - self.column)
        elif letter == "m":
            self.select(values)

    def select(self, values):
        fore, back, bold, dim, reverse = self.style
        while values:
            v = values.pop(0)
            if v == 0:
                fore, back, bold, dim, reverse = self.PLAIN
            elif v in (1, 22):
                bold, dim = v == 1, dim and v == 1
            elif v == 2:
                dim = True
            elif v in (7, 27):
                reverse = v == 7
            elif v in (38, 48) and values:
                kind = values.pop(0)
                chosen = colour(values.pop(0)) if kind == 5 else "#" + "".join(f"{values.pop(0):02x}" for _ in range(3))
                fore, back = (chosen, back) if v == 38 else (fore, chosen)
            elif v in (39, 49):
                fore, back = (None, back) if v == 39 else (fore, None)
            elif 30 <= v < 38 or 90 <= v < 98:
                fore = PALETTE[v - 30 if v < 38 else v - 82]
            elif 40 <= v < 48 or 100 <= v < 108:
                back = PALETTE[v - 40 if v < 48 else v - 92]
        self.style = (fore, back, bold, dim, reverse)

    def svg(self):
        wide, high = 8, 15
        out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * wide + 16} {ROWS * high + 16}" '
               f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13">',
               f'<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>']
        for r, row in enumerate(self.cells):
            at = 0
            while at < COLUMNS:
                end = at + 1
                while end < COLUMNS and row[end][1] == row[at][1]:
                    end += 1
                fore, back, bold, dim, reverse = row[at][1]
                fore, back = fore or FOREGROUND, back or BACKGROUND
                if reverse:
                    fore, back = back, fore
                x, y = 8 + at * wide, 8 + r * high
                if back != BACKGROUND:
                    out.append(f'<rect x="{x}" y="{y}" width="{(end - at) * wide}" height="{high}" fill="{back}"/>')
                look = (' font-weight="bold"' if bold else "") + (' opacity=".6"' if dim else "")
                # Words stand at their own columns: fonts differ in the width of their cells.
                for word in re.finditer(r"\S+", "".join(c for c, _ in row[at:end])):
                    shown = html.escape(word[0].replace(WIDE, ""))
                    out.append(f'<text x="{x + word.start() * wide}" y="{y + 12}" fill="{fore}"{look} '
                               f'textLength="{len(word[0]) * wide}">{shown}</text>')
                at = end
        return "\n".join([*out, "</svg>"]) + "\n"


def table():
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.environ.pop("NO_COLOR", None)
        time.sleep(0.2)  # Until the terminal has its size.
        os.execvp(RLX, [RLX, *TABLE])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    screen, keys, quiet = Screen(), list(KEYS), 0
    pending = b""
    while quiet < 3:
        if not select.select([terminal], [], [], 1.0)[0]:
            quiet += 1
            if quiet == 2 and keys:
                os.write(terminal, keys.pop(0).encode())
                quiet = 0
            continue
        pending += os.read(terminal, 65536)
        if b"\x1b[6n" in pending:  # Asked where the cursor is.
            os.write(terminal, b"\x1b[1;1R")
            pending = pending.replace(b"\x1b[6n", b"")
        # A part of a character or of an escape waits for the rest.
        whole = re.match(rb"(?s)(.*?)(\x1b[^A-Za-z]*|[\xc0-\xff][\x80-\xbf]{0,2})?$", pending)
        text = whole[1]
        pending = pending[len(text):]
        if pending and pending[0] >= 0xC0:
            try:
                pending.decode()
                text, pending = text + pending, b""
            except UnicodeDecodeError:
                pass
        screen.feed(text.decode())
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    (OUT / "table.svg").write_text(screen.svg())


def rlx(*arguments):
    print("rlx", *arguments, flush=True)
    subprocess.run([RLX, *arguments], check=True)


def film():
    (OUT / "film.gif").unlink(missing_ok=True)
    rlx("record", "stack3", "--size", "320x240", "-o", str(OUT / "film.gif"))


def report():
    with tempfile.TemporaryDirectory() as runs:
        rlx("--runs", runs, "experiment", "run", "classic", "--quick", "-q")
        rlx("--runs", runs, "experiment", "report", "classic", "--quick")
        shutil.copy(Path(runs) / "experiments/classic-quick/report/eval-return-steps-pendulum.svg", OUT / "report.svg")


OUT.mkdir(exist_ok=True)
MAKERS = {"table": table, "film": film, "report": report}
for name in sys.argv[1:] or MAKERS:
    MAKERS[name]()
