"""`repaudit doctor` on a cache that cannot be used."""

import pytest


@pytest.fixture
def unusable(tmp_path) -> str:
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "cache")


def test_doctor_says_that_nothing_will_be_kept(repaudit, unusable):
    done = repaudit("doctor", REPAUDIT_CACHE=unusable)

    assert done.returncode == 0
    assert "nothing will be kept" in done.stdout
    assert "0.0 MB" not in done.stdout


def test_clear_cache_ends_with_2_where_there_is_nothing_that_could_be_cleared(repaudit, unusable):
    done = repaudit("doctor", "--clear-cache", REPAUDIT_CACHE=unusable)

    assert done.returncode == 2
    assert "cleared" not in done.stdout
    assert unusable in done.stderr


def test_clear_cache_of_a_cache_that_never_was_says_so(repaudit, tmp_path):
    done = repaudit("doctor", "--clear-cache", REPAUDIT_CACHE=str(tmp_path / "none"))

    assert done.returncode == 0
    assert "nothing to clear" in done.stdout
