"""What customers and their provider manage: pools, subscriptions, credentials, endpoints."""
