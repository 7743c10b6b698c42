"""
Tool: find what the help articles say.
"""

from typing import Annotated

import msgspec

from core.languages import language_of
from tools.ports import KnowledgeSearch
from tools.protocol import ToolCall, ToolResult
from tools.sentences import result_sentence


class SearchArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=500, description="What to look for, in the customer's words."),
    ]
    limit: Annotated[int, msgspec.Meta(ge=1, le=10, description="How many passages at most.")] = 5
    language: (
        Annotated[
            str,
            msgspec.Meta(
                pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$",
                description="Only articles in this language, such as es. Left out: in any.",
            ),
        ]
        | None
    ) = None


class SearchKnowledge:
    name = "search_knowledge"
    description = "Search the company's help articles. Returns passages that may be quoted, best first."
    arguments = SearchArguments
    feature = "knowledge_search"
    dependency: str | None = "knowledge"
    needs_account = False
    has_effect = False

    def __init__(self, knowledge: KnowledgeSearch) -> None:
        self._knowledge = knowledge

    async def run(self, arguments: SearchArguments, call: ToolCall) -> ToolResult:
        found = await self._knowledge.search(
            call.tenant,
            arguments.query,
            limit=arguments.limit,
            language=language_of(call.locale),
            context=call.context,
            replies=call.replies,
            audience=call.caller.audience,
            languages=(arguments.language,) if arguments.language else (),
        )
        passages = found.passages
        return ToolResult(
            value={
                "as_of": found.built_at.date().isoformat() if found.built_at else None,
                "passages": [
                    {
                        "n": number,
                        "article_id": passage.article_id,
                        "title": passage.title,
                        "url": passage.url,
                        "heading": passage.heading,
                        "text": passage.text,
                    }
                    for number, passage in enumerate(passages, start=1)
                ],
            },
            summary=result_sentence("search_found" if passages else "search_empty", call.locale),
            passages=passages,
            degraded=tuple(
                ("knowledge_search", dependency)
                for dependency, is_down in (
                    ("search_service", found.is_stand_in),
                    ("vectors", found.is_lexical_only),
                )
                if is_down
            ),
        )
