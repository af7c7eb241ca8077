"""Decides which model is served, in MLflow's registry: promotion after a comparison, and rollback.

    challenger   the latest version whose file passed the gate
    champion     what deployments load: models:/<name>@champion
    previous     the champion before it, to which `fct rollback` returns

A version's tags hold its proof. The registered model's tag fct.champion names the version that a command made champion:
if the alias names another version, someone moved it by hand.
"""

from fct.registry.promotion import attach_to_run, fetch, history, promote, rollback, status, verify, versions_of_commit

__all__ = ["attach_to_run", "fetch", "history", "promote", "rollback", "status", "verify", "versions_of_commit"]
