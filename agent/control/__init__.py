"""The control plane: which agents there are, what they may do, and which of them serves a conversation."""
