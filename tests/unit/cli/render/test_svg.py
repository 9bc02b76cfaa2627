"""The picture is valid XML, says what the lanes say, and lets nobody write into it."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from gpuslice.cli.render.lanes import Lane
from gpuslice.cli.render.picture import Cell, Fate
from gpuslice.cli.render.svg import Picture, svg_text
from gpuslice.model.geometry import Placement

SVG = "{http://www.w3.org/2000/svg}"


def a_cell(start: int, size: int, fate: Fate = Fate.COMES, label: str = "chat/0 2g.20gb") -> Cell:
    return Cell(placement=Placement(start, size), label=label, fate=fate)


def a_picture(*cells: Cell, grid: int = 8, title: str = "Plan", heading: str = "GPU 0") -> Picture:
    return Picture(title=title, lanes=(Lane(heading=heading, grid=grid, after=cells),))


def drawn(picture: Picture) -> ET.Element:
    return ET.fromstring(svg_text(picture))


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def boxes(root: ET.Element) -> list[tuple[float, float, float, str]]:
    """Every slice as (x, y, width, tooltip)."""
    found = []
    for group in root.iter(f"{SVG}g"):
        rect, title = group.find(f"{SVG}rect"), group.find(f"{SVG}title")
        assert rect is not None
        assert title is not None
        x, y, width = (float(rect.attrib[key]) for key in ("x", "y", "width"))
        found.append((x, y, width, title.text or ""))
    return found


def test_a_slice_is_drawn_with_sign_name_and_profile() -> None:
    root = drawn(a_picture(a_cell(2, 2)))
    assert {"+ chat/0", "2g.20gb"} <= set(texts(root))
    assert [box[3] for box in boxes(root)] == ["+ chat/0 2g.20gb at 2:2"]


@pytest.mark.parametrize("grid", [4, 8, 12])
def test_slices_fill_the_row_and_touch_nobody(grid: int) -> None:
    root = drawn(a_picture(*(a_cell(n, 1) for n in range(grid)), grid=grid))
    found = boxes(root)
    assert all(a[0] + a[2] < b[0] for a, b in pairwise(found))
    assert found[-1][0] + found[-1][2] < float(root.attrib["width"])
    assert len({box[2] for box in found}) == 1


def test_what_is_free_carries_its_sign() -> None:
    free_and_legend = texts(drawn(a_picture(a_cell(0, 4)))).count(Fate.FREE.value)
    assert free_and_legend == 4 + 1


def test_before_and_after_are_two_rows() -> None:
    lane = Lane(heading="GPU 0", grid=8, before=(a_cell(0, 2, Fate.GOES),), after=(a_cell(0, 4),))
    root = drawn(Picture(title="Plan", lanes=(lane,)))
    (_, above, _, goes), (_, below, _, comes) = boxes(root)
    assert above < below
    assert (goes[0], comes[0]) == ("-", "+")
    assert {"now", "then"} <= set(texts(root))


def test_text_cannot_leave_its_place() -> None:
    hostile = '</text><script>alert("1")</script>&\x00\x1b'
    root = drawn(
        a_picture(a_cell(0, 8, label=f"{hostile} 7g.80gb"), title=hostile, heading=hostile)
    )
    assert list(root.iter(f"{SVG}script")) == []
    assert texts(root)[0] == hostile.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")


def test_a_label_that_is_too_long_is_cut_and_whole_in_the_tooltip() -> None:
    root = drawn(a_picture(a_cell(0, 1, label=f"{'x' * 60}/0 1g.10gb")))
    assert all("x" * 20 not in text for text in texts(root))
    assert "x" * 60 in boxes(root)[0][3]


def test_long_lines_are_broken_between_words() -> None:
    lines = ("word " * 60).strip()
    shown = texts(drawn(Picture(title="Plan", notes=(lines,))))
    assert " ".join(text for text in shown if text.startswith("word")) == lines
    assert max(map(len, shown)) < 130


def test_everything_lies_on_the_page() -> None:
    lanes = tuple(Lane(heading=f"GPU {n}", grid=8, after=(a_cell(0, 8),)) for n in range(30))
    root = drawn(Picture(title="Plan", lanes=lanes, notes=("cost",)))
    lowest = max(float(element.attrib["y"]) for element in root.iter(f"{SVG}text"))
    assert lowest < float(root.attrib["height"])


def test_equal_pictures_are_equal_text() -> None:
    assert svg_text(a_picture(a_cell(0, 2))) == svg_text(a_picture(a_cell(0, 2)))


def test_a_gpu_that_has_to_be_added_is_marked_behind_its_heading() -> None:
    lane = Lane(heading="GPU 9  NVIDIA H200  MIG off → on", grid=8, added=True, after=())
    root = drawn(Picture(title="Plan", lanes=(lane,)))
    ends = {element.text: element.attrib for element in root.iter(f"{SVG}text")}
    heading, tag = ends["GPU 9 · NVIDIA H200 · MIG off → on"], ends["to be added"]
    assert float(tag["x"]) > float(heading["x"]) + 200
    assert abs(float(tag["y"]) - float(heading["y"])) < 4
    assert "to be added" not in texts(drawn(a_picture(heading=lane.heading)))
