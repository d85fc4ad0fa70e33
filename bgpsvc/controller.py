"""Writes: validated, stored, handed to the running gateway (`control.Control`)."""
