"""The command `fct remote`: what DVC's remote really holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fct.core.errors import FAILED, exit_on_error

if TYPE_CHECKING:
    from fct.remote.verify import Fault, Report


@click.group()
def remote() -> None:
    """Check the DVC remote that holds data, caches and models."""


@remote.command()
@click.option("--remote", "name", metavar="NAME", help="The DVC remote to check. Default: the one of each file.")
@click.option("--repair", is_flag=True, help="Upload from this machine's cache what the remote lacks or has damaged.")
@click.option("--jobs", default=8, show_default=True, type=click.IntRange(min=1), help="Objects read at a time.")
def verify(*, name: str | None, repair: bool, jobs: int) -> None:
    """Read everything that dvc.lock and the .dvc files name from the DVC remote, and compare checksums.

    Names what is damaged or missing. `dvc push` does not find this, because it compares only names. With --repair,
    uploads these objects from DVC's cache on this machine, if they are whole there, and reads them back.

    The exit status is 1 if something is damaged or missing in the end, and 75 if the remote does not answer.
    """
    with exit_on_error():
        from tqdm import tqdm

        from fct.remote.verify import verify

        bars: list[tqdm[Any]] = []

        def progress(address: str, total: int) -> object:
            bars.append(tqdm(total=total, desc=address, unit=" objects", disable=None))
            return bars[-1].update

        try:
            reports = verify(name, repair=repair, jobs=jobs, progress=progress)  # type: ignore[arg-type]
        finally:
            for bar in bars:
                bar.close()
        for report in reports:
            click.echo(_format(report, repair=repair))
        if not reports:
            click.echo("nothing to check: dvc.lock and the .dvc files name nothing that DVC keeps")
    sys.exit(0 if all(report.is_whole for report in reports) else FAILED)


def _format(report: Report, *, repair: bool) -> str:
    heading = f"{report.address}: {report.objects} objects, {report.size / 1e6:.1f} MB read"
    if not report.faults:
        return f"{heading}; all are whole"
    lines = [f"{heading}; {len(report.faults)} damaged or missing:", *map(_format_fault, report.faults)]
    if not report.is_whole:
        where = "on another machine" if repair else "on a machine that has them"
        lines.append(f"Run `fct remote verify --repair` {where}, or run the stages again and `dvc push`.")
    return "\n".join(lines)


def _format_fault(fault: Fault) -> str:
    what = f"  {fault.kind:<8} {fault.out.path} ({fault.out.oid[:8]}"
    what += f", {fault.size} bytes)" if fault.kind == "damaged" else ")"
    if fault.repaired:
        return f"{what}: repaired"
    if fault.hides:
        what += ": the list of this folder's files, so they were not checked"
    return f"{what}: not repaired, {fault.why_not}" if fault.why_not else what
