"""Seals the executables that XLA compiled during an epoch."""

from trainer.compile_cache import CompileCache
from trainer.training.observers.observer import EpochMetrics, Observer


class CompileCacheSealer(Observer):
    """Seals the compile cache's new executables after each epoch."""

    def __init__(self, cache: CompileCache) -> None:
        """Initializes the observer.

        Args:
            cache: the cache that this process uses.
        """
        self._cache = cache

    def finish_epoch(self, metrics: EpochMetrics) -> None:
        """Writes the digests of new executables."""
        self._cache.seal()
