"""Judges and scores."""
