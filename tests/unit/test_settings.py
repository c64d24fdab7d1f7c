"""Settings keep the digests that release 0.1.0 gave them: no archive becomes stale by a release."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from hcdcodec.codec.options import EncodeOptions, Target
from hcdcodec.codec.search.options import Paper, search_of
from hcdcodec.codec.settings import settings_digest
from hcdcodec.files.encoded_names import Container
from hcdcodec.networks.manifest import NetworkId
from hcdcodec.pictures.metadata import Strip

GOLDEN: list[dict[str, Any]] = json.loads((ROOT / "tests/golden/settings_0.1.0.json").read_text())


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["digest"])
def test_digests_are_those_of_0_1_0(row: dict[str, Any]) -> None:
    search = Paper() if row["method"] == "paper" else search_of(row["effort"])
    options = EncodeOptions(search, row["quality"], row["z"], strip=tuple(map(Strip, row["strip"])))
    network = NetworkId(row["network"], row["scale"], row["hash"], row["hash"])
    target = Target(**row["target"]) if row["target"] else None
    assert settings_digest(options, network, target).hex() == row["digest"]


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (Target(psnr=30), Target(psnr=30.0)),
        (Target(bpp=np.float32(1.5)), Target(bpp=1.5)),  # type: ignore[arg-type]
        (Target(max_bytes=np.int64(900)), Target(max_bytes=900)),  # type: ignore[arg-type]
    ],
)
def test_a_kind_of_number_is_no_setting(given: Target, same: Target) -> None:
    """What Python made with Target(psnr=30) was stale for --target-psnr 30."""
    network = NetworkId("crn", 4, "", "")
    assert settings_digest(EncodeOptions(), network, given) == settings_digest(EncodeOptions(), network, same)


def test_another_container_is_another_setting() -> None:
    network = NetworkId("crn", 4, "", "")
    for target in (None, Target(bpp=1)):
        digests = {settings_digest(EncodeOptions(container=kind), network, target) for kind in Container}
        assert len(digests) == 3
        assert settings_digest(EncodeOptions(), network, target) in digests
