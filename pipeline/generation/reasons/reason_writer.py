"""The model's sentence for each first item: written once per item and language, for all its users.

The model is shown the item and phrases that satisfied users praise it with ("low noise"), each of
another aspect, in the user's language, and continues greedily. It does so once for all the phrases,
once for each two neighbours and once for each alone, because it is not known which of them go
together in a sentence. Among the sentences that keep to every rule (`sentence_checks`) the surest
is taken, if it is sure enough. Its least likely token decides, because a sentence that breaks in
the middle breaks at one token.

Words of another language are never used: a sentence that mixes languages is worse than a template.
So reviews of which nobody knows the language (`und`) serve nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import pyarrow as pa

from pipeline.engine.precision import Precision
from pipeline.engine.text_writer import TextWriter
from pipeline.generation.reasons.sentence_checks import brand_words, fault, first_sentence, runs
from pipeline.generation.reasons.voice import Voice
from pipeline.model.checkpoint import Checkpoint
from pipeline.model.prompt import reason_prompt
from pipeline.progress import no_progress

NO_WORDS = "no_words"
ITEM_UNKNOWN = "item_unknown"
UNSURE = "unsure"
# How likely a sentence's least likely token must be (docs/experiments/training.md).
SURE = 0.2

WRITTEN = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("sentence", pa.string()),
        pa.field("fault", pa.string()),
    ]
)

Pair = tuple[str, str]


@dataclass(frozen=True)
class ItemWords:
    """The night's `item_words`, by item and primary language; names and what is never said."""

    words: Mapping[Pair, Sequence[str]]
    brand_of: Mapping[str, str]
    title_of: Mapping[str, str] = field(default_factory=dict)
    aspects: Mapping[Pair, Sequence[str]] = field(default_factory=dict)
    forbidden: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by language

    @cached_property
    def single_words(self) -> frozenset[str]:
        """Each aspect and each phrase of one word, of every item and language."""
        phrases = (phrase for pair in self.words.values() for phrase in pair)
        aspects = (aspect for pair in self.aspects.values() for aspect in pair)
        return frozenset(word for word in (*phrases, *aspects) if " " not in word)

    def unsupported(self, pair: Pair) -> frozenset[str]:
        """Words that reviews use of other items, or in other languages, and not of this item."""
        own = [*self.words.get(pair, ()), *self.aspects.get(pair, ())]
        own_words = [word for phrase in own for word in phrase.split()]
        title = runs(self.title_of.get(pair[0], ""))
        return self.single_words.difference(own, own_words, title)


def word_choices(words: Sequence[str], max_words: int) -> list[list[str]]:
    """Which words are asked for, one prompt each: all of them, neighbours, each alone."""
    shown = list(words[:max_words])
    choices = [shown, *map(list, pairwise(shown)), *([word] for word in shown)]
    return [choice for n, choice in enumerate(choices) if choice and choice not in choices[:n]]


def pairs_of(ranked: pa.Table, voice: Voice) -> set[Pair]:
    """The (first item, language that is written in) pairs of one shard's lists."""
    firsts = (items[0] if items else None for items in ranked.column("item_ids").to_pylist())
    languages = ranked.column("language").to_pylist()
    return {
        (first, written_in)
        for first, language in zip(firsts, languages, strict=True)
        if first is not None and (written_in := voice.language(language)) is not None
    }


def write_reasons(
    checkpoint: Checkpoint,
    pairs: Sequence[Pair],
    item_words: ItemWords,
    *,
    max_prompt_words: int,
    max_new_tokens: int,
    batch_rows: int,
    precision: Precision = Precision.FLOAT32,
    done: Callable[[int], None] = no_progress,
) -> tuple[pa.Table, dict[str, int]]:
    """The model's sentence for each pair, or the rule it broke; and a count of the faults.

    Args:
        pairs: in an order that depends on nothing but the night's inputs.
    """
    faults: dict[Pair, str] = {}
    asked: list[tuple[Pair, list[str]]] = []
    for pair in pairs:
        words = item_words.words.get(pair, ())
        if checkpoint.vocabulary.item_token(pair[0]) is None:
            faults[pair] = ITEM_UNKNOWN
        elif not words:
            faults[pair] = NO_WORDS
        else:
            asked += [(pair, choice) for choice in word_choices(words, max_prompt_words)]
    done(len(faults))
    sentences: dict[Pair, str] = {}
    best: dict[Pair, float] = {}
    text_writer = TextWriter(checkpoint.model, checkpoint.vocabulary, precision)
    for pair, sentence, sure, broken in _attempts(
        text_writer, asked, item_words, max_new_tokens, batch_rows
    ):
        if broken is not None:
            faults.setdefault(pair, broken)
        elif sure > best.get(pair, 0.0):
            best[pair], sentences[pair] = sure, sentence
    faults = {pair: broken for pair, broken in faults.items() if pair not in sentences}
    done(len(pairs) - len(set(pairs) - {pair for pair, _ in asked}))
    table = pa.table(
        [
            pa.array([pair[0] for pair in pairs], pa.string()),
            pa.array([pair[1] for pair in pairs], pa.string()),
            pa.array([sentences.get(pair) for pair in pairs], pa.string()),
            pa.array([faults.get(pair) for pair in pairs], pa.string()),
        ],
        schema=WRITTEN,
    )
    return table, dict(sorted(Counter(faults.values()).items()))


def _attempts(
    text_writer: TextWriter,
    asked: Sequence[tuple[Pair, list[str]]],
    item_words: ItemWords,
    max_new_tokens: int,
    batch_rows: int,
) -> Iterator[tuple[Pair, str, float, str | None]]:
    """Each prompt's sentence, how sure the model is of it, and the rule it breaks."""
    vocabulary = text_writer.vocabulary
    prompts = [reason_prompt(vocabulary, pair[0], words, pair[1]) for pair, words in asked]
    continued = text_writer.write(prompts, max_new_tokens, batch_rows, no_progress)
    brands = brand_words(item_words.brand_of.values())
    found = []
    for (pair, words), token_ids in zip(asked, continued, strict=True):
        sentence = first_sentence(vocabulary.decode_text(token_ids))
        own_brand = item_words.brand_of.get(pair[0], "")
        broken = fault(
            sentence,
            words,
            brands,
            own_brand,
            unsupported=item_words.unsupported(pair),
            forbidden=item_words.forbidden.get(pair[1], ()),
        )
        found.append((sentence, broken))
    whole = [n for n, (_, broken) in enumerate(found) if broken is None]
    sure = dict(
        zip(
            whole,
            text_writer.least_likelihoods(
                [prompts[n] for n in whole], [continued[n] for n in whole], batch_rows
            ),
            strict=True,
        )
    )
    for n, ((pair, _), (sentence, broken)) in enumerate(zip(asked, found, strict=True)):
        unsure = UNSURE if broken is None and sure[n] < SURE else None
        yield pair, sentence, sure.get(n, 0.0), broken or unsure
