"""Receipts, the code digest, finished work: what every number is walked back through. Imports no other room."""
