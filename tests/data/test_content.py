"""Fingerprints depend on what is there and on nothing else; what is remembered is never stale."""

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

from repaudit.data import open_images

LONG_AGO_NS = 10**18


def age(path: Path) -> None:
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


@pytest.fixture
def manifest(tmp_path, save_pictures) -> Path:
    save_pictures(tmp_path, "a.png", "b.png", "c.png")
    for name in "abc":
        age(tmp_path / f"{name}.png")
    return write(tmp_path / "list.csv", "a.png,0", "b.png,1", "c.png,1")


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_fingerprint_is_the_hash_that_its_definition_says(manifest, make_request):
    lines = []
    for name, label in (("a", 0), ("b", 1), ("c", 1)):
        digest = hashlib.sha256((manifest.parent / f"{name}.png").read_bytes()).hexdigest()
        lines.append(f"{name}.png\0{label}\0{digest}\n")

    images = open_images(make_request(f"csv:{manifest}"))

    assert images.fingerprint == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_fingerprint_does_not_depend_on_the_order_of_the_list(manifest, make_request):
    images = open_images(make_request(f"csv:{manifest}"))
    write(manifest, "c.png,1", "a.png,0", "b.png,1")

    other = open_images(make_request(f"csv:{manifest}"))

    assert other.ids != images.ids
    assert other.fingerprint == images.fingerprint


def test_the_fingerprint_changes_with_a_label(manifest, make_request):
    before = open_images(make_request(f"csv:{manifest}")).fingerprint
    write(manifest, "a.png,0", "b.png,0", "c.png,1")

    assert open_images(make_request(f"csv:{manifest}")).fingerprint != before


def test_the_fingerprint_changes_with_a_single_byte_though_size_and_time_stay(manifest, make_request):
    picture = manifest.parent / "b.bmp"
    Image.open(manifest.parent / "b.png").save(picture)
    content = bytearray(picture.read_bytes())
    write(manifest, "a.png,0", "b.bmp,1", "c.png,1")
    age(picture)
    before = open_images(make_request(f"csv:{manifest}")).fingerprint
    content[-5] ^= 1
    picture.write_bytes(content)
    age(picture)

    assert open_images(make_request(f"csv:{manifest}")).fingerprint != before


def test_the_fingerprint_does_not_depend_on_the_folder_above(manifest, tmp_path, make_request):
    before = open_images(make_request(f"csv:{manifest}")).fingerprint
    moved = tmp_path.rename(tmp_path.with_name(tmp_path.name + "-moved"))

    assert open_images(make_request(f"csv:{moved / manifest.name}")).fingerprint == before


def remembered(cache: Path) -> list[str]:
    with sqlite3.connect(cache / "content.sqlite3") as connection:
        paths = [Path(path).name for (path,) in connection.execute("SELECT path FROM content ORDER BY path")]
    connection.close()
    return paths


def test_a_remembered_file_is_not_read_again(manifest, make_request, own_cache):
    first = open_images(make_request(f"csv:{manifest}"))
    with sqlite3.connect(own_cache / "content.sqlite3") as connection:
        connection.execute("UPDATE content SET sha256 = 'planted' WHERE path LIKE '%b.png'")
    connection.close()

    second = open_images(make_request(f"csv:{manifest}"))

    assert remembered(own_cache) == ["a.png", "b.png", "c.png"]
    assert second.fingerprint != first.fingerprint


def test_a_file_written_a_moment_ago_is_not_remembered(manifest, make_request, own_cache):
    content = (manifest.parent / "c.png").read_bytes()
    (manifest.parent / "c.png").write_bytes(content)

    open_images(make_request(f"csv:{manifest}"))

    assert remembered(own_cache) == ["a.png", "b.png"]


def test_a_broken_file_is_looked_at_again(manifest, make_request, own_cache):
    sound = (manifest.parent / "c.png").read_bytes()
    (manifest.parent / "c.png").write_bytes(b"broken")
    age(manifest.parent / "c.png")
    open_images(make_request(f"csv:{manifest}", skip_bad_images=True))
    (manifest.parent / "c.png").write_bytes(sound)

    assert len(open_images(make_request(f"csv:{manifest}"))) == 3


def test_a_database_that_is_none_costs_a_remark_and_no_run(manifest, make_request, own_cache, remarks):
    (own_cache / "content.sqlite3").write_bytes(b"this is no database" * 100)

    assert len(open_images(make_request(f"csv:{manifest}"))) == 3
    assert any("cannot be used" in note for note in remarks.notes)


def test_a_cache_folder_that_cannot_be_made_costs_a_remark_and_no_run(
    manifest, make_request, remarks, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "file" / "cache"))

    assert len(open_images(make_request(f"csv:{manifest}"))) == 3
    assert any("cannot be written" in note for note in remarks.notes)
