"""Limits of MLflow's registry on any of its databases. SQLite silently takes more, PostgreSQL refuses.

Sources: `mlflow/store/model_registry/dbmodels/models.py` (String(5000), Text) and `mlflow/utils/validation.py`. MySQL's
TEXT has 65,535 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from fct.core.document import hidden_character
from fct.core.errors import FctError

DESCRIPTION = 5_000  # characters
VERSION_TAG = 65_535  # bytes of a tag of a version
WHY = 3_000  # characters of a reason in JSON, which is a tag of the history and a part of others
WHO = 80  # characters of a user's name, likewise


def check_why(why: str) -> None:
    """Check the reason for a promotion or a rollback.

    Raises:
        FctError: the reason is too long for an event of the history, or has a character that databases refuse.
    """
    if len(json.dumps(why)) > WHY:
        raise FctError(f"--why: {len(why):,} characters are too long for the history. Shorten it to {WHY // 6}.")
    if hidden := hidden_character(why):
        raise FctError(f"--why: it contains the invisible character {hidden}. Remove it.")


def check_tags(tags: Mapping[str, str]) -> None:
    """Check the tags of a version.

    Raises:
        FctError: a tag is too long.
    """
    for key, value in tags.items():
        if (size := len(value.encode())) > VERSION_TAG:
            raise FctError(
                f"params.yaml: the tag {key} of the version would have {size:,} bytes; MLflow's databases take "
                f"{VERSION_TAG:,}. Use fewer lines in gate, or fewer qualities."
            )
