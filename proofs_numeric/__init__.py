"""The registry of claims, each with its check, its tightness and a falsifier that the check must catch."""
