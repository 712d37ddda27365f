#!/bin/sh
# transformers 5.23.0: add_bos_token and add_eos_token of tokenizer_config.json change nothing for a fast tokenizer read from
# tokenizer.json (class PreTrainedTokenizerFast); only the file's post-processor counts. Seen: with add_bos_token true and no
# post-processor no token is added; with add_bos_token false and a post-processor that adds <s>, <s> is added.
# llama.cpp follows tokenizer.ggml.add_bos_token, which converters set from that very flag: the same model sees other prompts there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import os

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

seen = {}
for flag in (True, False):
    for post in (True, False):
        tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2, "the": 3, "run": 4}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.add_special_tokens(["<s>", "</s>"])
        if post:
            tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
        folder = f"{flag}-{post}"
        os.makedirs(folder)
        tokenizer.save(f"{folder}/tokenizer.json")
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        json.dump(config | {"add_bos_token": flag, "add_eos_token": flag}, open(f"{folder}/tokenizer_config.json", "w"))
        json.dump({"model_type": "llama"}, open(f"{folder}/config.json", "w"))
        seen[flag, post] = AutoTokenizer.from_pretrained(folder)("the run").input_ids
        print(f"add_bos_token and add_eos_token {flag}, post-processor {post}: {seen[flag, post]}")
assert seen == {(True, True): [0, 3, 4], (True, False): [3, 4], (False, True): [0, 3, 4], (False, False): [3, 4]}
PYTHON
