"""An XMP file as prolog, tree and epilog, read without trusting it.

First defusedxml reads the file and refuses entities, document types and too deep nesting; only then lxml makes a tree
of the root element, which keeps comments, prefixes and the order of things. What stands before and after the root (the
packet's marks and its padding) is kept as it is, byte for byte.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it has no stubs

from core.errors import UserError

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
MAX_ELEMENTS = 200_000
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ENCODINGS = {"utf-8": "utf-8", "us-ascii": "ascii", "ascii": "ascii", "iso-8859-1": "latin-1",
              "latin1": "latin-1", "windows-1252": "cp1252"}  # fmt: skip
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_NEW = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Seedcap">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about=""/>
  </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


@dataclass
class Packet:
    """``root`` is the element that holds everything; ``rdf`` its rdf:RDF. ``mark``: the byte order mark, or nothing."""

    prolog: str
    root: Any
    rdf: Any
    epilog: str
    encoding: str
    mark: str
    windows_lines: bool

    def text(self) -> str:
        root = etree.tostring(self.root, encoding="unicode", with_tail=False)
        if self.windows_lines:
            root = root.replace("\n", "\r\n")
        whole = self.mark + self.prolog + root + self.epilog
        if self.encoding in ("ascii", "latin-1", "cp1252"):
            return whole.encode(self.encoding, "xmlcharrefreplace").decode(self.encoding)
        return whole


def new_packet() -> Packet:
    return parse(_NEW.encode("utf-8"), Path("new.xmp"))


def parse(content: bytes, source: Path) -> Packet:
    """The packet in a file; a ``UserError`` that names it for anything that is not XMP, or not harmless."""
    if len(content) > MAX_BYTES:
        raise _refused(source, f"has more than {MAX_BYTES >> 20} MB")
    text, encoding, mark = _decoded(content, source)
    plain = text.encode("utf-8")
    start, end = _root_element(plain, source)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, strip_cdata=False, encoding="utf-8"
    )
    try:
        root = etree.fromstring(plain[start:end], parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _refused(source, f"is not well-formed XML: {error}") from error
    rdf = root if root.tag == f"{{{RDF}}}RDF" else root.find(f".//{{{RDF}}}RDF")
    if rdf is None:
        raise _refused(source, "holds no XMP")
    windows_lines = b"\r\n" in plain[start:end]
    prolog, epilog = plain[:start].decode("utf-8"), plain[end:].decode("utf-8")
    return Packet(prolog, root, rdf, epilog, encoding, mark, windows_lines)


def _refused(source: Path, why: str) -> UserError:
    return UserError(f"{source} {why}.", "It is left as it is; check it with the program that wrote it.")


def _decoded(content: bytes, source: Path) -> tuple[str, str, str]:
    """The text, the encoding to write it in again, and the byte order mark that it began with."""
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    mark, encoding = next((pair for pair in marks if content.startswith(pair[0])), (b"", ""))
    if not mark:
        declared = _DECLARED.match(content[:200])
        name = declared[1].decode("ascii").lower() if declared else "utf-8"
        if name not in _ENCODINGS:
            raise _refused(source, f"is written in the encoding {name}, which is not read here")
        encoding = _ENCODINGS[name]
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise _refused(source, f"is not {encoding} text as it says") from error
    return text, encoding, "\ufeff" if mark else ""


class _Guard:
    """Where the root element begins and ends; stops at what no honest XMP file has."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.start_at = self.end_at = -1
        self._depth = self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.start_at < 0:
            self.start_at = self.parser.CurrentByteIndex
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise ParseError("nested too deeply, or far too long")

    def end(self, tag: str) -> None:
        self._depth -= 1
        self.end_at = self.parser.CurrentByteIndex

    def data(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def _root_element(plain: bytes, source: Path) -> tuple[int, int]:
    guard = _Guard()
    parser = XMLParser(target=guard, encoding="utf-8", forbid_dtd=True, forbid_entities=True, forbid_external=True)
    guard.parser = parser.parser
    try:
        parser.feed(plain)
        parser.close()
    except DefusedXmlException as error:
        raise _refused(source, "declares a document type or entities, which XMP never needs") from error
    except (ParseError, ValueError) as error:
        raise _refused(source, f"is not well-formed XML: {error}") from error
    if plain[guard.end_at : guard.end_at + 2] != b"</":  # an empty root element
        raise _refused(source, "holds no XMP")
    return guard.start_at, plain.index(b">", guard.end_at) + 1
