"""A linear head seen from its class contrasts: what its losses and their gradients are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def centered_rows(weight: np.ndarray) -> np.ndarray:
    """(c, d) float64 rows w_c − w̄: adding one vector to every row changes no prediction, and not these either."""
    rows = weight.astype(np.float64)
    rows -= rows.mean(axis=0)
    return rows


class CenteredHead:
    """Centred weight rows and bias in float64, with products in class space.

    Gradients of the losses here are Wᵀp with coefficients p that add up to 0. So iterates are f = Wᵀα, the
    rows may be centred without changing anything, and W f costs one product with W Wᵀ, whatever the width.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        self.rows = centered_rows(weight)
        """(c, d)."""
        self.bias = bias.astype(np.float64)
        """(c,)."""
        count, width = self.rows.shape
        self._gram = self.rows @ self.rows.T if count <= 2 * width else None

    def class_products(self, coefficients: np.ndarray) -> np.ndarray:
        """(k, c) W f of f = Wᵀα, for α (k, c), by the cheaper order of multiplication."""
        if self._gram is None:
            product: np.ndarray = (coefficients @ self.rows) @ self.rows.T
        else:
            product = coefficients @ self._gram
        return product

    def points(self, coefficients: np.ndarray) -> np.ndarray:
        """(k, d) f = Wᵀα."""
        found: np.ndarray = coefficients @ self.rows
        return found


@dataclass(frozen=True, slots=True)
class Rivalry:
    """Each row's own class against all others."""

    margins: np.ndarray
    """(k, c) z_j − z_y, −∞ at the own class."""
    pull: np.ndarray
    """(k, c) coefficients e_y − q of −∇φ, φ = logsumexp of the margins, q their softmax."""


def rivalry(logits: np.ndarray, classes: np.ndarray) -> Rivalry:
    """Margins and gradient coefficients of φ for logits (k, c) and own classes (k,)."""
    own = (np.arange(len(classes)), classes)
    margins = logits - logits[own][:, None]
    margins[own] = -np.inf
    pull = -softmax(margins)
    pull[own] = 1.0
    return Rivalry(margins, pull)


def softmax(values: np.ndarray) -> np.ndarray:
    """Row-wise softmax of (k, c) values; −∞ gives exactly 0."""
    chance: np.ndarray = np.exp(values - values.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    return chance


def rowwise_dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(k,) inner products of the rows of two (k, m) arrays."""
    product: np.ndarray = np.einsum("ij,ij->i", left, right)
    return product
