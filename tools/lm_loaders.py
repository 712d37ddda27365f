#!/usr/bin/env python3
"""Loads an exported language model elsewhere and prints its logits at the last of some tokens, as JSON.

    python3 -m venv v && v/bin/pip install numpy torch transformers llama-cpp-python==0.3.36
    v/bin/python tools/lm_loaders.py transformers FOLDER 1,2,3
    v/bin/python tools/lm_loaders.py llama.cpp FILE.gguf 1,2,3

lm/tests/loaders.rs does so with each format that it writes, where RLX_LM_PYTHON names such a Python.
"""
import json
import sys


def transformers(path, ids):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1].tolist()


def llama_cpp(path, ids):
    from llama_cpp import Llama

    # Keys and values in 32 bits, as ours are; type 0 is GGML_TYPE_F32.
    model = Llama(path, n_ctx=len(ids) + 8, logits_all=True, type_k=0, type_v=0, n_threads=2, verbose=False)
    model.eval(ids)
    return model.scores[len(ids) - 1].tolist()


how, path, ids = sys.argv[1:]
print(json.dumps({"transformers": transformers, "llama.cpp": llama_cpp}[how](path, [int(i) for i in ids.split(",")])))
