"""`Feeding`: where a model's batches come from."""

from __future__ import annotations

from typing import Any

from carnyx import tree
from carnyx._data import Feed, adapt, adapt_texts, naming, three_parts, with_text_rows
from carnyx._data.adapters import holds_arrays
from carnyx._data.batches import spec_of
from carnyx._data.class_weights import weigh
from carnyx._data.mistakes import need_targets, refuse_plain
from carnyx._training.arguments import FitOptions
from carnyx._training.compiling import Compiling
from carnyx.errors import DataError
from carnyx.typing import Data


class Feeding(Compiling):
    """Feeds of what `fit` and the others are given."""

    def _host_part(self, x: object) -> Any:
        """What of the model runs where batches are made; here nothing does."""
        return None

    def _feed(self, x: Any, y: Any, weights: Any, **options: Any) -> Feed:
        """A feed of `x`, with all that runs on the host having run."""
        part = self._host_part(x)
        if part is None:
            return adapt(x, y, weights, **options)
        run: Any = lambda x: part(self._host_values(x))  # noqa: E731
        return adapt_texts(x, y, weights, run=run, spec=part.spec, **options)

    def _host_values(self, x: Any) -> list[Any]:
        """The values for the inputs of the part that runs on the host."""
        raise NotImplementedError

    def _whole(
        self, x: Any, y: Any = None, weight: Any = None, class_weight: Any = None
    ) -> Feed:
        """A feed of one batch with all samples."""
        if self._host_part(x) is not None:
            x = with_text_rows(x)
        refuse_plain("x", x)
        leaves = [v for v in tree.flatten(x) if v is not None]
        if not leaves:
            raise DataError("x is None, so there is no batch; expected an array.")
        first = leaves[0]  # a sparse matrix has no length, a list no shape
        shape = getattr(first, "shape", ()) or (len(first),)
        size = max(shape[0], 1)
        weights = weigh(y, weight, class_weight)
        return self._feed(x, y, weights, batch_size=size, shuffle=False)

    def _validation_feed(self, data: Any, y: Data, options: FitOptions) -> Feed:
        """A feed of `validation_data`, for which all that `evaluate` needs is built.

        Args:
            y: the targets of training, without which there need be none here.
        """
        with naming("validation_data"):
            vx, vy, vw = three_parts(data)
            need_targets(data, vx, vy, y)
            size = options.validation_batch_size
            if size is None and holds_arrays(vx):
                size = options.batch_size
            steps = options.validation_steps
            feed = self._feed(vx, vy, vw, batch_size=size, steps=steps, shuffle=False)
        if not self._need_compiled("fit").ready:  # a step in the simple style
            self._prepare(feed.spec(), False, feed.batch_size)
        self._look_at(feed)
        return feed

    def _look_at_inputs(self, x: Any) -> None:
        """Let checks see one batch to predict from."""
        expected = self._expected_inputs(lambda: spec_of([(x, None, None)])[0])
        if expected:
            expected.judge((x, None, None), "the data")
