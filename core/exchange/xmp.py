"""Captions in XMP: reading them, and merging them into a file of another program.

The rules, field by field (docs/decisions/0017): ``dc:description`` and ``Iptc4xmpCore:AltTextAccessibility`` get the
first caption as the language alternative ``x-default``; ``seedcap:Captions`` lists all of them where there are several.
A field with other words keeps them unless replacing is asked for; other languages, other fields, comments, prefixes
and the packet's padding always stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it has no stubs

from core.errors import UserError
from core.exchange.plan import FieldChange, MetadataOptions
from core.exchange.xmp_packet import RDF, Packet, new_packet, parse

DC = "http://purl.org/dc/elements/1.1/"
IPTC = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
SEEDCAP = "urn:seedcap:xmp:1:"
DESCRIPTION = f"{{{DC}}}description"
ALT_TEXT = f"{{{IPTC}}}AltTextAccessibility"
CAPTIONS = f"{{{SEEDCAP}}}Captions"
_PREFIXES = {DESCRIPTION: ("dc", DC), ALT_TEXT: ("Iptc4xmpCore", IPTC), CAPTIONS: ("seedcap", SEEDCAP)}
_FIELDS = {"description": DESCRIPTION, "alt-text": ALT_TEXT}
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ALT, _SEQ, _LI = f"{{{RDF}}}Alt", f"{{{RDF}}}Seq", f"{{{RDF}}}li"
_LISTS = (_ALT, _SEQ, f"{{{RDF}}}Bag")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Merged:
    """``text``: the whole file, in ``encoding``. ``changes``: what becomes of each of our fields."""

    text: str
    encoding: str
    changes: tuple[FieldChange, ...]

    @property
    def changed(self) -> bool:
        return any(not change.kept and change.before != change.after for change in self.changes)

    @property
    def replaces(self) -> bool:
        return any(not change.kept and change.before not in (None, change.after) for change in self.changes)


def read_captions_of(content: bytes, source: Path) -> list[str]:
    """The captions in an XMP file: the description, then what Seedcap listed; the alt text where there is neither."""
    packet = parse(content, source)
    description = _value(packet, DESCRIPTION, any_language=True)
    found = [description] if description else []
    found += _listed(packet)
    if not found and (alt_text := _value(packet, ALT_TEXT, any_language=True)):
        found = [alt_text]
    return [text for text in dict.fromkeys(found) if text.strip()]


def merge(
    content: bytes | None, captions: Sequence[str], source: Path, options: MetadataOptions, *, overwrite: bool
) -> Merged:
    """``captions``, best first, in the XMP file ``content``, or in a new one; nothing of others is touched."""
    packet = new_packet() if content is None else parse(content, source)
    texts = [_NOT_XML.sub("", text) for text in captions]
    foreign = _foreign(packet.root)
    changes = []
    for name in options.fields:
        changes.append(_merge_field(packet, _FIELDS[name], texts[0], overwrite=overwrite))
    if len(texts) > 1 or _listed(packet):
        changes.append(_merge_list(packet, texts, overwrite=overwrite))
    merged = Merged(packet.text(), packet.encoding, tuple(changes))
    if content is not None:
        if not merged.changed:
            return Merged(packet.mark + content.decode(packet.encoding).removeprefix("\ufeff"), packet.encoding,
                          tuple(changes))  # fmt: skip
        again = parse(merged.text.encode(merged.encoding), source)
        if foreign - _foreign(again.root):
            raise UserError(f"{source} cannot be merged without losing other fields.", "It is left as it is.")
    return merged


def _merge_field(packet: Packet, name: str, text: str, *, overwrite: bool) -> FieldChange:
    before = _value(packet, name)
    kept = before not in (None, "", text) and not overwrite
    if not kept and before != text:
        _set_text(packet, name, text)
    return FieldChange(_label(name), before, text, kept)


def _merge_list(packet: Packet, texts: Sequence[str], *, overwrite: bool) -> FieldChange:
    before = _listed(packet)
    wanted = list(texts) if len(texts) > 1 else []
    kept = bool(before) and before != wanted and not overwrite
    if not kept and before != wanted:
        _remove(packet, CAPTIONS)
        if wanted:
            items = etree.SubElement(_new_property(packet, CAPTIONS), _SEQ)
            for text in wanted:
                etree.SubElement(items, _LI).text = text
    return FieldChange(_label(CAPTIONS), "\n".join(before) or None, "\n".join(wanted) or None, kept)


def _label(name: str) -> str:
    prefix, uri = _PREFIXES[name]
    return f"{prefix}:{name.removeprefix('{' + uri + '}')}"


# -- the tree ---------------------------------------------------------------------------------------------------------


def _nodes(packet: Packet) -> list[Any]:
    return [node for node in packet.rdf if node.tag == f"{{{RDF}}}Description"]


def _property(packet: Packet, name: str) -> Any:
    return next((child for node in _nodes(packet) for child in node if child.tag == name), None)


def _value(packet: Packet, name: str, *, any_language: bool = False) -> str | None:
    """The text of a field: its default language, or a plain text as some programs write it."""
    element = _property(packet, name)
    if element is None:
        return next((node.get(name) for node in _nodes(packet) if node.get(name) is not None), None)
    items = _items(element)
    if items is None:
        return element.xpath("string()")
    chosen = _default(items)
    if chosen is None and any_language:
        chosen = next(iter(items), None)
    return None if chosen is None else chosen.xpath("string()")


def _items(element: Any) -> list[Any] | None:
    container = next((child for child in element if child.tag in _LISTS), None)
    return None if container is None else [child for child in container if child.tag == _LI]


def _default(items: Sequence[Any]) -> Any:
    return next((item for item in items if (item.get(_LANG) or "x-default").lower() == "x-default"), None)


def _listed(packet: Packet) -> list[str]:
    element = _property(packet, CAPTIONS)
    items = None if element is None else _items(element)
    return [item.xpath("string()") for item in items or ()]


def _set_text(packet: Packet, name: str, text: str) -> None:
    element = _property(packet, name)
    alternatives = None if element is None else next((child for child in element if child.tag == _ALT), None)
    if alternatives is None:
        _remove(packet, name)
        alternatives = etree.SubElement(_new_property(packet, name), _ALT)
    item = _default([child for child in alternatives if child.tag == _LI])
    if item is None:
        item = etree.Element(_LI)
        item.set(_LANG, "x-default")
        alternatives.insert(0, item)  # the default comes first, says the standard
        item.tail = alternatives.text
    for child in list(item):
        item.remove(child)
    item.text = text


def _new_property(packet: Packet, name: str) -> Any:
    nodes = _nodes(packet)
    if nodes:
        node = nodes[0]
    else:
        node = etree.SubElement(packet.rdf, f"{{{RDF}}}Description")
        node.set(f"{{{RDF}}}about", "")
    prefix, uri = _PREFIXES[name]
    taken = {used for used, meaning in node.nsmap.items() if meaning != uri}
    element = etree.SubElement(node, name, nsmap=None if prefix in taken else {prefix: uri})
    element.tail = "\n"
    return element


def _remove(packet: Packet, name: str) -> None:
    for node in _nodes(packet):
        if node.get(name) is not None:
            del node.attrib[name]
        for child in [child for child in node if child.tag == name]:
            before = child.getprevious()
            if child.tail and before is not None:
                before.tail = (before.tail or "") + child.tail
            elif child.tail:
                node.text = (node.text or "") + child.tail
            node.remove(child)


def _foreign(root: Any) -> Counter[tuple[Any, ...]]:
    """Everything that is not one of our texts, to be found again afterwards: elements, attributes, texts, comments."""
    found: Counter[tuple[Any, ...]] = Counter()
    for element in root.iter():
        ours = next((one for one in (element, *element.iterancestors()) if one.tag in _PREFIXES), None)
        if ours is not None and (element.get(_LANG) or "x-default").lower() == "x-default":
            continue
        tag = element.tag if isinstance(element.tag, str) else str(element.tag)
        found[("element", tag, (element.text or "").strip())] += 1
        if isinstance(element.tag, str):
            others = ((key, value) for key, value in element.attrib.items() if key not in _PREFIXES)
            found.update(("attribute", tag, key, value) for key, value in others)
    return found
