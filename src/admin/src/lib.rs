//! Administration: gRPC service, health and metrics endpoints
