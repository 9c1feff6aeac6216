"""`RemoteMonitor`: logs sent to a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings
from typing import Any

from carnyx import configurable
from carnyx.callbacks.base import Callback
from carnyx.distribution.job import is_first


class RemoteMonitor(Callback):
    """Send the logs of every epoch by HTTP POST to `root + path`.

    A server that does not answer is warned about; training goes on.

    Args:
        field: the name of the form field that holds the logs as JSON.
        headers: more headers of the request.
        send_as_json: send the JSON itself instead of a form.
    """

    root: str = configurable.field("http://localhost:9000")
    path: str = configurable.field("/publish/epoch/end/")
    field: str = configurable.field("data")
    headers: Any = configurable.field(None)
    send_as_json: bool = configurable.field(False)

    _patience = 10.0  # seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not is_first():
            return
        text = json.dumps(
            {"epoch": epoch} | {n: _plain(v) for n, v in (logs or {}).items()}
        )
        if self.send_as_json:
            kind, body = "application/json", text
        else:
            kind = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode({self.field: text})
        request = urllib.request.Request(
            self.root + self.path,
            body.encode(),
            {"Content-Type": kind, **(self.headers or {})},
        )
        try:
            urllib.request.urlopen(request, timeout=self._patience).close()
        except (OSError, ValueError) as error:
            warnings.warn(
                f"RemoteMonitor could not reach {self.root + self.path!r} with the "
                f"logs of epoch {epoch + 1}: {error}",
                stacklevel=2,
            )


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
