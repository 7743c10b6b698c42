"""The client is a distribution of its own: its wheel works where there is nothing but httpx."""

import ast
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

CLIENT = Path(__file__).parents[2] / "client"
_NEEDED = ("httpx", "httpcore", "h11", "anyio", "idna", "certifi", "sniffio", "typing_extensions.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=CLIENT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_and_its_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}

    assert "careline_client/py.typed" in names
    assert tops == {"careline_client", "careline_client-0.1.0.dist-info"}


def test_it_works_where_there_is_only_httpx(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    packages = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(packages)
    httpx_home = Path(str(httpx.__file__)).parents[1]
    for name in _NEEDED:
        if (httpx_home / name).exists():
            (packages / name).symlink_to(httpx_home / name)
    program = (
        "from careline_client import Careline, AsyncCareline\n"
        "from careline_client.fake import FakeCareline\n"
        "fake = FakeCareline()\n"
        "with Careline('http://fake', transport=fake.transport, sleep=fake.sleep) as careline:\n"
        "    print(careline.agent_classes.create({'name': 'A'})['name'], careline.chat.say('Hi')['reply']['text'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-I", "-c", program], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("A Hello! How can I help you?\n", "")


def test_the_library_imports_nothing_of_the_service_and_the_service_nothing_of_it() -> None:
    ours = {"agent", "core", "state", "tools", "tests", "bench"}
    allowed = set(sys.stdlib_module_names) | {"httpx", "careline_client", "opentelemetry"}
    for path in (CLIENT / "careline_client").glob("*.py"):
        assert _imported(path) <= allowed, path
    for package in ours - {"tests"}:
        for path in (CLIENT.parent / package).rglob("*.py"):
            assert "careline_client" not in _imported(path), path


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
