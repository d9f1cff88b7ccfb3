"""A prompt as the bytes of one file: what other tools open."""

import io

import numpy as np

from explorer.prompt import SoftPrompt


def as_npy(prompt: SoftPrompt) -> bytes:
    """The vectors [P, H] float32 as a `.npy` file, as the paper's code loads prompts to start from."""
    buffer = io.BytesIO()
    np.save(buffer, prompt.vectors, allow_pickle=False)
    return buffer.getvalue()


def as_safetensors(prompt: SoftPrompt) -> bytes:
    """The vectors [P, H] float32 as `prompt_embeddings` in a safetensors file."""
    from safetensors.numpy import save

    return save({"prompt_embeddings": prompt.vectors}, {"written_by": "soft-prompt-explorer"})
