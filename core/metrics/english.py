"""Closed classes of English words: what a rule needs where a part-of-speech tagger would be too heavy.

The lists hold what captions use. They are for guards that compare two sets of captions by one rule, where a word that
is missing here weighs the same on both sides; they are no grammar.
"""

from __future__ import annotations

from core.metrics.tokenize import tokenize


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words("a an the this that these those some any each every no another both all")
PRONOUNS = _words(
    """
    i you he she it we they me him her us them his hers its our their theirs my your who whom whose which what
    himself herself itself themselves each other something someone somebody nothing one ones there
    """
)
PREPOSITIONS = _words(
    """
    of in on at to for with by from into onto over under above below behind beside besides between among around
    through across along against near nearby next off out up down inside outside within without toward towards
    during after before past about as like than upon underneath beneath atop amid via
    """
)
CONJUNCTIONS = _words("and or but while because so if when where whereas nor not then also too n't")
AUXILIARIES = _words(
    """
    is are was were be been being am has have had having do does did can could will would shall should may might
    must 's 're 've 'm 'll 'd
    """
)
NUMBERS = _words("one two three four five six seven eight nine ten several many few couple pair")
ADVERBS = _words("very just only still already back away together apart again here")
FUNCTION_WORDS = DETERMINERS | PRONOUNS | PREPOSITIONS | CONJUNCTIONS | AUXILIARIES | NUMBERS | ADVERBS

ADJECTIVES = _words(
    """
    red yellow green blue purple pink white black brown orange gray grey golden silver tan dark light bright pale
    small large big little tiny huge tall short long wide narrow young old new empty full open closed wet dry high
    low plain shiny striped glass wooden metal plastic colorful colourful beautiful happy sunny cloudy grassy sandy
    rocky snowy dirty clean hot cold different various main busy crowded asian male female
    """
)

VERBS = _words(
    """
    sits stands lies walks runs plays holds wears rides jumps looks watches eats drinks sleeps rests leans carries
    throws catches hits kicks climbs swims flies falls smiles laughs talks poses shows hangs works reads drives
    pulls pushes chases crosses faces makes takes gets goes gives swings dances sings skates surfs slides fights
    uses sit stand lie walk run play hold wear ride jump look watch eat drink sleep rest lean carry throw catch hit
    kick climb swim fly fall smile laugh talk pose hang work read drive pull push chase cross make take get go swing
    dance sing skate surf slide fight surrounds overlooks contains covers lays bikes perform performs prepares tries
    sat stood lay walked ran held wore rode ate fell
    """
)

_NOUNS_IN_ING = _words(
    """
    building ceiling clothing morning evening king ring string wing thing railing painting wedding swing spring
    sling something anything nothing everything during lightning parking crossing landing earring sibling pudding
    duckling dumpling
    """
)
_NOUNS_IN_ED = _words("red bed shed sled seed feed weed reed need speed breed hundred")
_SHORTEST_STEM = 3


def is_verb(word: str) -> bool:
    """Whether the rule takes ``word`` (lower case) for a verb: an auxiliary, a listed form, or one in -ing or -ed."""
    if word in AUXILIARIES or word in VERBS:
        return True
    if word.endswith("ing"):
        return word not in _NOUNS_IN_ING and len(word) >= _SHORTEST_STEM + 3
    return word.endswith("ed") and word not in _NOUNS_IN_ED and len(word) >= _SHORTEST_STEM + 2


def content_words(text: str) -> list[str]:
    """The words of ``text`` that say what is there: no function words, no single letters, no numbers or marks."""
    return [w for w in tokenize(text) if w not in FUNCTION_WORDS and len(w) > 1 and w[0].isalpha()]
