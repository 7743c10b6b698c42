"""Tools of MCP servers, behind the same handler as Careline's own: allow-listed, pinned, guarded, confirmed where they write."""
