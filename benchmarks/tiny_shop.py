"""Settings of a shop so small that a night of it is hardly more than starting its processes."""

from __future__ import annotations

# `[training]` is last: who needs more of it writes on.
TINY = """\
[histories]
max_events = 20
[model]
n_layer = 1
n_head = 1
n_embd = 16
n_positions = 64
text_vocab_size = 300
[generation]
k = 3
shards = 2
[training]
max_epochs = 1
text_epochs = 0
min_users = 5
min_target_events = 2
"""
