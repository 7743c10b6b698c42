"""One turn of a conversation, from the stored message to the stored reply."""
