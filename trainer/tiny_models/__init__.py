"""The tiny models of examples/models: a task, a tokenizer, three transformers, and the figures that describe them."""
