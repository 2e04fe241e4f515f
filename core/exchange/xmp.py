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
from core.exchange.plan import FieldChange, MetadataOptions, is_blank
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
_RESOURCE = f"{{{RDF}}}resource"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Merged:
    """``text``: the whole file, in ``encoding``. ``changes``: what becomes of each of our fields."""

    text: str
    encoding: str
    changes: tuple[FieldChange, ...]

    @property
    def changed(self) -> bool:
        return any(change.writes for change in self.changes)

    @property
    def replaces(self) -> bool:
        return any(change.replaces for change in self.changes)


def read_captions_of(content: bytes, source: Path) -> list[str]:
    """The captions in an XMP file: the description, then what Seedcap listed; the alt text where there is neither."""
    packet = parse(content, source)
    found = _said(packet, DESCRIPTION) + _texts(packet, CAPTIONS) or _said(packet, ALT_TEXT)
    return [text for text in dict.fromkeys(found) if not is_blank(text)]


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
    if len(texts) > 1 or _texts(packet, CAPTIONS):
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
    texts = _texts(packet, name)
    # All of them: only what a person is shown may be replaced.
    before = "\n".join(dict.fromkeys(said for said in texts if not is_blank(said))) if texts else None
    kept = not is_blank(before) and before != text and not overwrite
    if not kept and before != text:
        _set_text(packet, name, text)
    return FieldChange(_label(name), before, text, kept)


def _merge_list(packet: Packet, texts: Sequence[str], *, overwrite: bool) -> FieldChange:
    before = _texts(packet, CAPTIONS)
    wanted = list(texts) if len(texts) > 1 else []
    kept = not is_blank("".join(before)) and before != wanted and not overwrite
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


def _properties(packet: Packet, name: str) -> list[Any]:
    return [child for node in _nodes(packet) for child in node if child.tag == name]


def _texts(packet: Packet, name: str) -> list[str]:
    """What a field says in its default language, in every place where programs put it: attributes, plain elements,
    lists, and any of these twice."""
    texts = [node.get(name) for node in _nodes(packet) if name in node.attrib]
    for element in _properties(packet, name):
        items = _items(element)
        texts += [_text(one) for one in ([element] if items is None else filter(_is_default, items))]
    return texts


def _said(packet: Packet, name: str) -> list[str]:
    """What a field says in its default language, else its first text in any other."""
    if texts := [text for text in _texts(packet, name) if not is_blank(text)]:
        return texts
    items = [item for element in _properties(packet, name) for item in _items(element) or ()]
    return [_text(item) for item in items][:1]


def _text(element: Any) -> str:
    return element.get(_RESOURCE) or element.xpath("string()")


def _items(element: Any) -> list[Any] | None:
    """The items of a property's lists; ``None``: it has no list, and is a text itself."""
    containers = [child for child in element if child.tag in _LISTS]
    return [item for container in containers for item in container if item.tag == _LI] if containers else None


def _is_default(element: Any) -> bool:
    return (element.get(_LANG) or "x-default").lower() == "x-default"


def _set_text(packet: Packet, name: str, text: str) -> None:
    """Leave one place of all that :func:`_texts` finds, and let it say ``text``."""
    home = next((element for element in _properties(packet, name) if _items(element) is not None), None)
    _remove(packet, name, but=home)
    if home is None:
        home = _new_property(packet, name)
        etree.SubElement(home, _ALT)
    alternatives = next(child for child in home if child.tag in _LISTS)
    alternatives.tag = _ALT
    defaults = [item for item in _items(home) or () if _is_default(item)]
    for item in defaults[1:]:
        _take_out(item)
    item = defaults[0] if defaults else etree.Element(_LI)
    if not defaults:
        alternatives.insert(0, item)  # the default comes first, says the standard
        item.tail = alternatives.text
    item.set(_LANG, "x-default")
    item.attrib.pop(_RESOURCE, None)
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


def _remove(packet: Packet, name: str, but: Any = None) -> None:
    for node in _nodes(packet):
        node.attrib.pop(name, None)
    for element in _properties(packet, name):
        if element is not but:
            _take_out(element)


def _take_out(element: Any) -> None:
    """Remove an element, and leave the white space behind it."""
    parent, before = element.getparent(), element.getprevious()
    if element.tail and before is not None:
        before.tail = (before.tail or "") + element.tail
    elif element.tail:
        parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def _foreign(root: Any) -> Counter[tuple[Any, ...]]:
    """Everything but the texts that :func:`_texts` finds, to be found again afterwards: elements, attributes, texts,
    comments; also what others put inside our fields."""
    found: Counter[tuple[Any, ...]] = Counter()
    for element in root.iter():
        tag, ours = str(element.tag), _holds_our_text(element)
        if not ours:
            found[("element", tag, (element.text or "").strip())] += 1
        if isinstance(element.tag, str):
            skipped = (*_PREFIXES, _LANG, _RESOURCE) if ours else tuple(_PREFIXES)
            found.update(("attribute", tag, key, value) for key, value in element.attrib.items() if key not in skipped)
    return found


def _holds_our_text(element: Any) -> bool:
    """Whether an element is one of our fields, its list or an item of that, in the default language."""
    if not _is_default(element):
        return False
    if element.tag == _LI and element.getparent() is not None:
        element = element.getparent()
    if element.tag in _LISTS and element.getparent() is not None:
        element = element.getparent()
    return element.tag in _PREFIXES
