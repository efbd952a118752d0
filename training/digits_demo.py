"""Trains the network that `repaudit demo` audits, and writes its weights.

    python training/digits_demo.py repaudit/assets/digits-cnn.safetensors

Data: the first 897 of scikit-learn's 1,797 handwritten digits (UCI "Optical Recognition of Handwritten
Digits", CC BY 4.0); the last 900, other writers, stay unseen. One-hot labels, SGD with momentum, no
augmentation. Measured on 2 CPU cores: about 8 s, 94 % of the unseen 900 right.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from repaudit.digits_network import digits_network

TRAIN = 897
EPOCHS = 30
BATCH = 32
LEARNING_RATE = 0.05
SEED = 0


def train() -> torch.nn.Sequential:
    """The trained network; the same weights for the same machine, thread count and library versions."""
    digits = load_digits()
    images = torch.tensor(digits.images[:TRAIN], dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target[:TRAIN])
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        network = digits_network()
    order = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
    steps = EPOCHS * (TRAIN // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=steps)
    network.train()
    for _ in range(EPOCHS):
        permutation = torch.randperm(TRAIN, generator=order)
        for start in range(0, TRAIN - BATCH + 1, BATCH):
            rows = permutation[start : start + BATCH]
            optimizer.zero_grad()
            cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def main(path: Path) -> None:
    """Trains and writes the weights to `path`."""
    network = train()
    save_file(
        network.state_dict(),
        path,
        metadata={"recipe": "training/digits_demo.py", "data": "UCI handwritten digits, CC BY 4.0", "seed": str(SEED)},
    )
    digits = load_digits()
    unseen = torch.tensor(digits.images[-900:], dtype=torch.float32).unsqueeze(1) / 16
    right = (network(unseen).argmax(1) == torch.tensor(digits.target[-900:])).float().mean()
    print(f"{path}: {path.stat().st_size} bytes, {right:.3f} of the unseen 900 right")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
