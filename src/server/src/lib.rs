//! The binary vesta: command line, configuration, telemetry, composition
