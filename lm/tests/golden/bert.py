#!/usr/bin/env python3
"""Hidden states of BERT encoders by other people's programs, as the tests compare with: tiny random models by transformers (their
weights are saved beside), the 6-layer MiniLM by transformers, the 3-layer one by onnx's own evaluator.

    python bert.py [CACHE]      # needs torch, transformers, onnx, safetensors; CACHE has models/minilm-l6 and models/minilm-l3
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

HERE = Path(__file__).parent
TEXTS = ["A man is eating food.", "A man is eating a piece of bread.", "naïve Fußgänger ate 3.5 pretzels & paid £2,000 — 東京!"]
IDS = [[2, 5, 9, 30, 3], [7, 31, 3, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def tiny(name, model):
    folder = HERE / name
    model.eval().save_pretrained(folder)
    with torch.no_grad():
        states = model(torch.tensor(IDS), attention_mask=torch.tensor(MASK), output_hidden_states=True).hidden_states
    # Padding is nobody's: only real tokens are compared.
    return [[round(x, 6) for row, n in zip(s, [5, 3]) for x in row[:n].flatten().tolist()] for s in states]


def pooled(states, mask):
    return (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def cosine(vectors):
    return round(torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0).item(), 6)


def main():
    cache = Path(sys.argv[1] if len(sys.argv) > 1 else Path.home() / ".cache/rlx")
    out = {"made_by": f"bert.py, torch {torch.__version__}, transformers {transformers.__version__}", "ids": IDS, "mask": MASK, "texts": TEXTS}
    torch.manual_seed(0)
    # A larger deviation than BERT's: every part must matter to the numbers.
    shape = dict(vocab_size=32, max_position_embeddings=8, initializer_range=0.5)
    bert = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, hidden_act="gelu_new", **shape)
    distil = DistilBertConfig(dim=8, n_layers=2, n_heads=2, hidden_dim=16, **shape)
    for name, model in [("tiny-bert", BertModel(bert)), ("tiny-distilbert", DistilBertModel(distil))]:
        for p in model.parameters():
            if p.dim() == 1:
                torch.nn.init.normal_(p, 0.5, 0.5)
        out[name] = tiny(name, model)
    l6 = cache / "models/minilm-l6"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(l6 / "tokenizer.json"), pad_token="[PAD]")
    enc = tokenizer(TEXTS, padding="longest", return_tensors="pt")
    enc = {k: enc[k] for k in ("input_ids", "attention_mask")}
    longest = int(enc["attention_mask"].sum(1).max())
    enc = {k: v[:, :longest] for k, v in enc.items()}
    out["tokens"] = [row[: int(m.sum())].tolist() for row, m in zip(enc["input_ids"], enc["attention_mask"])]
    model = BertModel.from_pretrained(l6, attn_implementation="eager").eval()
    with torch.no_grad():
        states = model(**enc, output_hidden_states=True).hidden_states
    # The first numbers of [CLS] of each text, after the embeddings and after each layer.
    out["minilm-l6"] = [[[round(x, 6) for x in row[0, :12].tolist()] for row in s] for s in states]
    out["minilm-l6-cosine"] = cosine(pooled(states[-1], enc["attention_mask"].float()))
    from onnx.reference import ReferenceEvaluator
    import onnx
    graph = onnx.load(next((cache / "models/minilm-l3").glob("*.onnx")))
    # The names of its outputs are numbers: the last layer's normalisation is what is wanted.
    last = [n.output[0] for n in graph.graph.node if n.name.endswith("layer.2/output/LayerNorm/LayerNormalization")]
    graph.graph.output.append(onnx.helper.make_tensor_value_info(last[0], onnx.TensorProto.FLOAT, None))
    state = ReferenceEvaluator(graph).run([last[0]], {k: v.numpy() for k, v in enc.items()})[0]
    state = torch.tensor(state)
    out["minilm-l3"] = [[round(x, 6) for x in row[0, :12].tolist()] for row in state]
    out["minilm-l3-cosine"] = cosine(pooled(state, enc["attention_mask"].float()))
    (HERE / "bert.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
