"""What generation costs beside transformers' own ways, side by side in one run.

    python -m benchmarks.generation --model demo --beauty ../shared/data/amazon_beauty
    python -m benchmarks.generation --model small --users 32
    python -m benchmarks.generation --scale 10000 100000 1000000

Each part does the same work twice with the same random checkpoint, says how many of the results
are the same (all of them, unless `--precision` asks for less), and divides users per second. Times
are of the processor, summed over threads: where a machine is shared, theirs is the ratio to trust.

  items   top 20, three tokens an item: ours, against `generate` with 20 beams and
          `prefix_allowed_tokens_fn`, batched. Same normalisation (the whole vocabulary).
  lists   top 20, one token an item, histories of Amazon Beauty's lengths (or drawn ones like
          them): ours, against a padded batch forward and `topk` in batches of 256 by position,
          once with the logits of every position and once with those of the last alone.
  texts   24 tokens after prompts of 64: ours, against `generate` in batches of 32.

The share of the ceiling is the model's own matrix products, 2 operations a weight and token read
or written, over what one matrix product of the model's width reaches in the same run. Prints a
line per step and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.generation_scale import scale
from pipeline.engine.beam_search import Normalise
from pipeline.engine.exclusions import Integers, exclusions, no_exclusions
from pipeline.engine.precision import Precision
from pipeline.engine.ranker import Ranker
from pipeline.engine.text_writer import TextWriter
from pipeline.model.list_methods import BASELINES
from pipeline.model.prompt import Prompt
from pipeline.model.vocabulary import Vocabulary, build_vocabulary

K = 20
NEW_TOKENS = 24
TEXT_PROMPT = 64
ITEM_TOKENS = 3
CODES = 256
MODELS = {
    # layers, heads, width, text tokens
    "demo": (2, 2, 64, 4000),
    "small": (12, 12, 768, 50257),
}
PARTS = ("items", "lists", "texts")


def random_model(name: str, n_items: int, seed: int) -> tuple[GPT2LMHeadModel, Integers]:
    """A checkpoint of the model's size; its ids are text, then items (or their codes)."""
    n_layer, n_head, n_embd, n_text = MODELS[name]
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=n_text + n_items,
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=256,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weights in model.transformer.wte.parameters():
            weights.mul_(4)  # so that scores differ by more than rounding
    return model, np.arange(n_text, n_text + n_items, dtype=np.int64)


def cost(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, and what it gave."""
    with torch.inference_mode():
        start = time.process_time()
        result = work()
        return time.process_time() - start, result


def ceiling(width: int) -> float:
    """Operations per processor second of one large matrix product."""
    left, right = torch.randn(2048, width), torch.randn(width, 4 * width)
    seconds = min(cost(lambda: left @ right)[0] for _ in range(20))
    return 2 * 2048 * width * 4 * width / max(seconds, 1e-9)


def block_weights(model: GPT2LMHeadModel) -> int:
    """Weights that every token is multiplied by, the vocabulary's not among them."""
    return 12 * int(model.config.n_layer) * int(model.config.n_embd) ** 2


def beauty_lengths(folder: Path | None, n_users: int, rng: np.random.Generator) -> Integers:
    """How long histories are, at most 50: the real ones, or drawn like them."""
    if folder is None:
        drawn: Integers = np.minimum(4 + rng.geometric(0.2, n_users), 50).astype(np.int64)
        return drawn
    with (folder / "interactions.csv").open(encoding="utf-8") as file:
        counts = Counter(row["user_id"] for row in csv.DictReader(file))
    lengths = np.array(list(counts.values()), dtype=np.int64)
    real: Integers = np.minimum(rng.permutation(lengths)[:n_users], 50).astype(np.int64)
    return real


def random_prompts(rng: np.random.Generator, lengths: Integers, ids: Integers) -> list[Prompt]:
    """Prompts of tokens among `ids`; types as well."""
    return [Prompt(rng.choice(ids, n).tolist(), rng.choice(ids[:5], n).tolist()) for n in lengths]


def measure_items(
    name: str, n_users: int, batch: int, seed: int, precision: Precision
) -> dict[str, Any]:
    """Three tokens an item."""
    rng = np.random.default_rng(seed)
    model, codes = random_model(name, ITEM_TOKENS * CODES, seed)
    picks = np.unique(rng.integers(0, CODES, (20_000, ITEM_TOKENS)), axis=0)
    tokens_NL = codes[0] + picks + CODES * np.arange(ITEM_TOKENS)
    prompts = random_prompts(rng, rng.integers(48, 65, n_users), codes)
    children: dict[tuple[int, ...], list[int]] = {}
    for item in tokens_NL.tolist():
        for level in range(ITEM_TOKENS):
            known = children.setdefault(tuple(item[:level]), [])
            if not known or known[-1] != item[level]:
                known.append(item[level])
    ranker = Ranker(
        model, tokens_NL, 0, beams=K, normalise=Normalise.VOCABULARY, precision=precision
    )
    nobody = no_exclusions(n_users)
    ranker.rank(prompts[:2], no_exclusions(2), K, 256)
    ours, found = cost(lambda: ranker.rank(list(prompts), nobody, K, 256))
    product = Ranker(model, tokens_NL, 0, beams=K, precision=precision)
    allowed, _ = cost(lambda: product.rank(list(prompts), nobody, K, 256))
    theirs, lists = cost(lambda: _library_items(model, prompts, children, batch))
    ours_lists = [[tuple(tokens_NL[n].tolist()) for n in items] for items in found.items_UK]
    same = sum(a == b for a, b in zip(ours_lists, lists, strict=True))
    tokens = sum(map(len, prompts)) + n_users * K * (ITEM_TOKENS - 1)
    return {
        "users": n_users,
        "items": len(tokens_NL),
        "ours_users_per_s": n_users / ours,
        "product_users_per_s": n_users / allowed,
        "generate_users_per_s": n_users / theirs,
        "times": theirs / ours,
        "same_lists": same / n_users,
        "ceiling_share": 2 * block_weights(model) * tokens / allowed / ceiling(model.config.n_embd),
    }


def _library_items(
    model: GPT2LMHeadModel, prompts: list[Prompt], children: dict[Any, list[int]], batch: int
) -> list[list[tuple[int, ...]]]:
    lists: list[list[tuple[int, ...]]] = []
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        width = max(map(len, some))
        made = model.generate(
            **_left_padded(some, width),
            num_beams=K,
            num_return_sequences=K,
            max_new_tokens=ITEM_TOKENS,
            length_penalty=0.0,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            prefix_allowed_tokens_fn=lambda _, sent, width=width: children.get(
                tuple(sent[width:].tolist()), [0]
            ),
        )
        rows = [tuple(row) for row in made[:, width:].tolist()]
        lists += [rows[n : n + K] for n in range(0, len(rows), K)]
    return lists


def _left_padded(prompts: list[Prompt], width: int) -> dict[str, torch.Tensor]:
    def grid(rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor([[0] * (width - len(row)) + row for row in rows])

    return {
        "input_ids": grid([p.token_ids for p in prompts]),
        "token_type_ids": grid([p.type_ids for p in prompts]),
        "attention_mask": grid([[1] * len(p) for p in prompts]),
    }


def measure_lists(
    name: str, n_users: int, beauty: Path | None, seed: int, precision: Precision
) -> dict[str, Any]:
    """One token an item."""
    rng = np.random.default_rng(seed)
    model, items = random_model(name, 12_101, seed)
    lengths = beauty_lengths(beauty, n_users, rng)
    prompts = random_prompts(rng, lengths, items)
    owned_E = np.concatenate([np.array(p.token_ids) - items[0] for p in prompts])
    users_E = np.repeat(np.arange(n_users), lengths)
    excluded = exclusions(users_E, owned_E, n_users)
    ranker = Ranker(model, items, 0, precision=precision)
    ranker.rank(prompts[:2], no_exclusions(2), K, 256)
    ours, found = cost(lambda: ranker.rank(list(prompts), excluded, K, 256))
    every, lists = cost(lambda: _library_lists(model, prompts, items, every_position=True))
    last, _ = cost(lambda: _library_lists(model, prompts, items, every_position=False))
    return {
        "users": n_users,
        "mean_length": float(lengths.mean()),
        "ours_users_per_s": n_users / ours,
        "forward_users_per_s": n_users / every,
        "forward_last_logits_users_per_s": n_users / last,
        "times": every / ours,
        "times_last_logits": last / ours,
        "same_lists": float((found.items_UK == lists).all(axis=1).mean()),
        "ceiling_share": (
            2
            * (
                block_weights(model) * int(lengths.sum())
                + n_users * len(items) * model.config.n_embd
            )
            / ours
            / ceiling(model.config.n_embd)
        ),
    }


def _library_lists(
    model: GPT2LMHeadModel, prompts: list[Prompt], items: Integers, *, every_position: bool
) -> Integers:
    """A padded forward and topk, in batches as users come."""
    lists = []
    batch = 256 if model.config.n_embd < 256 else 32
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        padded = _left_padded(some, max(map(len, some)))
        places = (padded["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        keep = 0 if every_position else 1
        logits_BV = model(**padded, position_ids=places, logits_to_keep=keep).logits[:, -1]
        logits_BV = logits_BV[:, items[0] :]
        for row, prompt in enumerate(some):
            logits_BV[row, np.array(prompt.token_ids) - items[0]] = -torch.inf
        lists.append(logits_BV.topk(K, dim=1).indices.numpy())
    return np.concatenate(lists)


def measure_texts(name: str, n_users: int, seed: int, precision: Precision) -> dict[str, Any]:
    """24 tokens a text."""
    rng = np.random.default_rng(seed)
    vocabulary = build_vocabulary([], [], [], text_vocab_size=256)
    # The control tokens are the ids after the text; `end` is never likely with random weights.
    model, _ = random_model(name, vocabulary.size, seed)
    n_text = MODELS[name][3]
    wide = Vocabulary(vocabulary.tokenizer, (), (), n_text)
    prompts = random_prompts(rng, np.full(n_users, TEXT_PROMPT), np.arange(n_text))
    with torch.no_grad():
        model.transformer.wte.weight[n_text:] *= 0.0  # nothing but text is ever the likeliest
    text_writer = TextWriter(model, wide, precision)
    text_writer.write(prompts[:2], 2, 2)
    ours, texts = cost(lambda: text_writer.write(prompts, NEW_TOKENS, 128))
    theirs, library = cost(lambda: _library_texts(model, prompts))
    same = sum(a == b for a, b in zip(texts, library, strict=True))
    tokens = n_users * (TEXT_PROMPT + NEW_TOKENS - 1)
    work = block_weights(model) * tokens + n_users * NEW_TOKENS * n_text * model.config.n_embd
    return {
        "users": n_users,
        "ours_users_per_s": n_users / ours,
        "generate_users_per_s": n_users / theirs,
        "times": theirs / ours,
        "same_texts": same / n_users,
        "ceiling_share": 2 * work / ours / ceiling(model.config.n_embd),
    }


def _library_texts(model: GPT2LMHeadModel, prompts: list[Prompt]) -> list[list[int]]:
    texts: list[list[int]] = []
    for start in range(0, len(prompts), 32):
        some = prompts[start : start + 32]
        made = model.generate(
            **_left_padded(some, TEXT_PROMPT),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        texts += made[:, TEXT_PROMPT:].tolist()
    return texts


def main(argv: list[str] | None = None) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=MODELS, default="demo", help="whose size")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--users", type=int, default=256, help="users a part")
    parser.add_argument("--batch", type=int, default=16, help="users a batch of beam search")
    parser.add_argument(
        "--precision", choices=[*Precision], default=Precision.FLOAT32, help="of ours"
    )
    parser.add_argument("--beauty", type=Path, help="folder of Amazon Beauty's interactions.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20260301)
    parser.add_argument(
        "--scale",
        type=int,
        nargs="+",
        metavar="USERS",
        help="whole nights of so many users instead",
    )
    parser.add_argument("--repeat", action="store_true", help="with --scale: the night after one")
    parser.add_argument(
        "--fallback", choices=BASELINES, help="with --scale: no model, this instead"
    )
    chosen = parser.parse_args(argv)
    if chosen.scale:
        print(json.dumps(scale(chosen.scale, repeat=chosen.repeat, fallback=chosen.fallback)))
        return 0
    torch.set_num_threads(chosen.threads)
    precision = Precision(chosen.precision)
    measure = {
        "items": lambda: measure_items(
            chosen.model, chosen.users, chosen.batch, chosen.seed, precision
        ),
        "lists": lambda: measure_lists(
            chosen.model, chosen.users, chosen.beauty, chosen.seed, precision
        ),
        "texts": lambda: measure_texts(chosen.model, chosen.users, chosen.seed, precision),
    }
    figures: dict[str, Any] = {"model": chosen.model, "threads": chosen.threads}
    figures["precision"] = precision.value
    for part in chosen.parts:
        found = measure[part]()
        print(part, *(f"{k} {v:,.3g}" for k, v in found.items()), sep="  ", flush=True)
        figures[part] = {key: round(float(value), 4) for key, value in found.items()}
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
