"""Scheduled runs: Prefect runs dvc.yaml's DAG. It imports prefect and dvc.

Modules:

- graph: DVC's stages, the stages that each one needs, and which are up to date
- repro: `make repro`, which runs `dvc repro` and shows its progress
- process: runs one command in its own process group, reads its output by lines, and ends the whole group
- watchdog: ends the commands of a run that was killed
- closed: stops a run that the server has closed while it went on
- stage: one stage as one Prefect task
- clone: a temporary clone for a run with changed parameters, so that the user's files stay as they are
- report: the artifacts of a finished run in the UI
- inbox, intake: checks new images and adds them as a new version of the data
- known: remembers the images in the data set
- flows: reproduce, search, promote, rollback
- watch: compares what the champion is asked with its training
- pool, deploy: runs in a work pool, on any host, and their deployments
- serve: the deployments of the flows, with names, schedules and queues
- ui: `make ui`, which starts and stops the servers together
- stack: the services of a team as processes of this machine, such as a private PostgreSQL
- access: access to these servers: Prefect's password, and which requests are refused
- dashboard: optuna-dashboard with such access rules, since it has none of its own
- params: the sections of params.yaml that this package reads, and overrides of its values
- errors: failed flows show a message instead of a traceback
"""
