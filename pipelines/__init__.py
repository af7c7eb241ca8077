"""The night shift: Prefect runs dvc.yaml's DAG on a schedule. The only package that imports prefect or dvc.

Modules:

- graph: DVC's stages, what each needs, and which are up to date
- repro: `make repro`, which runs `dvc repro` and says how far it is
- process: runs one command in its own process group, reads its output by lines, and ends the whole group
- stage: one stage as one Prefect task
- clone: a temporary clone for a run with changed parameters, so that the user's files stay as they are
- report: the artifacts of a finished run in the UI
- inbox, intake: checks new images and adds them as a new version of the data
- known: remembers the images that the data set has
- flows: reproduce, search, promote, rollback
- serve: the deployments of the flows, with names, schedules and queues
- ui: `make ui`, which starts and stops the servers together
- access: who may use these servers: Prefect's password, and requests that are refused
- dashboard: optuna-dashboard, which has no such settings of its own
- params: the sections of params.yaml that the night shift reads, and overrides of its values
- errors: failed flows show a message instead of a traceback
"""
