"""Making a small T5 from text: vocabulary, warm-started embeddings, denoising and language modelling."""
