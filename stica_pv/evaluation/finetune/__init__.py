"""Fine-tuning as an evaluation: a run of the engine for every fold."""
