"""A verdict as JUnit XML, which CI servers show as tests."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET


def junit(verdict: dict[str, Any]) -> str:
    """Return a verdict as a test suite with one test case per check (the schema of Jenkins' JUnit plugin)."""
    checks = verdict["checks"]
    failed = [check for check in checks if not check["passed"]]
    suite = ET.Element("testsuite", name="fct gate", tests=str(len(checks)), failures=str(len(failed)))
    properties = ET.SubElement(suite, "properties")
    values = {
        "model_sha256": verdict["model_sha256"],
        "data_digest": verdict["split"]["digest"],
        "images": verdict["split"]["images"],
        "confidence": verdict["confidence"],
    }
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=str(value))
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname="gate", name=check["name"])
        measured = f"{check['value']:.4g} ({check['low']:.4g} to {check['high']:.4g})"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        if check["passed"]:
            ET.SubElement(case, "system-out").text = f"{measured}, {needed}"
        else:
            ET.SubElement(case, "failure", message=f"{measured}; it must be {needed} on the bound of its interval")
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
