//! Where XEPs take part.
