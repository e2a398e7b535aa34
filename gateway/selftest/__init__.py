"""`ai-gateway selftest`: conversations through every dialect and every backend, read again by other eyes.

What a provider said and what a client got are reduced to the same form by readings of each API that share
no code with the translators (`forms.py`, `wires`), and compared. What is tested is listed in `sides.py`.
"""
