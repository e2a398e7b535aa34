"""`ai-gateway selftest`: conversations through every dialect and every backend, read again by other eyes.

What a provider said and what a client got are reduced to the same form by readings of each API that share
no code with the translators (`wires`), and compared. Rule: nothing here imports a dialect or a provider but
`sides.py`, which lists what is tested.
"""
