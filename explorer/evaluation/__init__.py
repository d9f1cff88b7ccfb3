"""Running prompts on texts and measuring what the model answers."""
