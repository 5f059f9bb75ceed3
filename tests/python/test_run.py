"""run: text from a prompt, and conversations."""

import json
import re
import signal
import subprocess

import numpy as np
import pytest
from talking_models import TOKENS, text_of, write_talking_model

PROMPT = "The old man"
TIMES = re.compile(
    r"tritbench: prefill \d+ tokens, [\d.]+ tokens/s; decode \d+ tokens, [\d.]+ tokens/s, "
    r"ms per token p50 [\d.]+ p90 [\d.]+ p99 [\d.]+; peak memory [\d.]+ [MG]B$"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def model(tritbench, folder):
    return write_talking_model(tritbench, folder / "model.gguf")


@pytest.fixture(scope="module")
def endless(tritbench, folder):
    return write_talking_model(tritbench, folder / "endless.gguf", context=4096, endless=True)


def run(tritbench, *args, text="", code=0):
    """stdout and the lines of stderr."""
    command = [tritbench, "run", *map(str, args)]
    data = text if isinstance(text, bytes) else text.encode()
    done = subprocess.run(command, input=data, capture_output=True, timeout=300)
    assert done.returncode == code, done
    return done.stdout, done.stderr.decode().splitlines()


def refusal(tritbench, *args):
    """The one line of an error."""
    out, lines = run(tritbench, *args, code=2)
    assert out == b"" and len(lines) == 1, (out, lines)
    return lines[0]


def prompt_tokens(tritbench, model, text):
    out = subprocess.run([tritbench, "tokenize", "-m", str(model), "--bos", "--json", text],
                         check=True, capture_output=True)
    return json.loads(out.stdout)["tokens"]


def last_logits(tritbench, model, tokens, out):
    command = [tritbench, "logits", "-m", str(model), "--tokens", ",".join(map(str, tokens))]
    subprocess.run([*command, "-o", str(out)], check=True)
    return np.fromfile(out, "<f4")


def counts(line):
    """Tokens of prefill and decode in the timing line."""
    assert TIMES.match(line), line
    return tuple(int(n) for n in re.findall(r"(\d+) tokens,", line))


def test_greedy_text_is_that_of_the_most_likely_tokens(tritbench, model, tmp_path):
    tokens = prompt_tokens(tritbench, model, PROMPT)
    prompt_length = len(tokens)
    for _ in range(8):
        tokens.append(int(last_logits(tritbench, model, tokens, tmp_path / "l.bin").argmax()))
    assert max(tokens[prompt_length:]) < TOKENS.index("<|begin_of_text|>")
    out, lines = run(tritbench, "-m", model, "-p", PROMPT, "-n", 8, "--temp", 0)
    assert out == text_of(tokens[prompt_length:]) + b"\n"
    assert counts(lines[-1]) == (prompt_length, 7)


def test_the_same_seed_gives_the_same_text(tritbench, model):
    flags = ["-m", model, "-p", PROMPT, "-n", 40, "--repeat-penalty", 1.1]
    expected, _ = run(tritbench, *flags, "--seed", 3)
    assert len(expected) > 20
    for more in (["-t", 1], ["-t", 3], ["--kernel", "i2s_scalar"], ["--kernel", "int8_scalar"],
                 ["--kernel", "t3r_scalar", "-t", 2]):
        assert run(tritbench, *flags, "--seed", 3, *more)[0] == expected, more
    assert run(tritbench, *flags, "--seed", 4)[0] != expected


def test_sampling_options_change_the_text(tritbench, model):
    flags = ["-m", model, "-p", PROMPT, "-n", 30]
    greedy, _ = run(tritbench, *flags, "--temp", 0)
    # Each of them alone leaves only the most likely token.
    for alone in (["--top-k", 1], ["--top-p", 0], ["--min-p", 1], ["--temp", 1e-9]):
        assert run(tritbench, *flags, *alone)[0] == greedy, alone
    assert run(tritbench, *flags)[0] != greedy
    # A strong penalty over everything: no token comes twice.
    unrepeated, _ = run(tritbench, *flags, "--temp", 0, "--repeat-penalty", 1000)
    assert unrepeated != greedy


def test_a_prompt_from_a_file_is_the_same_prompt(tritbench, model, tmp_path):
    file = tmp_path / "prompt.txt"
    flags = ["-m", model, "-n", 8, "--temp", 0]
    expected, _ = run(tritbench, *flags, "-p", PROMPT)
    file.write_text(PROMPT + "\n")  # the last line feed is the editor's
    assert run(tritbench, *flags, "-f", file)[0] == expected
    file.write_text(PROMPT + "\n\n")
    assert run(tritbench, *flags, "-f", file)[0] == run(tritbench, *flags, "-p", PROMPT + "\n")[0]


def test_an_empty_prompt_begins_with_the_begin_of_text(tritbench, model, tmp_path):
    out, lines = run(tritbench, "-m", model, "-p", "", "-n", 2, "--temp", 0)
    bos = TOKENS.index("<|begin_of_text|>")
    first = int(last_logits(tritbench, model, [bos], tmp_path / "l.bin").argmax())
    assert out.startswith(text_of([first]))
    assert counts(lines[-1])[0] == 1


def test_a_prompt_with_its_own_begin_of_text_gets_no_second_one(tritbench, model):
    flags = ["-m", model, "-n", 4, "--temp", 0]
    expected, lines = run(tritbench, *flags, "-p", PROMPT)
    out, with_own = run(tritbench, *flags, "-p", "<|begin_of_text|>" + PROMPT)
    assert out == expected
    assert counts(with_own[-1])[0] == counts(lines[-1])[0]


def test_the_text_ends_where_the_context_does(tritbench, endless):
    length = len(prompt_tokens(tritbench, endless, PROMPT))
    out, lines = run(tritbench, "-m", endless, "-p", PROMPT, "-c", 24)
    assert out
    assert "the context of 24 tokens is full" in lines[-2] and "-c" in lines[-2]
    assert counts(lines[-1]) == (length, 24 - length)
    # A prompt that fills it leaves room for one token, which needs none.
    out, lines = run(tritbench, "-m", endless, "-p", PROMPT, "-c", length, "--temp", 0)
    assert len(out) > 1
    assert "is full" in lines[-2] and "decode 0 tokens" in lines[-1]
    error = refusal(tritbench, "-m", endless, "-p", PROMPT, "-c", length - 1)
    assert f"prompt: {length} tokens; the context holds {length - 1}" in error


def test_a_token_that_ends_the_answer_ends_it(tritbench, folder, tmp_path):
    """The end of text is made the most likely token of all: its embedding is the head's row."""
    path = write_talking_model(tritbench, tmp_path / "ends.gguf")
    flags = ["-m", path, "--temp", 5, "--top-k", 0, "--top-p", 1, "--min-p", 0, "-n", 200]
    lengths = set()
    for seed in range(30):
        _, lines = run(tritbench, *flags, "-p", PROMPT, "--seed", seed)
        decoded = re.search(r"decode (\d+) tokens", lines[-1])
        lengths.add(int(decoded.group(1)))
        assert "is full" not in "".join(lines)
    # Each token ends it with a probability of about 1 in 100: few of 30 go all the way to 200.
    assert min(lengths) < 100 and len(lengths) > 10


def read_byte(process):
    byte = process.stdout.read(1)
    assert byte, process.stderr.read()  # it ended before its time
    return byte


def interrupted(tritbench, model, *args, then=b""):
    """Ctrl-C after some text; `then` is what follows on standard input."""
    command = [tritbench, "run", "-m", str(model), *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as process:
        first = b""
        while len(first) < 40:  # several tokens
            first += read_byte(process)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(then, timeout=300)
    return process.returncode, first + out, errors.decode().splitlines()


def test_an_interrupt_ends_the_answer(tritbench, endless):
    code, out, lines = interrupted(tritbench, endless, "-p", PROMPT)
    assert code == 130
    assert out.endswith(b"\n")
    _, decoded = counts(lines[-1])
    assert decoded < 4000
    assert "is full" not in "".join(lines)


def test_an_interrupt_in_a_conversation_ends_only_the_answer(tritbench, endless):
    chat = ["-cnv", "--chat-template", "bitnet"]
    code, _, lines = interrupted(tritbench, endless, *chat, "-p", "hello")
    assert code == 0  # the end of input
    assert TIMES.match(lines[-1])
    # The next answer comes, up to the end of the context.
    code, _, lines = interrupted(tritbench, endless, *chat, "-p", "hello", then=b"and now?\n")
    assert code == 0
    assert "is full" in lines[-2]


def test_an_interrupt_at_the_prompt_ends_the_program(tritbench, endless):
    command = [tritbench, "run", "-m", str(endless), "-cnv", "--chat-template", "llama3"]
    with subprocess.Popen([*command, "-p", "hi", "-n", "1"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        text = b""
        while not text.endswith(b"\n"):  # the answer has ended
            text += read_byte(process)
        process.send_signal(signal.SIGINT)
        lines = process.stderr.read().decode().splitlines()
        assert process.wait(timeout=60) == 130
    assert lines[-1].startswith("tritbench: prefill")


BITNET = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|eot_id|>{% endfor %}Assistant: "


def test_a_conversation_is_its_rendered_text(tritbench, tmp_path):
    path = write_talking_model(tritbench, tmp_path / "chat.gguf", context=1024, template=BITNET)
    flags = ["-m", path, "-n", 12, "--temp", 0]
    rendered = b"System: be kind<|eot_id|>"
    expected = b""
    prompt = tmp_path / "prompt.txt"
    for line in (b"hello there", b"what is a heron?", b"thanks"):
        rendered += b"User: " + line + b"<|eot_id|>Assistant: "
        prompt.write_bytes(rendered)
        answer, _ = run(tritbench, *flags, "-f", prompt)
        expected += answer
        rendered += answer.strip(b" \t\n\v\f\r") + b"<|eot_id|>"
    found, lines = run(tritbench, *flags, "-cnv", "-sys", "be kind",
                       text=b"hello there\n\nwhat is a heron?\nthanks")
    assert found == expected
    assert TIMES.match(lines[-1])
    # What the session holds already is not computed again.
    everything = len(prompt_tokens(tritbench, path, rendered.decode(errors="replace")))
    assert counts(lines[-1])[0] < everything
    by_prompt, _ = run(tritbench, *flags, "-cnv", "-sys", "be kind", "-p", "hello there",
                       text=b"what is a heron?\nthanks\n")
    assert by_prompt == expected


def test_a_conversation_ends_where_the_context_does(tritbench, endless):
    flags = ["-m", endless, "-cnv", "--chat-template", "bitnet", "-c", 60, "-n", 10]
    out, lines = run(tritbench, *flags, text="a\n" * 20)
    assert "the context of 60 tokens is full" in lines[-2]
    assert TIMES.match(lines[-1])
    out, lines = run(tritbench, *flags, text="word " * 100 + "\n")
    assert out == b"\n"
    assert "is full" in lines[0]


@pytest.mark.parametrize("flags, expected", [
    ([], "give a prompt"),
    (["-p", "a", "-f", "b"], "either -p TEXT or -f FILE"),
    (["-f", "/nonexistent"], "/nonexistent: cannot read it"),
    (["-f", "/"], "expected a file of a prompt"),
    (["-f", "/dev/zero"], "more than"),
    (["-p", "a", "-sys", "b"], "-sys is for a conversation"),
    (["-cnv"], "no chat template"),
    (["-cnv", "--chat-template", "none"], "'none' is unknown"),
    (["-p", "a", "-c", "100000"], "context: 100000"),
    (["-p", "a", "-c", "0"], "--ctx-size"),
    (["-p", "a", "-n", "-2"], "--n-predict"),
    (["-p", "a", "-t", "0"], "--threads"),
    (["-p", "a", "--temp", "-1"], "temperature: -1"),
    (["-p", "a", "--temp", "nan"], "temperature: nan"),
    (["-p", "a", "--top-k", "-1"], "top-k: -1"),
    (["-p", "a", "--top-p", "1.5"], "top-p: 1.5"),
    (["-p", "a", "--min-p", "2"], "min-p: 2"),
    (["-p", "a", "--repeat-penalty", "0"], "repeat penalty: 0"),
    (["-p", "a", "--seed", "-1"], "--seed"),
    (["-p", "a", "--kernel", "none"], "none"),
])
def test_bad_usage_is_one_line(tritbench, model, flags, expected):
    assert expected in refusal(tritbench, "-m", model, *flags)


def test_a_model_without_a_vocabulary_is_refused(tritbench, tmp_path):
    path = tmp_path / "dumb.gguf"
    flags = ["--hidden", "128", "--ffn", "256", "--layers", "1", "--heads", "4", "--vocab", "64"]
    subprocess.run([tritbench, "gen", *flags, "-o", str(path)], check=True, capture_output=True)
    assert "tokenizer.ggml.model" in refusal(tritbench, "-m", path, "-p", "a")


def test_logits_of_a_broken_model_are_reported_and_not_timed(tritbench, tmp_path):
    path = tmp_path / "broken.gguf"
    write_talking_model(tritbench, path, not_a_number=7)
    error = refusal(tritbench, "-m", path, "-p", PROMPT)
    assert "not a finite number" in error
    write_talking_model(tritbench, path, zeroed="output_norm.weight")
    error = refusal(tritbench, "-m", path, "-p", PROMPT)
    assert "all logits are equal" in error


def test_output_that_cannot_be_written_is_an_error(tritbench, model):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tritbench, "run", "-m", str(model), "-p", "a", "-n", "3"],
                              stdout=full, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "tritbench: standard output: cannot write the text (disk full?)"]
