"""What the agent can do for a customer, each call through the `ToolErrorHandler`."""
