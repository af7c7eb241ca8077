"""Opens DVC's remote, and lists the outs that it should hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fct.core.errors import FctError, UnreachableError

ALGORITHM = "md5"


@dataclass(frozen=True)
class Out:
    """A file or a folder that dvc.lock or a .dvc file names, and DVC keeps."""

    path: str
    oid: str  # its MD5, which is also its name on the remote; that of a folder ends in .dir


@dataclass(frozen=True)
class Store:
    """A remote of DVC, and this machine's cache."""

    name: str
    remote: Any  # dvc_data.hashfile.db.HashFileDB
    cache: Any  # the same, of this machine

    @property
    def address(self) -> str:
        """Where the remote is. It has no password: DVC keeps those apart."""
        return str(self.remote.fs.unstrip_protocol(self.remote.path)).partition("/files/md5")[0]

    def cached(self, oid: str) -> Path:
        """Return the place of an object in the cache. It may not be there."""
        return Path(self.cache.oid_to_path(oid))


def open_stores(name: str | None) -> list[tuple[Store, list[Out]]]:
    """Return each remote that the outs of this project go to, with these outs.

    Args:
        name: look at this remote instead, for all outs.

    Raises:
        FctError: this is no DVC project, it has no such remote, or a package for the remote is not installed.
    """
    with translate_errors("DVC"):
        from dvc.repo import Repo

        repo = Repo()
        outs: dict[str | None, list[Out]] = {}
        for out in repo.index.outs:
            is_kept = out.use_cache and out.can_push and out.hash_info and not out.stage.is_import
            if is_kept and out.hash_name == ALGORITHM:
                outs.setdefault(name or out.remote, []).append(Out(str(out), str(out.hash_info.value)))
        return [(_open(repo, which), group) for which, group in outs.items()]


def open_remote(name: str | None) -> Any:
    """Return a remote of DVC (dvc.data_cloud.Remote), or None if the name is None and there is no default.

    Raises:
        FctError: this is no DVC project, or it has no such remote.
    """
    with translate_errors("DVC"):
        from dvc.repo import Repo

        repo = Repo()
        if name is None and not _has_default(repo):
            return None
        return repo.cloud.get_remote(name, "doctor")


def _has_default(repo: Any) -> bool:
    return bool(repo.config["core"].get("remote"))


def _open(repo: Any, name: str | None) -> Store:
    if name is None and not _has_default(repo):
        raise FctError("DVC has no remote. Add one: dvc remote add --default store ADDRESS")
    remote = repo.cloud.get_remote(name, "verify")
    if remote.worktree or remote.fs.version_aware:
        raise FctError(
            f"the DVC remote {remote.name} keeps files under their own names. `fct remote verify` needs one without "
            "`worktree` and `version_aware`."
        )
    return Store(str(remote.name), remote.odb, repo.cache.local)


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Turn errors of DVC and of the remote's client into an `FctError` about `what`."""
    try:
        yield
    except (FctError, KeyboardInterrupt):
        raise
    except Exception as error:
        from dvc.exceptions import DvcException
        from dvc.fs import AuthError, ConfigError

        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if isinstance(error, DvcException | ConfigError):
            raise FctError(f"{what}: {reason}") from error
        if isinstance(error, PermissionError | AuthError):
            raise FctError(
                f"{what} refuses: {reason}. Check key and rights: AWS_ACCESS_KEY_ID, or `dvc remote modify --local`."
            ) from error
        if isinstance(error, ModuleNotFoundError):
            raise
        raise UnreachableError(f"{what} cannot be used: {reason}. Check that it runs, and its address.") from error


def iterate_files(content: bytes, folder: Out) -> Iterator[Out]:
    """Yield the files of a folder, from the content of its object."""
    import json

    for entry in json.loads(content):
        yield Out(f"{folder.path}/{entry['relpath']}", str(entry[ALGORITHM]))
