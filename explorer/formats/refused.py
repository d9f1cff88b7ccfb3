"""What is often mistaken for a prompt: said by name, with the way out. Nothing is read beyond the first
bytes.
"""

from pathlib import Path

from explorer.formats.stored import starts_with
from explorer.system.bounded import instead

_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_OPENINGS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    (
        _PICKLES,
        "a Python pickle, which is never executed; where you trust it, save its prompt with "
        "numpy.save and open that",
    ),
    ((b"GGUF", b"GGML", b"ggml"), "a quantized language model; expected a soft prompt"),
    ((b"\x89HDF",), "an HDF5 file, which is not read; save its prompt with numpy.save and open that"),
    ((b"\x1f\x8b",), "a gzip file; unpack it and open what is inside"),
    ((b"PK\x03\x04",), "a zip file without a prompt that could be told; unpack it and give the folder"),
)


def describe(path: Path) -> str:
    """What a file is that no reader takes, in words that fit after "found"."""
    try:
        with path.open("rb") as file:
            opening = file.read(512)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror or error})"
    if not opening:
        return "an empty file"
    if (words := instead(opening)) is not None:
        return words
    if opening.lstrip()[:1] in (b"{", b"["):
        return "JSON; prompts kept as JSON (mkultra) are a pickle inside, which is never executed"
    return next(
        (words for openings, words in _OPENINGS if opening.startswith(openings)), "another kind of file"
    )


def is_pickle(path: Path) -> bool:
    """Whether a regular file begins like a Python pickle."""
    return starts_with(path, *_PICKLES)
