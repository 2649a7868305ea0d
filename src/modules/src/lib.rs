//! The XEPs, one file each, on the engine's hooks
