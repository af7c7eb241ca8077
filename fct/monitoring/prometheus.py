"""Show counts to Prometheus: the sums of all serving processes, read anew for each request.

One small server reads the files of all workers. So no worker opens a port, and counts of a worker that has ended stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fct.core.errors import FctError
from fct.monitoring.counts import read_counts
from fct.serving.counters import ASPECTS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

HOST = "127.0.0.1"


class _Collector:
    """Yield the counts of a folder as metrics."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        reading = read_counts(self._folder)
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


def make_registry(folder: Path) -> CollectorRegistry:
    """Return the metrics of a folder of counts.

    Raises:
        FctError: the folder cannot be read, or prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError:
        raise FctError("prometheus_client is not installed. Install it: pip install prometheus-client") from None
    read_counts(folder)
    registry = CollectorRegistry()
    registry.register(_Collector(folder))
    return registry


def to_text(folder: Path) -> str:
    """Return the metrics in the format that Prometheus reads. Errors are those of `make_registry`."""
    registry = make_registry(folder)
    from prometheus_client import generate_latest

    return generate_latest(registry).decode()


def serve(folder: Path, port: int) -> None:
    """Answer Prometheus on loopback until the process is stopped. Errors are those of `make_registry`.

    Raises:
        FctError: the port is taken.
    """
    registry = make_registry(folder)
    from prometheus_client import start_http_server

    try:
        _, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise FctError(f"--port {port}: {error.strerror}. Choose another port.") from None
    print(f"http://{HOST}:{port}/metrics, until Ctrl-C", flush=True)
    thread.join()
