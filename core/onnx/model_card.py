"""The model card of a bundle: what it was made from, how that was checked, how it is used, and what it cannot do.

It is made of the manifest and of the run's folder alone, so that the same bundle has the same card. The manifest does
not list it: which captions come out does not depend on it, and a person may add to it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.onnx.bundle import CARD, Manifest
from core.onnx.precision_loss import read_loss

_MARK = "<!-- made by Seedcap; of what stands above: {} -->\n"
_STAGES = {"before": "the model it began with", "stage1": "stage 1", "stage2": "stage 2"}
_USE = """
## Use

```sh
seedcap caption PHOTOS --bundle FOLDER --out captions.jsonl
```

FOLDER is this one. It needs onnxruntime, tokenizers, numpy and Pillow, and neither torch nor a
network. In the window: Deliver, *Model*, *Another bundle…*.

## Limits

- Captions are a model's guesses: it names what is not there, miscounts, and reads no text. Read them before they are
  published, and decide nothing about people by them.
- It says what its seeds taught it to say, in their language and manner; on photos unlike those it learned from it is
  worse than the figures of its training.
- What the encoder and the language model were trained on, and what is skewed in that, stays in them.
- The licences above hold for this bundle, too.
"""


def write_card(folder: Path, manifest: Manifest, run: Path | None = None) -> None:
    """Write the card of the bundle in ``folder``; ``run``: the folder of the training, where it was made from one."""
    text = card(manifest, run)
    (folder / CARD).write_text(text + _MARK.format(_hash(text)), encoding="utf-8")


def is_own_card(file: Path) -> bool:
    """Whether a file is a card that nobody has changed since."""
    try:
        text, mark, rest = file.read_text(encoding="utf-8").rpartition(_MARK.partition("{")[0])
    except (OSError, UnicodeDecodeError):
        return False
    return mark + rest == _MARK.format(_hash(text))


def card(manifest: Manifest, run: Path | None) -> str:
    """The card in Markdown."""
    rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in _rows(manifest, run))
    title = "the starter's" if manifest.source == "starter" else f"of {manifest.source}"
    return f"# Captioner {title}\n\nA bundle: it captions photos, on any computer.\n\n| | |\n|---|---|\n{rows}{_USE}"


def _rows(manifest: Manifest, run: Path | None) -> Iterator[tuple[str, str]]:
    encoder, lm = manifest.encoder.id, manifest.decoder.lm_id
    yield from _training(run)
    yield "encoder", f"`{_plain(encoder)}`; licence: {_licence('encoder', encoder)}"
    yield "language model", f"`{_plain(lm)}`; licence: {_licence('language_model', lm)}"
    yield "numbers", manifest.precision
    if (loss := read_loss(manifest.precision_loss)) is not None:
        yield "beside the exact bundle", loss.sentence
    if (same := manifest.same_captions) is not None:
        on = manifest.parity.get("on")
        yield "beside the model it was made from", f"the same caption for {same[0]} of {same[1]} ({on})"
    yield "made by", manifest.made_by
    yield "model", f"`{manifest.model_hash}`"


def _training(run: Path | None) -> Iterator[tuple[str, str]]:
    """What the run's folder tells; nothing of what is damaged or missing there."""
    if run is None:
        return
    report, config = _read(run / "report.json", json.loads), _read(run / "config.toml", tomllib.loads)
    begun = re.match(r"(\d{4})(\d\d)(\d\d)-", run.name)
    when = f", begun on {'-'.join(begun.groups())}" if begun else ""
    kept = _STAGES.get(str(report.get("kept")), "")
    yield "made from", f"the training {run.name}{when}{f'; kept was {kept}' if kept else ''}"
    if "preset" in report:
        yield "method", str(report["preset"])
    data = config.get("data", {})
    if isinstance(data, Mapping) and "seeds" in data:
        yield (
            "learned from",
            f"{data['seeds']} photos with captions by people and {data.get('unlabelled', 0)} without; judged on "
            f"{data.get('held_out_seeds', 0)} and {data.get('held_out_photos', 0)} that it never saw",
        )
    for gate in (report.get("gates") or ()) if report.get("kept") == "stage2" else ():
        if isinstance(gate, Mapping):
            yield f"check: {gate.get('name')}", f"{gate.get('state')}. {gate.get('sentence')}"


def _read(file: Path, parse: Any) -> Mapping[str, Any]:
    try:
        found = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _licence(kind: str, name: str) -> str:
    """As the repository said when it was downloaded, else as the list of models says."""
    from core.hub.pins import read_pins
    from core.known_models import known_models

    try:
        pin = read_pins().get(name)
    except UserError:  # whoever loads a model says what is wrong with the lock file
        pin = None
    listed = (one.licence for one in known_models() if (one.kind, one.name) == (kind, name))
    return (pin.licence if pin is not None else "") or next(listed, "") or "not known; ask where it came from"


def _plain(name: str) -> str:
    """A model's name without the folders of this computer."""
    for scheme in ("open_clip:local-dir:", "dir:", "gguf:"):
        if name.startswith(scheme):
            return scheme + Path(name.removeprefix(scheme)).name
    return name


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
