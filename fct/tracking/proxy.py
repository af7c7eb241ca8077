"""Requests to this machine go to it, and never to a proxy."""

from __future__ import annotations

import os
from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
VARIABLES = ("no_proxy", "NO_PROXY")  # programs read one or the other, and the first wins where both are read


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep requests to loopback away from a proxy. Existing exclusions stay."""
    excluded = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    listed = [name.strip() for name in excluded.split(",") if name.strip()]
    if "*" not in listed:
        listed += [name for name in LOOPBACK if name not in listed]
    return dict.fromkeys(VARIABLES, ",".join(listed))


def never_proxy_loopback() -> None:
    """Set the variables of `without_proxy` for this process and those that it starts."""
    os.environ.update(without_proxy(os.environ))
