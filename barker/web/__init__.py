"""What browsers see: pages, AMQP over WebSocket, and figures for Prometheus."""
