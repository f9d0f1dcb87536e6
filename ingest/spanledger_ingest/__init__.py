"""The Spanledger service: receivers, pipeline, store, read APIs, command line."""
