"""The night shift: Prefect runs dvc.yaml's DAG on a schedule. The only package that imports prefect or dvc.

What each module is about:

- graph: what DVC knows of the stages, what each needs, which are up to date
- process: one command in a process group of its own, its output line by line, ended as a whole
- stage: one stage as one Prefect task
- clone: a temporary clone in which a run with changed parameters leaves the user's tree alone
- report: what a finished run shows in the UI
- inbox, intake: new images, checked, sorted out, added as a new version of the data
- flows: reproduce, search, promote, rollback
- serve: their deployments with names, schedules, queues
- ui: `make ui`, the servers, started and stopped together
"""
