#!/usr/bin/env python3
"""Writes lm/tests/golden/smollm2.txt: what llama.cpp says of SmolLM2-135M on fixed token ids, for lm's own test to compare with.

    python3 -m venv v && v/bin/pip install numpy gguf transformers torch llama-cpp-python==0.3.36
    v/bin/python tools/lm_golden.py MODEL.gguf > lm/tests/golden/smollm2.txt

Weights are dequantised by the `gguf` package and run in 32-bit floats by transformers' LlamaForCausalLM, an implementation that shares
nothing with ours: llama.cpp itself rounds activations to 8 bits for quantised weights, which is more than the tolerance. Tokens come from
llama.cpp.
"""
import sys

import gguf
import numpy as np
import torch
from llama_cpp import Llama
from transformers import LlamaConfig, LlamaForCausalLM

TEXTS = [
    "The capital of France is",
    "In 1969, 3 men flew 384,400 km; they're back now.\n\n  \tIndented naïve café — 你好, 12345!",
    "<|im_start|>user\nHi<|im_end|>\n",
]
IDS = [(i * 7919 + 13) % 49152 for i in range(48)]


def load(path):
    reader = gguf.GGUFReader(path)
    field = lambda name: reader.fields[name].contents()
    heads, kv = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    config = LlamaConfig(
        vocab_size=49152, hidden_size=field("llama.embedding_length"), intermediate_size=field("llama.feed_forward_length"),
        num_hidden_layers=field("llama.block_count"), num_attention_heads=heads, num_key_value_heads=kv,
        max_position_embeddings=8192, rms_norm_eps=field("llama.attention.layer_norm_rms_epsilon"),
        rope_theta=field("llama.rope.freq_base"), rope_parameters={"rope_type": "default", "rope_theta": field("llama.rope.freq_base")},
        tie_word_embeddings=True)
    model = LlamaForCausalLM(config).float().eval()
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm"}
    state = {}
    for t in reader.tensors:
        w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
        if t.name == "token_embd.weight":
            state["model.embed_tokens.weight"] = w
        elif t.name == "output_norm.weight":
            state["model.norm.weight"] = w
        else:
            _, block, part, _ = t.name.split(".")
            n = {"attn_q": heads, "attn_k": kv}.get(part)
            if n:  # llama.cpp's order of rows back to transformers'
                w = w.reshape(n, w.shape[0] // n // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)
            state[f"model.layers.{block}.{names[part]}.weight"] = w
    state = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in state.items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


def main(path):
    tokenizer = Llama(path, vocab_only=True, verbose=False)
    model = load(path)
    print("# made by tools/lm_golden.py: tokens by llama.cpp, logits by transformers in 32-bit floats")
    for text in TEXTS:
        ids = tokenizer.tokenize(text.encode(), add_bos=False, special=True)
        print("tokens", repr(text.encode().hex())[1:-1], *ids)
    rows = [tokenizer.tokenize(TEXTS[0].encode(), add_bos=False), IDS]
    for name, ids in zip(["paris", "fixed"], rows):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        logs = logits.log_softmax(-1)
        nll = -logs[:-1].gather(1, torch.tensor(ids[1:])[:, None]).mean().item()
        print("ids", name, *ids)
        print("nll", name, f"{nll:.6f}")
        for k in range(0, 49152, 997):
            print("logit", name, len(ids) - 1, k, f"{logits[-1, k].item():.5f}")
        print("top", name, int(logs[-1].argmax()), f"{logs[-1].max().item():.5f}")


main(sys.argv[1])
