"""Decides which model is served, in MLflow's registry: promotion after a comparison, and rollback.

    challenger   the latest version whose file passed the gate
    champion     what deployments load: models:/<name>@champion
    previous     the champion before it, which `fct rollback` restores

A version's tags hold its proof. The history says who was champion. It is a second registered model, `<name>.history`,
and hosts only append to it. It decides between hosts that promote at the same time; the aliases follow from it. If
`champion` names another version than the history, and no command is at work, someone moved the alias by hand.
"""

from fct.registry.promotion import attach_to_run, fetch, history, promote, rollback, status, verify, versions_of_commit

__all__ = ["attach_to_run", "fetch", "history", "promote", "rollback", "status", "verify", "versions_of_commit"]
