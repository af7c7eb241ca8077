"""Show counts to Prometheus: the sums of all serving processes, read anew for each request.

One small server reads the files of all workers. So no worker opens a port, and counts of a worker that has ended stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fct.core.errors import FctError
from fct.monitoring.counts import Reading, read_counts
from fct.serving.counters import ASPECTS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

HOST = "127.0.0.1"


class _Collector:
    """Yield counts as metrics, read anew at each request."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        reading = self._read()
        for aspect, description in ASPECTS.items():
            name = "fct_errors" if aspect == "error" else f"fct_images_by_{aspect}"
            metric = CounterMetricFamily(name, f"Images by {aspect}: {description}", labels=("model", aspect))
            for model, counts in reading.models.items():
                for value, count in counts.values[aspect].items():
                    metric.add_metric((model[:12], value), count)
            yield metric
        yield GaugeMetricFamily(
            "fct_damaged_counter_files", "Files of counts that cannot be used.", value=len(reading.damaged)
        )


def make_registry(read: Callable[[], Reading]) -> CollectorRegistry:
    """Return the metrics of what `read` returns.

    Raises:
        FctError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError:
        raise FctError("prometheus_client is not installed. Install it: pip install prometheus-client") from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(read))
    return registry


def to_text(reading: Reading) -> str:
    """Return the metrics in the format that Prometheus reads. Errors are those of `make_registry`."""
    registry = make_registry(lambda: reading)
    from prometheus_client import generate_latest

    return generate_latest(registry).decode()


def serve(folder: Path, port: int) -> None:
    """Answer Prometheus on loopback until the process is stopped. Errors are those of `make_registry`.

    Raises:
        FctError: the port is taken, or the folder cannot be read.
    """
    registry = make_registry(partial(read_counts, folder))
    from prometheus_client import start_http_server

    try:
        _, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise FctError(f"--port {port}: {error.strerror}. Choose another port.") from None
    print(f"http://{HOST}:{port}/metrics, until Ctrl-C", flush=True)
    thread.join()
