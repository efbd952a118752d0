"""Where things are kept, and that nothing else is ever deleted."""

import tempfile
from pathlib import Path

import pytest

from repaudit import cache
from repaudit.errors import InvalidOutput


def test_the_folder_is_looked_for_in_the_documented_order(monkeypatch, tmp_path):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache.folder() == tmp_path / "own"

    monkeypatch.delenv("REPAUDIT_CACHE")
    assert cache.folder() == tmp_path / "shared" / "repaudit"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "repaudit"


def test_clearing_deletes_what_was_kept_and_nothing_else(own_cache, remarks):
    assert cache.writable(remarks) == own_cache
    (own_cache / "evidence" / "key").mkdir(parents=True)
    (own_cache / "evidence" / "key" / "logits.npy").write_bytes(b"12345")
    (own_cache / "content.sqlite3").write_bytes(b"123")
    (own_cache / "thesis.tex").write_text("somebody else's")
    assert cache.size() == 8

    cache.clear()

    assert [path.name for path in own_cache.iterdir()] == ["thesis.tex"]
    assert cache.size() == 0


def test_clearing_a_cache_that_never_was_does_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("REPAUDIT_CACHE", str(tmp_path / "absent"))

    cache.clear()

    assert cache.size() == 0
    assert not (tmp_path / "absent").exists()


@pytest.fixture
def closed_folder(monkeypatch) -> Path:
    """A cache that everybody may read and nobody but root may write; below /tmp, which everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "evidence").mkdir()
        (folder / "evidence" / "kept").write_text("x")
        (folder / "evidence").chmod(0o555)
        folder.chmod(0o555)
        monkeypatch.setenv("REPAUDIT_CACHE", name)
        yield folder
        folder.chmod(0o755)
        (folder / "evidence").chmod(0o755)


def test_a_read_only_cache_is_none_with_a_remark(closed_folder, remarks, as_nobody):
    with as_nobody():
        assert cache.writable(remarks) is None

    assert any("nothing is kept" in note for note in remarks.notes)


def test_clearing_a_read_only_cache_says_how_to_open_it(closed_folder, as_nobody):
    with as_nobody(), pytest.raises(InvalidOutput, match="cannot be deleted") as raised:
        cache.clear()

    assert "chmod" in raised.value.remedy
