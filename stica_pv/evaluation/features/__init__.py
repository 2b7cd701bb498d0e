"""Features of every item, extracted once and stored."""
