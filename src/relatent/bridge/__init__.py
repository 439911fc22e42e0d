"""Snakemake and DVC side by side: dvc.yaml renderer, sync, adopt. Starts programs; imports no workshop."""
