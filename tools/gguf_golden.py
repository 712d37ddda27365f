#!/usr/bin/env python3
"""Writes lm/tests/golden/ggml-blocks.txt: what the `gguf` package makes of blocks of every number format, for lm's tests to compare with.

    python3 -m venv v && v/bin/pip install numpy gguf==0.19.0
    v/bin/python tools/gguf_golden.py > lm/tests/golden/ggml-blocks.txt

`read TYPE HEX NUMBERS...` is a block of random bits under scales that are not too large, and its numbers; `write TYPE HEX NUMBERS...` are
numbers, and the block they are quantised to.
"""
import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

# Where a block's half floats stand: random bits there would be infinities.
HALVES = {T.F16: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
rng = np.random.default_rng(20)


def show(what, kind, block, numbers):
    print(what, kind.name, block.tobytes().hex(), *(f"{x:.9g}" for x in numbers))


print("# made by tools/gguf_golden.py, gguf", __import__("importlib.metadata", fromlist=["x"]).version("gguf"))
for kind, halves in HALVES.items():
    size = gguf.GGML_QUANT_SIZES[kind][1]
    for _ in range(1 if size > 40 else 2):
        block = rng.integers(0, 256, size, dtype=np.uint8)
        for at in halves:
            block[at:at + 2] = np.float16([rng.normal() * 0.1]).view(np.uint8)
        show("read", kind, block, gguf.dequantize(block[None], kind)[0].astype(np.float64))
for kind in [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1]:
    elements = gguf.GGML_QUANT_SIZES[kind][0]
    rows = [rng.normal(size=elements), np.zeros(elements), np.full(elements, -0.37), rng.normal(size=elements) * 1e-3 + 5]
    for x in rows:
        x = x.astype(np.float32)
        show("write", kind, gguf.quantize(x[None], kind)[0], x.astype(np.float64))
# The types whose codes are places in a table, by draws of their own so that the lines above stay as they are. The first byte of MXFP4 is the
# power of two: ordinary ones, the subnormal ones and the highest that stays finite.
rng = np.random.default_rng(21)
for kind, heads in [(T.IQ4_NL, [None, None]), (T.IQ4_XS, [None]), (T.MXFP4, [120, 127, 0, 1, 2, 251])]:
    for head in heads:
        block = rng.integers(0, 256, gguf.GGML_QUANT_SIZES[kind][1], dtype=np.uint8)
        if head is None:
            block[:2] = np.float16([rng.normal() * 0.1]).view(np.uint8)
        else:
            block[0] = head
        show("read", kind, block, gguf.dequantize(block[None], kind)[0].astype(np.float64))
