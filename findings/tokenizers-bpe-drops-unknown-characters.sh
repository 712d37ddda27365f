#!/bin/sh
# tokenizers 0.23.3: a BPE model without an unknown token leaves out what its vocabulary lacks, and says nothing; all other models raise.
# Seen: of 'ab#ab' with the vocabulary {a, b, ab} the ids are those of 'abab'. With byte_fallback and only some byte tokens, the
# characters whose bytes are lacking vanish too. WordLevel, WordPiece and Unigram raise in the same case.
# A likelihood or a perplexity is then that of another, shorter text.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tokenizers==0.23.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from tokenizers import Tokenizer, models, pre_tokenizers

vocabulary = {"a": 0, "b": 1, "ab": 2}
plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")]))
print("BPE, 'ab#ab':", plain.encode("ab#ab").ids)
assert plain.encode("ab#ab").ids == plain.encode("abab").ids == [2, 2]
some = Tokenizer(models.BPE(vocab=vocabulary | {"<0x23>": 3}, merges=[("a", "b")], byte_fallback=True))
print("BPE with byte_fallback and the byte of '#' alone, 'ab#%ab':", some.encode("ab#%ab").ids)
assert some.encode("ab#%ab").ids == [2, 3, 2]
words = pre_tokenizers.Whitespace()
for name, model in [
    ("WordLevel", models.WordLevel(vocab=vocabulary, unk_token="<unk>")),
    ("WordPiece", models.WordPiece(vocab=vocabulary, unk_token="[UNK]")),
    ("Unigram", models.Unigram([("a", -1.0), ("b", -1.0)])),
]:
    other = Tokenizer(model)
    other.pre_tokenizer = words
    try:
        other.encode("a x b")
        raise SystemExit(f"{name} no longer raises")
    except Exception as error:
        print(f"{name}: {error}")
PYTHON
