"""Records, ports and queries of Spanledger: pure, without a web framework or a database driver."""
