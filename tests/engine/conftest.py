"""The tiny shop of `tests.generation_fixtures`, for every test of this room."""

from tests.generation_fixtures import checkpoint, one_thread, shop

__all__ = ["checkpoint", "one_thread", "shop"]
