"""Files of strangers: whatever they hold, one line and nothing executed, no crash, no hang, no memory beyond the file's size and a little."""

import bz2
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import foreign
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli import run
from test_cli_errors import fails
from test_formats import Bomb

from explorer.errors import PromptError
from explorer.formats import find_prompts, read_prompt
from explorer.formats.archives import Archive

VECTORS = np.random.default_rng(3).standard_normal((6, 16)).astype(np.float32)
MOST_MEMORY = 200 * 2**20
LONGEST = 20.0
"""seconds that no file may take, on a busy machine"""


def refused(path: Path, message: str = "") -> str:
    """What `inspect` says of a file it must refuse: one line."""
    said = fails("inspect", path)
    assert message in said
    return said


def peak() -> int | None:
    """Most memory of this process since `forget_peak`, bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def forget_peak() -> int | None:
    """Begin anew: the memory now in use."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak()


# pickles


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_not_run(protocol, tmp_path):
    (tmp_path / "prompt.pkl").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    refused(tmp_path / "prompt.pkl", "a Python pickle, which is never executed" if protocol >= 2 else "not a prompt checkpoint")


@pytest.mark.parametrize("name", ["prompt.pt", "model.ckpt", "adapter_model.bin"])
def test_torch_files_with_objects_are_not_run(name, tmp_path):
    import torch

    torch.save({"prompt": torch.ones(2, 3), "bomb": Bomb()}, tmp_path / name)
    refused(tmp_path / name, "no pickle is executed")


def test_old_torch_files_are_not_run(tmp_path):
    import torch

    torch.save({"prompt": torch.ones(2, 3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "2 vectors of width 3" in run("inspect", tmp_path / "old.pt").output
    torch.save({"prompt": torch.ones(2, 3), "bomb": Bomb()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", "no pickle is executed")


def test_object_arrays_are_not_run(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[Bomb()]], object), allow_pickle=True)
    refused(tmp_path / "objects.npy", "it holds Python objects")
    np.savez(tmp_path / "objects.npz", prompt=np.array([[Bomb()]], object))
    refused(tmp_path / "objects.npz", "it holds Python objects")


def test_a_pickle_inside_an_adapter_is_not_run(tmp_path):
    place = foreign.peft(tmp_path, VECTORS, "adapter_model.bin")
    (place / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    refused(place, "cannot be read as a zip file")


def test_prompts_kept_as_json_are_refused(tmp_path):
    (tmp_path / "mkultra.json").write_text(json.dumps({"metadata": {}, "tensor": "gASV"}))
    refused(tmp_path / "mkultra.json", "are a pickle inside, which is never executed")


# archives


@pytest.mark.parametrize("name", ["../outside.npy", "/etc/outside.npy", "a/../../outside.npy", "..\\outside.npy", "C:/outside.npy"])
def test_members_that_would_lie_outside(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.npz", "w") as archive:
        archive.writestr(name, b"x")
    refused(tmp_path / "evil.npz", "which would lie outside; refused")
    with pytest.raises(PromptError, match="refused"):
        Archive(tmp_path / "evil.npz")
    with tarfile.open(tmp_path / "evil.nemo", "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    if name[0] != "/":  # tarfile keeps absolute names
        refused(tmp_path / "evil.nemo", "which would lie outside; refused")


def test_links_in_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "link.npz", "w") as archive:
        member = zipfile.ZipInfo("prompt.npy")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    refused(tmp_path / "link.npz", "is a link; expected plain files")
    with tarfile.open(tmp_path / "link.nemo", "w") as archive:
        member = tarfile.TarInfo("model_weights.ckpt")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    refused(tmp_path / "link.nemo", "a tar file without model_weights.ckpt")


def test_bombs_are_not_unpacked(tmp_path):
    zeros = bytes(2**20)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("prompt.npy", "w", force_zip64=True) as member:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**18, 2**9)})
        member.write(header.getvalue())
        for _ in range(512):
            member.write(zeros)
    with gzip.open(tmp_path / "bomb.nemo", "wb") as file:
        member = tarfile.TarInfo("model_weights.ckpt")
        member.size = 2**30
        file.write(member.tobuf())
        for _ in range(512):
            file.write(zeros)
    before, start = forget_peak(), time.monotonic()
    refused(tmp_path / "bomb.npz", "more than 128 MB in float32")
    refused(tmp_path / "bomb.nemo", "unpacks to 1,073,741,824 bytes; expected at most")
    with pytest.raises(PromptError, match="expected at most"), Archive(tmp_path / "bomb.npz") as archive:
        archive.unpack(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert time.monotonic() - start < LONGEST
    if before is not None:
        assert peak() - before < MOST_MEMORY


@pytest.mark.parametrize("compressor", ["gzip", "zstd", "blosc"])
def test_chunks_that_unpack_to_more_than_they_should(compressor, tmp_path):
    place = foreign.t5x(tmp_path, VECTORS, (6, 16), compressor)
    big = tmp_path / "big"
    foreign.write_zarr(big, np.ones((4096, 4096), np.float32), (4096, 4096), compressor)
    (place / "target.encoder.prompt.prompt.prompt" / "0.0").write_bytes((big / "0.0").read_bytes())
    before = forget_peak()
    refused(place, "cannot be read")
    if before is not None:
        assert peak() - before < 64 * 2**20


def test_unusual_compression(tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("prompt.npy", bz2.compress(b"x"))
    refused(tmp_path / "odd.npz", "is compressed in an unusual way")


# headers, sizes


def test_headers_that_lie(tmp_path):
    for number, shape in enumerate([(6, 17), (9, 16), (-6, -16), (6, 16, 2**9), (2**40, 2**40)]):
        with (tmp_path / f"{number}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            file.write(VECTORS.tobytes())
        refused(tmp_path / f"{number}.npy", "cannot be read as a NumPy array")
    (tmp_path / "lie.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{}")
    refused(tmp_path / "lie.safetensors", "cannot be read as safetensors")


def test_a_tensor_that_is_one_number_seen_many_times(tmp_path):
    import torch

    torch.save({"prompt": torch.ones(1).expand(2**20, 2**12)}, tmp_path / "wide.pt")
    before = forget_peak()
    refused(tmp_path / "wide.pt", "more than 128 MB in float32")
    if before is not None:
        assert peak() - before < MOST_MEMORY


def test_a_whole_model_is_no_prompt(tmp_path):
    with (tmp_path / "table.npy").open("wb") as file:  # sparse: nothing of it is read
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (250_112, 4096)})
        file.truncate(file.tell() + 250_112 * 4096 * 4)
    refused(tmp_path / "table.npy", "is this a whole model?")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("format", ["npy", "torch", "t5x", "kobold", "nemo"])
def test_numbers_that_are_none(value, format, tmp_path):
    vectors = VECTORS.copy()
    vectors[2, 3] = value
    refused(foreign.WRITERS[format](tmp_path, vectors), "1 of 6 prompt tokens hold NaN or infinity")


@pytest.mark.parametrize("shape", [(0, 16), (6, 0), (16,), (), (2, 3, 4)])
def test_shapes_that_are_no_prompt(shape, tmp_path):
    np.save(tmp_path / "shape.npy", np.zeros(shape, np.float32))
    refused(tmp_path / "shape.npy", "[P, H]")


def test_a_nameless_member_of_a_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "nameless.pt", "w") as archive:
        archive.writestr("x", b"content")
    content = (tmp_path / "nameless.pt").read_bytes()
    (tmp_path / "nameless.pt").write_bytes(content.replace(b"x", b"\0"))
    refused(tmp_path / "nameless.pt", "a file inside is called ''")


def test_empty_things(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "an empty file")
    for name in ("empty.npy", "empty.safetensors", "empty.nemo"):
        (tmp_path / name).write_bytes(b"")
        refused(tmp_path / name)
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "an empty folder")


# places


def test_loops_of_links(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    refused(tmp_path / "a", "no such file")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert list(find_prompts(tmp_path)) == []


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "neither a file nor a folder")
    refused(Path("/dev/zero"), "neither a file nor a folder")
    assert list(find_prompts(tmp_path)) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_files_that_may_not_be_read(tmp_path):
    foreign.npy(tmp_path, VECTORS).chmod(0)
    refused(tmp_path / "prompt.npy", "cannot be read")


@pytest.mark.parametrize("content", [b"[1]", b"3", b'"text"', b"null", b"{", b"\xff", b"[" * 100_000, b"{" + b'"a":{' * 50_000])
def test_configurations_that_are_no_object(content, tmp_path):
    place = foreign.peft(tmp_path, VECTORS)
    (place / "adapter_config.json").write_bytes(content)
    refused(place, "adapter_config.json: ")


@pytest.mark.parametrize("kind", [[], {}, 3, "PREFIX_TUNING", "LORA"])
def test_other_adapters(kind, tmp_path):
    place = foreign.peft(tmp_path, VECTORS, kind=kind)
    said = refused(place, "expected peft_type PROMPT_TUNING")
    assert ("keys and values" in said) == (kind == "PREFIX_TUNING")


def test_long_configurations_are_not_read(tmp_path):
    place = foreign.peft(tmp_path, VECTORS)
    (place / "adapter_config.json").write_text("[" + "[]," * 2_000_000 + "[]]")
    refused(place, "bytes of JSON; expected at most")


# anything else


def one_file(path: Path, number: int) -> Path:
    """One of the files of a checkpoint."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return files[number % len(files)]


edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "overwrite", "repeat", "zero"]),
        st.floats(0, 1),
        st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"99999999", b"\x90" * 64])),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for change, where, what in changes:
        place = int(where * len(content))
        if change == "flip" and content:
            place = min(place, len(content) - 1)
            content = content[:place] + bytes([content[place] ^ what[0]]) + content[place + 1 :]
        elif change == "cut":
            content = content[:place]
        elif change == "insert":
            content = content[:place] + what + content[place:]
        elif change == "overwrite":
            content = content[:place] + what + content[place + len(what) :]
        elif change == "repeat":
            content = content[:place] + content
        elif change == "zero":
            content = content[:place] + bytes(len(content[place : place + 16])) + content[place + 16 :]
    return content


@pytest.mark.parametrize("format", [*foreign.WRITERS, "t5x-zarr", "peft-bin"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(number=st.integers(0, 9), changes=edits)
def test_mutated_files_are_read_or_refused(format, number, changes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    if format == "t5x-zarr":
        path = foreign.t5x(folder, VECTORS, (4, 10))
    elif format == "peft-bin":
        path = foreign.peft(folder, VECTORS, "adapter_model.bin")
    else:
        path = foreign.WRITERS[format](folder, VECTORS)
    victim = one_file(path, number)
    content = mutated(victim.read_bytes(), changes)
    victim.write_bytes(content)
    before, start = forget_peak(), time.monotonic()
    try:
        prompt = read_prompt(path)
    except PromptError as error:
        said = str(error)
    else:
        said = ""
        assert np.isfinite(prompt.vectors).all()
    assert "\n" not in said
    assert len(said) < 2000
    assert time.monotonic() - start < LONGEST
    if before is not None:
        assert peak() - before < MOST_MEMORY + len(content)


OPENINGS = [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"\x80\x04", b"\x10\0\0\0\0\0\0\0{", b"\x1f\x8b\x08", b"GGUF"]


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), opening=st.sampled_from(OPENINGS))
def test_random_bytes_are_refused(content, opening, tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / "file"
    path.write_bytes(opening + content)
    with pytest.raises(PromptError) as caught:
        read_prompt(path)
    assert "\n" not in str(caught.value)
