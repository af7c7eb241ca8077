"""What tests of two hosts stand on: a host that stops before any of its requests, and a registry in memory.

MLflow needs 5 to 20 ms a request, and the orders of two hosts' requests are 100,000 requests: they need a registry in
memory. `test_hosts.py` holds it against MLflow.
"""

import threading
from collections import defaultdict
from types import SimpleNamespace

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST

WHOLE = 10**6  # requests; more than any command makes


class KilledError(BaseException):
    """The host has died: nothing of it runs any more."""


class Host:
    """Does `work` in a thread, request by request. It has a client of its own, whose requests are its steps."""

    def __init__(self, client, work):
        self.steps, self.error, self.result = [], None, None
        self.next = None  # the request that it stands before
        self._client, self._budget, self._killed = client, 0, False
        self._may_go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def _run(self, work):
        try:
            self._wait()
            self.result = work(self)
        except KilledError:
            pass
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.error = error
        finally:
            self._budget = WHOLE  # it has ended
            self._stopped.release()

    def _wait(self):
        self._stopped.release()
        self._may_go.acquire()
        if self._killed:
            raise KilledError

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def request(*arguments, **more):
            self.next = name
            while self._budget == 0:
                self._wait()
            self._budget -= 1
            self.steps.append(name)
            return method(*arguments, **more)

        return request

    @property
    def has_ended(self):
        return not self._thread.is_alive()

    def go(self, steps=WHOLE):
        """Let it make so many requests, then stop before the next one; return whether it has ended."""
        if not self.has_ended:
            self._budget = steps
            self._may_go.release()
            self._stopped.acquire()
            if self._budget == WHOLE:
                self._thread.join()
        return self.has_ended

    def go_before(self, name):
        """Let it go on until its next request has this name."""
        while not (self.go(1) or self.next == name):
            pass

    def kill(self):
        """End it before its next request."""
        if not self.has_ended:
            self._killed = True
            self._may_go.release()
            self._thread.join()


class Page(list):
    """What a search answers."""

    token = None


class Memory:
    """A registry that answers as MLflow's client does, as far as promotions ask."""

    def __init__(self):
        self.models, self.versions = {}, defaultdict(dict)

    def _model(self, name):
        if name not in self.models:
            raise MlflowException(f"no {name}", RESOURCE_DOES_NOT_EXIST)
        return self.models[name]

    def create_registered_model(self, name, description=""):
        if name in self.models:
            raise MlflowException(f"{name} exists", RESOURCE_ALREADY_EXISTS)
        self.models[name] = SimpleNamespace(name=name, tags={}, aliases={}, description=description)

    def get_registered_model(self, name):
        model = self._model(name)
        return SimpleNamespace(name=name, tags=dict(model.tags), aliases=dict(model.aliases))

    def set_registered_model_tag(self, name, key, value):
        self._model(name).tags[key] = value

    def delete_registered_model_tag(self, name, key):
        self._model(name).tags.pop(key, None)

    def set_registered_model_alias(self, name, alias, version):
        self._version(name, version)
        self._model(name).aliases[alias] = int(version)

    def delete_registered_model_alias(self, name, alias):
        self._model(name).aliases.pop(alias, None)

    def create_model_version(self, name, source, tags):
        self._model(name)
        number = len(self.versions[name]) + 1
        self.versions[name][number] = SimpleNamespace(version=number, source=source, tags=dict(tags))
        return self.versions[name][number]

    def _version(self, name, version):
        if int(version) not in self.versions[name]:
            raise MlflowException(f"no {name} {version}", RESOURCE_DOES_NOT_EXIST)
        return self.versions[name][int(version)]

    def get_model_version(self, name, version):
        one = self._version(name, version)
        return SimpleNamespace(version=one.version, source=one.source, tags=dict(one.tags))

    def set_model_version_tag(self, name, version, key, value):
        self._version(name, version).tags[key] = value

    def delete_model_version_tag(self, name, version, key):
        self._version(name, version).tags.pop(key, None)

    def search_model_versions(self, filter_string):
        name = filter_string.removeprefix("name='").removesuffix("'")
        return Page(self.get_model_version(name, number) for number in self.versions[name])
