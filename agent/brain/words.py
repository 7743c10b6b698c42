"""
The words of a text that carry its meaning, in the stems that the search compares.

English wording only, like `agent.brain.phrases`.
"""

from tools.knowledge.words import terms

_SAYS_NOTHING = (
    "about actually after again ago all already also always another anybody anyone anything around away "
    "back before being better both came cannot come could couldn day dear did didn doesn each either else "
    "even ever every everything find first found give given go goes going gone good got great hadn happen "
    "happened happens hasn haven help her here him his however into isn keep keeps kept kind know last "
    "later let like little long longer look looking lot made make makes many maybe mean might more most "
    "much must need needed needs never new nothing now off often ok okay once one only other ought over "
    "own per perhaps possible question quite really right said same say says see seem seems shall she "
    "should shouldn show since some somebody somehow someone something somewhere soon still such sure "
    "take takes tell than those though through time together too tried try trying under until upon use "
    "used uses using via want wanted wants wasn way well went weren whatever whenever wherever whether "
    "while whole whose within without won work works would wouldn yes yet yourself "
)
_EMPTY = frozenset(term for word in _SAYS_NOTHING.split() for term in terms(word))


def content_words(text: str) -> tuple[str, ...]:
    """Stems in the order of the text, each once, without words that only hold a sentence together."""
    return tuple(dict.fromkeys(term for term in terms(text) if term not in _EMPTY))
