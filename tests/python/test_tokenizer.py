"""The tokenize command against tokenizers written from their definitions, on random texts."""

import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest
from reference import Gguf
from reference.tokenizer import BytePairs, SentencePieces, words

SMALL = {"small-bpe": BytePairs, "small-spm": SentencePieces}
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\n\n", "\v", "\f", "\x1c", "\x85", "\xa0", "\u1680",
          "\u180e", "\u2009", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"]
CONTRACTIONS = ["'s", "'S", "'\u017f", "'t", "'re", "'RE", "'vE", "'m", "'ll", "'Ll", "'d", "'x",
                "\u2019s", "''s", "'r"]
# Latin, Greek, Cyrillic, Arabic, Devanagari, Thai, punctuation, numbers, kana, Han, Hangul, wide
# forms, signs beyond the first plane.
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x530), (0x600, 0x700), (0x900, 0x980), (0xE00, 0xE80),
          (0x2000, 0x2070), (0x2100, 0x2190), (0x2460, 0x2500), (0x3000, 0x3100), (0x4E00, 0x5000),
          (0xAC00, 0xAD00), (0xFF00, 0xFFF0), (0x1D400, 0x1D800), (0x1F100, 0x1F700), (0x20000, 0x20100)]
NAMES = ["<|eot_id|>", "<|eot_id|>!", "<|begin_of_text|>", "<tool>", "<s>", "</s>", "<|eot_id", "<unk>"]


def character(chance):
    # Characters that this Python knows: newer ones have no class in older tables.
    while True:
        found = chr(chance.randrange(*chance.choice(BLOCKS)))
        if unicodedata.category(found) not in ("Cn", "Cs"):
            return found


def random_text(chance, pieces, vocabulary):
    makers = [
        lambda: chance.choice(SPACES) * chance.choice([1, 1, 1, 2, 5]),
        lambda: chance.choice(CONTRACTIONS),
        lambda: "".join(chance.choice("0123456789٣०²½Ⅷ") for _ in range(chance.randrange(1, 9))),
        lambda: "".join(character(chance) for _ in range(chance.randrange(1, 6))),
        lambda: "".join(chance.choice("abct ' .,!-_\n\t") for _ in range(chance.randrange(1, 12))),
        lambda: chance.choice(["the", " kettle", "herons", " and", "There"]) * chance.randrange(1, 3),
        lambda: chance.choice(vocabulary),
        lambda: chance.choice(NAMES),
    ]
    return "".join(chance.choice(makers)() for _ in range(pieces))


def tokenize(tritbench, vocabulary, text_file, *flags):
    out = subprocess.run(
        [tritbench, "tokenize", "-m", str(vocabulary), "-f", str(text_file), "--json", *flags],
        check=True, capture_output=True, timeout=60,
    )
    return json.loads(out.stdout)["tokens"]


def compare(tritbench, path, tokenizer, folder, texts, pieces):
    known = [
        token for i, token in enumerate(tokenizer.tokens) if tokenizer.types[i] == 1 and token.isascii()
    ]
    for seed in range(texts):
        text = random_text(random.Random(seed), pieces, known)
        (folder / "text").write_bytes(text.encode())
        for flags in ([], ["--parse-special"]):
            ours = tokenize(tritbench, path, folder / "text", *flags)
            assert ours == tokenizer.encode(text, bool(flags)), (seed, flags)


def test_words_of_the_reference():
    assert words("I'Ve 12345 \n\n  x") == ["I", "'Ve", " ", "123", "45", " \n\n", " ", " x"]
    assert "".join(words("a \u3000\U0001f999!\r\n y")) == "a \u3000\U0001f999!\r\n y"


@pytest.mark.parametrize("name", SMALL)
def test_random_texts(tritbench, root, tmp_path, name):
    path = root / "tests" / "data" / "vocabularies" / f"{name}.gguf"
    tokenizer = SMALL[name](Gguf(path).keys)
    compare(tritbench, path, tokenizer, tmp_path, texts=40, pieces=150)


def test_random_texts_with_the_vocabulary_of_llama3(tritbench, tmp_path):
    path = os.environ.get("TRITBENCH_LLAMA3_VOCAB")
    if not path:
        pytest.skip("set TRITBENCH_LLAMA3_VOCAB to a GGUF file with LLaMA 3's vocabulary")
    compare(tritbench, path, BytePairs(Gguf(path).keys), tmp_path, texts=10, pieces=2000)


def test_small_vocabularies_come_from_their_script(root, tmp_path):
    source = root / "tests" / "data" / "vocabularies"
    for name in ("make_vocabularies.py", "text.txt"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    subprocess.run([sys.executable, str(tmp_path / "make_vocabularies.py")], check=True, timeout=120)
    for name in SMALL:
        made = (tmp_path / f"{name}.gguf").read_bytes()
        assert made == (source / f"{name}.gguf").read_bytes(), f"{name}.gguf: run the script again"


def test_input_that_is_refused(tritbench, root, tmp_path):
    vocabulary = str(root / "tests" / "data" / "vocabularies" / "small-bpe.gguf")
    no_vocabulary = tmp_path / "none.gguf"
    no_vocabulary.write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + bytes(16) + bytes(8))
    for arguments, expected in [
        (["-m", vocabulary], "give either a text or -f FILE"),
        (["-m", vocabulary, "a", "-f", "b"], "give either a text or -f FILE"),
        (["-m", vocabulary, "-f", str(tmp_path / "absent")], "absent"),
        (["-m", str(no_vocabulary), "a"], "key 'tokenizer.ggml.model' is missing"),
        (["-m", str(root / "README.md"), "a"], "README.md"),
    ]:
        out = subprocess.run([tritbench, "tokenize", *arguments], capture_output=True, text=True, check=False)
        assert out.returncode == 2, arguments
        assert expected in out.stderr and out.stderr.count("\n") == 1, out.stderr
