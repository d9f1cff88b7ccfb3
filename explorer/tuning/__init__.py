"""Prompt tuning: the initialization strategies of the paper and the training of many prompts in shared
batches.
"""
