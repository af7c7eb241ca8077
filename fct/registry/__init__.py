"""Which model serves, in MLflow's registry: proven by its verdict, compared with the one it replaces, and reversible.

    challenger   the latest version whose file passed the gate
    champion     what deployments load: models:/<name>@champion
    previous     the champion before it, to which `fct rollback` returns

A version's tags are its proof; the registered model's tag fct.champion is the version that a command made champion, so
that an alias moved by hand is seen.
"""

from fct.registry.promotion import attach_to_run, fetch, history, promote, rollback, status, verify, versions_of_commit

__all__ = ["attach_to_run", "fetch", "history", "promote", "rollback", "status", "verify", "versions_of_commit"]
