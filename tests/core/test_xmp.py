"""XMP sidecars: what another program wrote stays, and our captions are read back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from core.errors import UserError
from core.exchange.exports import MetadataOptions, plan_export, write_export
from core.exchange.imports import import_captions
from core.exchange.xmp import merge, read_captions_of
from core.jobs import QuietContext
from core.library import edits, queries
from core.library.library import Library
from tests.core.photos import library_with, look, write_photo

SOURCE = Path("a.xmp")
LIGHTROOM = """\ufeff<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- written by another program -->
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk="Adobe XMP Core 7.0-c000">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" tiff:Orientation="6" crs:Exposure2012="+0.35">
   <!-- a curve -->
   <crs:ToneCurvePV2012><rdf:Seq><rdf:li>0, 0</rdf:li><rdf:li>255, 255</rdf:li></rdf:Seq></crs:ToneCurvePV2012>
   <crs:Look rdf:parseType="Resource"><crs:Name>Warm &amp; soft</crs:Name></crs:Look>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:subject><rdf:Bag><rdf:li>kite</rdf:li></rdf:Bag></dc:subject>
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">mine</rdf:li>
    <rdf:li xml:lang="de">meins</rdf:li></rdf:Alt></dc:description>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default"><![CDATA[A <title>]]></rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
{padding}
<?xpacket end="w"?>""".replace("{padding}", (" " * 100 + "\n") * 20)


def _merge(content, *captions, overwrite=False, **options):
    raw = content.encode("utf-8") if isinstance(content, str) else content
    return merge(raw, captions, SOURCE, MetadataOptions(**options), overwrite=overwrite)


def _foreign(text: str) -> list[str]:
    """Every property but ours, and every comment among them."""
    root = etree.fromstring(text.lstrip("\ufeff").split("?>", 1)[1].encode())
    ours = ("description", "AltTextAccessibility", "Captions")
    found = []
    for node in root.iter("{*}Description"):
        found += [f"{key}={value}" for key, value in node.attrib.items()]
        found += [
            etree.tostring(child, with_tail=False).decode()
            for child in node
            if not isinstance(child.tag, str) or etree.QName(child).localname not in ours
        ]
    return found


def test_a_field_of_a_person_is_kept_and_an_empty_one_is_filled():
    merged = _merge(LIGHTROOM, "a red kite")
    assert [(change.field, change.before, change.after, change.kept) for change in merged.changes] == [
        ("dc:description", "mine", "a red kite", True),
        ("Iptc4xmpCore:AltTextAccessibility", None, "a red kite", False),
    ]
    assert merged.changed and not merged.replaces
    assert read_captions_of(merged.text.encode(), SOURCE) == ["mine"]


def test_replacing_leaves_every_foreign_field_language_comment_and_the_padding():
    merged = _merge(LIGHTROOM, "a red kite", "a kite", overwrite=True)
    assert merged.replaces
    assert _foreign(merged.text) == _foreign(LIGHTROOM)
    head, tail = LIGHTROOM.split("<x:xmpmeta")[0], LIGHTROOM.split("</x:xmpmeta>")[1]
    assert merged.text.startswith(head) and merged.text.endswith(tail)
    assert '<rdf:li xml:lang="de">meins</rdf:li>' in merged.text and "mine" not in merged.text
    assert "<!-- a curve -->" in merged.text and "<![CDATA[A <title>]]>" in merged.text
    assert read_captions_of(merged.text.encode(), SOURCE) == ["a red kite", "a kite"]
    again = _merge(merged.text, "a red kite", "a kite", overwrite=True)
    assert not again.changed and again.text == merged.text


def test_a_file_that_needs_nothing_stays_byte_for_byte():
    merged = _merge(LIGHTROOM, "mine", fields=("description",))
    assert not merged.changed and merged.text == LIGHTROOM


@pytest.mark.parametrize(
    "body",
    [
        '<rdf:Description rdf:about="" dc:description="old"/>',
        '<rdf:Description rdf:about=""><dc:description>old</dc:description></rdf:Description>',
        '<rdf:Description rdf:about=""><dc:description><rdf:Bag><rdf:li>old</rdf:li></rdf:Bag></dc:description>'
        "</rdf:Description>",
        '<rdf:Description rdf:about=""><dc:description><rdf:Alt><rdf:li>old</rdf:li></rdf:Alt></dc:description>'
        "</rdf:Description>",
    ],
)
def test_a_description_in_any_usual_form_is_read_and_replaced(body):
    text = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">{body}</rdf:RDF>'
    )
    assert read_captions_of(text.encode(), SOURCE) == ["old"]
    assert _merge(text, "new").changes[0].kept
    merged = _merge(text, "new", overwrite=True, fields=("description",))
    assert read_captions_of(merged.text.encode(), SOURCE) == ["new"] and "old" not in merged.text


def _packet(body: str, more: str = "", attributes: str = "") -> str:
    """An XMP file with ``body`` in its first rdf:Description, and ``more`` beside that."""
    return (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'xmlns:xmp="http://ns.adobe.com/xap/1.0/"><rdf:Description rdf:about="" {attributes}>{body}</rdf:Description>'
        f"{more}</rdf:RDF>"
    )


_WORDS = "<dc:description><rdf:Alt><rdf:li>my words</rdf:li></rdf:Alt></dc:description>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (_packet("<dc:description/>", f"<rdf:Description>{_WORDS}</rdf:Description>"), "my words"),
        (_packet("<dc:description/>", attributes='dc:description="my words"'), "my words"),
        (_packet(_WORDS.replace("<rdf:li>", '<rdf:li xml:lang="x-default"> </rdf:li><rdf:li>')), "my words"),
        (_packet(_WORDS.replace("Alt>", "Bag>").replace("</rdf:li>", "</rdf:li><rdf:li>more</rdf:li>")),
         "my words\nmore"),
        (_packet('<dc:description rdf:resource="my words"/>'), "my words"),
    ],
)  # fmt: skip
def test_words_in_an_unusual_place_are_shown_and_only_replaced_where_that_is_asked_for(text, shown):
    kept = _merge(text, "new", fields=("description",))
    assert [(change.before, change.kept) for change in kept.changes] == [(shown, True)] and kept.text == text
    assert read_captions_of(text.encode(), SOURCE) == shown.split("\n")
    merged = _merge(text, "new", overwrite=True, fields=("description",))
    assert merged.replaces and merged.changes[0].before == shown
    assert read_captions_of(merged.text.encode(), SOURCE) == ["new"]
    assert "my words" not in merged.text and merged.text.count("<dc:description") == 1


@pytest.mark.parametrize(
    "body",
    [
        ' rdf:parseType="Resource"><rdf:value>old</rdf:value><xmp:Label>red</xmp:Label>',
        ' xmp:Label="red">old',
        '><rdf:Alt><rdf:li rdf:parseType="Literal"><xmp:b>red</xmp:b></rdf:li></rdf:Alt>',
        "><rdf:Alt><rdf:li>old<!-- red --></rdf:li></rdf:Alt>",
        ' xml:lang="de">rot, red',
    ],
)
def test_what_others_say_inside_our_field_is_never_lost(body):
    text = _packet(f"<dc:description{body}</dc:description>")
    assert _merge(text, "new").changes[0].kept
    with pytest.raises(UserError, match="without losing"):
        _merge(text, "new", overwrite=True)


@pytest.mark.parametrize(
    "said",
    [
        "",
        " \n ",
        '<rdf:Alt><rdf:li xml:lang="de">rot</rdf:li></rdf:Alt>',
        '<rdf:Bag><rdf:li> </rdf:li><rdf:li xml:lang="de">rot</rdf:li></rdf:Bag>',
    ],
)
def test_a_field_without_words_is_filled(said):
    merged = _merge(_packet(f"<dc:description>{said}</dc:description>"), "new", fields=("description",))
    assert not merged.changes[0].kept and merged.changed and not merged.replaces
    assert read_captions_of(merged.text.encode(), SOURCE) == ["new"]
    assert ('<rdf:li xml:lang="de">rot</rdf:li>' in merged.text) == ("rot" in said)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_file_keeps_its_encoding_and_its_line_ends(encoding):
    content = LIGHTROOM.replace("\n", "\r\n").encode(encoding)
    merged = _merge(content, "drei Drachen, grün ☕", overwrite=True)
    again = merged.text.encode(merged.encoding)
    assert again.startswith(content[:80]) and merged.encoding == encoding
    assert merged.text.count("\n") == merged.text.count("\r\n")
    assert read_captions_of(again, SOURCE) == ["drei Drachen, grün ☕"]


def test_letters_that_an_old_encoding_lacks_are_written_as_references():
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>\n' + LIGHTROOM.split("?>", 1)[1].replace("mine", "für mich")
    merged = _merge(text.encode("latin-1"), "ein Café ☕", overwrite=True)
    content = merged.text.encode(merged.encoding)
    assert content.startswith(b'<?xml version="1.0" encoding="ISO-8859-1"?>') and b"&#9749;" in content
    assert read_captions_of(content, SOURCE) == ["ein Café ☕"]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60),
            st.sampled_from(
                ['"quo\'ted" & <b>', "one\ntwo\r\nthree\rfour", "  lead", "سلام שלום", "👩‍👩‍👧‍👦", "x" * 10_000]
            ),
        ).filter(lambda text: text.strip() and "\ufffe" not in text and "\uffff" not in text),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    old=st.booleans(),
)
def test_any_captions_come_back(texts, old):
    merged = _merge(LIGHTROOM if old else None, *texts, overwrite=True)
    assert read_captions_of(merged.text.encode(merged.encoding), SOURCE) == texts


_LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
_OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_LAUGHS, "entities"),
        (_OUTSIDE, "entities"),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>', "document type"),
        ("<x/>", "no XMP"),
        ("<x><y></x>", "not well-formed"),
        ("", "not well-formed"),
        ("plain words", "not well-formed"),
        ("<x>" * 500 + "</x>" * 500, "nested too deeply"),
        ('<?xml version="1.0" encoding="utf-7"?><x/>', "utf-7"),
        (b"\xff\xfe<\x00x", "not well-formed|utf-16"),
        (b"<x>\xff</x>", "not utf-8 text"),
        (LIGHTROOM.replace("</rdf:RDF>", "", 1), "not well-formed"),
    ],
)
def test_dangerous_and_broken_files_are_refused_naming_them(content, words):
    raw = content.encode() if isinstance(content, str) else content
    for act in (lambda: read_captions_of(raw, SOURCE), lambda: _merge(raw, "x")):
        with pytest.raises(UserError, match=words) as caught:
            act()
        assert "a.xmp" in str(caught.value)


# -- in a library -----------------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    with library_with(tmp_path, 3) as library:
        edits.add_seed(library, 1, "a red kite")
        edits.add_seed(library, 2, "two kites")
        yield library


def _export(library, **options):
    overwrite, out = options.pop("overwrite", False), options.pop("out", None)
    plan = plan_export(library, "xmp", out, overwrite=overwrite, metadata=MetadataOptions(**options))
    return plan, write_export(plan, QuietContext())


def test_new_sidecars_carry_the_name_that_is_asked_for(library, tmp_path):
    photos = tmp_path / "photos"
    _export(library)
    assert sorted(path.name for path in photos.glob("*.xmp")) == ["00.png.xmp", "01.png.xmp"]
    _export(library, out=tmp_path / "out", sidecars="stem")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00.xmp", "01.xmp"]


def test_a_sidecar_that_is_there_is_used_whatever_it_is_called(library, tmp_path):
    photos = tmp_path / "photos"
    (photos / "00.xmp").write_text(LIGHTROOM, "utf-8")
    (photos / "01.PNG.XMP").write_text(LIGHTROOM, "utf-8")
    plan, report = _export(library)
    assert [(item.path.name, item.action) for item in plan.items] == [("00.xmp", "merge"), ("01.PNG.XMP", "merge")]
    assert report.written == 2 and "mine" in (photos / "00.xmp").read_text("utf-8")
    plan, report = _export(library)
    assert [item.action for item in plan.items] == ["keep", "keep"] and report.written == 0
    assert _export(library, overwrite=True)[1].written == 2
    assert read_captions_of((photos / "00.xmp").read_bytes(), SOURCE) == ["a red kite"]


@pytest.mark.parametrize("other", ["00.NEF", "00.jpg"])
def test_a_sidecar_that_may_be_anothers_is_left_alone(library, tmp_path, other):
    photos = tmp_path / "photos"
    (photos / other).write_bytes(b"raw")
    (photos / "00.xmp").write_text(LIGHTROOM, "utf-8")
    plan, _ = _export(library, sidecars="stem")
    assert [item.path.name for item in plan.items] == ["00.png.xmp", "01.xmp"]
    assert (photos / "00.xmp").read_text("utf-8") == LIGHTROOM


def test_a_broken_sidecar_is_listed_and_stays(library, tmp_path):
    broken = tmp_path / "photos" / "00.png.xmp"
    broken.write_text(_LAUGHS)
    _, report = _export(library, overwrite=True)
    assert report.written == 1
    assert [(path, "entities" in reason) for path, reason in report.failed] == [(broken, True)]
    assert broken.read_text() == _LAUGHS


def test_captions_come_back_from_sidecars_of_both_names_and_from_text_files(library, tmp_path):
    edits.add_seed(library, 1, "one more")
    _export(library)
    shutil.move(tmp_path / "photos" / "01.png.xmp", tmp_path / "photos" / "01.xmp")
    (tmp_path / "photos" / "01.png.txt").write_text("a text beside it\n")
    with Library.create(tmp_path / "second") as second:
        look(second, tmp_path / "photos")
        report = import_captions(second, tmp_path / "photos")
        assert (report.captions, report.unmatched, report.ambiguous) == (4, (), ())
        found = queries.captions_of(second, [1, 2])
        assert sorted(caption.text for caption in found[1]) == ["a red kite", "one more"]
        assert sorted(caption.text for caption in found[2]) == ["a text beside it", "two kites"]


def test_an_independent_program_reads_what_was_merged(library, tmp_path):
    if shutil.which("exiftool") is None:
        pytest.skip("ExifTool is not installed")
    sidecar = tmp_path / "photos" / "00.png.xmp"
    sidecar.write_text(LIGHTROOM, "utf-8")
    write_photo(tmp_path / "photos" / "00.png", seed=0)
    _export(library, overwrite=True)
    asked = ["-s3", "-XMP-dc:Description", "-XMP-dc:Description-de", "-XMP-iptcCore:AltTextAccessibility",
             "-XMP-dc:Subject", "-XMP-crs:Exposure2012", "-XMP-tiff:Orientation#"]  # fmt: skip
    said = subprocess.run(["exiftool", "-config", "", *asked, sidecar], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["a red kite", "meins", "a red kite", "kite", "+0.35", "6"]
