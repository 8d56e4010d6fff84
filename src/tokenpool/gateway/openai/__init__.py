"""OpenAI's formats: chat completions, responses and embeddings, as the walk needs them."""
