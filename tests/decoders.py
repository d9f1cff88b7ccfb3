"""Tiny random language models of several families, with a byte-level tokenizer that is trained on a few
sentences.
"""

from pathlib import Path

from tests.conftest import TINY_TEXT

FAMILIES = ("llama", "qwen2", "gemma", "gemma2", "gpt2", "gpt_neox", "opt", "bloom")
BOS, EOS = "<s>", "</s>"


def byte_tokenizer(bos: bool = False, chat: str | None = None):
    """A byte-level BPE tokenizer without a padding piece; bos: whether it puts one before every text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    words = [" negative positive very good bad", *(f" {text}" for text in TINY_TEXT)] * 4
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[AddedToken(BOS, special=True), AddedToken(EOS, special=True)],
        show_progress=False,
    )
    trainer.initial_alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(words, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, 0)]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS)
    made.chat_template = chat
    return made


def decoder_folder(folder: Path, family: str, bos: bool = False, chat: str | None = None, **sizes) -> Path:
    """A random model of a family (H 32, 2 layers) and its tokenizer, as `save_pretrained` writes them. sizes:
    of its configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = byte_tokenizer(bos, chat)
    torch.manual_seed(0)
    common = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    of = {
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
        "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
        "opt": {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 128,
        },
        "gpt_neox": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 128,
        },
    }
    usual = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    config = AutoConfig.for_model(
        family, **{**common, **of.get(family, {**usual, "max_position_embeddings": 128}), **sizes}
    )
    model = AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():  # far from symmetric, so that every part of a prompt matters
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
