"""A server that faces strangers: uploads open nothing of the server, names are text, folders of the server
are never told, and work is bounded.
"""

import importlib
import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import foreign
import numpy as np
import pytest
from test_dashboard import house, open_page, pages, put, texts  # noqa: F401  fixtures
from test_foreign_files import cached  # noqa: F401  fixture

from explorer.context import LocalLoader
from explorer.dashboard import access, limits, uploads
from explorer.dashboard.cache import Broken
from explorer.dashboard.errors import hinted
from explorer.dashboard.markdown import safe, slug
from explorer.figures.style import plain
from explorer.formats import peft
from explorer.prompt import Origin, SoftPrompt
from explorer.report.tables import list_prompts
from explorer.session import Session

EVIL = "![x](http://e.com/i.png) <img src=x onerror=alert(1)> **bold** :red[r] $x$"


class State(dict):
    """Streamlit's session state, without a session."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def upload(monkeypatch):
    """What a visitor's session holds after uploading files together: `upload({name: bytes})`."""
    state = State()
    monkeypatch.setattr(uploads, "st", SimpleNamespace(session_state=state))

    def give(files: dict[str, bytes]) -> dict[str, SoftPrompt | Broken]:
        state["upload"] = [
            SimpleNamespace(file_id=str(n), name=name, getvalue=lambda content=content: content)
            for n, (name, content) in enumerate(files.items())
        ]
        uploads.take()
        return state["opened privately"]

    yield give
    uploads._forget()


def npy(vectors: np.ndarray | None = None) -> bytes:
    """The bytes of a small prompt."""
    content = io.BytesIO()
    np.save(content, np.ones((3, 256), np.float32) if vectors is None else vectors)
    return content.getvalue()


def zipped(folder: Path) -> bytes:
    """The bytes of a folder as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder.parent))
    return content.getvalue()


NAMES = [
    "..",
    ".",
    "...",
    "../..",
    "/",
    "",
    "a" * 300 + ".npy",
    "字" * 255 + ".npy",
    "\ud800.npy",
    "<b>.npy",
    "CON",
    "a\0b.npy",
    "a\nb.npy",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_may_have_any_name(name, upload):
    found = upload({name: npy(), "other.npy": npy()})
    assert len(found) == 2
    for one in found.values():
        assert isinstance(one, SoftPrompt)
        one.name.encode()


def test_files_of_one_name_are_both_read(upload):
    folder = {"a.npy": npy(), "b/a.npy": npy()}
    assert len(upload(folder)) == 2


def test_one_bad_upload_leaves_the_others(upload, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("/tmp/secret")

    monkeypatch.setattr(uploads, "Archive", fail)
    found = upload({"bad.zip": b"PK\x03\x04 and no more", "good.npy": npy()})
    assert isinstance(found["uploaded/good"], SoftPrompt)
    broken = [one for one in found.values() if isinstance(one, Broken)]
    assert all("/tmp" not in str(one.error) for one in broken)


def test_no_temporary_path_is_in_a_table(upload):
    found = upload({"good.npy": npy(), "bad.npy": b"\x93NUMPY nothing", "bad.zip": b"PK\x03\x04"})
    frame = list_prompts(
        (one.path, one.error) if isinstance(one, Broken) else (one.origin.path, one) for one in found.values()
    )
    assert len(frame) == 3
    assert "explorer-" not in frame.to_csv()
    assert "/tmp" not in frame.to_csv()


@pytest.mark.parametrize(
    "base",
    [
        "/etc",
        "/",
        "..",
        "../../..",
        "user/model",
        "mini-t5/",
        "./mini-t5",
        "~",
        "/tmp/explorer-x/model",
        "\0",
        "a" * 5000,
    ],
)
def test_an_upload_opens_no_model_by_its_path_or_from_the_hub(base, tmp_path, upload, monkeypatch):
    place = foreign.peft(tmp_path, np.ones((3, 256), np.float32))
    config = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
    (prompt,) = upload({"mine.zip": zipped(place)}).values()
    assert isinstance(prompt, SoftPrompt)
    asked = []
    loads = LocalLoader.vocabulary
    monkeypatch.setattr(
        LocalLoader, "vocabulary", lambda self, model: asked.append(model) or loads(self, model)
    )
    assert any("is not looked for" in note.text for note in Session([prompt]).notes)
    assert asked == ["mini-t5"]


def test_an_upload_is_read_with_the_bundled_model_that_it_names(vocabulary):
    prompt = SoftPrompt(
        vocabulary.embedding[100:103].copy(), "mine", Origin(base_model="mini-t5", uploaded=True)
    )
    assert Session([prompt]).vocabulary.name == "mini-t5"
    assert not Session([prompt]).notes


def test_messages_tell_no_folder_of_the_server(monkeypatch):
    monkeypatch.delenv(access.FOLDERS, raising=False)
    for path in ("/srv/secret/models/x: no config.json", "cannot read '/srv/secret/x'", "(/srv/secret/x)"):
        assert "srv" not in hinted(path, None)
        assert "x" in hinted(path, None)
    assert (
        access.without_paths("sentiment/random-0 and 3/4, https://e.com/a/b")
        == "sentiment/random-0 and 3/4, https://e.com/a/b"
    )
    monkeypatch.setenv(access.FOLDERS, "1")
    assert "srv" in hinted("/srv/secret/x", None)


@pytest.mark.slow
def test_a_served_page_tells_no_folder_of_the_server(put, house, monkeypatch):  # noqa: F811
    monkeypatch.delenv(access.FOLDERS, raising=False)
    put(1)
    (house / "broken.npy").write_bytes(b"\x93NUMPY nothing")
    app = open_page("prompts")
    assert not app.exception
    for table in app.dataframe:
        assert str(house.parent) not in table.value.to_csv()


def test_the_app_hides_stack_traces(monkeypatch):
    import typer

    command = importlib.import_module("explorer.cli.app")  # explorer.cli.app is also the name of the program
    started = []
    monkeypatch.setattr(command.subprocess, "Popen", lambda line, **_: started.append(line))
    monkeypatch.setattr(command, "_wait", lambda _: 0)
    with pytest.raises(typer.Exit):
        command.app(None, None, None, None, False, False, None)
    (line,) = started
    assert line[line.index("--client.showErrorDetails") + 1] == "none"


@pytest.mark.parametrize("page", pages("prompts", "labels", without=("faithfulness", "shift")))
def test_names_from_files_are_text_on_every_page(put, house, page):  # noqa: F811
    put()
    for folder in (house / "sentiment").iterdir():
        if page in ("labels", "playground", "map"):  # for other labels there are no examples to vote on
            record = folder / "explorer.json"
            record.write_text(record.read_text().replace('"positive"', json.dumps(EVIL)))
        folder.rename(folder.with_name(f"![x](http:e.com) <img src=x> {folder.name}"))
    app = open_page(page)
    assert not app.exception
    said = [*app.caption, *app.markdown, *app.error, *app.warning, *app.info, *app.subheader, *app.success]
    shown = (
        [element.value for element in said]
        + [str(metric.help) for metric in app.metric]
        + [status.label for status in app.status]
    )
    for text in shown:
        assert "<img" not in text.replace("\\<", "")
        assert "![x](" not in text


@pytest.mark.parametrize(
    "text", [EVIL, "%{x}", "<a href='javascript:alert(1)'>a</a>", "</script><script>alert(1)</script>"]
)
def test_names_are_text_in_figures(text):
    assert "<" not in plain(text)
    assert "%{" not in plain(text)


def test_names_that_are_not_unicode_are_shown(put, house):  # noqa: F811
    put(1)
    (house / b"\xff.npy".decode(errors="surrogateescape")).write_bytes(b"\x93NUMPY nothing")
    app = open_page("prompts")
    assert not app.exception
    assert "cannot be read" in texts(app.warning)
    safe("\ud800").encode()


@pytest.mark.parametrize(
    ("page", "tokens", "labels"),
    [("neighbors", 20_000, 2), ("labels", 3, 5_000), ("prompts", 20_000, 2), ("map", 3, 5_000)],
)
def test_a_prompt_that_is_too_large_for_a_page_is_told_with_the_way_on(
    house,  # noqa: F811
    vocabulary,
    page,
    tokens,
    labels,
):
    origin = Origin(base_model="mini-t5", labels=tuple(f"label {number}" for number in range(labels)))
    peft.write(
        SoftPrompt(np.resize(vocabulary.embedding, (tokens, 256)).copy(), "large", origin),
        house / "large",
        {"explorer": "test"},
    )
    app = open_page(page)
    assert not app.exception
    assert "python -m explorer" in texts(app.warning)


def test_a_page_takes_so_many_tokens_together(vocabulary):
    one = SoftPrompt(vocabulary.embedding[:900].copy(), "a")
    many = [replace(one, name=str(number)) for number in range(20)]
    assert len(limits.fitting(many)) == limits.MOST_TOKENS_TOGETHER // 900
    small = [replace(one, name=str(number), vectors=one.vectors[:2]) for number in range(200)]
    assert len(limits.fitting(small)) == limits.MOST_PROMPTS


def test_names_of_downloads_are_short_and_never_a_folder():
    assert slug("..") == slug(".") == ""
    assert slug("字" * 300 + ".csv").endswith(".csv")
    assert len(slug("字" * 300 + ".csv").encode()) <= 150


def test_a_map_is_bounded_before_it_is_unpacked(tmp_path):
    from explorer.analysis.map.store import read_map
    from explorer.errors import ExplorerError

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**25,)})
    with (
        zipfile.ZipFile(tmp_path / "map.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("settings.npy", "w") as member,
    ):
        member.write(header.getvalue())
        for _ in range(256):
            member.write(bytes(2**20))
    with pytest.raises(ExplorerError, match="cannot be read as a map"):
        read_map(tmp_path / "map.npz")


def test_texts_are_bounded_while_they_are_unpacked(tmp_path, monkeypatch):
    import lzma

    from explorer.errors import DataError
    from explorer.texts import label_files, tasks

    monkeypatch.setattr(label_files, "LARGEST_FILE", 10**6)
    (tmp_path / "bomb.tsv.xz").write_bytes(lzma.compress(b"text\tlabel\n" + b"a\tb\n" * 2**20))
    with pytest.raises(DataError, match="has more than 1 MB"):
        tasks.read_task(tmp_path / "bomb.tsv.xz")


def test_long_names_are_written(tmp_path):
    from explorer.system.files import write_file, write_folder

    write_file(tmp_path / ("字" * 85), b"x")
    write_folder(tmp_path / ("a" * 255), {"x": b"x"})
    assert (tmp_path / ("a" * 255) / "x").read_bytes() == b"x"
    shutil.rmtree(tmp_path / ("a" * 255))


def test_an_adapter_of_the_hub_is_opened_by_its_id_where_folders_may_be(cached, upload, monkeypatch):  # noqa: F811
    def typed(name: str) -> dict:
        uploads.st.session_state["folder"] = name
        uploads._named()
        return uploads.st.session_state.get("opened privately", {})

    assert typed("user/my-prompt") == {}, "not where the page is not shown on the server's machine"
    monkeypatch.setattr(uploads, "_at_this_machine", lambda: True)
    found = typed("user/my-prompt")
    assert found["user/my-prompt"].length == 6
    assert not found["user/my-prompt"].origin.uploaded, "its base model may be sought"
    assert uploads.st.session_state["prompts"] == ["user/my-prompt"]
    assert f"user/my-prompt@{'a' * 40}" not in typed(f"user/my-prompt@{'a' * 40}")
    broken = typed("user/other")["user/other"]
    assert "nor to be had from the Hugging Face hub" in str(broken.error)
