"""Where a model and an image come from: metadata, lineage, model cards, marks and signatures."""
