"""The dashboard of a daemon that lets in who has a token."""
