"""Modules are loaded without the garbage collector, and it goes on afterwards."""

import gc

import pytest

from hcdcodec.cli.loading import load


@pytest.mark.parametrize("fails", [False, True])
def test_the_collector_rests_and_forgets_what_was_loaded(*, fails: bool) -> None:
    def make() -> list[int]:
        assert not gc.isenabled()
        return [1 // (1 - fails)]

    before = gc.get_freeze_count()
    try:
        if fails:
            with pytest.raises(ZeroDivisionError):
                load(make)
        else:
            assert load(make) == [1]
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
