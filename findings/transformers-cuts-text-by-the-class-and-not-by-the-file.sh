#!/bin/sh
# transformers 5.23.0: AutoTokenizer throws away the pre-tokenizer of tokenizer.json where tokenizer_config.json names some classes, and
# says nothing. Seen: a tokenizer.json that cuts numbers into digits before byte-level BPE (as SmolLM's does) with tokenizer_class
# GPT2Tokenizer (as SmolLM's names it), CodeGenTokenizerFast or GPTNeoXTokenizerFast: '12345 the run' becomes [1234-token, 5, ...] where
# the tokenizers library and transformers with PreTrainedTokenizerFast give a token a digit. With Qwen2TokenizerFast it is the
# other way round: a file that keeps up to three digits together is cut into digits.
# Likelihoods and prompts of the same folder then differ between transformers and every reader of tokenizer.json alone.
# What to do: name PreTrainedTokenizerFast (or TokenizersBackend) in tokenizer_config.json.
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
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False)
base = Tokenizer(models.BPE())
base.pre_tokenizer, base.decoder = bytes_only, decoders.ByteLevel()
base.train_from_iterator(
    ["12 123 1234 12345 the run of the hare's 12345"] * 20,
    trainers.BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=bytes_only.alphabet(), show_progress=False),
)
plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
kinds = {
    "single digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_only]),
    "up to three": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{N}{1,3}| ?\p{L}+|\s+"), "isolated"), plain]),
}
differ = {}
for kind, cut in kinds.items():
    base.pre_tokenizer = cut
    right = base.encode("12345 the run").ids
    for name in ("PreTrainedTokenizerFast", "GPT2TokenizerFast", "GPT2Tokenizer", "CodeGenTokenizerFast", "GPTNeoXTokenizerFast", "Qwen2TokenizerFast"):
        folder = f"{kind}-{name}"
        os.makedirs(folder)
        base.save(f"{folder}/tokenizer.json")
        json.dump({"tokenizer_class": name, "bos_token": "<s>", "eos_token": "</s>"}, open(f"{folder}/tokenizer_config.json", "w"))
        json.dump({"model_type": "llama"}, open(f"{folder}/config.json", "w"))
        ids = AutoTokenizer.from_pretrained(folder)("12345 the run").input_ids
        print(f"{kind:13} {name:24} {'as the file says' if ids == right else f'{ids}, the file says {right}'}")
        if ids != right:
            differ.setdefault(kind, []).append(name)
assert differ == {
    "single digits": ["GPT2TokenizerFast", "GPT2Tokenizer", "CodeGenTokenizerFast", "GPTNeoXTokenizerFast"],
    "up to three": ["Qwen2TokenizerFast"],
}, differ
PYTHON
