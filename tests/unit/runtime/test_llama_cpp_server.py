"""The program's arguments and errors; serving for real is in tests/contract/test_runtime.py."""

from __future__ import annotations

import importlib
import socket
import sys
from pathlib import Path

import pytest

from builders import the_small_model
from gpuslice.engines.llama_cpp import PROGRAM
from gpuslice.errors import RuntimeFailure
from gpuslice.runtime import llama_cpp_server
from gpuslice.runtime.llama_cpp_server import main, set_param
from gpuslice.runtime.ports import free_port


class Params:
    """The shape of xllamacpp.CommonParams, as far as settings go."""

    n_batch = 2048
    n_ctx = 0
    warmup = True
    rope_freq_base = 0.0
    chat_template = ""
    hostnames = ("127.0.0.1",)


def arguments(model: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--alias", "chat", "--port", str(free_port()), *more]


def test_engine_and_program_mean_the_same_module() -> None:
    assert importlib.import_module(PROGRAM) is llama_cpp_server


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("n_batch=512", "n_batch", 512),
        ("warmup=false", "warmup", False),
        ("rope_freq_base=1e6", "rope_freq_base", 1e6),
        ("chat_template=a=b", "chat_template", "a=b"),
    ],
)
def test_setting_is_read_by_the_type_it_has(setting: str, name: str, value: object) -> None:
    params = Params()
    set_param(params, setting)
    assert getattr(params, name) == value


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("n_bach=1", "did you mean n_batch=…?"),
        ("n_ctx=1", ""),
        ("hostnames=0.0.0.0", ""),
        ("__class__=x", ""),
        ("n_batch", "did you mean n_batch=…?"),
    ],
)
def test_what_cannot_be_set_is_refused(setting: str, hint: str) -> None:
    with pytest.raises(RuntimeFailure, match="not a settable parameter") as caught:
        set_param(Params(), setting)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("n_batch=many", "a value of type int"), ("warmup=maybe", "true or false")],
)
def test_value_of_the_wrong_type_is_refused(setting: str, expected: str) -> None:
    with pytest.raises(RuntimeFailure, match=expected):
        set_param(Params(), setting)


def test_enumerations_are_set_by_name() -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    set_param(params, "cache_type_k=GGML_TYPE_Q8_0")
    assert params.cache_type_k is xllamacpp.ggml_type.GGML_TYPE_Q8_0
    with pytest.raises(RuntimeFailure, match="GGML_TYPE_Q4_0"):
        set_param(params, "cache_type_k=tiny")


def test_missing_model_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path / "no.gguf")) == 1
    said = f"error: cannot read the model file {tmp_path}/no.gguf: No such file or directory\n"
    assert capsys.readouterr().err == said


def test_file_that_is_not_a_model_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.gguf"
    file.write_text("<html>not found</html>")
    assert main(arguments(file)) == 1
    said = f"error: {file} is not a GGUF file; llama.cpp serves .gguf files only\n"
    assert capsys.readouterr().err == said


def test_taken_port_is_named_with_its_holder(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(arguments(the_small_model(), "--port", str(port))) == 1
    assert f"error: port {port} on 127.0.0.1 is taken by pid" in capsys.readouterr().err


def test_unknown_argument_names_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments(tmp_path, "--flash-attention"))
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: unrecognized arguments: --flash-attention; known arguments:")
    assert "--batch-size" in said


def test_missing_wheel_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert main(arguments(the_small_model())) == 1
    assert "pip install 'gpuslice[cpu]'" in capsys.readouterr().err
