"""Rules, budgets and notifications of Spanledger."""
