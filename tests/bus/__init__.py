"""The bus: what both kinds promise, and how the RabbitMQ kind survives its broker."""
