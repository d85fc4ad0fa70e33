"""The dashboard of a lab's gateway."""
