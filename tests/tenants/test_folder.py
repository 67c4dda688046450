"""Reading below a directory: the file that is named or none, however links and names are laid out, and never too much.

Every test runs twice: with directories opened step by step, and by paths, as on Windows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy.tenants._folder import STEPWISE, FolderReader, PathView, StepView
from mtlspolicy.tenants._names import taken_for_another
from mtlspolicy.tenants._reader import MOST_FILE, Missing, Unreadable
from tests.tenants.layout import LONG_AGO, Layout

CA = ("tenants", "red", "ca.pem")


@pytest.fixture(params=[pytest.param(True, marks=pytest.mark.skipif(not STEPWISE, reason="no openat here")), False])
def reader(request: pytest.FixtureRequest, layout: Layout) -> FolderReader:
    """Return a reader of the layout, of each kind."""
    return FolderReader(layout.root, stepwise=request.param)


def fetch(reader: FolderReader, place: tuple[str, ...] = CA, known: Any = None, most: int = 100) -> Any:
    """Return what one look finds at *place*."""
    with reader.look() as view:
        return view.fetch(place, known, most)


def test_a_file_is_read(reader: FolderReader, layout: Layout) -> None:
    """Content and a stamp come back, and with that stamp nothing does, until the file is another one."""
    path = layout.write("tenants/red/ca.pem", b"one")
    os.utime(path, (LONG_AGO, LONG_AGO))
    data, stamp = fetch(reader)
    assert data == b"one"
    assert fetch(reader, known=stamp) is None
    os.utime(layout.write("tenants/red/ca.pem", b"two"), (LONG_AGO, LONG_AGO))
    assert fetch(reader, known=stamp)[0] == b"two"


def test_a_file_that_was_just_written_has_no_stamp(reader: FolderReader, layout: Layout) -> None:
    """Within two seconds its time may be that of another content too, so it is read again."""
    layout.write("tenants/red/ca.pem", b"one")
    assert fetch(reader) == (b"one", None)


def test_what_is_missing_is_missing(reader: FolderReader, layout: Layout) -> None:
    """A file, its directory, and the root."""
    with pytest.raises(Missing):
        fetch(reader)
    (layout.root / "tenants" / "red").mkdir(parents=True)
    with pytest.raises(Missing):
        fetch(reader)
    with pytest.raises(Missing):
        fetch(FolderReader(layout.root / "none", stepwise=reader._stepwise))


def test_a_symlink_to_the_file_of_another_tenant_is_not_followed(reader: FolderReader, layout: Layout) -> None:
    """Who can write in one tenant's directory does not borrow another's CA, nor a file of the system."""
    layout.write("tenants/blue/ca.pem", b"blue")
    (layout.root / "tenants" / "red").mkdir()
    for target in ("../blue/ca.pem", "/etc/passwd", "nowhere"):
        link = layout.root.joinpath(*CA)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(Unreadable, match="links are not followed"):
            fetch(reader)


@pytest.mark.parametrize("step", ["tenants", "tenants/red"])
def test_a_symlink_to_a_directory_is_not_followed(reader: FolderReader, layout: Layout, step: str) -> None:
    """Not the tenant's directory, and not the one above."""
    layout.write("elsewhere/red/ca.pem", b"blue")
    layout.write("elsewhere/ca.pem", b"blue")
    link = layout.root / step
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(layout.root / "elsewhere")
    with pytest.raises(Unreadable, match="links are not followed"):
        fetch(reader)


def test_the_root_itself_may_be_a_link(reader: FolderReader, layout: Layout) -> None:
    """A root that is swapped whole, as Kubernetes does, is read through the new link at the next look."""
    layout.write("v1/tenants/red/ca.pem", b"one")
    layout.write("v2/tenants/red/ca.pem", b"two")
    link = layout.root / "current"
    link.symlink_to("v1")
    through = FolderReader(link, stepwise=reader._stepwise)
    assert fetch(through)[0] == b"one"
    link.unlink()
    link.symlink_to("v2")
    assert fetch(through)[0] == b"two"


@pytest.mark.skipif(not STEPWISE, reason="no openat here")
@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_symlink_race_finds_no_gap(layout: Layout, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A link that is put in place after the status was read, and before the file is opened, is not followed either."""
    layout.write("tenants/blue/ca.pem", b"blue")
    path = layout.write("tenants/red/ca.pem", b"red")
    honest = StepView.status

    def swap(view: StepView, place: tuple[str, ...]) -> os.stat_result:
        info = honest(view, place)
        if what == "file":
            path.unlink()
            path.symlink_to("../blue/ca.pem")
        else:
            path.parent.rename(layout.root / "moved")
            path.parent.symlink_to("blue")
        return info

    monkeypatch.setattr(StepView, "status", swap)
    with pytest.raises(Unreadable, match="links are not followed"):
        fetch(FolderReader(layout.root), known="another")


def test_without_openat_a_race_is_noticed_afterwards(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """By paths the steps are looked at again after the file was opened, and must be the same."""
    layout.write("tenants/blue/ca.pem", b"blue")
    path = layout.write("tenants/red/ca.pem", b"red")
    honest = PathView._steps
    swapped: list[bool] = []

    def swap(view: PathView, place: tuple[str, ...]) -> list[tuple[int, int]]:
        steps = honest(view, place)
        if not swapped:
            path.parent.rename(layout.root / "moved")
            (layout.root / "tenants" / "blue").rename(path.parent)
            swapped.append(True)
        return steps

    monkeypatch.setattr(PathView, "_steps", swap)
    with pytest.raises(Unreadable, match="was replaced while it was opened"):
        fetch(FolderReader(layout.root, stepwise=False))


def test_without_openat_a_link_that_appears_is_noticed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, with a link in place of the directory; the descriptor is closed."""
    layout.write("tenants/blue/ca.pem", b"blue")
    path = layout.write("tenants/red/ca.pem", b"red")
    honest = PathView._steps
    swapped: list[bool] = []

    def swap(view: PathView, place: tuple[str, ...]) -> list[tuple[int, int]]:
        steps = honest(view, place)
        if not swapped:
            path.parent.rename(layout.root / "moved")
            path.parent.symlink_to("blue")
            swapped.append(True)
        return steps

    monkeypatch.setattr(PathView, "_steps", swap)
    with pytest.raises(Unreadable, match="links are not followed"):
        fetch(FolderReader(layout.root, stepwise=False))


@pytest.mark.parametrize("name", ["con", "nul.pem", "COM1", "ca.pem."])
def test_names_that_windows_takes_for_another_are_not_opened_by_path(layout: Layout, name: str) -> None:
    """A device, or a name whose last dot is dropped."""
    assert taken_for_another(name)
    layout.write(f"tenants/{name}/ca.pem", b"one")
    with pytest.raises(Unreadable, match="a name that this system takes for another"):
        fetch(FolderReader(layout.root, stepwise=False), ("tenants", name, "ca.pem"))


def test_a_fifo_in_place_of_a_file_stops_nobody(reader: FolderReader, layout: Layout) -> None:
    """What is no regular file is not waited for."""
    (layout.root / "tenants" / "red").mkdir(parents=True)
    os.mkfifo(layout.root.joinpath(*CA))
    with pytest.raises(Unreadable, match="is no regular file"):
        fetch(reader)


def test_a_directory_in_place_of_a_file_is_unreadable(reader: FolderReader, layout: Layout) -> None:
    """And a file in place of a directory."""
    layout.root.joinpath(*CA).mkdir(parents=True)
    with pytest.raises(Unreadable, match="is no regular file"):
        fetch(reader)
    layout.write("file", b"")
    with pytest.raises(Unreadable, match="no directory"):
        fetch(reader, ("file", "ca.pem"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is closed to root")
def test_a_file_without_permission_is_unreadable(reader: FolderReader, layout: Layout) -> None:
    """It is there, and may not be read."""
    layout.write("tenants/red/ca.pem", b"one").chmod(0)
    with pytest.raises(Unreadable, match="cannot be read: Permission denied"):
        fetch(reader)


def test_a_huge_file_is_not_read_to_its_end(reader: FolderReader, layout: Layout) -> None:
    """A sparse file of a terabyte costs what the limit says."""
    path = layout.write("tenants/red/ca.pem", b"")
    os.truncate(path, 1 << 40)
    with pytest.raises(Unreadable, match=f"has more than {MOST_FILE} bytes"):
        fetch(reader, most=MOST_FILE)


def test_no_descriptor_is_left_open(reader: FolderReader, layout: Layout) -> None:
    """Whatever a look met."""
    layout.usual()
    (layout.root / "tenants" / "red" / "link").symlink_to("ca.pem")
    (layout.root / "tenants" / "red" / "folder").mkdir()
    lowest = os.dup(0)
    os.close(lowest)
    with reader.look() as view:
        for name in ("ca.pem", "link", "folder", "none"):
            for directory in ("red", "none"):
                try:
                    view.fetch(("tenants", directory, name), None, 10_000)
                except (Missing, Unreadable):
                    continue
    after = os.dup(0)
    os.close(after)
    assert after == lowest


def test_a_name_that_cannot_be_opened_is_unreadable(reader: FolderReader) -> None:
    """Such as one with NUL, which no index has and a mistake in it must not become an exception of another kind."""
    with pytest.raises(Unreadable, match="null"):
        fetch(reader, ("a\0",))


@pytest.mark.skipif(not STEPWISE, reason="no openat here")
def test_a_root_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    """A file in its place, a path that is none."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(Unreadable, match="no directory"):
        fetch(FolderReader(file))
    with pytest.raises(Unreadable, match="null"):
        fetch(FolderReader("a\0b"))


def test_exactly_one_index(reader: FolderReader, layout: Layout) -> None:
    """None is missing, one is found, of two nobody knows which counts."""
    with reader.look() as view:
        with pytest.raises(Missing):
            view.index()
        layout.write("index.yml", "{}")
        assert view.index() == ("index.yml",)
        layout.write("index.toml", "")
        with pytest.raises(Unreadable, match="index.toml and index.yml are both there, and one is the index"):
            view.index()


def test_an_index_behind_a_link_is_not_read(reader: FolderReader, layout: Layout) -> None:
    """The index is below the root like every other file."""
    layout.write("real", "{}")
    (layout.root / "index.json").symlink_to("real")
    with reader.look() as view:
        assert view.index() == ("index.json",)
        with pytest.raises(Unreadable, match="links are not followed"):
            view.fetch(("index.json",), None, 100)


def test_a_root_that_is_a_file_has_no_index(reader: FolderReader, layout: Layout) -> None:
    """That is an error of reading, and not a missing index."""
    layout.write("file", b"")
    with (
        pytest.raises(Unreadable, match="no directory"),
        FolderReader(layout.root / "file", stepwise=reader._stepwise).look() as view,
    ):
        view.index()
