"""The package as others get it: built from its source archive, installed beside its libraries, used from
another folder.
"""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import foreign
import numpy as np
import pytest
from packaging.requirements import Requirement

import explorer

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = "explorer/bundled"
pytestmark = pytest.mark.slow  # builds and installs


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the source archive, which is built from this clone."""
    folder = tmp_path_factory.mktemp("dist")
    before = {path.name for path in ROOT.iterdir()}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert {path.name for path in ROOT.iterdir()} == before, "the build left something in the clone"
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the installed package and its console script; its libraries come from the environment of
    the tests.
    """
    folder = tmp_path_factory.mktemp("installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        str(folder),
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture
def elsewhere(installed, tmp_path) -> dict:
    """How to run something from an empty folder, with the installed package and an empty home."""
    (tmp_path / "work").mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home" / "cache"),
    }
    return {"cwd": tmp_path / "work", "env": environment}


def _run(command: list[str], elsewhere: dict) -> str:
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, **elsewhere)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(params=["prompt-explorer", "python -m explorer"])
def command(request, installed) -> list[str]:
    """The two ways to start the command line."""
    return (
        [str(installed / "bin" / "prompt-explorer")]
        if request.param == "prompt-explorer"
        else [sys.executable, "-m", "explorer"]
    )


def test_the_version(command, elsewhere):
    assert explorer.__version__ in _run([*command, "--version"], elsewhere).split()


def test_prompts(command, elsewhere):
    listed = json.loads(_run([*command, "prompts", "--json"], elsewhere))
    expected = {
        path.parent.relative_to(ROOT / "checkpoints" / "prompts").as_posix()
        for path in ROOT.glob("checkpoints/prompts/**/adapter_config.json")
    }
    assert {row["name"] for row in listed} == expected
    assert all(BUNDLED in row["path"] for row in listed)


def test_neighbors(command, elsewhere):
    rows = json.loads(
        _run([*command, "neighbors", "sentiment/class-label-0", "-k", "3", "--json"], elsewhere)
    )
    here = (
        explorer.open(ROOT / "checkpoints/prompts/sentiment/class-label-0", k=3, nulls=0)
        .neighbors()
        .to_frame()
    )
    assert [row["token_id"] for row in rows] == here["token_id"].tolist()


def test_predict(command, elsewhere):
    """The bundled model is found, weights included."""
    (answer,) = json.loads(
        _run(
            [*command, "predict", "sentiment/class-label-0", "--text", "a warm, funny film", "--json"],
            elsewhere,
        )
    )
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _health(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=2) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def test_app(installed, elsewhere):
    port = _free_port()
    command = [str(installed / "bin" / "prompt-explorer"), "app", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **elsewhere
    )
    try:
        until = time.monotonic() + 60
        while (health := _health(port)) is None and server.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        assert health == "ok"
    finally:
        server.send_signal(signal.SIGTERM)
        output, _ = server.communicate(timeout=30)
    assert "Traceback" not in output
    assert _health(port) is None, "the server outlived the command"
    assert list(elsewhere["cwd"].iterdir()) == []


def test_the_first_page_is_drawn_in_the_theme(elsewhere):
    code = (
        "from streamlit import config\n"
        "from streamlit.testing.v1 import AppTest\n"
        "from explorer.system.files import APP\n"
        "page = AppTest.from_file(APP, default_timeout=60).run()\n"
        "assert not page.exception, page.exception\n"
        "config._main_script_path = str(APP)\n"
        "config.get_config_options(force_reparse=True)\n"
        "print(len(page.markdown) + len(page.main.children), config.get_option('theme.light.primaryColor'))"
    )
    shown, color = _run([sys.executable, "-c", code], elsewhere).split()[-2:]
    assert int(shown) > 1
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    assert color == theme["light"]["primaryColor"]


def test_the_wheel_holds_what_runs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "explorer",
        f"soft_prompt_explorer-{explorer.__version__}.dist-info",
    }
    kept = [
        f"{BUNDLED}/{name}"
        for name in (
            "app.py",
            ".streamlit/config.toml",
            "examples/films.tsv",
            "checkpoints/models/mini-t5/model.safetensors",
        )
    ]
    assert set(kept) <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".partial", ".tuning.pt"))]


def _pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _requirements(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith(("#", "-r"))]
    return {re.sub(r"[-_.]+", "-", requirement.name).lower(): requirement for requirement in found}


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_the_package_asks_for_ranges_and_requirements_txt_fits_them(wheel):
    metadata = Parser().parsestr(
        zipfile.ZipFile(wheel)
        .read(f"soft_prompt_explorer-{explorer.__version__}.dist-info/METADATA")
        .decode()
    )
    asked = _requirements([line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line])
    optional = _requirements(_pyproject()["project"]["optional-dependencies"]["t5x"])
    tested = _requirements(_lines("requirements.txt"))
    assert set(tested) == {*asked, *optional}
    for name, requirement in tested.items():
        (lowest,) = [part.version for part in requirement.specifier if part.operator in (">=", "==")]
        range_ = {**asked, **optional}[name].specifier
        assert range_.contains(lowest), f"{name} {lowest} is not within {range_}"
        assert not any(part.operator == "==" for part in range_), f"{name} is pinned in pyproject.toml"


OPTIONAL = {"datasets"}
"""what is asked for by a message where it is missing"""


def test_every_package_that_is_imported_is_asked_for():
    sources = [ROOT / "app.py", *(ROOT / "explorer").rglob("*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {
        node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    packages = (
        {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"explorer"} - OPTIONAL
    )
    project = _pyproject()["project"]
    asked = set(_requirements([*project["dependencies"], *project["optional-dependencies"]["t5x"]]))
    known = packages_distributions()
    missing = {
        name
        for name in packages
        if not {re.sub(r"[-_.]+", "-", given).lower() for given in known.get(name, [])} & asked
    }
    assert not missing


def test_the_extra_for_developers_is_requirements_dev_txt():
    extra = _requirements(_pyproject()["project"]["optional-dependencies"]["dev"])
    assert set(extra) - {"soft-prompt-explorer"} == set(_requirements(_lines("requirements-dev.txt")))


@pytest.mark.parametrize(("package", "chunks"), [("msgpack", None), ("numcodecs", (2, 4))])
def test_t5x_without_its_extra_says_what_is_missing(package, chunks, tmp_path):
    folder = foreign.t5x(tmp_path, np.ones((4, 8), np.float32), chunks, "zstd")
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "import explorer\n"
        "try:\n"
        f"    explorer.read_prompt({str(folder)!r})\n"
        "except explorer.ExplorerError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert f"needs the package {package}" in done.stdout, done.stderr[-1000:]
    assert "soft-prompt-explorer[t5x]" in done.stdout
    assert len(done.stdout.splitlines()) == 1
