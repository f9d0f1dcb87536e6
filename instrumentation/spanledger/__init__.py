"""Spanledger in the application: every model call becomes a span that says what it cost, for whom, and how it ended."""
