"""A verdict as JUnit XML, which CI servers show as tests."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET


def junit(found: dict[str, Any]) -> str:
    """Return a verdict as a test suite with a case a check (the schema of Jenkins' JUnit plugin)."""
    checks = found["checks"]
    failed = [check for check in checks if not check["passed"]]
    suite = ET.Element("testsuite", name="fct gate", tests=str(len(checks)), failures=str(len(failed)))
    properties = ET.SubElement(suite, "properties")
    told = {"model_sha256": found["model_sha256"], "data_digest": found["split"]["digest"]}
    for name, value in {**told, "images": found["split"]["images"], "confidence": found["confidence"]}.items():
        ET.SubElement(properties, "property", name=name, value=str(value))
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname="gate", name=check["name"])
        said = f"{check['value']:.4g} ({check['low']:.4g} to {check['high']:.4g})"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        if check["passed"]:
            ET.SubElement(case, "system-out").text = f"{said}, {needed}"
        else:
            ET.SubElement(case, "failure", message=f"{said}; it must be {needed} on the bound of its interval")
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
