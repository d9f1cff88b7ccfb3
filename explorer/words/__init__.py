"""How pieces, counts and sentences are written for people."""
