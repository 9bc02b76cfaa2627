"""Files that are nearly right, as text and as bytes: for all three formats that we read.

A mutation takes a good file and damages it in one way; several in a row make what no rule of any
single key would think of.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import strategies as st

GOOD_STACKS = (
    """name: assistants
gpus: [0, 1]
drain: [3]
models:
  chat: {model: Qwen/Qwen3-4B, slice: 2g.20gb, replicas: 2, spread: true, away: coder}
  coder:
    model: models/small.gguf
    memory: 17.5GiB
    args: ["--flag", "a value"]
    environment: {VLLM_LOGGING_LEVEL: WARNING}
  own:
    engine: command
    command: [my-server, --port, "{port}", --model, "{name}"]
    memory: 18432
  fast:
    model: org/name
    target: {tokens_per_s: 900}
    throughput: {1g.10gb: 120, "NVIDIA H200": {2g.20gb: 260.5}}
gateway: {port: 8080, host: 127.0.0.1, api_keys_file: keys.txt}
prices: {"NVIDIA A100-SXM4-80GB": {per_month: 1380, currency: EUR}}
""",
    "models: {a: {model: &m x/y, slice: [1g.10gb, 2g.20gb]}, b: {model: *m, near: [a]}}\n",
)
GOOD_FLEETS = (
    """gpus:
  - {board: h200, count: 4, price: {per_month: 2900, currency: EUR}}
  - board: a100-80gb
    price: &p {per_hour: 1.89}
may_add: [{board: a30, count: 2, price: *p}]
""",
)
GOOD_MIG_PARTED = (
    """version: v1
mig-configs:
  all-disabled:
    - {devices: all, mig-enabled: false}
  mixed:
    - device-filter: ["0x20B010DE", "0x233010DE:0x16C110DE"]
      devices: [0, 1]
      mig-enabled: true
      mig-devices: {1g.10gb: 2, "1c.3g.40gb": 1, "1g.10gb+me": 1}
""",
)

_TOKENS = (
    *("\n", "  ", "- ", ": ", "? ", "{", "}", "[", "]", ",", "#", "|", ">", "'", '"', "\\", "\t"),
    *("&a ", "*a", "<<: *a", "!!python/object/apply:os.system ", "!!binary ", "! ", "%YAML 9.9\n"),
    *("---\n", "...\n", "\r\n", "\r", "\x00", "\x1b[31m", "\x07", "\x85", "\u2028", "\u202e"),
    *("\ufeff", "é", "\U0001f600", "..", "../../etc/passwd", "/dev/zero", "~root/x", "$(id)"),
    *("`id`", "; id", "--help", "-", "%s", "{0}", "{port.__class__}", "{{", "null", "~", "yes"),
    *("9" * 30, "9" * 5000, "-1", "0", "1e999", "-.inf", ".nan", "0x10", "1_000", "12:30:00", "²"),
    *("[" * 40, "{a: " * 40, "x" * 5000, "1g.%sgb" % ("0" * 5000)),
)

Mutation = Callable[[str, Random], str]


def _put_in(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice(_TOKENS) + text[at:]


def _cut_out(text: str, random: Random) -> str:
    start = random.randint(0, len(text))
    return text[:start] + text[start + random.randint(1, 40) :]


def _say_twice(text: str, random: Random) -> str:
    start = random.randint(0, len(text))
    piece = text[start : start + random.randint(1, 60)]
    at = random.randint(0, len(text))
    return text[:at] + piece * random.choice((1, 1, 2, 50)) + text[at:]


def _swap_words(text: str, random: Random) -> str:
    words = text.split(" ")
    one, other = (random.randrange(len(words)) for _ in range(2))
    words[one], words[other] = words[other], words[one]
    return " ".join(words)


def _replace_word(text: str, random: Random) -> str:
    words = text.split(" ")
    words[random.randrange(len(words))] = random.choice(_TOKENS)
    return " ".join(words)


def _swap_lines(text: str, random: Random) -> str:
    lines = text.split("\n")
    random.shuffle(lines)
    return "\n".join(lines)


def _shift_line(text: str, random: Random) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    lines[at] = " " * random.randint(0, 8) + lines[at].lstrip()
    return "\n".join(lines)


_MUTATIONS: tuple[Mutation, ...] = (
    *(_put_in, _put_in, _cut_out, _say_twice, _swap_words, _replace_word, _replace_word),
    *(_swap_lines, _shift_line),
)
_ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp037")


def damaged(good: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """One of some good files after up to eight mutations, in some encoding."""
    return st.builds(_damaged, st.sampled_from(good), st.randoms(use_true_random=False))


def _damaged(text: str, random: Random) -> bytes:
    for _ in range(random.randint(0, 8)):
        text = random.choice(_MUTATIONS)(text, random)
    data = text.encode(random.choice(_ENCODINGS), errors="replace")
    for _ in range(random.choice((0, 0, 0, 3))):
        at = random.randint(0, len(data))
        data = data[:at] + random.randbytes(random.randint(1, 4)) + data[at + 1 :]
    return data
