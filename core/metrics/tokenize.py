"""Words of a caption, as the text metrics count them.

Close to what the COCO caption evaluation does with the Penn Treebank tokenizer: lower case, contractions split
("dog's" -> "dog", "'s"; "isn't" -> "is", "n't"), hyphenated words and numbers kept whole, punctuation, quotes and
brackets dropped. It is meant for English; a script without spaces counts as one word a run.
"""

from __future__ import annotations

import re
import unicodedata

_SPLIT = re.compile(r"n't\b|(?<=\w)'(?:s|re|ve|ll|d|m)\b")
_TOKEN = re.compile(
    r"n't\b|'(?:s|re|ve|ll|d|m)\b"
    r"|\d+(?:[.,:]\d+)+"  # 3.5, 10:30, 1,000
    r"|(?:[^\W\d_]\.){2,}"  # u.s.
    r"|\w+(?:-\w+)*"  # words, t-shirt, no_entry
    r"|[$€£%&#@+=°]"
)


def tokenize(text: str) -> list[str]:
    """Lower-case words of ``text`` without punctuation; an empty list for an empty caption."""
    plain = unicodedata.normalize("NFC", text).replace("’", "'").lower()
    plain = _SPLIT.sub(lambda match: f" {match.group()}", plain).replace("cannot", "can not")
    return _TOKEN.findall(plain)
