"""Answers to the exercises of 4.5."""
