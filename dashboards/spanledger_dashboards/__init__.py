"""Dashboards as code for Spanledger: Grafana and the built-in page."""
