"""Training of one model on random images in PyTorch, the counterpart of `training`."""

import time

import torch

from benchmarks import torch_networks
from benchmarks.random_images import random_images


class Training:
    """A network, its optimizer and infinite batches from memory, on the first GPU or a CPU."""

    def __init__(
        self,
        name: str,
        images: int,
        batch_size: int,
        *,
        compiled: bool,
        precision: str = "float32",
        train_backbone: bool | None = None,
    ) -> None:
        """Builds everything; compiles nothing before the first step.

        Args:
            name: name of the model.
            images: number of distinct images.
            batch_size: images per step.
            compiled: whether to compile the network with `torch.compile`.
            precision: `float32`, or `mixed_bfloat16` by autocast.
            train_backbone: as for `torch_networks.build`.
        """
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True  # Benchmarks the algorithms, like TensorFlow.
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        network = torch_networks.build(name, train_backbone=train_backbone).to(self._device)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        # As in `training.build`: Keras' epsilon, and steps too small to diverge.
        self._optimizer = torch.optim.Adam(trained, lr=1e-5, eps=1e-7)
        self._network = torch.compile(network) if compiled else network
        self._loss = torch.nn.CrossEntropyLoss()
        self._lowers_precision = precision == "mixed_bfloat16"
        self._images, self._labels = map(torch.from_numpy, random_images(images))
        if self._device == "cuda":
            self._images, self._labels = self._images.pin_memory(), self._labels.pin_memory()
        self._batch_size, self._first = batch_size, 0

    def train(self, steps: int) -> float:
        """Runs steps, tracking loss and accuracy; returns images per second."""
        loss = torch.zeros([], device=self._device)
        correct = torch.zeros([], dtype=torch.int64, device=self._device)
        started = time.perf_counter()
        for _ in range(steps):
            logits, labels, step_loss = self._step()
            loss += step_loss
            correct += (logits.argmax(1) == labels).sum()
        loss.item(), correct.item()
        return steps * self._batch_size / (time.perf_counter() - started)

    def _step(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        images, labels = self._next_batch()
        self._optimizer.zero_grad()
        with torch.autocast(self._device, torch.bfloat16, enabled=self._lowers_precision):
            logits = self._network(images)
            loss = self._loss(logits, labels)
        loss.backward()
        self._optimizer.step()
        return logits.detach(), labels, loss.detach()

    def _next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows = slice(self._first, self._first + self._batch_size)
        is_last = rows.stop + self._batch_size > len(self._labels)
        self._first = 0 if is_last else rows.stop
        return tuple(
            column[rows].to(self._device, non_blocking=True)
            for column in (self._images, self._labels)
        )
