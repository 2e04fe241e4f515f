"""Parts of a benchmark that are run in fresh processes, so that their memory and their first times are their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from core.children import child_environment, module_command


def run_part(module: str, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What ``python -m module name arguments`` writes as the last line of its output, a JSON object.

    ``environment``: variables that differ from those of this process. Raises ``RuntimeError`` when the part fails.
    """
    done = subprocess.run(
        module_command(module, name, *arguments),
        capture_output=True,
        text=True,
        env=child_environment(**(environment or {})),
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the part {name!r} of the benchmark failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
