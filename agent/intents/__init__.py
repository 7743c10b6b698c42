"""A company's own intents: examples read, a classifier trained, its weights served."""
