"""The four networks of `trainer.models` in PyTorch: same layers, heads, scaling, initialization.

Layers have the order of the Keras layers, so that weights can be copied.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_EPSILON = 1.001e-5
_GROWTH = 32


class Network(nn.Module):
    """A network from gray radiographs to logits, whose backbone may be frozen."""

    def __init__(self, backbone: nn.Module, head: nn.Module, *, train_backbone: bool) -> None:
        """Combines a backbone and a head.

        Args:
            backbone: maps three channels to feature maps.
            head: maps feature maps to logits.
            train_backbone: whether the backbone is trained; if not, it has no gradients and its
                BatchNorm stays in inference mode.
        """
        super().__init__()
        self.backbone, self.head, self._train_backbone = backbone, head, train_backbone
        self.backbone.requires_grad_(train_backbone)

    def train(self, mode: bool = True) -> "Network":
        """Like `nn.Module.train`, except for a frozen backbone."""
        super().train(mode)
        if not self._train_backbone:
            self.backbone.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Computes the logits.

        Args:
            images: `[batch, height, width, 1] uint8`.

        Returns:
            `[batch, num_classes] float32`.
        """
        channels = images.permute(0, 3, 1, 2).float().expand(-1, 3, -1, -1)
        x = channels.contiguous(memory_format=torch.channels_last)
        if self._train_backbone:
            return self.head(self.backbone(x))
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


class _Flatten(nn.Module):
    """Flattens in Keras' order: rows first and channels last, as in memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class _Residual(nn.Module):
    """A block of ResNet v1: the first convolution has the stride, and all have biases."""

    def __init__(self, channels: int, filters: int, stride: int, *, projected: bool) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(
            *_normalised(channels, 4 * filters, 1, stride=stride) if projected else []
        )
        self.residual = nn.Sequential(
            *_normalised(channels, filters, 1, stride=stride),
            nn.ReLU(inplace=True),
            *_normalised(filters, filters, 3, padding=1),
            nn.ReLU(inplace=True),
            *_normalised(filters, 4 * filters, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu_(self.residual(x) + self.shortcut(x))


class _Dense(nn.Module):
    """A layer of a dense block: concatenates its input and new feature maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.added = nn.Sequential(
            *_activated(channels),
            nn.Conv2d(channels, 4 * _GROWTH, 1, bias=False),
            *_activated(4 * _GROWTH),
            nn.Conv2d(4 * _GROWTH, _GROWTH, 3, padding=1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.added(x)], dim=1)


def _normalised(channels: int, filters: int, size: int, **settings: Any) -> list[nn.Module]:
    return [nn.Conv2d(channels, filters, size, **settings), nn.BatchNorm2d(filters, eps=_EPSILON)]


def _activated(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, eps=_EPSILON), nn.ReLU(inplace=True)]


def _resnet101() -> nn.Module:
    layers = _normalised(3, 64, 7, stride=2, padding=3)
    layers += [nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1)]
    channels = 64
    for filters, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 23, 2), (512, 3, 2)):
        layers.append(_Residual(channels, filters, stride, projected=True))
        channels = 4 * filters
        layers += [_Residual(channels, filters, 1, projected=False) for _ in range(blocks - 1)]
    return nn.Sequential(*layers)


def _vgg19() -> nn.Module:
    layers, channels = [], 3
    for filters, convolutions in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _densenet169() -> nn.Module:
    layers = [nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), *_activated(64)]
    layers.append(nn.MaxPool2d(3, stride=2, padding=1))
    channels = 64
    for index, blocks in enumerate((6, 12, 32, 32)):
        if index:
            layers += [*_activated(channels), nn.Conv2d(channels, channels // 2, 1, bias=False)]
            layers.append(nn.AvgPool2d(2))
            channels //= 2
        layers += [_Dense(channels + index * _GROWTH) for index in range(blocks)]
        channels += blocks * _GROWTH
    return nn.Sequential(*layers, *_activated(channels))


def _lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(inplace=True), nn.AvgPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(inplace=True), nn.AvgPool2d(2),
    )  # fmt: skip


def _flatten_and_dense(features: int, units: int) -> list[nn.Module]:
    return [_Flatten(), nn.Linear(features, units), nn.ReLU(inplace=True)]


# For each network: its backbone; its head, by the side of the images; its number of features.
_PARTS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], list[nn.Module]], int]] = {
    "lenet": (_lenet, lambda side: _flatten_and_dense(64 * ((side - 6) // 4) ** 2, 128), 128),
    "resnet101": (_resnet101, lambda side: _flatten_and_dense(2048 * (side // 32) ** 2, 256), 256),
    "vgg19": (_vgg19, lambda side: _flatten_and_dense(512 * (side // 32) ** 2, 1024), 1024),
    "densenet169": (_densenet169, lambda _: [nn.AdaptiveMaxPool2d(1), nn.Flatten()], 1664),
}


def build(
    name: str, *, num_classes: int = 4, side: int = 224, train_backbone: bool | None = None
) -> Network:
    """Builds the PyTorch version of a network of `trainer.models.build`, in channels_last.

    Args:
        name: one of `benchmarks.MODELS`.
        num_classes: number of classes.
        side: side of the square radiographs, a multiple of 32.
        train_backbone: whether the backbone's weights are trained; None: true for DenseNet-169,
            false for ResNet-101 and VGG-19. LeNet is always trained completely.

    Returns:
        A network with random weights, in training mode.
    """
    backbone, head, features = _PARTS[name]
    if name == "lenet" or train_backbone is None:
        train_backbone = name in ("lenet", "densenet169")
    logits = nn.Linear(features, num_classes)
    network = Network(backbone(), nn.Sequential(*head(side), logits), train_backbone=train_backbone)
    _draw_as_keras(network, keep_variance=name == "vgg19")
    return nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last).train()


def _draw_as_keras(network: nn.Module, keep_variance: bool) -> None:
    """Initializes weights from Keras' distributions; PyTorch's own are smaller."""
    for layer in network.modules():
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        if keep_variance and isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        else:
            nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
