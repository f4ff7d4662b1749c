"""A pretrained GPT-2 as its directory looks on the hub, a few kilobytes big."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast


def save_tiny_base(directory: Path, n_embd: int) -> Path:
    """Three layers, 128 positions, a tokenizer with GPT-2's `<|endoftext|>`."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a quiet kettle that boils"] * 4, trainer=trainer)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(
        directory
    )
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_layer=3, n_head=2, n_embd=n_embd, n_positions=128
    )
    GPT2LMHeadModel(config).save_pretrained(directory)
    return directory
