"""One model in PyTorch's training on random images, as `training` is in this engine's."""

import time

import torch

from benchmarks import torch_networks
from benchmarks.random_images import random_images


class Training:
    """A network, its optimizer and endless batches from memory, on the processor."""

    def __init__(
        self,
        name: str,
        images: int,
        batch_size: int,
        *,
        compiled: bool,
        train_backbone: bool | None = None,
    ) -> None:
        """Builds all; nothing is compiled before the first step.

        Args:
            name: of the model.
            images: number of different images.
            batch_size: of each step.
            compiled: whether `torch.compile` compiles the network.
            train_backbone: as for `torch_networks.build`.
        """
        torch.manual_seed(0)
        network = torch_networks.build(name, train_backbone=train_backbone)
        trained = [weight for weight in network.parameters() if weight.requires_grad]
        # As `training.build`: Keras' epsilon, and steps too small to diverge.
        self._optimizer = torch.optim.Adam(trained, lr=1e-5, eps=1e-7)
        self._network = torch.compile(network) if compiled else network
        self._loss = torch.nn.CrossEntropyLoss()
        self._images, self._labels = map(torch.from_numpy, random_images(images))
        self._rows = torch.arange(batch_size)

    def train(self, steps: int) -> float:
        """Takes steps, and keeps count of loss and accuracy; returns images per second."""
        loss, correct = torch.zeros([]), torch.zeros([], dtype=torch.int64)
        started = time.perf_counter()
        for _ in range(steps):
            logits, labels, step_loss = self._step()
            loss += step_loss
            correct += (logits.argmax(1) == labels).sum()
        loss.item(), correct.item()
        return steps * len(self._rows) / (time.perf_counter() - started)

    def _step(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        images, labels = self._images[self._rows], self._labels[self._rows]
        self._rows = (self._rows + len(self._rows)) % len(self._labels)
        self._optimizer.zero_grad()
        logits = self._network(images)
        loss = self._loss(logits, labels)
        loss.backward()
        self._optimizer.step()
        return logits.detach(), labels, loss.detach()
