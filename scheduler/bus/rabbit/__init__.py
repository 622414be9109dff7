"""The bus on RabbitMQ: 3.10 and every later version, one broker or a cluster."""
