"""The devices that CDI specifications on disk name, as an engine would find them."""

from __future__ import annotations

import json
from pathlib import Path

from gpuslice.runtime.docker.specifications import devices_in

SPECIFICATION = """\
---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0:0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
- name: MIG-0f0e0d0c-1111-5222-8333-444455556666
  containerEdits: {}
- name: 7
"""


def test_devices_are_named_in_full_from_yaml_and_json(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text(SPECIFICATION)
    other = {"kind": "nvidia.com/gpu", "devices": [{"name": "all"}]}
    (tmp_path / "more.json").write_text(json.dumps(other, indent="\t"))
    assert devices_in([tmp_path]) == (
        "nvidia.com/gpu=0:0",
        "nvidia.com/gpu=7",
        "nvidia.com/gpu=MIG-0f0e0d0c-1111-5222-8333-444455556666",
        "nvidia.com/gpu=all",
    )


def test_what_no_engine_would_read_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml.bak").write_text(SPECIFICATION)
    (tmp_path / "camera.yaml").write_text(SPECIFICATION.replace("nvidia.com/gpu", "vendor.com/a"))
    (tmp_path / "broken.yaml").write_text("kind: [nvidia.com/gpu")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.yaml").write_text("- nvidia.com/gpu\n")
    (tmp_path / "odd.yaml").write_text("kind: nvidia.com/gpu\ndevices: 3\n")
    (tmp_path / "odd.json").write_text('{"kind": "nvidia.com/gpu", "devices": [1, {"name": null}]}')
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.yaml").mkdir()
    assert devices_in([tmp_path, tmp_path / "nowhere"]) == ()


def test_a_file_too_large_to_be_a_specification_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(SPECIFICATION + "#" * (4 * 1024 * 1024))
    assert devices_in([tmp_path]) == ()
