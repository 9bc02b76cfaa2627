from __future__ import annotations

import pytest

from gpuslice.hardware.boards import load_boards
from gpuslice.stack import notation
from gpuslice.stack.notation import NotationError


@pytest.mark.parametrize(
    ("written", "mib"),
    [
        ("18GiB", 18432),
        ("18432MiB", 18432),
        ("18 GiB", 18432),
        (18432, 18432),
        ("19GB", 18120),  # 18119.8 MiB, rounded up: never less than was asked for
        ("1MB", 1),
        ("17.5GiB", 17920),
        ("0.1GiB", 103),
        ("1TiB", 1024**2),
    ],
)
def test_memory_is_read_in_every_unit(written: object, mib: int) -> None:
    assert notation.memory_mib(written) == mib


@pytest.mark.parametrize("written", ["18", "18G", "18Gi", "18gib", "GiB", "-1GiB", "1e3MiB", "1 B"])
def test_memory_without_a_clear_unit_is_refused(written: str) -> None:
    with pytest.raises(NotationError, match="must be like 18GiB, 18432MiB or 19GB"):
        notation.memory_mib(written)


@pytest.mark.parametrize("written", [0, -5, "0GiB", "17TiB", 2**40, "9" * 30 + "GiB"])
def test_memory_out_of_all_bounds_is_refused(written: object) -> None:
    with pytest.raises(NotationError, match="between 1 MiB and"):
        notation.memory_mib(written)


@pytest.mark.parametrize("written", [True, 1.5, None, [18], {}])
def test_memory_of_another_kind_is_refused(written: object) -> None:
    with pytest.raises(NotationError, match="must be like"):
        notation.memory_mib(written)


def test_every_profile_of_every_known_board_can_be_written() -> None:
    names = {p.name for board in load_boards() for p in board.geometry.profiles}
    assert len(names) > 30
    assert {notation.profile_name(name) for name in names} == names


@pytest.mark.parametrize("written", [14, 19, "14", "0", 9.0])
def test_profile_number_is_refused_with_the_reason(written: object) -> None:
    with pytest.raises(NotationError, match="profile ids differ between boards") as caught:
        notation.profile_name(written)
    text = str(caught.value)
    assert "2g.20gb is id 14 on an A100" in text
    assert "id 15 is the double-memory 1g.20gb" in text


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("3G.40GB", "write 3g.40gb"),
        ("MIG 3g.40gb", "write 3g.40gb"),
        ("1c.3g.40gb", "names a compute instance, and gpuslice gives a whole GPU instance: "),
        ("3g", "which is like 3g.40gb"),
        ("3g.40gb+foo", "which is like 3g.40gb"),
        ("large", "which is like 3g.40gb"),
    ],
)
def test_profile_that_is_nearly_one_gets_advice(written: str, advice: str) -> None:
    with pytest.raises(NotationError, match="is not a profile name") as caught:
        notation.profile_name(written)
    assert advice in str(caught.value)


@pytest.mark.parametrize("written", [True, None, ["3g.40gb"]])
def test_profile_of_another_kind_is_refused(written: object) -> None:
    with pytest.raises(NotationError):
        notation.profile_name(written)


def test_gpus_are_all_or_a_list() -> None:
    uuid = "GPU-0f0e0d0c-0000-0000-0000-444455556666"
    assert notation.gpu_choice("all") == "all"
    assert notation.gpu_choice([1, uuid]) == (1, uuid)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (0, r"must be 'all' or a list such as \[0, 1\], not 0"),
        ("0", "not '0'"),
        ([], "names no GPU"),
        ([0, 1, 0], "names 0 more than once"),
        ([-1], "-1 is neither"),
        ([True], "true is neither"),
        ([[0]], "a list is neither"),
        (["0"], "'0' is neither"),
        ([-1, 0, "x"], r"-1 is neither .*; 'x' is neither"),
        (["MIG-0f0e0d0c-1111"], r"is a slice; name the GPU"),
        (None, "not nothing"),
        ({0: 1}, "not a mapping"),
    ],
)
def test_any_other_choice_of_gpus_is_refused(written: object, said: str) -> None:
    with pytest.raises(NotationError, match=said):
        notation.gpu_choice(written)


def test_gpus_to_be_drained_are_a_list_that_may_be_empty() -> None:
    assert notation.drained_gpus([3, 0]) == (3, 0)
    assert notation.drained_gpus([]) == ()
    for wrong, said in (("all", "must be a list"), ([0, 0], "more than once"), (["x"], "neither")):
        with pytest.raises(NotationError, match=said):
            notation.drained_gpus(wrong)


@pytest.mark.parametrize(("written", "most"), [(True, 1), (1, 1), (4, 4), (False, None)])
def test_spread_is_true_or_a_number(written: object, most: int | None) -> None:
    assert notation.spread(written) == most


@pytest.mark.parametrize("written", [0, -1, 65, 1.5, "true", [1], {}])
def test_any_other_spread_is_refused(written: object) -> None:
    with pytest.raises(NotationError, match="one replica on a GPU"):
        notation.spread(written)


@pytest.mark.parametrize(
    ("rate", "milli"), [(120, 120_000), (0.0005, 1), (0.1, 100), (1.0004, 1000)]
)
def test_rates_become_thousandths_rounded_half_up(rate: float, milli: int) -> None:
    assert notation.milli(rate) == milli


@pytest.mark.parametrize("name", ["chat", "Qwen3-4B", "llama-3.1", "a" * 63, "7b", "a_b"])
def test_model_names_that_clients_send_are_allowed(name: str) -> None:
    assert notation.model_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", ".a", "-a", "a/b", "a" * 64, "ä", "a\n"])
def test_other_model_names_are_refused(name: str) -> None:
    with pytest.raises(NotationError):
        notation.model_name(name)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 41, "a.b", "a\n"])
def test_stack_names_are_plain(name: str) -> None:
    with pytest.raises(NotationError):
        notation.stack_name(name)


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "GPUSLICE_X"])
def test_variables_that_bind_a_server_are_ours(name: str) -> None:
    with pytest.raises(NotationError, match="is set by gpuslice"):
        notation.variable_name(name)


@pytest.mark.parametrize("name", ["", "A=B", "1A", "A B", "A\0"])
def test_variables_need_a_proper_name(name: str) -> None:
    with pytest.raises(NotationError, match="is not a variable name"):
        notation.variable_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "vllm/vllm-openai:v0.24.0",
        "llama",
        "gpuslice/gpuslice:0.1.0_local",
        "localhost/serve:1",
        "10.0.0.7:5000/acme/serve:1.2",
        "mirror:5000/serve",
        "images.acme.example/team/serve__x/a-b--c:V1",
        f"acme/serve@sha256:{'0a' * 32}",
        f"acme/serve:1.2@sha256:{'0a' * 32}",
    ],
)
def test_names_of_images_are_taken_as_an_engine_takes_them(name: str) -> None:
    assert notation.image(name) == name


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("-it", "taken for an option"),
        ("docker://acme/serve", "leave out"),
        ("acme/serve :1", "has a space"),
        ("acme/Serve:1", "only its tag may have capitals"),
        ("Acme/serve:1", "only its tag may have capitals"),
        ("acme/serve@sha256:12", "a digest is sha256:"),
        ("acme//serve", "such as vllm/vllm-openai"),
        ("acme/serve:", "such as vllm/vllm-openai"),
        ("a" * 513, "such as vllm/vllm-openai"),
        ("a/b\n", "has a space"),
    ],
)
def test_other_names_of_images_are_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(NotationError, match=advice):
        notation.image(name)


@pytest.mark.parametrize("address", ["unix:///run/docker.sock", "tcp://10.0.0.7:2376"])
def test_a_docker_engine_is_reached_over_a_socket_or_the_network(address: str) -> None:
    assert notation.engine_address(address) == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/run/docker.sock", "unix:///path"),
        ("unix://docker.sock", "unix:///path"),
        ("ssh://gpu-1", "behind ssh"),
        ("default", "tcp://host:port"),
    ],
)
def test_any_other_address_of_an_engine_is_refused(address: str, said: str) -> None:
    with pytest.raises(NotationError, match=said):
        notation.engine_address(address)
