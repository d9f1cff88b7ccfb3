"""Files of strangers: whatever they hold, one line and nothing executed, no crash, no hang, no memory beyond
the file's size and a little.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import tarfile
import time
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import foreign
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli import run
from test_cli_errors import fails
from test_formats import Bomb

from explorer import formats
from explorer.errors import PromptError
from explorer.formats import find_prompts, read_prompt
from explorer.formats.archives import Archive
from explorer.prompt import Evaluation, Origin, SoftPrompt, Trajectory

VECTORS = np.random.default_rng(3).standard_normal((6, 16)).astype(np.float32)
MOST_MEMORY = 200 * 2**20
FUZZ = int(os.environ.get("EXPLORER_FUZZ", "60"))
"""mutations of each format; 200 take some minutes"""
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
    refused(
        tmp_path / "prompt.pkl",
        "a Python pickle, which is never executed" if protocol >= 2 else "not a prompt checkpoint",
    )


@pytest.mark.parametrize("name", ["prompt.pt", "model.ckpt", "adapter_model.bin"])
def test_torch_files_with_objects_are_not_run(name, tmp_path):
    import torch

    torch.save({"prompt": torch.ones(2, 3), "bomb": Bomb()}, tmp_path / name)
    refused(tmp_path / name, "no pickle is executed")


def test_old_torch_files_are_not_run(tmp_path):
    import torch

    torch.save({"prompt": torch.ones(2, 3)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "2 vectors of width 3" in run("inspect", tmp_path / "old.pt").output
    torch.save(
        {"prompt": torch.ones(2, 3), "bomb": Bomb()},
        tmp_path / "old.pt",
        _use_new_zipfile_serialization=False,
    )
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


@pytest.mark.parametrize(
    "name", ["../outside.npy", "/etc/outside.npy", "a/../../outside.npy", "..\\outside.npy", "C:/outside.npy"]
)
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
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("prompt.npy", "w", force_zip64=True) as member,
    ):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (2**18, 2**9)}
        )
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
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
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
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (250_112, 4096)}
        )
        file.truncate(file.tell() + 250_112 * 4096 * 4)
    refused(tmp_path / "table.npy", "is this a whole model?")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("format", foreign.WRITERS)
def test_numbers_that_are_none(value, format, tmp_path):
    vectors = VECTORS.copy()
    vectors[2, 3] = value
    said = refused(foreign.WRITERS[format](tmp_path, vectors), "NaN or infinity")
    assert "1 of 6 prompt tokens" in said or "trajectory holds" in said


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


@pytest.mark.parametrize(
    "content", [b"[1]", b"3", b'"text"', b"null", b"{", b"\xff", b"[" * 100_000, b"{" + b'"a":{' * 50_000]
)
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


# what readers cannot foresee, sizes that nothing stands behind


def recorded(folder: Path) -> Path:
    """A prompt with our own record and trajectory."""
    moved = Trajectory(np.stack([0 * VECTORS, VECTORS]), np.array([0, 10]))
    origin = Origin(
        task="films",
        labels=("bad", "good"),
        seed=3,
        step=10,
        history=(Evaluation(0, None, 0.5), Evaluation(10, 0.4, 0.8)),
    )
    return SoftPrompt(VECTORS, "recorded", origin, moved).save(folder / "recorded")


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
        MemoryError,
        NotImplementedError,
        ZeroDivisionError,
    ],
)
def test_whatever_a_reader_raises_is_the_error_of_that_file(error, tmp_path, monkeypatch):
    foreign.npy(tmp_path, VECTORS)
    foreign.safetensors(tmp_path, VECTORS)

    def fail(*_: object) -> None:
        raise error("one\ntwo")

    failing = [replace(form, read=fail) if form.name == "npy" else form for form in formats.FORMATS]
    monkeypatch.setattr(formats, "FORMATS", tuple(failing))
    found = dict(find_prompts(tmp_path))
    assert "\n" not in str(found[tmp_path / "prompt.npy"])
    assert isinstance(found[tmp_path / "prompt.npy"], PromptError)
    assert isinstance(found[tmp_path / "prompt.safetensors"], SoftPrompt)


@pytest.mark.parametrize("error", [OSError, ValueError, RecursionError])
def test_whatever_looking_at_a_file_raises_is_the_error_of_that_file(error, tmp_path, monkeypatch):
    foreign.npy(tmp_path, VECTORS)
    foreign.safetensors(tmp_path, VECTORS)

    def look(path: Path) -> bool:
        if path.suffix == ".npy":
            raise error("odd")
        return False

    monkeypatch.setattr(formats, "FORMATS", (replace(formats.FORMATS[0], recognizes=look), *formats.FORMATS))
    found = dict(find_prompts(tmp_path))
    assert isinstance(found[tmp_path / "prompt.npy"], PromptError)
    assert isinstance(found[tmp_path / "prompt.safetensors"], SoftPrompt)


NPY_HEADERS = {
    "a boolean extent": {"shape": (True, 384)},
    "zero times huge": {"shape": (0, 2**62)},
    "zero times beyond 64 bits": {"shape": (2**70, 0)},
    "many dimensions": {"shape": (1,) * 65},
    "values of no size": {"descr": "|V0", "shape": (2**30, 2**30)},
    "an unknown type": {"descr": "<q9", "shape": (6, 16)},
    "arrays as values": {"descr": ("<f4", (16,)), "shape": (6,)},
    "a shape of words": {"shape": ("6", "16")},
    "a shape that is a number": {"shape": 96},
    "no shape": {"shape": None},
    "fractions": {"shape": (6.0, 16.0)},
    "a type of named fields": {"descr": [("a", "<f4")], "shape": (6, 16)},
}


@pytest.mark.parametrize("kind", NPY_HEADERS)
def test_headers_of_numpy_files(kind, tmp_path):
    text = repr({"descr": "<f4", "fortran_order": False, "shape": (6, 16)} | NPY_HEADERS[kind]).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    (tmp_path / "odd.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + VECTORS.tobytes()
    )
    refused(tmp_path / "odd.npy")
    (tmp_path / "none.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    refused(tmp_path / "none.npy")


def test_a_header_of_gigabytes_is_not_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("prompt.npy", "w", force_zip64=True) as member,
    ):
        member.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**29))
        for _ in range(256):
            member.write(b" " * 2**20)
    before = forget_peak()
    refused(tmp_path / "bomb.npz", "cannot be read as a NumPy array")
    if before is not None:
        assert peak() - before < 64 * 2**20


@pytest.mark.parametrize(
    ("compress", "megabytes"),
    [(gzip.compress, 150), (lzma.compress, 4), (bz2.compress, 4)],
    ids=["gzip", "xz", "bzip2"],
)
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["pax", "longname"])
def test_headers_in_packed_tar_files_are_bounded(compress, megabytes, kind, tmp_path):
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 2**34
    (tmp_path / "bomb.nemo").write_bytes(
        compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(megabytes * 2**20))
    )
    start = time.monotonic()
    refused(tmp_path / "bomb.nemo")
    assert time.monotonic() - start < LONGEST


def test_tar_and_zip_files_of_very_many_members(tmp_path):
    (tmp_path / "many.nemo").write_bytes(
        gzip.compress(
            b"".join(tarfile.TarInfo(str(number)).tobuf() for number in range(10_001)) + bytes(1024)
        )
    )
    refused(tmp_path / "many.nemo", "more than 10,000 files")
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(26_000):
            archive.writestr(f"{number:0120d}", b"")
    refused(tmp_path / "many.npz", "bytes of names")


def test_a_safetensors_header_is_bounded_before_it_is_parsed(tmp_path):
    (tmp_path / "long.safetensors").write_bytes(struct.pack("<Q", 5 * 2**20) + b"{}" + b" " * (5 * 2**20))
    refused(tmp_path / "long.safetensors", "a header of 5,242,880 bytes; expected at most")


RECORDS = {
    "seed beyond 64 bits": {"seed": 2**70},
    "step beyond 64 bits": {"step": -(2**80)},
    "a setting beyond 64 bits": {"hyperparameters": {"steps": 10**30}},
    "data beyond 64 bits": {"data": {"n": [2**64]}},
    "a loss that is no float": {"history": [{"step": 0, "loss": 10**400}]},
    "history of words": {"history": "none"},
    "labels of numbers": {"labels": [1, 2]},
    "labels in labels": {"labels": [["a"]]},
    "a task that is a list": {"task": ["films"]},
    "settings that are a list": {"hyperparameters": [1]},
    "rows of numbers": {"rows": [1, 2, 3, 4, 5, 6]},
    "too few rows": {"rows": [None]},
    "half a surrogate pair": {"task": "\ud800"},
    "an accuracy in percent": {"history": [{"step": 10, "dev_accuracy": 87.0}]},
    "an accuracy below nothing": {"without_prompt": -0.5},
    "a label twice": {"labels": ["good", "good"]},
    "blank labels": {"labels": ["", " "]},
}


@pytest.mark.parametrize("kind", RECORDS)
def test_records_that_this_project_does_not_write(kind, tmp_path):
    place = recorded(tmp_path)
    record = json.loads((place / "explorer.json").read_text())
    (place / "explorer.json").write_text(json.dumps(record | RECORDS[kind]))
    refused(place)


def test_numbers_that_are_none_are_not_recorded(tmp_path):
    place, odd = recorded(tmp_path), float("nan")
    record = json.loads((place / "explorer.json").read_text())
    history = [
        {"step": 0, "loss": odd, "dev_accuracy": odd},
        {"step": 10, "loss": -float("inf"), "dev_accuracy": 0.8},
    ]
    (place / "explorer.json").write_text(
        json.dumps(
            record | {"history": history, "without_prompt": odd, "hyperparameters": {"rates": [odd, 0.3]}}
        )
    )
    prompt = read_prompt(place)
    assert prompt.origin.history == (Evaluation(0, None, None), Evaluation(10, None, 0.8))
    assert (prompt.origin.without_prompt, prompt.origin.hyperparameters) == (None, {"rates": [None, 0.3]})
    assert "NaN" not in (prompt.save(tmp_path / "copy") / "explorer.json").read_text()


@pytest.mark.parametrize(
    "steps", [np.array([0.5, 1.2], np.float32), np.array([np.nan, 1]), np.array([False, True])]
)
def test_steps_that_are_no_whole_numbers(steps, tmp_path):
    from safetensors.numpy import save_file

    place = recorded(tmp_path)
    save_file({"vectors": np.stack([0 * VECTORS, VECTORS]), "steps": steps}, place / "trajectory.safetensors")
    refused(place, f"steps of type {steps.dtype}; expected whole numbers")


@pytest.mark.parametrize("name", ["explorer.json", "adapter_config.json"])
def test_a_byte_order_mark_is_no_damage(name, tmp_path):
    place = recorded(tmp_path)
    (place / name).write_bytes(b"\xef\xbb\xbf" + (place / name).read_bytes())
    assert read_prompt(place).origin.task == "films"


@pytest.mark.parametrize("format", ["google", "peft", "multitask", "trainer"])
def test_keys_of_very_many_digits(format, tmp_path):
    if format == "google":
        place = foreign.google(tmp_path, VECTORS)
    elif format == "multitask":
        parts = {
            "prefix_task_cols": np.ones((2, 12, 1), np.float32),
            "prefix_task_rows": np.ones((2, 1, 16), np.float32),
        }
        place = foreign.peft(tmp_path, VECTORS, kind="MULTITASK_PROMPT_TUNING", **parts)
    else:
        place = foreign.peft(tmp_path, VECTORS)
    if format == "trainer":
        (tmp_path / "run").mkdir()
        place = place.rename(tmp_path / "run" / "checkpoint-5").parent
    said = refused(Path(f"{place}#{'9' * 5000}"))
    assert len(said) < 500
    assert "the file is damaged" not in said


@pytest.mark.parametrize("kind", ["a\nb\x1b[31m", ["a\n"], "x" * 100_000])
@pytest.mark.parametrize("field", ["peft_type", "num_virtual_tokens"])
def test_what_a_message_repeats_of_a_file_keeps_to_one_short_line(field, kind, tmp_path):
    place = recorded(tmp_path)
    config = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps(config | {field: kind}))
    with pytest.raises(PromptError) as caught:
        read_prompt(place)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_names_of_arrays_keep_to_one_short_line(tmp_path):
    from safetensors.numpy import save_file

    save_file({"prompt\n\x1b[31m": VECTORS, "x" * 100_000: VECTORS}, tmp_path / "odd.safetensors")
    with pytest.raises(PromptError, match=r"found prompt\\n") as caught:
        read_prompt(tmp_path / "odd.safetensors")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("name", ["odd.pt", "odd.safetensors", "adapter_model.bin"])
def test_quantized_vectors_are_refused_by_name(dtype, name, tmp_path):
    import torch
    from safetensors.torch import save_file

    odd = torch.tensor(VECTORS).to(getattr(torch, dtype))
    place = tmp_path / name
    if name == "adapter_model.bin":
        place = foreign.peft(tmp_path, VECTORS, name) / name
    if name == "odd.safetensors":
        save_file({"prompt_embeddings": odd}, place)
    else:
        torch.save({"prompt_embeddings": odd}, place)
    refused(place, "which are quantized; expected float32, float16 or bfloat16: save it as one of these")


@pytest.mark.parametrize(
    "name", ["__MACOSX/._prompt.npy", "._prompt.npy", "inside/._prompt.npy", ".DS_Store"]
)
def test_what_macos_puts_into_a_zip_is_passed_over(name, tmp_path):
    np.savez(tmp_path / "prompt.npz", prompt=VECTORS)
    with zipfile.ZipFile(tmp_path / "prompt.npz", "a") as archive:
        archive.writestr(name, b"\0\5\x16\7")
    np.testing.assert_array_equal(read_prompt(tmp_path / "prompt.npz").vectors, VECTORS)


@pytest.mark.parametrize("levels", [65, 500, 5_000, 100_000])
@pytest.mark.parametrize("name", ["explorer.json", "adapter_config.json"])
def test_objects_in_objects_in_objects(name, levels, tmp_path):
    place = recorded(tmp_path)
    content = (place / name).read_text().rstrip()[:-1]
    (place / name).write_text(f'{content}, "data": {{"a": {"[" * levels}{"]" * levels}}}}}')
    refused(place, "cannot be read as JSON")


def torch_contents() -> dict[str, object]:
    """What torch can save and what is no prompt."""
    import torch

    shared: dict[str, object] = {"x": 1}
    for _ in range(8):
        shared = {f"{number}": shared for number in range(1_000)}
    deep: dict[str, object] = {"prompt": torch.ones(2, 3)}
    for _ in range(50):
        deep = {"a": deep}
    return {
        "dictionaries that share dictionaries": shared,
        "a nested tensor": {"prompt": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])},
        "a sparse tensor": {"prompt": torch.eye(3).to_sparse()},
        "complex numbers": {"prompt": torch.ones(2, 3, dtype=torch.complex64)},
        "a conjugated view": {"prompt": torch.ones(2, 3, dtype=torch.complex64).conj()},
        "numbers without a type": {"prompt": torch.ones(2, 3, dtype=torch.bool)},
        "a tensor on no device": {"prompt": torch.empty(2, 3, device="meta")},
        "dictionaries too deep": deep,
        "a number": 3,
        "nothing": None,
        "a list of tensors": [torch.ones(2, 3)],
        "keys that are numbers": {1: torch.ones(2, 3)},
        "very many tensors": dict.fromkeys(map(str, range(10_001)), torch.ones(1)),
    }


@pytest.mark.parametrize("kind", range(13))
def test_contents_of_torch_files(kind, tmp_path):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested and sparse tensors are said to be new
        name, content = list(torch_contents().items())[kind]
        torch.save(content, tmp_path / "odd.pt")
    start = time.monotonic()
    refused(tmp_path / "odd.pt")
    assert time.monotonic() - start < LONGEST, name


def test_a_negated_view_is_read(tmp_path):
    import torch

    negated = torch.tensor(VECTORS + 1j * VECTORS).conj().imag
    assert negated.is_neg()
    torch.save({"prompt": negated}, tmp_path / "negated.pt")
    np.testing.assert_array_equal(read_prompt(tmp_path / "negated.pt").vectors, -VECTORS)


def test_tuples_that_share_tuples_are_not_hashed(tmp_path):
    import torch

    torch.save({"prompt": torch.ones(2, 3)}, tmp_path / "plain.pt")
    nested = (
        b"(" + b"t" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    )  # each holds the one before it twice
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "tuples.pt", "w") as evil,
    ):
        for info in plain.infolist():
            evil.writestr(
                info.filename,
                b"\x80\x02}" + nested + b"K\x01s."
                if info.filename.endswith("data.pkl")
                else plain.read(info),
            )
    refused(tmp_path / "tuples.pt", "tuples in tuples")


@pytest.mark.parametrize(
    "body", [b"](" + b"N" * (4 * 2**20 - 20) + b"e", b"N" + b"2" * (4 * 2**20 - 20), b"N" + b"q\0h\0" * 2**19]
)
def test_pickles_of_very_many_steps_are_refused_soon(body, tmp_path):
    import torch

    torch.save({"prompt": torch.ones(2, 3)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "steps.pt", "w") as evil:
        for info in plain.infolist():
            evil.writestr(
                info.filename,
                b"\x80\x02" + body + b"." if info.filename.endswith("data.pkl") else plain.read(info),
            )
    refused(tmp_path / "steps.pt", "a pickle of more than 500,000 steps")


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.npy",
        ("字" * 83 + ".npy").encode(),
        b"a" * 251 + b".npy",
        b"<img src=x>.npy",
        b"line\nbreak.npy",
        "\u202egnp.npy".encode(),
    ],
)
def test_names_of_files(name, tmp_path):
    np.save(tmp_path / "prompt.npy", VECTORS)
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    (tmp_path / "prompt.npy").rename(place)
    ((_, prompt),) = find_prompts(tmp_path)
    assert isinstance(prompt, SoftPrompt)
    prompt.name.encode()
    saved = prompt.save(tmp_path / "copy" / place.name)
    assert read_prompt(saved).length == 6


def test_the_folder_above(tmp_path, monkeypatch):
    place = foreign.peft(tmp_path, VECTORS)
    (place / "inside").mkdir()
    monkeypatch.chdir(place / "inside")
    assert read_prompt("..").name == place.name
    ((_, found),) = find_prompts("..")
    assert isinstance(found, SoftPrompt)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_a_folder_that_may_not_be_looked_into(tmp_path):
    foreign.npy(tmp_path, VECTORS)
    (tmp_path / "closed").mkdir(mode=0)
    assert len(list(find_prompts(tmp_path))) == 1


# anything else


def one_file(path: Path, number: int) -> Path:
    """One of the files of a checkpoint."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return files[number % len(files)]


edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "overwrite", "repeat", "zero"]),
        st.floats(0, 1),
        st.one_of(
            st.binary(min_size=1, max_size=12),
            st.sampled_from(
                [b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"99999999", b"\x90" * 64]
            ),
        ),
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


@pytest.mark.slow
@pytest.mark.parametrize("format", [*foreign.WRITERS, "t5x-zarr", "peft-bin", "explorer"])
@settings(
    max_examples=FUZZ,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(number=st.integers(0, 9), changes=edits)
def test_mutated_files_are_read_or_refused(format, number, changes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutated")
    if format == "t5x-zarr":
        path = foreign.t5x(folder, VECTORS, (4, 10))
    elif format == "peft-bin":
        path = foreign.peft(folder, VECTORS, "adapter_model.bin")
    elif format == "explorer":
        path = recorded(folder)
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


OPENINGS = [
    b"",
    b"\x93NUMPY\x01\x00",
    b"PK\x03\x04",
    b"\x80\x04",
    b"\x10\0\0\0\0\0\0\0{",
    b"\x1f\x8b\x08",
    b"GGUF",
]


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.binary(max_size=300), opening=st.sampled_from(OPENINGS))
def test_random_bytes_are_refused(content, opening, tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / "file"
    path.write_bytes(opening + content)
    with pytest.raises(PromptError) as caught:
        read_prompt(path)
    assert "\n" not in str(caught.value)
