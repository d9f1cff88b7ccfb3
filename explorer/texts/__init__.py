"""Labelled texts: files of them, their encodings, separators and labels."""
