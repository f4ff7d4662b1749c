"""A trained model on disk: a plain Hugging Face directory that transformers alone can load.

Writes `config.json`, `generation_config.json`, `model.safetensors`, the vocabulary's files and
`nightcart.json` (the model version); and, where there is one, the prior that is added to the
model's scores (`pipeline.model.prior`), which transformers does not read. The version is
`<run_date>-<first 8 hex digits of the weights' SHA-256>`, so that equal weights of one night have
equal versions and a damaged file is noticed. Only safetensors are read, which cannot execute code.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import GPT2Config, GPT2LMHeadModel

from pipeline.errors import InputError
from pipeline.intact import FaultError, check_contents, file_sha256, read_sealed_json
from pipeline.lake import MANIFEST
from pipeline.model.prior import Prior, load_prior
from pipeline.model.vocabulary import ITEMS_FILE, TOKENIZER_FILE, Vocabulary, load_vocabulary

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
VERSION_FILE = "nightcart.json"


@dataclass(frozen=True)
class Checkpoint:
    """A model, its vocabulary, its version, and the prior that is added to its scores."""

    model: GPT2LMHeadModel
    vocabulary: Vocabulary
    model_version: str
    prior: Prior | None = None


def save_checkpoint(
    directory: Path,
    model: GPT2LMHeadModel,
    vocabulary: Vocabulary,
    run_date: dt.date,
    prior: Prior | None = None,
) -> Checkpoint:
    """Fill an existing directory; the caller commits it (see `pipeline.lake`)."""
    config = model.generation_config
    assert config is not None  # every GPT2LMHeadModel has one
    config.eos_token_id = config.bos_token_id = vocabulary.control["end"]
    # Only the generation config has the pad token: in the model's config it would make every
    # forward pass look for padding and warn of a missing mask, which right padding does not need.
    config.pad_token_id = vocabulary.control["pad"]
    model.save_pretrained(directory, max_shard_size="1000GB")
    vocabulary.save(directory)
    if prior is not None:
        prior.save(directory)
    version = f"{run_date.isoformat()}-{file_sha256(directory / WEIGHTS_FILE)[:8]}"
    text = json.dumps({"model_version": version}, indent=1)
    (directory / VERSION_FILE).write_text(text + "\n", encoding="utf-8")
    return Checkpoint(model, vocabulary, version, prior)


def load_checkpoint(directory: Path) -> Checkpoint:
    """Load a model for reading: evaluation mode, CPU, float32.

    Raises:
        InputError: a file is missing, damaged, or of another model; the message names it.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, ITEMS_FILE, VERSION_FILE):
        if not (directory / name).is_file():
            raise InputError(
                f"the model in {directory} lacks {name}; it was not saved whole. "
                "Run fine_tune for this date again"
            )
    _check_contents(directory)
    version = str(_read_json(directory / VERSION_FILE).get("model_version", ""))
    found = file_sha256(directory / WEIGHTS_FILE)[:8]
    if not version.endswith(f"-{found}"):
        raise InputError(
            f"{directory / WEIGHTS_FILE} is damaged: its SHA-256 starts with {found}, "
            f"{VERSION_FILE} says {version!r}. Run fine_tune for this date again"
        )
    vocabulary = load_vocabulary(directory)
    if not vocabulary.item_ids:
        raise InputError(
            f"the model in {directory} knows no item ({ITEMS_FILE} is empty), so it can recommend "
            "nothing. Run fine_tune for this date again"
        )
    try:
        model = GPT2LMHeadModel.from_pretrained(
            directory, use_safetensors=True, local_files_only=True
        )
    except Exception as error:  # safetensors and transformers raise many kinds for a bad file
        raise InputError(
            f"the model in {directory} cannot be loaded ({CONFIG_FILE}, {WEIGHTS_FILE}): {error}"
        ) from None
    if model.config.vocab_size != vocabulary.size:
        raise InputError(
            f"{directory}: {CONFIG_FILE} has vocab_size {model.config.vocab_size}, the vocabulary "
            f"{vocabulary.size} tokens; they are of different models. Run fine_tune again"
        )
    model.eval()
    return Checkpoint(model, vocabulary, version, load_prior(directory, len(vocabulary.item_ids)))


def _check_contents(directory: Path) -> None:
    """Compare every file with the manifest, where there is one: a model need not be of a lake."""
    manifest = directory / MANIFEST
    if not manifest.exists():
        return
    try:
        check_contents(directory, read_sealed_json(manifest)["files"])
    except FaultError as fault:
        raise InputError(
            f"the model in {directory} cannot be used: {fault}. Run fine_tune for this date again"
        ) from None


def read_version(directory: Path) -> str | None:
    """The version of the model in a directory, without loading it; none where there is none."""
    try:
        version = _read_json(directory / VERSION_FILE).get("model_version")
    except InputError:
        return None
    return str(version) if version else None


def small_config(
    vocabulary: Vocabulary,
    *,
    n_layer: int,
    n_head: int,
    n_embd: int,
    n_positions: int,
    dropout: float,
) -> GPT2Config:
    """The configuration of a small GPT-2 without a base model."""
    end = vocabulary.control["end"]
    return GPT2Config(
        vocab_size=vocabulary.size,
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=n_positions,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=end,
        eos_token_id=end,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object")
    return value
