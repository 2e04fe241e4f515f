"""Captioning a folder when a photo or the disk fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.batch.engine import NOT_FINITE
from core.batch.records import PhotoRecord, RecordWriter, read_records
from core.batch.requests import CaptionOptions, CaptionRequest
from core.batch.runner import caption_folder
from core.errors import UserError
from core.jobs import QuietContext
from core.onnx.session import BundleEncoder
from tests.core.test_batch import write_photos


def test_a_photo_whose_numbers_overflow_fails_alone(tiny_bundle, tmp_path, monkeypatch):
    write_photos(tmp_path / "photos", 30)
    encode = BundleEncoder.encode_images

    def overflowing(self, pixels):
        vectors = encode(self, pixels)
        vectors[0] = np.nan
        return vectors

    monkeypatch.setattr(BundleEncoder, "encode_images", overflowing)
    request = CaptionRequest(tmp_path / "photos", tmp_path / "o.jsonl", tiny_bundle, options=CaptionOptions(batch=10))
    report = caption_folder(QuietContext(), request)
    assert (report.done, report.failed_count) == (27, 3)
    assert [one.error for one in read_records(request.out)].count(NOT_FINITE) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_words():
    with pytest.raises(UserError, match="cannot be written any more: No space"), RecordWriter(Path("/dev/full")) as out:
        out.write([PhotoRecord("a.jpg", error="x")])
