"""Whole files of every kind that the fuzz bench breaks, and broken copies of them by number."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, features

from core.bench.fuzz_bundle import write_small_bundle
from core.bench.fuzz_mutate import mutate
from core.bench.fuzz_sizes import claim_size
from core.exchange.plan import MetadataOptions
from core.exchange.xmp import merge
from core.images.decode import MAX_PIXELS
from core.jobs import QuietContext
from core.library import edits
from core.library.library import Library
from core.library.scan import scan

KINDS = ("image", "captions", "xmp", "library", "bundle")
_SHARES = (30, 30, 20, 10, 10)
"""Of a hundred cases, so many of each kind: what strangers send most, most."""
_CLAIMS = 0.15
"""So many of the pictures are whole but for the size they claim."""
_DATABASE = "library.db"


def write_seeds(folder: Path) -> None:
    """Whole files below ``folder``, a folder a kind; a library and a bundle are folders themselves."""
    (folder / "image").mkdir(parents=True)
    _images(folder / "image")
    _captions(folder / "captions")
    _packets(folder / "xmp")
    _library(folder / "library", folder / "image")
    write_small_bundle(folder / "bundle" / "small")


def _images(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a kite"
    picture.save(folder / "a.jpg", exif=exif, quality=80)
    picture.save(folder / "progressive.jpg", progressive=True)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.save(folder / "a.png")
    picture.convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 200).save(folder / "deep.png")
    # Nearly nothing as a file, and as large as a picture may be.
    side = math.isqrt(MAX_PIXELS)
    Image.new("1", (side, side)).save(folder / "vast.png")
    picture.save(folder / "a.bmp")
    picture.save(folder / "a.gif", save_all=True, append_images=[picture.rotate(90)])
    for compression in (None, "tiff_lzw", "jpeg", "tiff_adobe_deflate"):
        picture.save(folder / f"{compression}.tif", compression=compression)
    picture.save(folder / "a.webp")
    if features.check("avif"):
        picture.save(folder / "a.avif")


def _captions(folder: Path) -> None:
    folder.mkdir()
    rows = [("00.png", 'a "red" kite, high'), ("01.png", "zwei Drachen\nim Wind"), ("02.png", "شراع ☕")]
    table = "image,caption,split\n" + "".join('{},"{}",dev\n'.format(n, t.replace('"', '""')) for n, t in rows)
    objects = [{"file_name": name, "text": text, "captions": [{"text": text, "score": 0.5}]} for name, text in rows]
    coco = {
        "images": [{"id": at, "file_name": name, "width": 9, "height": 9} for at, (name, _) in enumerate(rows)],
        "annotations": [{"id": at, "image_id": at, "caption": text} for at, (_, text) in enumerate(rows)],
    }
    files: dict[str, bytes] = {
        "a.csv": table.encode(),
        "utf16.csv": table.encode("utf-16"),
        "a.tsv": table.replace(",", "\t").encode("utf-8-sig"),
        "semicolon.csv": table.replace(",", ";").encode("cp1252", "replace"),
        "a.jsonl": "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode(),
        "said.jsonl": "".join(json.dumps({"file": n, "caption": t, "error": None}) + "\n" for n, t in rows).encode(),
        "coco.json": json.dumps(coco).encode(),
        "map.json": json.dumps({name: [text] for name, text in rows}).encode(),
        "list.json": json.dumps(objects, indent=1).encode(),
        "00.txt": "\n".join(text for _, text in rows).encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- made by a camera --><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
 dc:format="image/jpeg"><dc:subject><rdf:Bag><rdf:li>kite</rdf:li></rdf:Bag></dc:subject><dc:description><rdf:Alt>
 <rdf:li xml:lang="x-default">mine</rdf:li><rdf:li xml:lang="de"><![CDATA[meins]]></rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
     <?xpacket end="w"?>"""


def _packets(folder: Path) -> None:
    folder.mkdir()
    ours = merge(None, ["a kite", 'two "kites" & more'], Path("new.xmp"), MetadataOptions(), overwrite=True).text
    short = _PACKET.replace("<dc:description><rdf:Alt>", "<dc:description>").replace("</rdf:Alt></dc:description>", "")
    for name, text in (("ours", ours), ("camera", _PACKET), ("broken", short)):
        (folder / f"{name}.xmp").write_bytes(text.encode())
    (folder / "utf16.xmp").write_bytes(("\ufeff" + _PACKET).encode("utf-16-le"))
    plain = '<?xml version="1.0" encoding="ISO-8859-1"?>' + _PACKET.split("?>", 1)[1]
    (folder / "latin.xmp").write_bytes(plain.encode("latin-1"))


def _library(folder: Path, images: Path) -> None:
    photos = folder / "photos"
    shutil.copytree(images, photos)
    with Library.create(folder / "small") as library:
        scan(library, photos, QuietContext())
        for image_id in (1, 2, 3):
            edits.add_seed(library, image_id, f"a kite, number {image_id}")
        edits.undo(library)


def make_case(seeds: Path, number: int, seed: int, folder: Path) -> tuple[str, Path]:
    """The broken file, or folder, of case ``number`` in ``folder``: always the same for one ``seed``."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choices(KINDS, _SHARES)[0]
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "library":
        return kind, _broken_library(seeds / kind, rng, folder / f"case{number}.seedcap")
    if kind == "bundle":
        return kind, _broken_bundle(seeds / kind / "small", rng, folder / f"case{number}")
    files = sorted((seeds / kind).iterdir())
    chosen = rng.choice(files)
    others = [path.read_bytes() for path in rng.sample(files, 2)]
    target = folder / f"case{number}-{chosen.name}"
    content = chosen.read_bytes()
    claims = kind == "image" and rng.random() < _CLAIMS
    target.write_bytes(claim_size(content, rng) if claims else mutate(content, rng, kind, others))
    return kind, target


def _broken_library(seeds: Path, rng: random.Random, target: Path) -> Path:
    shutil.copytree(seeds / "small.seedcap", target)
    database = target / _DATABASE
    database.write_bytes(mutate(database.read_bytes(), rng, "library"))
    return target


def _broken_bundle(small: Path, rng: random.Random, target: Path) -> Path:
    """One file is broken; half of the time the manifest gives its new hash, as a bundle made to harm would."""
    shutil.copytree(small, target)
    chosen = rng.choice(sorted(path for path in target.iterdir()))
    chosen.write_bytes(mutate(chosen.read_bytes(), rng, "bundle" if chosen.suffix == ".json" else "image"))
    if chosen.name != "manifest.json" and rng.random() < 0.7:
        manifest = json.loads((target / "manifest.json").read_text("utf-8"))
        content = chosen.read_bytes()
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        manifest["files"][chosen.name] = entry
        (target / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return target
