"""A pretrained GPT-2 to start from: a directory, or a name that a hub knows.

Guarantees: weights are float32, whatever they are stored in, because a step in half precision
loses what it learns; only safetensors are read, and only a tokenizer without code. What is wrong
is named: the directory, the file or the hub. A name is looked for in the local cache first; a hub
that cannot be reached is said within `SECONDS_TO_REACH`, not after the client's own tries.
"""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants, snapshot_download
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2LMHeadModel

from pipeline.errors import SettingsError
from pipeline.settings import BASE_MODEL_IS_PATH

SECONDS_TO_REACH = 5.0
_TOKENIZER_FILES = "tokenizer.json, or vocab.json and merges.txt"


@dataclass(frozen=True)
class BaseModel:
    """A pretrained GPT-2 and its tokenizer."""

    model: GPT2LMHeadModel
    tokenizer: Tokenizer


def load_base_model(name: str) -> BaseModel:
    """A base model in float32.

    Raises:
        SettingsError: it is missing, incomplete, broken or not a GPT-2, or the hub cannot be
            reached.
    """
    directory = Path(name)
    is_directory = name.startswith(BASE_MODEL_IS_PATH) or directory.is_dir()
    if is_directory:
        _refuse_incomplete(name, directory)
    local = is_directory or _is_cached(name)
    if not local:
        _refuse_unreachable_hub(name)
    try:
        model, loading = GPT2LMHeadModel.from_pretrained(
            name,
            use_safetensors=True,
            dtype=torch.float32,
            local_files_only=local,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises many kinds for a wrong name or a bad file
        raise _fault(
            name, f"its weights cannot be loaded as a GPT-2 with safetensors: {_line(error)}"
        ) from None
    if model.config.model_type != "gpt2":
        raise _fault(name, f"it is a {model.config.model_type}, not a GPT-2")
    _refuse_broken_weights(name, model, loading)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local).backend_tokenizer
    except Exception as error:  # as above
        raise _fault(
            name, f"its tokenizer ({_TOKENIZER_FILES}) cannot be loaded: {_line(error)}"
        ) from None
    return BaseModel(model, tokenizer)


def refuse_missing_base_model(name: str) -> None:
    """What can be told of a base model without loading it: for the start of a night.

    Raises:
        SettingsError: a directory that is missing or incomplete.
    """
    if name and (name.startswith(BASE_MODEL_IS_PATH) or Path(name).is_dir()):
        _refuse_incomplete(name, Path(name))


def _refuse_incomplete(name: str, directory: Path) -> None:
    if not directory.is_dir():
        raise _fault(name, "there is no such directory")
    has = {path.name for path in directory.iterdir()}
    if "config.json" not in has:
        raise _fault(
            name, "config.json is missing; expected a directory that save_pretrained wrote"
        )
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        other = sorted(n for n in has if n.endswith((".bin", ".h5", ".ckpt", ".gguf")))
        found = (
            f" (found {', '.join(other)}; save it with safe_serialization=True)" if other else ""
        )
        raise _fault(name, f"it has no weights in *.safetensors{found}")
    if "tokenizer.json" not in has and not {"vocab.json", "merges.txt"} <= has:
        raise _fault(name, f"it has no tokenizer files: expected {_TOKENIZER_FILES}")
    for path in weights:
        try:
            with safe_open(path, framework="pt") as file:
                file.keys()
        except (SafetensorError, OSError) as error:
            raise _fault(
                name, f"{path.name} is cut off or damaged ({_line(error)}); copy it again"
            ) from None


def _refuse_broken_weights(name: str, model: GPT2LMHeadModel, loading: dict[str, Any]) -> None:
    missing = sorted(set(loading["missing_keys"]) - {"lm_head.weight"})
    if missing:
        raise _fault(
            name,
            f"{len(missing)} of its tensors are missing, such as {missing[0]}: they would be random",
        )
    if loading.get("mismatched_keys"):
        raise _fault(name, "its tensors have other shapes than config.json says")
    for key, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise _fault(name, f"{key} has values that are no finite numbers")


def _is_cached(name: str) -> bool:
    """Whether all of it is: a download that broke off leaves a part, which the hub completes."""
    try:
        directory = Path(snapshot_download(name, local_files_only=True))
        _refuse_incomplete(name, directory)
        index = directory / "model.safetensors.index.json"
        if index.exists():
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return all((directory / shard).exists() for shard in shards)
    except Exception:  # whatever is wrong with it: then the hub is asked
        return False
    return True


def _refuse_unreachable_hub(name: str) -> None:
    """Ask for a connection, as the client would make it: to the proxy, where there is one."""
    give = "give a directory (./my-gpt2), or load the model into the local cache first"
    if constants.HF_HUB_OFFLINE:
        raise _fault(name, f"it is not in the local cache, and HF_HUB_OFFLINE is set; {give}")
    hub = urlsplit(constants.ENDPOINT)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(hub.scheme) or proxies.get("all")
    through = hub
    if proxy and not urllib.request.proxy_bypass(hub.hostname or ""):
        through = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    port = through.port or (443 if through.scheme == "https" else 80)
    why = _unreachable(through.hostname or "", port)
    if why:
        raise _fault(
            name,
            f"it is not in the local cache, and the hub {hub.hostname} cannot be reached: {why}; "
            f"{give}",
        )


def _unreachable(host: str, port: int) -> str | None:
    """Why nothing answers there. In a thread: looking up a name has no time limit of its own."""
    found: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=SECONDS_TO_REACH).close()
            found.append(None)
        except OSError as error:
            found.append(error.strerror or _line(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_REACH)
    return found[0] if found else f"no answer within {SECONDS_TO_REACH:.0f} s"


def _fault(name: str, what: str) -> SettingsError:
    return SettingsError(f"model.base_model {name!r}: {what}")


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
