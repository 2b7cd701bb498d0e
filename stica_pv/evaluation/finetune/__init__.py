"""Fine-tuning as an evaluation: one training per fold."""
