"""The predictions of a model for every view of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOT_MEASURED = -1  # in `Predictions.classes`


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for V views of N images, and the true labels."""

    views: tuple[str, ...]  # V: raw, then q5, q10, ... (JPEG at a quality), then webp/1, webp/2, ... (unseen)
    classes: NDArray[np.int64]  # [V, N]; NOT_MEASURED where a view was measured on fewer images
    confidence: NDArray[np.float64]  # [V, N], the probability of the predicted class
    labels: NDArray[np.int64]  # [N]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right, [V, N]."""
        right: NDArray[np.bool_] = self.classes == self.labels
        return right

    @property
    def qualities(self) -> list[int]:
        """The JPEG qualities of the sweep, in the order of their rows."""
        return [int(view[1:]) for view in self.views if view[1:].isdecimal()]

    @property
    def distortions(self) -> list[str]:
        """The unseen distortions, in the order of their rows."""
        return list(dict.fromkeys(view.partition("/")[0] for view in self.views if "/" in view))

    @property
    def sweep(self) -> NDArray[np.bool_]:
        """Whether each prediction for the raw and the JPEG views is right, [1 + Q, N]."""
        return self.correct[: 1 + len(self.qualities)]

    def measured(self, row: int) -> NDArray[np.int64]:
        """Return the indices of the images on which a view was measured."""
        return np.flatnonzero(self.classes[row] != NOT_MEASURED)
