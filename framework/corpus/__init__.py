"""The corpus: schema, sources, writer and reader, layers of labels and of maps over it."""
