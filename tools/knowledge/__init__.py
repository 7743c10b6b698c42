"""The company's help articles: reading, cutting, embedding, indexing, searching."""
