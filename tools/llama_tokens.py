#!/usr/bin/env python3
"""Writes lm/tests/golden/llama-tokens.json: what llama.cpp and sentencepiece make of texts, for lm's tests to compare with.

    python3 -m venv v && v/bin/pip install numpy gguf==0.19.0 tokenizers==0.23.3 sentencepiece==0.2.3
    npm pack @node-llama-cpp/linux-x64@3.22.1 && tar xzf node-llama-cpp-linux-x64-3.22.1.tgz      # llama.cpp v0.5.0 as shared libraries
    v/bin/python tools/llama_tokens.py package/bins/linux-x64 > lm/tests/golden/llama-tokens.json
    v/bin/python tools/llama_tokens.py package/bins/linux-x64 FILE.gguf TEXTS.json     the ids of a file's own tokenizer, as JSON

A small byte-level BPE is trained without cutting texts into words, so that every cut that a pre-tokenizer makes shows in the ids; a small
sentencepiece model with bytes for what it has not seen. `pre` has the ids by the name of the pre-tokenizer (none is ""), `sentences` those
with and without `add_space_prefix`, and `ends` the tokens at which llama.cpp stops.

lm/tests/tokens.rs compares the real thing where RLX_LM_PYTHON names such a Python (with transformers 5.23.0 as well) and RLX_LLAMA_CPP that
folder.
"""
import ctypes
import io
import json
import os
import sys
import tempfile

PRES = ["llama-bpe", "dbrx", "tekken", "minicpm5", "gpt-2", "smollm", "qwen2", "default", "", "falcon", "gpt-4o", "seed-coder", "bloom",
        "viking", "deepseek-llm", "deepseek-coder", "deepseek-v3"]
TEXTS = ["The run's end. I'll go, they're 12 345 and 1234567 years; don't DON'T 'S x'sa we've we'D", "  two  spaces   three\n\nnew\n \n lines\t\ttabs\r\nwin \r\n\r\n x",
         "日本語のテキスト、中文文本。한국어 텍스트 カタカナ", "émigré ÀÉÎ naïve Straße ǅ ﬁ Ωmega αβγ Привет МИР", "😀😀👍🏽 🇩🇪 👩‍👩‍👧", "\u00a0nbsp\u2003em\u3000ideo\u200bzw\u2028ls",
         "١٢٣ ४५६ ² ½ Ⅷ 〇 ３４", "न्यूनतम हिन्दी ไทยภาษา שלום עולם مرحبا", "a_b-c/d.e,f;g:h!i?j(k)[l]{m}<n>=o+p$q^r~s|t`u@v#w%x&y*z\"\\",
         "if (x==1) {\n\treturn  foo(bar);\n}\n    # comment  \n", "e\u0301 o\u0308 combining x\u0327", "...  !!! ??? --- ==== ++ $$ ££ €€ «q» “z” ‘y’ …",
         "CamelCase HTTPServer aBCd ABCdef iPhone's X's\n/path//to/\n/x ÉCole éCOLE", "", " ", "\n", "  ", "\t \n  x", " leading", "trailing ", "trailing  \n", "12", "123",
         "1234", "1 2  3", "a1b22c333d4444", "a<s>b", "<s> a</s> b<|im_end|>c", "x <|x|> y<|x|>z", "<|x|>", "<unk> u<unk>", "<0x0A>", "▁a ▁▁ b", "\u2003> \u2003. x-\n"]


class Llama:
    """Enough of libllama to tokenize: structs are passed by value, larger than they are, which the calling convention allows."""

    class Params(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_ubyte * 512)]

    VOCAB_ONLY = 72  # where the flag stands in llama_model_params of v0.5.0

    def __init__(self, folder):
        folder = os.path.join(os.path.abspath(folder), "")
        load = lambda name: ctypes.CDLL(folder + name, mode=ctypes.RTLD_GLOBAL)
        load("libggml-base.so")
        ggml, self.lib = load("libggml.v0.5.0.so"), load("libllama.v0.5.0.so")
        callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        self.quiet = callback(lambda *_: None)
        self.lib.llama_log_set(self.quiet, None)
        ggml.ggml_log_set(self.quiet, None)
        ggml.ggml_backend_load_all_from_path(ctypes.c_char_p(folder.encode()))
        pointer, number, flag = ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool
        for name, result, arguments in [
            ("llama_model_default_params", self.Params, []), ("llama_model_load_from_file", pointer, [ctypes.c_char_p, self.Params]),
            ("llama_model_get_vocab", pointer, [pointer]), ("llama_vocab_n_tokens", number, [pointer]),
            ("llama_vocab_is_eog", flag, [pointer, number]),
            ("llama_tokenize", number, [pointer, ctypes.c_char_p, number, ctypes.POINTER(number), number, flag, flag]),
        ]:
            call = getattr(self.lib, name)
            call.restype, call.argtypes = result, arguments

    def open(self, path):
        params = self.lib.llama_model_default_params()
        params.bytes[self.VOCAB_ONLY] = 1
        model = self.lib.llama_model_load_from_file(path.encode(), params)
        if not model:
            raise SystemExit(f"llama.cpp does not load {path}")
        return self.lib.llama_model_get_vocab(model)

    def ids(self, vocab, text, special=False):
        text = text.encode()
        out = (ctypes.c_int32 * (len(text) + 16))()
        n = self.lib.llama_tokenize(vocab, text, len(text), out, len(out), special, True)
        return list(out[:n])

    def ends(self, vocab):
        return [i for i in range(self.lib.llama_vocab_n_tokens(vocab)) if self.lib.llama_vocab_is_eog(vocab, i)]


def file(llama, kind, tokens, types, more):
    import gguf
    path = tempfile.mktemp(suffix=".gguf")
    w = gguf.GGUFWriter(path, "llama")
    for key, value in [("block_count", 1), ("context_length", 512), ("embedding_length", 64), ("feed_forward_length", 96),
                       ("attention.head_count", 4), ("attention.head_count_kv", 2), ("rope.dimension_count", 16)]:
        w.add_uint32("llama." + key, value)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model(kind)
    w.add_token_list(tokens)
    w.add_token_types(types)
    more(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()
    vocab = llama.open(path)
    os.remove(path)
    return vocab


def golden(llama):
    import sentencepiece
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    out = {"texts": TEXTS, "pre": {}}
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    special = ["<unk>", "<s>", "</s>", "<|im_end|>", "<|x|>"]
    t.train_from_iterator([x for x in TEXTS if "<" not in x or "\\" in x] * 3, trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=special, show_progress=False, max_token_length=8))
    model = json.loads(t.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) for m in model["merges"]]
    types = [2, 3, 3, 3, 4] + [1] * (len(tokens) - 5)
    out["bytes"] = {"tokens": tokens, "types": types, "merges": merges}
    for name in PRES:
        def more(w):
            w.add_token_merges(merges)
            w.add_bos_token_id(1)
            w.add_eos_token_id(2)
            if name:
                w.add_tokenizer_pre(name)
        vocab = file(llama, "gpt2", tokens, types, more)
        out["pre"][name] = {"ids": [llama.ids(vocab, x) for x in TEXTS], "framed": llama.ids(vocab, "a", True)}
        out["ends"] = llama.ends(vocab)
    trained = io.BytesIO()
    lines = [x.replace("\n", " ").replace("\r", " ") for x in TEXTS if x.strip() and "<" not in x] * 4
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=trained, model_type="bpe", vocab_size=560, byte_fallback=True, split_digits=True,
        allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, normalization_rule_name="identity", user_defined_symbols=["<|x|>"],
        hard_vocab_limit=False, character_coverage=0.98, minloglevel=2)
    s = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    n = range(s.get_piece_size())
    pieces, scores = [s.id_to_piece(i) for i in n], [s.get_score(i) for i in n]
    kind = lambda i: 2 if s.is_unknown(i) else 3 if s.is_control(i) else 6 if s.is_byte(i) else 4 if pieces[i] == "<|x|>" else 1
    out["sentences"] = {"tokens": pieces, "scores": scores, "types": [kind(i) for i in n]}
    for name, prefix in [("prefixed", True), ("plain", False)]:
        def more(w):
            w.add_token_scores(scores)
            w.add_bos_token_id(1)
            w.add_eos_token_id(2)
            w.add_add_space_prefix(prefix)
        vocab = file(llama, "llama", pieces, out["sentences"]["types"], more)
        out["sentences"][name] = [llama.ids(vocab, x) for x in TEXTS]
        out["sentences"]["framed"] = llama.ids(vocab, "a", True)
    for text, ids in zip(TEXTS, out["sentences"]["prefixed"]):
        # sentencepiece finds no control token in a text.
        if "<s>" not in text and "<unk>" not in text and "▁" not in text and text not in ("<|x|>", "x <|x|> y<|x|>z"):
            assert s.encode(text) == ids, (text, s.encode(text), ids)
    return out


if __name__ == "__main__":
    llama = Llama(sys.argv[1])
    if len(sys.argv) > 3:
        vocab = llama.open(sys.argv[2])
        texts = json.load(open(sys.argv[3]))
        print(json.dumps({"ids": [llama.ids(vocab, x) for x in texts], "framed": [llama.ids(vocab, x, True) for x in texts], "ends": llama.ends(vocab)}))
    else:
        print(json.dumps(golden(llama), ensure_ascii=False, separators=(",", ":")))
