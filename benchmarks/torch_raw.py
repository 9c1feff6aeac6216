"""The same steps in plain PyTorch, as its tutorials write them."""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn


class _LSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.out = nn.Linear(128, 1)

    def forward(self, x: Any) -> Any:
        return self.out(self.lstm(self.embedding(x))[0][:, -1])


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                256, 4, 1024, 0.0, "gelu", 1e-3, batch_first=True, norm_first=True
            )
            for _ in range(4)
        )
        self.out = nn.Linear(256, 10)

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean(1))


class _Channels(nn.Module):
    """The images come as (batch, height, width, channels)."""

    def forward(self, x: Any) -> Any:
        return x.permute(0, 3, 1, 2)


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10),
    )  # fmt: skip


def _convnet() -> nn.Module:
    return nn.Sequential(
        _Channels(), nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128),
        nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tiny": lambda: nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10)),
    "mlp": _mlp,
    "convnet": _convnet,
    "lstm": _LSTM,
    "transformer": _Transformer,
}


def training(
    name: str, x: np.ndarray, y: np.ndarray, batch: int, policy: str = "float32"
) -> Callable[[], None]:
    """A training loop, on a GPU if there is one: call it for an epoch in a new order.

    Args:
        policy: `"mixed_bfloat16"` computes under autocast.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    half = torch.autocast(device, torch.bfloat16, enabled=policy == "mixed_bfloat16")
    network = NETWORKS[name]().to(device)
    of, eps = network.parameters(), 1e-7
    optimizer: torch.optim.Optimizer = torch.optim.Adam(of, 1e-3, eps=eps)
    if name == "mlp":
        optimizer = torch.optim.RMSprop(network.parameters(), 1e-3, 0.9, eps)
    inputs = torch.from_numpy(x).to(device)
    labels = torch.from_numpy(y if name == "lstm" else y.astype("int64")).to(device)
    loss = nn.BCEWithLogitsLoss() if name == "lstm" else nn.CrossEntropyLoss()

    def epoch() -> None:
        for rows in torch.randperm(len(x), device=device).split(batch):
            optimizer.zero_grad()
            with half:
                value = loss(network(inputs[rows]), labels[rows])
            value.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return epoch
