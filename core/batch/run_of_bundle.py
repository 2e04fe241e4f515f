"""Which run of a library a bundle is of: the same answer for captions made here and for those that come back."""

from __future__ import annotations

from functools import cached_property

from core.library.library import Library
from core.library.queries import runs
from core.onnx.bundle import BundleError, load_manifest

_KINDS = ("", "-mixed", "-int8")


class RunOfBundle:
    """Finds runs of ``library`` by what a bundle, or a line that it wrote, says of itself."""

    def __init__(self, library: Library) -> None:
        self._folder = library.bundles_dir
        self._ids = [run.id for run in runs(library)]

    def find(self, source: str | None, model_hash: str | None) -> str | None:
        """The id of the run that the manifest's ``source`` names, else of the one that has a bundle with this hash;
        ``None`` for the starter and for models of other libraries."""
        return source if source in self._ids else self._by_hash.get(model_hash or "")

    @cached_property
    def _by_hash(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for run_id in self._ids:
            for kind in _KINDS:
                try:
                    found[load_manifest(self._folder / f"{run_id}{kind}", verify=False).model_hash] = run_id
                except BundleError:  # there is none, or none that could have captioned
                    continue
        return found
