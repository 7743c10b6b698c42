"""
The questions that benchmarks ask: 50 in a customer's words with the article that answers each, and 20 that none answers.

Written by hand about the Arduino help centre before anything was tuned; kept as a test set, thresholds come from elsewhere.
"""

from pathlib import Path

import msgspec

_FILE = Path(__file__).with_name("arduino_questions.jsonl")
_DEVELOPMENT_FILE = Path(__file__).with_name("arduino_development.jsonl")


class Question(msgspec.Struct, frozen=True):
    """`article_id` is None where no article has the answer."""

    question: str
    article_id: str | None = None


def questions() -> list[Question]:
    return _read(_FILE)


def all_texts() -> list[str]:
    """Every question there is, those for development too, each once: for timing, where the answers do not matter."""
    return list(dict.fromkeys(each.question for each in (*_read(_FILE), *_read(_DEVELOPMENT_FILE))))


def _read(file: Path) -> list[Question]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [msgspec.json.decode(line, type=Question) for line in lines if line.strip()]
