"""A process that makes the processes to be killed: it has everything loaded, so that each costs a fork and no more.

``python -m core.bench.crash_child [train]`` reads a JSON object a line: what to do, where, and where to end. The child
is announced with its number and kept as a zombie until the next order, so that the number stays its own.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from core import paths
from core.bench import crash_work
from core.bench.fault_points import FaultPoints


def main(arguments: list[str]) -> int:
    if "train" in arguments:
        import torch

        import core.encoders.embed
        import core.encoders.open_clip_encoder
        import core.training.job
        import core.training.loop  # noqa: F401 - loaded here once, not in every child
        from core.captioner.language_model import load_model_folder

        load_model_folder(paths.starter_dir() / "lm")  # brings in what transformers loads only when it is asked

        torch.set_num_threads(1)
    say = crash_work.say_on(1)
    say(ready=True)
    child = 0
    for line in sys.stdin:
        if child:
            os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            _run(json.loads(line), say)
        say(pid=child)
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        say(ended=ended.si_status, by_signal=ended.si_code != os.CLD_EXITED)
    if child:
        os.waitpid(child, 0)
    return 0


def _run(order: dict[str, Any], say: crash_work.Say) -> None:
    """The rest of the life of a child."""
    status = 0
    try:
        journal = Path(order["journal"]) if order.get("journal") else None
        points = FaultPoints(stop_at=order.get("stop_at"), journal=journal)
        points.install()
        crash_work.work(order["work"], crash_work.Place(Path(order["root"])), order["number"], say)
        say(finished=True, points=points.count)
    except BaseException:  # noqa: BLE001 - whatever it was is reported, and the child ends
        say(error=traceback.format_exc())
        status = 1
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
