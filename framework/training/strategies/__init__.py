"""How networks are trained on one or many ranks: one file a strategy."""
