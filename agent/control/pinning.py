"""
Hold fast what a deployment serves: its definition, prompt and tools as they are at this moment.

Definitions and prompts may be drafts that change the next day; what customers are answered by changes only with a deployment.
The provider is not held fast: its address and key are those of the day (docs/decisions/0016).
"""

from agent.control.ports import ControlRows
from core.control_records import (
    AgentDefinition,
    ContentStorage,
    PinnedAgent,
    SystemPrompt,
    ToolRecord,
)


async def pinned(rows: ControlRows, definition: AgentDefinition) -> PinnedAgent:
    """What its references name must exist."""
    prompt = None
    if definition.system_prompt_id is not None:
        prompt = await rows.get(SystemPrompt, definition.system_prompt_id)
    tools = [found for id in definition.tool_ids if (found := await rows.get(ToolRecord, id)) is not None]
    return PinnedAgent(
        slug=definition.slug,
        version=definition.version,
        system_prompt=prompt.content if prompt is not None else None,
        is_prompt_elsewhere=prompt is not None and prompt.content_storage_type is not ContentStorage.INLINE,
        tools=tuple(tool.name for tool in tools) if definition.tool_ids else None,
        model_name=definition.model_name,
        config=definition.config,
    )
